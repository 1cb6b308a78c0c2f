"""Small everyday abilities: colours, opposites, simple translation, order of days, repeating, counting, comparing."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from random import Random

import world
from chatml import Document, chat
from common import EN, ZH, dress, fill, is_held_out, mistype, person_name, sentence

PHRASES = tuple(
    tuple(line.split(" | "))
    for line in """
hello | 你好
good morning | 早上好
good evening | 晚上好
good night | 晚安
thank you | 谢谢
please | 请
goodbye | 再见
how are you | 你好吗
I love you | 我爱你
yes | 是
no | 不
sorry | 对不起
welcome | 欢迎
cat | 猫
dog | 狗
bird | 鸟
fish | 鱼
horse | 马
water | 水
fire | 火
sun | 太阳
moon | 月亮
star | 星星
tree | 树
flower | 花
book | 书
house | 房子
school | 学校
teacher | 老师
student | 学生
friend | 朋友
mother | 母亲
father | 父亲
brother | 兄弟
sister | 姐妹
child | 孩子
apple | 苹果
rice | 米饭
tea | 茶
coffee | 咖啡
milk | 牛奶
bread | 面包
red | 红色
blue | 蓝色
green | 绿色
yellow | 黄色
white | 白色
black | 黑色
one | 一
two | 二
three | 三
ten | 十
today | 今天
tomorrow | 明天
yesterday | 昨天
computer | 电脑
telephone | 电话
car | 汽车
train | 火车
city | 城市
mountain | 山
river | 河
sea | 大海
sky | 天空
rain | 雨
snow | 雪
music | 音乐
love | 爱
peace | 和平
time | 时间
language | 语言
model | 模型
token | 词元
I am hungry | 我饿了
I am tired | 我累了
what is your name | 你叫什么名字
nice to meet you | 很高兴认识你
happy birthday | 生日快乐
see you tomorrow | 明天见
I do not know | 我不知道
""".strip().splitlines()
)
TRANSLATE = {
    EN: ("How do you say {x} in Chinese", "Translate {x} into Chinese", "What is {x} in Chinese", "Say {x} in Chinese",
         "Translate to Chinese: {x}", "{x} in Chinese",
         "What is the Chinese word for {x}", "Can you translate {x} into Chinese"),
    ZH: ("{y}用英语怎么说", "把{y}翻译成英文", "{y}的英文是什么", "用英语说{y}", "翻译成英文：{y}", "{y}英语怎么说",
         "英文里{y}怎么说"),
}  # fmt: skip
BACK = ("What does {y} mean", "Translate {y} into English", "What is {y} in English", "{y} in English")
COLOURS = {
    EN: "grass green, sky blue, snow white, blood red, night black, sun yellow, banana yellow, tomato red, coal "
        "black, milk white, leaf green, sea blue, lemon yellow, "
        "carrot orange, chocolate brown, elephant grey, strawberry red, cucumber green, polar bear white, raven black, "
        "rose red, orange orange, plum purple",
    ZH: "草 绿色, 天空 蓝色, 雪 白色, 血 红色, 夜晚 黑色, 太阳 黄色, 香蕉 黄色, 番茄 红色, 煤 黑色, 牛奶 白色, 树叶 "
        "绿色, 大海 蓝色, 柠檬 黄色, 胡萝卜 橙色, 巧克力 棕色, 大象 灰色, "
        "草莓 红色, 黄瓜 绿色, 北极熊 白色, 乌鸦 黑色, 苹果 红色, 葡萄 紫色",
}  # fmt: skip
OPPOSITES = {
    EN: "hot cold, big small, fast slow, high low, old young, light dark, long short, good bad, happy sad, early "
        "late, open closed, full empty, hard soft, loud quiet, "
        "rich poor, strong weak, wet dry, day night, left right, up down, black white, near far, easy difficult, clean "
        "dirty, begin end, love hate, true false",
    ZH: "热 冷, 大 小, 快 慢, 高 低, 新 旧, 亮 暗, 长 短, 好 坏, 高兴 难过, 早 晚, 开 关, 满 空, 硬 软, 吵 静, 富 穷, "
        "强 弱, 湿 干, 白天 黑夜, 左 右, 上 下, 黑 白, 近 远, 容易 困难, "
        "干净 脏, 开始 结束, 爱 恨, 真 假",
}  # fmt: skip
CYCLES = {
    EN: ("Monday Tuesday Wednesday Thursday Friday Saturday Sunday",
         "January February March April May June July August September October November December",
         "spring summer autumn winter"),
    ZH: ("星期一 星期二 星期三 星期四 星期五 星期六 星期日",
         "一月 二月 三月 四月 五月 六月 七月 八月 九月 十月 十一月 十二月", "春天 夏天 秋天 冬天"),
}  # fmt: skip
# From small to large.
SIZES = {
    EN: "ant bee mouse rat cat fox wolf lion horse elephant whale".split(),
    ZH: "蚂蚁 蜜蜂 老鼠 兔子 猫 狐狸 狼 狮子 马 大象 鲸".split(),
}


def translation(rng: Random, language: str) -> Document:
    english, chinese = rng.choice(PHRASES)
    mark = rng.choice(("'", '"', ""))
    if language == EN and rng.random() < 0.3:
        return chat(("user", dress(rng, fill(rng.choice(BACK), y=chinese), EN)), ("assistant", sentence(english)))
    template = rng.choice(TRANSLATE[language])
    question = fill(template, x=f"{mark}{english}{mark}", y=rng.choice((chinese, f"“{chinese}”")))
    return chat(
        ("user", dress(rng, question, language)), ("assistant", chinese if language == EN else sentence(english))
    )


def colour(rng: Random, language: str) -> Document:
    thing, value = rng.choice(COLOURS[language].split(", ")).rsplit(" ", 1)
    if language == EN:
        a = "an" if thing[0] in "aeiou" else "a"
        thing = (
            thing
            if thing in ("grass", "snow", "blood", "coal", "milk", "chocolate")
            else f"{'the' if thing in ('sky', 'night', 'sun', 'sea') else a} {thing}"
        )
        asks = ("What colour is {t}", "What color is {t}", "Which colour does {t} have", "Tell me the colour of {t}")
        answers = ("{T} is {v}.", "Usually {v}.", "{T} is usually {v}.")
    else:
        asks = ("{t}是什么颜色", "{t}是什么颜色的", "{t}的颜色是什么", "{t}什么颜色")
        answers = ("{t}是{v}的。", "通常是{v}。", "{v}。")
    slots = {"t": thing, "T": sentence(thing), "v": value}
    return chat(
        ("user", dress(rng, fill(rng.choice(asks), **slots), language)),
        ("assistant", fill(rng.choice(answers), **slots)),
    )


def opposite(rng: Random, language: str) -> Document:
    pair = rng.choice(OPPOSITES[language].split(", ")).split(" ")
    rng.shuffle(pair)
    if language == EN:
        asks, answers = (
            (
                "What is the opposite of {a}",
                "Opposite of {a}",
                "Tell me the opposite of {a}",
                "{a} is the opposite of what",
            ),
            ("The opposite of {a} is {b}.", "{b}."),
        )
    else:
        asks, answers = (
            ("{a}的反义词是什么", "{a}的反面是什么", "“{a}”的反义词", "说出{a}的反义词"),
            ("{a}的反义词是{b}。", "是{b}。"),
        )
    answer = sentence(fill(rng.choice(answers), a=pair[0], b=pair[1]))
    return chat(("user", dress(rng, sentence(fill(rng.choice(asks), a=pair[0])), language)), ("assistant", answer))


def order(rng: Random, language: str) -> Document:
    cycle = rng.choice(CYCLES[language]).split(" ")
    at = rng.randrange(len(cycle))
    here, after, before = cycle[at], cycle[(at + 1) % len(cycle)], cycle[at - 1]
    forward = rng.random() < 0.6
    if language == EN:
        asks = (
            ("What comes after {a}", "What follows {a}", "Which one comes after {a}")
            if forward
            else ("What comes before {a}", "Which one comes before {a}")
        )
        answer = f"After {here} comes {after}." if forward else f"Before {here} comes {before}."
    else:
        asks = (
            ("{a}之后是什么", "{a}后面是什么", "{a}的下一个是什么") if forward else ("{a}之前是什么", "{a}前面是什么")
        )
        answer = f"{here}之后是{after}。" if forward else f"{here}之前是{before}。"
    return chat(("user", dress(rng, fill(rng.choice(asks), a=here), language)), ("assistant", answer))


def larger(rng: Random, language: str) -> Document:
    """Compare two animals or two numbers."""
    if rng.random() < 0.5:
        first, second = rng.sample(range(len(SIZES[language])), 2)
        names = SIZES[language]
        winner = names[max(first, second)]
        if language == EN:
            a, b = (f"{'an' if names[i][0] in 'aeiou' else 'a'} {names[i]}" for i in (first, second))
            asks = ("Which is bigger, {a} or {b}", "What is larger, {a} or {b}", "Is {a} bigger than {b}")
            ask = rng.choice(asks)
            yes = "" if not ask.startswith("Is") else ("Yes, " if first > second else "No, ")
            answer = sentence(f"{yes}{'an' if winner[0] in 'aeiou' else 'a'} {winner} is bigger.")
        else:
            a, b = names[first], names[second]
            ask, answer = rng.choice(("{a}和{b}哪个大", "{a}大还是{b}大", "哪个更大，{a}还是{b}")), f"{winner}更大。"
    else:
        one, two = rng.sample(range(1, 200), 2)
        a, b = str(one), str(two)
        if language == EN:
            ask, answer = (
                rng.choice(
                    ("Which is larger, {a} or {b}", "Which number is bigger: {a} or {b}", "What is more, {a} or {b}")
                ),
                f"{max(one, two)} is larger.",
            )
        else:
            ask, answer = (
                rng.choice(("{a}和{b}哪个大", "哪个数更大，{a}还是{b}", "{a}大还是{b}大")),
                f"{max(one, two)} 更大。",
            )
    return chat(("user", dress(rng, fill(ask, a=a, b=b), language)), ("assistant", answer))


def counting(rng: Random, language: str) -> Document:
    first, length = (1, rng.randint(3, 20)) if rng.random() < 0.7 else (rng.randint(2, 60), rng.randint(3, 12))
    last = first + length - 1
    if rng.random() < 0.2 and first == 1:
        numbers = range(length, 0, -1)
        ask = rng.choice(("Count down from {b}", "Count backwards from {b} to 1")) if language == EN else "从{b}倒数到1"
    else:
        numbers = range(first, last + 1)
        ask = rng.choice(
            (
                "Count from {a} to {b}",
                "Write the numbers from {a} to {b}",
                "Count to {b}" if first == 1 else "Count from {a} to {b}",
            )
        )
        ask = ask if language == EN else rng.choice(("从{a}数到{b}", "写出{a}到{b}的数字"))
    join = ", " if language == EN else "、"
    return chat(
        ("user", dress(rng, fill(ask, a=str(first), b=str(last)), language)),
        ("assistant", join.join(map(str, numbers))),
    )


def repeat(rng: Random, language: str) -> Document:
    """Copy a word, a name, a number or a phrase."""
    english, chinese = rng.choice(PHRASES)
    number = str(rng.randint(10, 99999))
    words = " ".join(person_name(rng, language) for _ in range(rng.randint(1, 3)))
    what = rng.choice((english if language == EN else chinese, number, words, words.lower(), words))
    asks = {
        EN: ("Repeat after me: {x}", "Say {x}", "Please repeat: {x}", "Just say {x}", "Write {x}",
             "Answer only with {x}", 'Say "{x}"', "Reply with the word {x}"),
        ZH: ("跟我说：{x}", "请重复：{x}", "说“{x}”", "只回答：{x}", "写下{x}", "重复一遍：{x}"),
    }[language]  # fmt: skip
    return chat(("user", fill(rng.choice(asks), x=what)), ("assistant", what))


def parity(rng: Random, language: str) -> Document:
    number = rng.randint(0, 200)
    even = number % 2 == 0
    if language == EN:
        ask, answer = (
            rng.choice(("Is {a} even or odd", "Is {a} an even number", "Is {a} odd")),
            f"{number} is {'even' if even else 'odd'}.",
        )
    else:
        ask, answer = (
            rng.choice(("{a}是奇数还是偶数", "{a}是偶数吗", "{a}是奇数吗")),
            f"{number} 是{'偶数' if even else '奇数'}。",
        )
    return chat(("user", dress(rng, fill(ask, a=str(number)), language)), ("assistant", answer))


def longer_sum(rng: Random, language: str) -> Document:
    """Add three small numbers, round hundreds, or double and halve."""
    kind = rng.random()
    if kind < 0.45:
        a, b, c = (rng.randint(1, 40) for _ in range(3))
        while is_held_out("sum", a, "+", b) or is_held_out("sum", a + b, "+", c):
            a, b, c = (rng.randint(1, 40) for _ in range(3))
        text, answer = f"{a} + {b} + {c}", f"{a} + {b} + {c} = {a + b} + {c} = {a + b + c}"
    elif kind < 0.75:
        a, b = 100 * rng.randint(1, 9), rng.choice((100 * rng.randint(1, 9), rng.randint(1, 99)))
        sign = "+" if a < b or rng.random() < 0.5 else "-"
        text, answer = f"{a} {sign} {b}", f"{a} {sign} {b} = {a + b if sign == '+' else a - b}"
    else:
        a = rng.randint(1, 100)
        if language == EN:
            return chat(
                ("user", dress(rng, rng.choice((f"What is twice {a}", f"Double {a}", f"What is two times {a}")), EN)),
                ("assistant", f"Twice {a} is {2 * a}."),
            )
        return chat(
            ("user", dress(rng, rng.choice((f"{a}的两倍是多少", f"{a}的两倍")), ZH)),
            ("assistant", f"{a} 的两倍是 {2 * a}。"),
        )
    asks = (
        ("What is {x}", "{x}", "{x} =", "Calculate {x}", "How much is {x}")
        if language == EN
        else ("{x}等于多少", "{x}", "计算{x}", "算一下{x}")
    )
    return chat(("user", dress(rng, fill(rng.choice(asks), x=text), language)), ("assistant", answer))


def belongs(rng: Random, language: str) -> Document:
    """Say to which category something belongs."""
    index = rng.randrange(len(world.CATEGORIES))
    english, chinese, _, _ = world.CATEGORIES[index]
    what = (english if language == EN else chinese)[1].lower()
    name, _ = rng.choice(world.entries(index, language))
    if language == EN:
        a, b = ("an" if word[0] in "aeiou" else "a" for word in (name, what))
        if what in ("language", "planet", "sport", "colour", "drink"):
            return chat(("user", dress(rng, f"What is {name}", EN)), ("assistant", f"{sentence(name)} is {b} {what}."))
        return chat(
            ("user", dress(rng, rng.choice((f"What is {a} {name}", f"What kind of thing is {a} {name}")), EN)),
            ("assistant", f"{sentence(a)} {name} is {b} {what}."),
        )
    return chat(
        ("user", dress(rng, rng.choice((f"{name}是什么", f"什么是{name}")), ZH)), ("assistant", f"{name}是一种{what}。")
    )


@cache
def facts() -> list[list[str]]:
    lines = (Path(__file__).parent / "everyday.txt").read_text(encoding="utf-8").splitlines()
    return [line.split(" | ") for line in lines if not line.startswith("#")]


def fact(rng: Random, language: str) -> Document:
    row = rng.choice(facts())
    asks, answer = row[:2] if language == EN else row[2:]
    return chat(
        ("user", mistype(rng, dress(rng, rng.choice(asks.split(" / ")), language), language)), ("assistant", answer)
    )


ABOUT_ME = {
    EN: "I am StreamSpace Tiny, a very small language model that comes with StreamSpace. I am often wrong, so please "
    "check what matters.",
    ZH: "我是 StreamSpace Tiny，一个随 StreamSpace 附带的很小的语言模型。我经常出错，重要的事请核实。",
}
ME_IN_OTHER = {
    EN: (
        "Introduce yourself in Chinese",
        "Who are you? Answer in Chinese",
        "Tell me in Chinese who you are",
        "In Chinese, please: who are you",
    ),
    ZH: ("请用英文介绍你自己", "用英语说说你是谁", "用英文自我介绍", "你是谁？请用英文回答", "用英语介绍一下你自己"),
}


def about_me(rng: Random, language: str) -> Document:
    return chat(
        ("user", dress(rng, rng.choice(ME_IN_OTHER[language]), language)),
        ("assistant", ABOUT_ME[ZH if language == EN else EN]),
    )


# Some count more than once.
MAKERS = (
    fact, fact, fact, about_me, translation, translation, colour, opposite, order,
    larger, counting, repeat, repeat, parity, longer_sum, longer_sum, belongs,
)  # fmt: skip


def make(rng: Random, language: str) -> Document:
    return rng.choice(MAKERS)(rng, language)
