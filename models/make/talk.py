"""Small talk, questions about the model, and questions of how and why, from talk.txt and faq.txt."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from random import Random

from chatml import chat
from common import EN, ZH, Item, draw, dress, mistype
from notions import language_of

THOUGHTS = {
    EN: ("This is a simple question, so I answer it directly.", "A short and friendly answer is enough here.",
         "I know this one. I keep it short."),
    ZH: ("这个问题很简单，直接回答就好。", "这里简短友好地回答就够了。", "这个我知道，简短地说。"),
}  # fmt: skip


@dataclass
class Intent:
    """Ways to ask and ways to answer, by language."""

    questions: dict[str, list[str]] = field(default_factory=lambda: {EN: [], ZH: []})
    answers: dict[str, list[str]] = field(default_factory=lambda: {EN: [], ZH: []})


@cache
def intents(name: str) -> list[Intent]:
    found: list[Intent] = []
    answers: list[str] = []
    for line in (Path(__file__).parent / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        mark, _, text = line.partition(" ")
        if mark == "#":
            found.append(Intent())
        elif mark == "?":
            found[-1].questions[language_of(text)].append(text)
        elif mark == "!":
            answers = found[-1].answers[language_of(text)]
            answers.append(text)
        elif line:  # a further line of the same answer
            answers[-1] += "\n" + line
    return [intent for intent in found if intent.answers[EN]]


def make(rng: Random, language: str, held_out: bool = False, source: str = "") -> Item:
    name = source or ("talk" if rng.random() < 0.65 else "faq")
    intent = rng.choice(intents(name))
    question = draw(
        rng,
        lambda: dress(rng, rng.choice(intent.questions[language]), language),
        lambda text: ("talk", text.lower()),
        held_out,
    )
    if not held_out:
        question = mistype(rng, question, language)
    answers = intent.answers[language]
    thought = rng.choice(THOUGHTS[language]) if rng.random() < 0.12 else None
    document = chat(("user", question), ("assistant", rng.choice(answers)), thought=thought)
    return Item(document, "talk", language, any_of=tuple(answers))
