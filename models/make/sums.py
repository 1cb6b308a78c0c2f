"""Small sums: direct answers, and a thought that works digit by digit when thinking is on."""

from __future__ import annotations

import re
from random import Random

from chatml import chat
from common import EN, ZH, Item, draw, dress, fill, person_name

ASK = {
    ("+", EN): ("What is {a} + {b}", "{a} + {b}", "{a}+{b}", "{a} + {b} =", "{a}+{b}=", "What is {a} plus {b}",
     "Calculate {a} + {b}",
                "Add {a} and {b}", "How much is {a} + {b}", "Compute {a} plus {b}", "What's {a}+{b}",
                "What is the sum of {a} and {b}",
                "Can you add {a} and {b}", "{a} plus {b}", "Please calculate {a}+{b}", "Tell me {a} + {b}",
                "How much is {a} and {b}",
                "I have {a} apples and get {b} more. How many apples do I have",
                "There are {a} birds and {b} more come. How many are there",
                "A shop sold {a} cups on Monday and {b} on Tuesday. How many in all", "What do {a} and {b} add up to",
                "Solve {a} + {b}",
                "{n} has {a} {i} and buys {b} more. How many does {n} have now",
                "{n} has {a} {i} and finds {b} more. How many are there",
                "If I have {a} {i} and get {b} more, how many do I have",
                "There are {a} {i} in one box and {b} in another. How many are there in total",
                "I read {a} pages today and {b} yesterday. How many pages is that",
                "A train has {a} people and {b} get on. How many are on it now", "{a} {i} and {b} {i} make how many",
                "{a} boys and {b} girls are in the school. How many children"),
    ("-", EN): ("What is {a} - {b}", "{a} - {b}", "{a}-{b}", "{a} - {b} =", "{a}-{b}=", "What is {a} minus {b}",
     "Calculate {a} - {b}",
                "Subtract {b} from {a}", "How much is {a} - {b}", "Compute {a} minus {b}", "What's {a}-{b}",
                "Solve {a} - {b}",
                "What is the difference between {a} and {b}", "Take {b} away from {a}", "{a} minus {b}",
                "Please calculate {a}-{b}",
                "I have {a} apples and give away {b}. How many are left",
                "There were {a} birds and {b} flew away. How many are left",
                "A box holds {a} pens and {b} are taken out. How many remain", "Tell me {a} - {b}",
                "Can you subtract {b} from {a}",
                "If I have {a} cookies and eat {b}, how many do I have",
                "{n} has {a} {i} and loses {b}. How many are left",
                "{n} had {a} {i} and gave away {b}. How many are left",
                "I had {a} {i} and lost {b}. How many do I have now",
                "There are {a} {i} and I take {b}. How many remain",
                "{n} has {a} coins and spends {b}. How many coins are left",
                "A train has {a} people and {b} get off. How many are still on it",
                "If you take {b} from {a}, what is left", "Out of {a} {i}, {b} are broken. How many are good"),
    ("*", EN): ("What is {a} times {b}", "{a} x {b}", "{a} * {b}", "Multiply {a} by {b}", "Calculate {a} * {b}",
     "What is {a} * {b}"),
    ("+", ZH): ("{a}加{b}等于多少", "{a}+{b}", "{a} + {b} =", "{a}+{b}=？", "{a}+{b}等于几", "计算{a}+{b}",
     "请计算{a}加{b}", "{a}加{b}是多少",
                "{a} + {b} 等于多少", "算一下{a}+{b}", "{a}与{b}的和是多少", "求{a}加{b}",
                "我有{a}个苹果，又买了{b}个，一共有多少个",
                "树上有{a}只鸟，又飞来{b}只，一共几只", "{a}加上{b}得多少", "帮我算{a}+{b}",
                "{n}有{a}个{i}，又得到{b}个，现在有几个", "一个盒子里有{a}个{i}，另一个有{b}个，一共多少个",
                "车上有{a}人，又上来{b}人，现在有多少人", "今天看了{a}页书，昨天看了{b}页，一共几页"),
    ("-", ZH): ("{a}减{b}等于多少", "{a}-{b}", "{a} - {b} =", "{a}-{b}=？", "{a}-{b}等于几", "计算{a}-{b}",
     "请计算{a}减{b}", "{a}减{b}是多少",
                "{a} - {b} 等于多少", "算一下{a}-{b}", "{a}与{b}的差是多少", "求{a}减{b}",
                "我有{a}个苹果，送出{b}个，还剩多少个",
                "树上有{a}只鸟，飞走{b}只，还剩几只", "从{a}里减去{b}得多少", "帮我算{a}-{b}",
                "{n}有{a}个{i}，吃了{b}个，还剩几个", "{n}有{a}个{i}，用掉{b}个，还剩多少个",
                "车上有{a}人，下去{b}人，还剩多少人", "{n}有{a}元，花了{b}元，还剩多少元",
                "一共{a}个{i}，坏了{b}个，好的有几个"),
    ("*", ZH): ("{a}乘{b}等于多少", "{a}乘以{b}", "{a}×{b}", "计算{a}乘{b}", "{a} * {b} 等于多少"),
}  # fmt: skip
# The sum is said again before the result, which a model of this size needs; only a few answers are the bare number.
ANSWER = {
    EN: ("{a} {o} {b} = {c}", "{a} {o} {b} = {c}.", "{a} {w} {b} is {c}.", "{a} {o} {b} = {c}", "{c}"),
    ZH: ("{a} {o} {b} = {c}", "{a} {o} {b} = {c}。", "{a}{w}{b}等于{c}。", "{a} {o} {b} = {c}", "{c}"),
}
THINGS = {
    EN: "apples pencils books stamps eggs cards marbles cookies pens stickers flowers cups balls oranges "
    "candles".split(),
    ZH: "苹果 铅笔 鸡蛋 橙子 球 杯子 贴纸 饼干 气球 梨".split(),
}
STORY = re.compile(r"have|has|had|there|box|train|take \{b\}|out of|有|剩|个", re.I)
WORDS = {EN: {"+": "plus", "-": "minus", "*": "times"}, ZH: {"+": "加", "-": "减", "*": "乘"}}


def result(a: int, sign: str, b: int) -> int:
    return {"+": a + b, "-": a - b, "*": a * b}[sign]


def add_by_digits(a: int, b: int, language: str) -> str:
    """Spell out an addition of numbers below 100, ones first."""
    ones, tens = a % 10 + b % 10, a // 10 + b // 10
    carry = ones // 10
    if language == EN:
        low = f"Ones: {a % 10} + {b % 10} = {ones}" + (f", write {ones % 10}, carry 1. " if carry else ". ")
        high = f"Tens: {a // 10} + {b // 10}" + (" + 1" if carry else "") + f" = {tens + carry}. "
        return f"{low}{high}So the sum is {a + b}."
    low = f"个位：{a % 10} + {b % 10} = {ones}" + (f"，写 {ones % 10} 进 1。" if carry else "。")
    high = f"十位：{a // 10} + {b // 10}" + (" + 1" if carry else "") + f" = {tens + carry}。"
    return f"{low}{high}所以和是 {a + b}。"


def subtract_by_digits(a: int, b: int, language: str) -> str:
    """Spell out a subtraction of numbers below 100, ones first."""
    if a < b:
        turned = subtract_by_digits(b, a, language)
        start = f"{b} is larger than {a}. " if language == EN else f"{b} 比 {a} 大。"
        end = f" With the sign: {a - b}." if language == EN else f"加上负号：{a - b}。"
        return f"{start}{turned}{end}"
    borrow = a % 10 < b % 10
    ones, tens = a % 10 - b % 10 + 10 * borrow, a // 10 - b // 10 - borrow
    if language == EN:
        low = f"Ones: {a % 10 + 10 * borrow} - {b % 10} = {ones}" + (", borrow 1. " if borrow else ". ")
        return (
            f"{low}Tens: {a // 10} - {b // 10}"
            + (" - 1" if borrow else "")
            + f" = {tens}. So the difference is {a - b}."
        )
    low = f"个位：{a % 10 + 10 * borrow} - {b % 10} = {ones}" + ("，借 1。" if borrow else "。")
    return f"{low}十位：{a // 10} - {b // 10}" + (" - 1" if borrow else "") + f" = {tens}。所以差是 {a - b}。"


def numbers(rng: Random) -> tuple[int, str, int]:
    """Draw a sum: mostly of two-digit numbers, sometimes smaller ones or a product from the tables."""
    luck = rng.random()
    if luck < 0.06:
        return rng.randint(1, 12), "*", rng.randint(1, 12)
    low = 10 if luck < 0.85 else 0
    return rng.randint(low, 99), rng.choice("+-"), rng.randint(low, 99)


def two_digits(rng: Random) -> tuple[int, str, int]:
    return rng.randint(10, 99), rng.choice("+-"), rng.randint(10, 99)


def make(rng: Random, language: str, held_out: bool = False, thinking: bool | None = None) -> Item:
    """Make a sum; in the evaluation both numbers have two digits."""
    a, sign, b = draw(rng, lambda: (two_digits if held_out else numbers)(rng), lambda made: ("sum", *made), held_out)
    templates = ASK[sign, language]
    if sign == "-" and a < b:  # nobody can give away more than there is
        templates = tuple(t for t in templates if not STORY.search(t))
    slots = {"a": str(a), "b": str(b), "c": str(result(a, sign, b)), "o": sign, "w": WORDS[language][sign],
             "n": person_name(rng, language), "i": rng.choice(THINGS[language])}  # fmt: skip
    question = dress(rng, fill(rng.choice(templates), **slots), language)
    thought = None
    if sign != "*" and (rng.random() < 0.3 if thinking is None else thinking):
        thought = (add_by_digits if sign == "+" else subtract_by_digits)(a, b, language)
    document = chat(("user", question), ("assistant", fill(rng.choice(ANSWER[language]), **slots)), thought=thought)
    return Item(document, "sum", language, number=result(a, sign, b))
