"""What is said to a visitor, in the visitor's language. Pure.

Everything is written in English, where it arises. languages/zh.json says it again: a name in braces stands for
whatever the English sentence has there, and is said in turn. What is not in it stays English.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

Say = Callable[[str], str]

MOST_CHARS = 2000  # of one sentence: a longer one holds a text that is nobody's to translate
_NAME = re.compile(r"\{(\w+)\}")


@cache
def catalog(language: str) -> Mapping[str, str]:
    """English → another language, as its file has it; empty for English."""
    path = Path(__file__).parent / "languages" / f"{language}.json"
    return dict(json.loads(path.read_text(encoding="utf-8"))) if language != "en" else {}


def language_of(accept_language: str) -> str:
    """The first language of a request's Accept-Language that we speak: "zh" or "en"."""
    for choice in accept_language.lower().split(","):
        language = choice.partition(";")[0].strip().partition("-")[0]
        if language in ("zh", "en"):
            return language
    return "en"


@cache
def say_in(language: str) -> Say:
    """How to say an English sentence in a language."""
    sentences = catalog(language)
    if not sentences:
        return str
    patterns = [(_pattern(english), other) for english, other in sentences.items() if _NAME.search(english)]

    def say(text: str) -> str:
        if len(text) > MOST_CHARS:
            return text
        if text in sentences:
            return sentences[text]
        for pattern, other in patterns:
            if found := pattern.fullmatch(text):
                said = {name: say(value) for name, value in found.groupdict().items()}
                return _NAME.sub(lambda name, said=said: said[name[1]], other)  # type: ignore[misc]
        return text

    return say


def _pattern(english: str) -> re.Pattern[str]:
    parts = _NAME.split(english)  # words and names by turns
    return re.compile(
        "".join(f"(?P<{part}>.+?)" if number % 2 else re.escape(part) for number, part in enumerate(parts)), re.DOTALL
    )
