"""Sentences in the visitor's language. Pure.

Every sentence is written in English, where it arises, as a template with values. The file of a language,
languages/<language>.json, translates the templates; a template that is missing there stays English.

A place in a template has the form of a number that str.format knows, or the forms of a word that goes with it:
"{number:,} {number:|token|tokens}".
"""

import json
import re
import string
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

Say = Callable[[str], str]

FOLDER = Path(__file__).parent / "languages"
LANGUAGES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))  # besides English
# Keys in a language's file: the names that browsers have for it; patterns of the numbers that take the first form of a
# word, the second one and so on, while all others take the last; what stands between thousands and before decimals.
LOCALES, PLURALS, SEPARATORS = ABOUT = "$locales", "$plurals", "$separators"


class Filler(string.Formatter):
    """Fills templates with values, by the rules of one language."""

    def __init__(self, plurals: Sequence[str], separators: str) -> None:
        self._plurals = plurals
        self._separators = str.maketrans(",.", separators)

    def fill(self, template: str, values: Mapping[str, object]) -> str:
        return self.vformat(template, (), values) if values else template

    def format_field(self, value: Any, spec: str) -> str:
        if not spec.startswith("|"):
            text: str = super().format_field(value, spec)
            return text.translate(self._separators) if "," in spec or spec.endswith("f") else text
        places = [place for place, numbers in enumerate(self._plurals) if re.fullmatch(numbers, f"{value}")]
        return spec.split("|")[1:][min(places, default=-1)]


ENGLISH = Filler(["1"], ",.")


class Sentence(str):
    """An English sentence that remembers its template and values. A value that is a Sentence is translated, too."""

    template: str
    values: Mapping[str, object]

    def __new__(cls, template: str, **values: object) -> "Sentence":
        self = super().__new__(cls, ENGLISH.fill(template, values))
        self.template, self.values = template, values
        return self


@cache
def catalog(language: str) -> Mapping[str, str]:
    """English template → template in one of LANGUAGES."""
    return {key: text for key, text in _file(language).items() if key not in ABOUT}


def locales(language: str) -> list[str]:
    """The names that browsers have for one of LANGUAGES: "zh", "zh-CN" and so on."""
    return list(_file(language)[LOCALES])


@cache
def _file(language: str) -> Mapping[str, Any]:
    return dict(json.loads((FOLDER / f"{language}.json").read_text(encoding="utf-8")))


def language_of(accept_language: str) -> str:
    """The first language of an Accept-Language header that the page has; English if there is none."""
    languages = (re.split("[;-]", choice)[0].strip() for choice in accept_language.lower().split(","))
    return next((language for language in languages if language in ("en", *LANGUAGES)), "en")


@cache
def say_in(language: str) -> Say:
    """How to say a Sentence, or a text without values, in a language."""
    if language not in LANGUAGES:
        return str
    about = _file(language)
    return say_with(catalog(language), Filler(about.get(PLURALS, ["1"]), about.get(SEPARATORS, ",.")))


def say_with(templates: Mapping[str, str], filler: Filler = ENGLISH) -> Say:
    """How to say a Sentence, or a text without values, by these templates; a missing one stays English."""

    def say(text: str) -> str:
        if not isinstance(text, Sentence):
            return templates.get(text, text)
        values = {name: say(value) if isinstance(value, Sentence) else value for name, value in text.values.items()}
        if text.template not in templates:
            return ENGLISH.fill(text.template, values)
        return filler.fill(templates[text.template], values)

    return say
