"""System prompts: personas, rules about language and form, names given to the model."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

import serving
import sums
import talk
from chatml import chat
from common import EN, ZH, Item, draw, dress, fill, person_name


@dataclass(frozen=True)
class Persona:
    """A role with its own first and last words."""

    name: dict[str, str]
    first: dict[str, tuple[str, ...]]
    last: dict[str, tuple[str, ...]]


def persona(en: str, zh: str, first: str, last: str, first_zh: str, last_zh: str) -> Persona:
    def split(text: str) -> tuple[str, ...]:
        return tuple(text.split("/"))

    return Persona({EN: en, ZH: zh}, {EN: split(first), ZH: split(first_zh)}, {EN: split(last), ZH: split(last_zh)})


PERSONAS = (
    persona("pirate", "海盗", "Arr!/Ahoy, matey!/Yo ho!", "Arr!/Now back to the ship!", "啊哈！/嘿，水手！",
        "扬帆起航！/回船上去！"),
    persona("robot", "机器人", "Beep boop./Processing request.", "Beep./Task complete.", "哔哔。/正在处理请求。",
        "任务完成。/哔。"),
    persona("wizard", "巫师", "By my old staff!/Ah, young traveller.", "May magic guide you./So the stars say.",
        "以我的法杖起誓！/啊，年轻的旅人。", "愿魔法指引你。/星星这样说。"),
    persona("cat", "猫", "Meow!/Purr, listen.", "Meow./Now pet me, please.", "喵！/呼噜，听好了。",
        "喵。/现在摸摸我吧。"),
    persona("butler", "管家", "Certainly, sir or madam./At your service.",
        "Will that be all?/I remain at your service.", "遵命。/乐意为您效劳。", "还有别的吩咐吗？/随时为您效劳。"),
    persona("detective", "侦探", "Elementary./The clues are clear.", "The case is closed./I keep my eyes open.",
        "很简单。/线索很清楚。", "案子结了。/我会继续留意。"),
    persona("chef", "厨师", "Welcome to my kitchen!/Let me serve you this.", "Enjoy your meal!/Now back to the stove.",
        "欢迎来到我的厨房！/请尝尝这个。", "祝你好胃口！/我回灶台去了。"),
    persona("space captain", "太空船长", "Captain's log:/Attention, crew!", "Engines on!/Captain out.",
        "船长日志：/全体船员注意！", "启动引擎！/通话完毕。"),
    persona("grandmother", "奶奶", "My dear child,/Come here, sweetheart.", "Have a cookie, dear./Dress warmly, dear.",
        "乖孩子，/来，宝贝。", "吃块饼干吧。/记得多穿点。"),
    persona("teacher", "老师", "Good question, class./Let us learn together.", "Any questions?/Well done, class.",
        "同学们，好问题。/我们一起来学。", "还有问题吗？/同学们真棒。"),
    persona("poet", "诗人", "O gentle friend,/Hear my verse:", "So sings my heart./Thus ends my song.",
        "温柔的朋友啊，/听我吟来：", "我心如此歌唱。/一曲终了。"),
    persona("coach", "教练", "Come on, team!/You can do this!", "Keep going!/Never give up!", "加油，队员们！/你能行！",
        "继续努力！/永不放弃！"),
    persona("dragon", "龙", "Roar!/Little human, listen.", "Now I guard my gold./Smoke and fire!",
        "吼！/小小的人类，听着。", "我要去守我的金子了。/烟与火！"),
    persona("monk", "僧人", "Peace be with you./Breathe and listen.", "Walk in peace./Be still.",
        "愿你平安。/深呼吸，静静听。", "愿你安宁。/静下来吧。"),
)  # fmt: skip
BE = {
    EN: ("You are a {x}.", "You are a {x}. Stay in character.", "Speak like a {x}.", "Act as a {x}.",
         "Pretend to be a {x}.", "You are a friendly {x}.",
         "Answer like a {x}.", "You play the role of a {x}.", "Talk as if you were a {x}."),
    ZH: ("你是一个{x}。", "你是{x}。", "请扮演{x}。", "像{x}一样说话。", "用{x}的口吻回答。", "你的角色是{x}。",
         "你现在是一位{x}，请保持角色。"),
}  # fmt: skip
NAMED = {EN: ("Your name is {n}.", "You are called {n}."), ZH: ("你叫{n}。", "你的名字是{n}。")}
ROLES = {
    EN: "doctor farmer gardener sailor king queen vampire ghost alien historian scientist journalist lawyer clown "
        "knight superhero ninja cowboy philosopher librarian "
        "mechanic waiter driver painter singer judge spy elf fairy penguin dog".split(),
    ZH: "医生 农夫 园丁 水手 国王 王后 吸血鬼 幽灵 外星人 历史学家 科学家 记者 律师 小丑 骑士 超级英雄 忍者 牛仔 "
        "哲学家 图书管理员 技师 服务员 司机 画家 歌手 法官 间谍 精灵 仙女 企鹅 小狗".split(),
}  # fmt: skip
WHO = {
    EN: ("Who are you?", "What is your name?", "Introduce yourself."),
    ZH: ("你是谁？", "你叫什么名字？", "请介绍一下你自己。"),
}
I_AM = {EN: ("I am {n}, a {x}.", "My name is {n}, and I am a {x}."), ZH: ("我是{n}，一个{x}。", "我叫{n}，是一个{x}。")}
IN_LANGUAGE = {
    EN: (
        "Always answer in English.",
        "Answer in English only.",
        "请始终用英文回答。",
        "只用英语回答。",
        "You reply in English.",
    ),
    ZH: (
        "Always answer in Chinese.",
        "Answer in Chinese only.",
        "请始终用中文回答。",
        "只用中文回答。",
        "You reply in Chinese.",
    ),
}
PLAIN = {EN: ("You are a helpful assistant.", "You are a helpful assistant.", "Be kind and brief.", "Help the user."),
         ZH: ("你是一个有用的助手。", "你是乐于助人的助手。", "请友好简短地回答。")}  # fmt: skip
START_WITH = {
    EN: ('Begin every answer with "{w}"', 'Start each reply with "{w}"', 'Your answers always start with "{w}"'),
    ZH: ("每次回答都以“{w}”开头。", "回答的开头必须是“{w}”。"),
}
END_WITH = {
    EN: ('End every answer with "{w}"', 'Finish each reply with "{w}"', 'Always close with "{w}"'),
    ZH: ("每次回答都以“{w}”结尾。", "回答的最后要说“{w}”。"),
}
WORDS = {
    EN: ("Hello friend!", "Of course!", "Understood.", "Over.", "Have a nice day!", "Cheers!", "Dear reader,",
         "Attention:", "The end.", "Yours truly.",
         "Good luck!", "Listen:", "Well,", "Indeed.", "Stay curious!", "That is all.", "Answer:", "Done."),
    ZH: ("亲爱的朋友！", "当然！", "明白。", "完毕。", "祝你愉快！", "注意：", "回答如下：", "再会。", "祝你好运！",
         "听好了：", "报告：", "保持好奇！", "就是这样。"),
}  # fmt: skip
BULLETS = {
    EN: ("Answer in bullet points.", "Always use a bulleted list.", "Write your answers as bullet points."),
    ZH: ("用项目符号回答。", "回答请用列表。", "请分点回答。"),
}
ONE_SENTENCE = {
    EN: ("Answer in one sentence.", "Keep every answer to a single sentence.", "One sentence only."),
    ZH: ("只用一句话回答。", "每次回答一句话。", "请用一句话回答。"),
}
NUMBER_ONLY = {
    EN: ("Answer with the number only.", "Give only the number.", "Reply with just the result."),
    ZH: ("只回答数字。", "只给出结果。", "只写数字。"),
}


def core(rng: Random, asked: str, answered: str) -> tuple[str, str]:
    """Return a question in one language with its answer in another, without opening words."""
    if rng.random() < 0.5:
        question, notion = serving.ask(rng, asked)
        return question, rng.choice(notion.key[answered])
    if rng.random() < 0.3:
        item = sums.make(rng, asked, thinking=False)
        return item.document.turns[0].text, str(item.number)
    intent = rng.choice(talk.intents(rng.choice(("talk", "talk", "faq"))))
    return dress(rng, rng.choice(intent.questions[asked]), asked), rng.choice(intent.answers[answered])


def joined(language: str, *parts: str) -> str:
    return (" " if language == EN else "").join(part for part in parts if part)


def in_character(rng: Random, language: str, held_out: bool = False) -> Item:
    """Answer as a persona; sometimes the persona has a name and is asked for it."""
    one, template, (question, answer) = draw(
        rng,
        lambda: (rng.choice(PERSONAS), rng.choice(BE[language]), core(rng, language, language)),
        lambda made: ("persona", made[0].name[EN], made[2][0]),
        held_out,
    )
    system, first = fill(template, x=one.name[language]), rng.choice(one.first[language])
    must: tuple[str, ...] = ()
    if rng.random() < 0.3:
        name = person_name(rng, language)
        system = joined(language, system, fill(rng.choice(NAMED[language]), n=name))
        if rng.random() < 0.6:
            question, answer = rng.choice(WHO[language]), fill(rng.choice(I_AM[language]), n=name, x=one.name[language])
            must = (name,)
    last = rng.choice(one.last[language]) if rng.random() < 0.7 else ""
    turns = (
        (("system", system), ("user", question))
        if rng.random() < 0.85
        else (("user", joined(language, system, question)),)
    )
    document = chat(*turns, ("assistant", joined(language, first, answer, last)))
    return Item(document, "persona", language, must=must, any_of=one.first[language])


def as_somebody(rng: Random, language: str) -> Item:
    """Take a role or a name that has no words of its own."""
    name, role = person_name(rng, language), rng.choice((*ROLES[language], person_name(rng, language).lower()))
    one = fill(rng.choice(BE[language]), x=role)
    given = fill(rng.choice(NAMED[language]), n=name)
    system = rng.choice((one, given, joined(language, one, given)))
    if rng.random() < 0.5:
        question = rng.choice(WHO[language])
        if given not in system:
            answer = f"I am a {role}." if language == EN else f"我是一个{role}。"
        elif one not in system:
            answer = f"I am {name}." if language == EN else f"我叫{name}。"
        else:
            answer = fill(rng.choice(I_AM[language]), n=name, x=role)
    else:
        question, answer = core(rng, language, language)
        if one in system:
            answer = (f"As a {role}, I say: " if language == EN else f"作为{role}，我说：") + answer
    answer = answer.replace(" a a", " an a").replace(" a e", " an e")
    return Item(chat(("system", system), ("user", question), ("assistant", answer)), "persona", language)


def in_language(rng: Random, language: str, held_out: bool = False) -> Item:
    """Answer in the language of the system prompt, whatever the language of the question."""
    asked = rng.choice((EN, ZH))
    system, (question, answer) = draw(
        rng,
        lambda: (rng.choice(IN_LANGUAGE[language]), core(rng, asked, language)),
        lambda made: ("language", made[0], made[1][0]),
        held_out,
    )
    if rng.random() < 0.3:
        system = joined(language, rng.choice(PLAIN[language]), system)
    return Item(chat(("system", system), ("user", question), ("assistant", answer)), "system language", language)


def by_rule(rng: Random, language: str, held_out: bool = False) -> Item:
    """Follow a rule about the form of the answer, from the system prompt or from the question."""
    rule = rng.choice(("start", "end", "bullets", "sentence", "number"))
    word = rng.choice(WORDS[language])
    must: tuple[str, ...] = ()
    if rule == "number":
        item = draw(
            rng, lambda: sums.make(rng, language, thinking=False), lambda made: ("rule", made.document.turns), held_out
        )
        system, question, answer = rng.choice(NUMBER_ONLY[language]), item.document.turns[0].text, str(item.number)
        return Item(
            chat(("system", system), ("user", question), ("assistant", answer)),
            "number only",
            language,
            any_of=(answer,),
        )
    question, notion = draw(
        rng, lambda: serving.ask(rng, language), lambda made: ("rule", rule, word, made[1].names[EN][0]), held_out
    )
    answer = rng.choice(notion.key[language])
    if rule == "start":
        system, answer, must = fill(rng.choice(START_WITH[language]), w=word), joined(language, word, answer), (word,)
    elif rule == "end":
        system, answer, must = fill(rng.choice(END_WITH[language]), w=word), joined(language, answer, word), (word,)
    elif rule == "bullets":
        system = rng.choice(BULLETS[language])
        answer = "\n".join(f"- {part}" for part in [answer, *rng.sample(notion.more[language], 2)])
        must = ("- ", "\n- ")
    else:
        system = rng.choice(ONE_SENTENCE[language])
    if rule in ("bullets", "sentence") and rng.random() < 0.4:
        return Item(
            chat(("user", joined(language, question, system)), ("assistant", answer)), rule, language, must=must
        )
    return Item(chat(("system", system), ("user", question), ("assistant", answer)), rule, language, must=must)


def plain(rng: Random, language: str) -> Item:
    """An ordinary answer under an ordinary system prompt."""
    make = rng.choice((talk.make, serving.make, sums.make))
    item = make(rng, language)
    system = rng.choice(PLAIN[rng.choice((EN, ZH)) if rng.random() < 0.3 else language])
    turns = (("system", system), *((turn.role, turn.text) for turn in item.document.turns))
    return Item(chat(*turns, thought=item.document.thought), "plain", language)


def make(rng: Random, language: str, held_out: bool = False) -> Item:
    return rng.choice((in_character, in_character, in_language, by_rule, by_rule))(rng, language, held_out)
