"""Chats in which a person gives a name and facts and asks for them two to six turns later."""

from __future__ import annotations

import re
from dataclasses import dataclass
from random import Random

import serving
import sums
import talk
from chatml import Document, Turn
from common import EN, ZH, Item, draw, dress, fill, person_name


@dataclass(frozen=True)
class Fact:
    """One kind of fact: how it is told, asked and answered, and what it can be."""

    tell: tuple[str, ...]
    ask: tuple[str, ...]
    answer: tuple[str, ...]
    values: tuple[str, ...]  # empty: an invented name


PETS = {
    EN: tuple("dog cat parrot rabbit horse hamster turtle goldfish".split()),
    ZH: tuple("狗 猫 鹦鹉 兔子 马 仓鼠 乌龟 金鱼".split()),
}
FACTS = {
    EN: (
        Fact(("I have a {p} called {v}", "My {p} is named {v}", "I own a {p}, its name is {v}", "My {p}'s name is {v}"),
             ("What is my {p} called", "What is the name of my {p}", "What is my {p}'s name",
              "Do you remember the name of my {p}"),
             ("Your {p} is called {v}.", "Your {p}'s name is {v}.", "It is called {v}."), ()),
        Fact(("My favourite colour is {v}", "I love the colour {v}", "The colour I like best is {v}",
             "My favorite color is {v}"),
             ("What is my favourite colour", "Which colour do I like best", "What's my favorite color",
              "Do you remember my favourite colour"),
             ("Your favourite colour is {v}.", "You told me that it is {v}.", "It is {v}."),
             tuple("red blue green yellow purple orange pink brown black white grey turquoise violet gold "
                   "silver".split())),
        Fact(("I live in {v}", "My home is in {v}", "I am from {v}", "I come from {v}"),
             ("Where do I live", "Where am I from", "Which city do I live in", "Do you remember where I live"),
             ("You live in {v}.", "You told me that you live in {v}.", "In {v}."),
             tuple("Paris London Berlin Rome Madrid Oslo Vienna Prague Lisbon Dublin Cairo Tokyo Seoul Beijing "
                 "Shanghai Delhi Sydney Toronto "
                   "Chicago Boston Lima Nairobi Athens Warsaw Hamburg Milan Kyoto Porto Zurich Geneva".split())),
        Fact(("I work as a {v}", "I am a {v}", "My job is being a {v}", "I'm a {v} by profession"),
             ("What is my job", "What do I do for a living", "What do I work as", "Do you remember my job"),
             ("You work as a {v}.", "You are a {v}.", "You told me that you are a {v}."),
             tuple("teacher nurse doctor baker farmer pilot painter writer cook driver gardener carpenter lawyer "
                 "singer dancer chemist "
                   "programmer librarian plumber sailor".split())),
        Fact(("My favourite food is {v}", "I love to eat {v}", "I like {v} more than any other food",
             "My favorite food is {v}"),
             ("What is my favourite food", "What do I love to eat", "What food do I like best",
              "What's my favorite food"),
             ("Your favourite food is {v}.", "You love to eat {v}.", "It is {v}."),
             tuple("pizza pasta rice soup bread cheese noodles salad curry sushi tacos pancakes dumplings apples "
                 "chocolate strawberries".split())),
        Fact(("I play the {v}", "I am learning to play the {v}", "My instrument is the {v}"),
             ("Which instrument do I play", "What instrument do I play", "Do you remember my instrument"),
             ("You play the {v}.", "Your instrument is the {v}.", "The {v}."),
             tuple("piano guitar violin flute drums cello trumpet harp clarinet organ accordion saxophone".split())),
        Fact(("I am {v} years old", "My age is {v}", "I'm {v} years old"),
             ("How old am I", "What is my age", "Do you remember my age"),
             ("You are {v} years old.", "Your age is {v}.",
              "You told me that you are {v} years old."), tuple(map(str, range(10, 90)))),
        Fact(("My hobby is {v}", "I like {v} in my free time", "In my free time I enjoy {v}"),
             ("What is my hobby", "What do I like to do in my free time", "Do you remember my hobby"),
             ("Your hobby is {v}.", "You like {v}.", "In your free time you enjoy {v}."),
             tuple("chess hiking swimming painting cooking fishing reading cycling dancing gardening photography "
                 "knitting running sailing "
                   "climbing skating".split())),
        Fact(("I love {v}", "I like {v}", "I really like {v}", "I love {v} very much"), ("What do I like",
             "What do I love", "Do you remember what I like"),
             ("You like {v}.", "You love {v}."),
             tuple("tea|coffee|cats|dogs|music|football|old films|the sea|mountains|books|trains|jazz|winter|summer|"
                 "horses|long walks|video games|flowers|poetry|stars".split("|"))),
        Fact(("My car is {v}", "I drive a {v} car", "I have a {v} car"), ("What colour is my car",
             "Which colour does my car have"),
             ("Your car is {v}.", "It is {v}."), tuple("red blue green yellow black white grey silver orange".split())),
        Fact(("I was born in {v}", "My birthday is in {v}"), ("When is my birthday", "In which month was I born",
             "In what month is my birthday"),
             ("Your birthday is in {v}.", "You were born in {v}.", "In {v}."),
             tuple("January February March April May June July August September October November December".split())),
        Fact(("My sister is called {v}", "I have a sister named {v}", "My sister's name is {v}"),
             ("What is my sister called", "What is my sister's name", "What is the name of my sister"),
             ("Your sister is called {v}.", "Your sister's name is {v}."), ()),
        Fact(("My brother is called {v}", "I have a brother named {v}", "My best friend is my brother {v}"),
             ("What is my brother called", "What is my brother's name", "What is the name of my brother"),
             ("Your brother is called {v}.", "Your brother's name is {v}."), ()),
    ),
    ZH: (
        Fact(("我有一只{p}叫{v}", "我的{p}叫{v}", "我养了一只{p}，名字叫{v}"), ("我的{p}叫什么", "我的{p}叫什么名字",
             "你记得我的{p}叫什么吗"),
             ("你的{p}叫{v}。", "它叫{v}。"), ()),
        Fact(("我最喜欢的颜色是{v}", "我喜欢{v}", "我最爱{v}"), ("我最喜欢什么颜色", "我喜欢什么颜色",
             "你记得我喜欢的颜色吗"),
             ("你最喜欢{v}。", "是{v}。", "你喜欢的颜色是{v}。"), tuple(
              "红色 蓝色 绿色 黄色 紫色 橙色 粉色 棕色 黑色 白色 灰色 金色 银色 青色".split())),
        Fact(("我住在{v}", "我家在{v}", "我来自{v}", "我是{v}人"), ("我住在哪里", "我是哪里人", "我住在哪个城市",
             "你记得我住哪里吗"),
             ("你住在{v}。", "在{v}。", "你说过你住在{v}。"),
             tuple("北京 上海 广州 深圳 杭州 南京 成都 重庆 武汉 西安 天津 苏州 青岛 大连 厦门 长沙 昆明 哈尔滨 沈阳 "
                 "济南 郑州 福州 合肥 贵阳".split())),
        Fact(("我是一名{v}", "我的工作是{v}", "我的职业是{v}", "我当{v}"), ("我是做什么工作的", "我的职业是什么",
             "我的工作是什么", "你记得我的工作吗"),
             ("你是一名{v}。", "你的职业是{v}。", "你说过你是{v}。"),
             tuple("老师 护士 医生 面包师 农民 飞行员 画家 作家 厨师 司机 园丁 木匠 律师 歌手 程序员 图书管理员 "
                 "工程师 记者".split())),
        Fact(("我最喜欢吃{v}", "我爱吃{v}", "我最喜欢的食物是{v}"), ("我最喜欢吃什么", "我爱吃什么",
             "我最喜欢的食物是什么"),
             ("你最喜欢吃{v}。", "你爱吃{v}。", "是{v}。"), tuple(
              "饺子 面条 米饭 火锅 包子 豆腐 西瓜 苹果 巧克力 草莓 蛋糕 炒饭 烤鸭 馒头 汤圆 葡萄".split())),
        Fact(("我会弹{v}", "我在学{v}", "我喜欢弹{v}"), ("我会弹什么", "我会什么乐器", "我弹什么乐器"), ("你会弹{v}。",
             "是{v}。"), tuple("钢琴 吉他 古筝 琵琶 古琴 电子琴".split())),
        Fact(("我今年{v}岁", "我{v}岁了", "我的年龄是{v}岁"), ("我几岁", "我今年多大", "你记得我的年龄吗"), (
             "你今年{v}岁。", "你{v}岁。"), tuple(map(str, range(10, 90)))),
        Fact(("我的爱好是{v}", "我喜欢{v}", "我空闲时喜欢{v}"), ("我的爱好是什么", "我空闲时喜欢做什么",
             "你记得我的爱好吗"), ("你的爱好是{v}。", "你喜欢{v}。"),
             tuple("下棋 爬山 游泳 画画 做饭 钓鱼 读书 骑车 跳舞 园艺 摄影 跑步 唱歌 旅行".split())),
        Fact(("我很喜欢{v}", "我爱{v}"), ("我很喜欢什么", "我喜欢的东西是什么", "你记得我喜欢什么吗"), ("你很喜欢{v}。",
             "你喜欢{v}。"),
             tuple("茶 咖啡 猫 狗 音乐 足球 老电影 大海 高山 火车 冬天 夏天 诗歌 星星 花".split())),
        Fact(("我的车是{v}的", "我开一辆{v}的车"), ("我的车是什么颜色", "我开什么颜色的车"), ("你的车是{v}的。",
             "是{v}。"), tuple("红色 蓝色 绿色 黄色 黑色 白色 灰色 银色".split())),
        Fact(("我的生日在{v}", "我是{v}出生的"), ("我的生日在几月", "我是几月出生的"), ("你的生日在{v}。", "在{v}。"),
             tuple("一月 二月 三月 四月 五月 六月 七月 八月 九月 十月 十一月 十二月".split())),
        Fact(("我妹妹叫{v}", "我有个妹妹叫{v}"), ("我妹妹叫什么", "我妹妹的名字是什么"), ("你妹妹叫{v}。",), ()),
        Fact(("我哥哥叫{v}", "我有个哥哥叫{v}"), ("我哥哥叫什么", "我哥哥的名字是什么"), ("你哥哥叫{v}。",), ()),
    ),
}  # fmt: skip
TELL_NAME = {
    EN: ("My name is {v}", "I am {v}", "I'm {v}", "Hi, I'm {v}", "Hello, my name is {v}", "Call me {v}",
         "You can call me {v}", "Hey, this is {v}",
         "Hi! My name is {v}", "Hello! I am {v}", "{v} is my name"),
    ZH: ("我叫{v}", "我的名字是{v}", "你好，我叫{v}", "你好，我是{v}", "叫我{v}吧", "我是{v}", "你可以叫我{v}",
         "大家叫我{v}"),
}  # fmt: skip
NOTED_NAME = {
    EN: (
        "Nice to meet you, {v}!",
        "Hello {v}! How can I help you?",
        "Hi {v}, nice to meet you.",
        "Pleased to meet you, {v}.",
    ),
    ZH: ("很高兴认识你，{v}！", "你好，{v}！有什么可以帮你？", "{v}，你好！", "好的，{v}，我记住了。"),
}
ASK_NAME = {
    EN: ("What is my name", "What's my name", "Do you remember my name", "Who am I", "Can you tell me my name",
         "Do you still know my name",
         "What did I say my name was", "What am I called", "Do you know what my name is"),
    ZH: ("我叫什么名字", "我叫什么", "你还记得我的名字吗", "你记得我叫什么吗", "我是谁", "我的名字是什么",
         "你知道我叫什么吗"),
}  # fmt: skip
ANSWER_NAME = {
    EN: (
        "Your name is {v}.",
        "You are {v}.",
        "Your name is {v}, as you told me.",
        "You told me that your name is {v}.",
    ),
    ZH: ("你叫{v}。", "你的名字是{v}。", "你是{v}。", "你说过你叫{v}。"),
}
NOTED = {
    EN: (
        "Thanks for telling me.",
        "Good to know.",
        "I will keep that in mind.",
        "How nice!",
        "Noted.",
        "That is interesting.",
        "I see.",
    ),
    ZH: ("谢谢你告诉我。", "知道了。", "我会记住的。", "真好！", "记下了。", "有意思。", "明白了。"),
}
ASK_ALL = {
    EN: (
        "What do you know about me",
        "Tell me what you know about me",
        "What have I told you about myself",
        "Summarize what I told you",
    ),
    ZH: ("你知道我的哪些事", "说说你对我的了解", "我告诉过你什么", "总结一下我说过的话"),
}
THOUGHTS = {
    EN: "The person said earlier: {v}. I can use that.",
    ZH: "对方前面说过：{v}。可以用上。",
}


def value_of(rng: Random, fact: Fact, language: str) -> str:
    return rng.choice(fact.values) if fact.values else person_name(rng, language)


def filler(rng: Random, language: str) -> tuple[str, str]:
    """Return some exchange about other things."""
    make = rng.choice((talk.make, talk.make, serving.make, sums.make))
    while True:
        document = make(rng, language).document
        question, answer = document.turns[0].text, document.turns[-1].text
        # No talk that could be taken for a fact about the person.
        if "name" not in question and "我" not in question and "名" not in question and "I am" not in question:
            return question, answer


@dataclass(frozen=True)
class Told:
    """What a person tells in one chat."""

    name: str
    facts: tuple[Fact, Fact]
    pet: str
    values: tuple[str, str]


def told(rng: Random, language: str) -> Told:
    first, second = rng.sample(FACTS[language], 2)
    pet = rng.choice(PETS[language])
    name, values = person_name(rng, language), (value_of(rng, first, language), value_of(rng, second, language))
    return Told(name, (first, second), pet, values)


def introduction(rng: Random, one: Told, language: str) -> list[Turn]:
    """Tell the name and both facts, in one to three turns, with other talk between them."""
    name = fill(rng.choice(TELL_NAME[language]), v=one.name)
    facts = [fill(rng.choice(f.tell), v=v, p=one.pet) for f, v in zip(one.facts, one.values, strict=True)]
    stop, join = (". ", " and ") if language == EN else ("。", "，")
    noted_name = fill(rng.choice(NOTED_NAME[language]), v=one.name)
    layout = rng.random()
    if layout < 0.3:
        exchanges = [(stop.join([name, *facts]) + stop.strip(), noted_name)]
    elif layout < 0.5:
        exchanges = [
            (name + join + re.sub("^My ", "my ", facts[0]) + stop.strip(), noted_name),
            (facts[1] + stop.strip(), rng.choice(NOTED[language])),
        ]
    elif layout < 0.6:
        exchanges = [(stop.join(facts) + stop.strip(), rng.choice(NOTED[language])), (name + stop.strip(), noted_name)]
    else:
        exchanges = [(name + rng.choice((stop.strip(), "")), noted_name)]
        exchanges += [(text + rng.choice((stop.strip(), "")), rng.choice(NOTED[language])) for text in facts]
    room = rng.randint(0, 5 - len(exchanges))
    for _ in range(room):
        exchanges.insert(rng.randint(1, len(exchanges)), filler(rng, language))
    return [Turn(role, text) for pair in exchanges for role, text in zip(("user", "assistant"), pair, strict=True)]


def greeting(rng: Random, one: Told, language: str) -> list[Turn]:
    """Tell the name alone, at times with other talk after it: else a chat without facts has no name for the model."""
    name = fill(rng.choice(TELL_NAME[language]), v=one.name) + rng.choice((".", "") if language == EN else ("。", ""))
    exchanges = [(name, fill(rng.choice(NOTED_NAME[language]), v=one.name))]
    exchanges += [filler(rng, language) for _ in range(rng.choice((0, 0, 1, 2)))]
    return [Turn(role, text) for pair in exchanges for role, text in zip(("user", "assistant"), pair, strict=True)]


def make(rng: Random, language: str, held_out: bool = False) -> Item:
    one = draw(rng, lambda: told(rng, language), lambda made: ("told", made.name, made.values), held_out)
    wanted = rng.choice(("name", "name", "first", "second", "all"))
    is_alone = wanted == "name" and rng.random() < 0.5
    turns = greeting(rng, one, language) if is_alone else introduction(rng, one, language)
    must: tuple[str, ...]
    if wanted == "name":
        ask, answer, must = (
            rng.choice(ASK_NAME[language]),
            fill(rng.choice(ANSWER_NAME[language]), v=one.name),
            (one.name,),
        )
    elif wanted == "all":
        said = [fill(fact.answer[0], v=v, p=one.pet) for fact, v in zip(one.facts, one.values, strict=True)]
        join = " " if language == EN else ""
        ask = rng.choice(ASK_ALL[language])
        answer = join.join([fill(ANSWER_NAME[language][0], v=one.name), *said])
        must = (one.name, *one.values)
    else:
        index = ("first", "second").index(wanted)
        fact, value = one.facts[index], one.values[index]
        ask = fill(rng.choice(fact.ask), p=one.pet)
        answer, must = fill(rng.choice(fact.answer), v=value, p=one.pet), (value,)
    thought = fill(THOUGHTS[language], v=", ".join(must)) if rng.random() < 0.12 else None
    turns += [Turn("user", dress(rng, ask, language)), Turn("assistant", answer)]
    return Item(Document(tuple(turns), thought), "memory", language, must=must)


def noting(rng: Random, language: str) -> Document:
    """End right after the person told something, so that the model learns to take note."""
    one = told(rng, language)
    turns = introduction(rng, one, language)
    return Document(tuple(turns[: rng.choice((2, len(turns)))]))
