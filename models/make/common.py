"""What all generators share: the held-out split, ways to dress a question, typing errors, names of people."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from random import Random
from typing import TypeVar

from chatml import Document

EN, ZH = "en", "zh"
LANGUAGES = (EN, ZH)
HELD_OUT_SHARE = 0.06
T = TypeVar("T")


@dataclass(frozen=True)
class Item:
    """A document and, for the evaluation, what its answer has to contain."""

    document: Document
    kind: str
    language: str
    must: tuple[str, ...] = ()  # all of these
    any_of: tuple[str, ...] = ()  # and one of these
    number: int | None = None  # and this as its last number


def is_held_out(*parts: object) -> bool:
    """Say whether a combination belongs to the evaluation; the same on every machine and in every run."""
    digest = hashlib.sha256("|".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:4], "big") < HELD_OUT_SHARE * 2**32


def draw(rng: Random, make: Callable[[], T], key: Callable[[T], tuple[object, ...]], held_out: bool) -> T:
    """Draw combinations until one lies on the wanted side of the split."""
    for _ in range(10_000):
        made = make()
        if is_held_out(*key(made)) == held_out:
            return made
    raise AssertionError("no combination on this side of the split")


def fill(text: str, **slots: str) -> str:
    for name, value in slots.items():
        text = text.replace("{" + name + "}", value)
    return text


def sentence(text: str) -> str:
    """Begin with a capital letter."""
    return text[:1].upper() + text[1:]


BEFORE = {
    EN: ("Hi! ", "Hello, ", "Hey, ", "Please: ", "Quick question: ", "One more question: ", "I am new to this. ",
         "Hm, ",
         "So, ", "Sorry, ", "Now tell me: ", "A question: ", "By the way, ", "Okay. "),
    ZH: ("你好，", "请问", "请问，", "问一下，", "我是新手，", "嗯，", "麻烦问一下，", "对了，", "还有，", "那么，",
         "想问问，", "好的，"),
}  # fmt: skip
AFTER = {
    EN: (" Thanks!", " Please.", " Thank you.", " I am curious.", " Keep it simple.", " Thanks in advance.",
         " Just wondering."),
    ZH: ("谢谢！", "谢谢。", "麻烦了。", "我很好奇。", "简单说说。", "拜托了。"),
}  # fmt: skip


def is_question(text: str, language: str) -> bool:
    if language == ZH:
        return any(word in text for word in ("什么", "吗", "呢", "怎", "哪", "几", "多少", "谁", "如何", "何", "多大"))
    return text.split(" ")[0].lower() in QUESTION_WORDS


def dress(rng: Random, text: str, language: str) -> str:
    """Vary how a question is typed: greetings, thanks, letter case, the sign at its end."""
    text = text.rstrip("?？.。")
    sign = {EN: "?", ZH: "？"} if is_question(text, language) else {EN: ".", ZH: "。"}
    after = rng.choice(AFTER[language]) if rng.random() < 0.12 else ""
    text += sign[language] if after else rng.choice((sign[language], sign[language], sign[language], "", "", sign[EN]))
    if rng.random() < 0.2:
        before = rng.choice(BEFORE[language])
        text = before + (text[:1].lower() + text[1:] if before.endswith(", ") and text[1:2].islower() else text)
    text += after
    return text.lower() if language == EN and rng.random() < 0.2 else text


QUESTION_WORDS = frozenset(
    "what who why how when where which whose is are do does did can could would will should may am any".split()
)

FIRST_NAMES = (
    "Anna Ben Clara David Emma Felix Grace Henry Ivy Jack Kate Leo Mia Noah Olivia Paul Quinn Rosa Sam Tom Uma Victor "
    "Wendy Xena "
    "Yuri Zoe Adam Bella Carl Diana Eric Fiona George Hannah Ian Julia Kevin Laura Mark Nina Oscar Petra Robert Sarah "
    "Tina Ursula "
    "Vera Walter Alice Bruno Carmen Daniel Elena Frank Gina Hugo Irene Jonas Karen Lucas Maria Nora Otto Peter Rita "
    "Simon Theo "
    "Valerie William Arthur Bianca Cecil Doris Edgar Flora Gordon Helen Igor James Kira Liam Martha Nathan Omar Priya "
    "Ravi Sofia "
    "Tariq Yusuf Amina Chen Haruto Ingrid Jorge Kofi Lena Mateo Nadia Olga Pedro Rohan Sven Tanya Wei Yara John Mary "
    "Michael Linda "
    "Alex Max Lily Ella Finn Ruby Oliver Lucy"
).split()  # fmt: skip
WOMEN = frozenset(
    "Anna Clara Emma Grace Ivy Kate Mia Olivia Rosa Uma Wendy Xena Zoe Bella Diana Fiona Hannah Julia Laura Nina Petra "
    "Sarah Tina Ursula "
    "Vera Alice Carmen Elena Gina Irene Karen Maria Nora Rita Valerie Bianca Doris Flora Helen Kira Martha Priya Sofia "
    "Amina Ingrid Lena "
    "Nadia Olga Tanya Mary Linda Lily Ella Ruby Lucy".split()
)
ONSETS = "b br c ch d dr f fl g gr h j k kl l m n p pr r s sh st t tr v w y z".split()
RIMES = "a e i o u an en in on ar er el il ol ia io us ona ina ara eth ick and alf imo ulu".split()
SURNAMES = "王李张刘陈杨赵黄周吴徐孙马朱胡林郭何高罗"
GIVEN = (
    "明华丽强芳伟娜静磊洋艳勇杰涛超霞平刚桂英建文辉力健玲敏波宁晨雨欣怡"
    "佳俊凯浩宇轩子涵梓思琪雪梅兰竹月星海山天云风晓小春秋冬阳光安乐乔林"
)


MORE_NAMES = (
    "Albert Alfred Amanda Amelia Angela Antonio Ava Barbara Beatrice Brian Camille Caroline Catherine Charlotte Chloe "
    "Christian Christine "
    "Claire Cynthia Deborah Dennis Dominic Donald Dorothy Douglas Edward Eleanor Emmanuel Ethan Eugene Evelyn Fabian "
    "Federico Ferdinand "
    "Francesca Francisco Franziska Frederick Gabriel Gabriela Georgia Gerald Gloria Gregory Gustav Harold Harriet "
    "Heather Heinrich Herbert "
    "Isaac Isabella Ismail Ivan Jacqueline Jasmine Jeremy Jonathan Joseph Joshua Juliet Justin Kenneth Khalid Kimberly "
    "Kristina Lawrence "
    "Leila Lorenzo Louise Lucia Madeleine Magdalena Marcus Marianne Maximilian Melissa Michelle Miguel Mohamed Monica "
    "Natalia Nicholas "
    "Nicole Noor Patricia Patrick Penelope Philip Rachel Rafael Raymond Richard Roberta Roland Rosemary Samantha "
    "Samuel Scarlett Shirley "
    "Solomon Stanislav Stefan Stephanie Stephen Susanna Takeshi Teresa Theodora Timothy Tobias Valentina Vanessa "
    "Veronica Victoria Vincent "
    "Vladimir Xavier Yolanda Yvonne Zachary"
).split()
MORE_SURNAMES = (
    "欧阳 上官 诸葛 谢 韩 唐 冯 于 董 萧 程 曹 袁 邓 许 傅 沈 曾 彭 吕 苏 卢 "
    "蒋 蔡 贾 丁 魏 薛 叶 阎 余 潘 杜 戴 夏 钟 汪 田 任 姜 范 方 石 姚 谭"
).split()  # fmt: skip


@cache
def characters() -> str:
    """Return the Chinese characters of all word lists, to make names of any kind."""
    texts = (path.read_text(encoding="utf-8") for path in sorted(Path(__file__).parent.glob("*.txt")))
    return "".join(sorted({character for text in texts for character in text if "\u4e00" <= character <= "\u9fff"}))


def chinese_name(rng: Random) -> str:
    surname = rng.choice((rng.choice(SURNAMES), rng.choice(SURNAMES), rng.choice(MORE_SURNAMES), "小"))
    pool = rng.choice((GIVEN, characters(), characters()))
    given = "".join(rng.choice(pool) for _ in range(rng.choice((1, 2, 2))))
    if rng.random() < 0.1:
        given = chr(rng.randint(0x4E00, 0x9FA5)) + given[1:]  # any character at all
    return surname + given


def english_name(rng: Random) -> str:
    kind = rng.random()
    if kind < 0.25:
        return rng.choice(FIRST_NAMES)
    if kind < 0.5:
        return rng.choice(MORE_NAMES)
    if kind < 0.7:  # the front of one name and the end of another
        front, end = rng.choice(MORE_NAMES), rng.choice(MORE_NAMES)
        return front[: rng.randint(2, 5)] + end[rng.randint(2, max(2, len(end) - 2)) :].lower()
    if kind < 0.85:
        return "".join(rng.choice(ONSETS) + rng.choice(RIMES) for _ in range(rng.choice((1, 2, 3)))).capitalize()
    letters = ("".join(rng.choice("bcdfghjklmnpqrstvwxz") + rng.choice("aeiouy") for _ in range(5)))[
        rng.randint(0, 1) :
    ]
    return letters[: rng.randint(3, 8)].capitalize()


def narrow_name(rng: Random, language: str) -> str:
    """Make a listed name, an invented one of two syllables, or a Chinese one of common characters."""
    if language == ZH:
        given = rng.choice(GIVEN) + (rng.choice(GIVEN) if rng.random() < 0.6 else "")
        return (rng.choice(SURNAMES) if rng.random() < 0.75 else "小") + given
    if rng.random() < 0.55:
        return rng.choice(FIRST_NAMES)
    return "".join(rng.choice(ONSETS) + rng.choice(RIMES) for _ in range(2)).capitalize()


_wide_names = False


def use_wide_names(wide: bool) -> None:
    """Choose for this process between narrow names, which the published weights know, and names of every kind."""
    global _wide_names
    _wide_names = wide


def person_name(rng: Random, language: str) -> str:
    """Make a name; many are invented, so that names are copied and not recited."""
    if not _wide_names:
        return narrow_name(rng, language)
    return chinese_name(rng) if language == ZH else english_name(rng)


def mistype(rng: Random, text: str, language: str) -> str:
    """Now and then swap, drop or double a letter of an English word, as hasty fingers do."""
    if language == ZH or rng.random() > 0.2:
        return text
    words = text.split(" ")
    long = [i for i, word in enumerate(words) if len(word) > 3 and word.isalpha()]
    if long:
        place = rng.choice(long)
        word = words[place]
        at = rng.randrange(1, len(word) - 1)
        dropped, doubled = word[:at] + word[at + 1 :], word[:at] + word[at] + word[at:]
        words[place] = rng.choice((dropped, doubled, word[:at] + word[at + 1] + word[at] + word[at + 2 :]))
    return " ".join(words)
