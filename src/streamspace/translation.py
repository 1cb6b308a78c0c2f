"""Sentences in the visitor's language. Pure.

Every sentence is written in English, where it arises, as a template with values. The file of a language,
languages/<language>.json, translates the templates; a template that is missing there stays English.
"""

import json
import re
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

Say = Callable[[str], str]

FOLDER = Path(__file__).parent / "languages"
LANGUAGES = tuple(sorted(path.stem for path in FOLDER.glob("*.json")))  # besides English
LOCALES = "$locales"  # the key in a language's file for the names that browsers have for it


class Sentence(str):
    """An English sentence that remembers its template and values. A value that is a Sentence is translated, too."""

    template: str
    values: Mapping[str, object]

    def __new__(cls, template: str, **values: object) -> "Sentence":
        self = super().__new__(cls, template.format(**values) if values else template)
        self.template, self.values = template, values
        return self


@cache
def catalog(language: str) -> Mapping[str, str]:
    """English template → template in one of LANGUAGES."""
    return {key: text for key, text in _file(language).items() if key != LOCALES}


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
    return say_with(catalog(language)) if language in LANGUAGES else str


def say_with(templates: Mapping[str, str]) -> Say:
    """How to say a Sentence, or a text without values, by these templates; a missing one stays English."""

    def say(text: str) -> str:
        if not isinstance(text, Sentence):
            return templates.get(text, text)
        values = {name: say(value) if isinstance(value, Sentence) else value for name, value in text.values.items()}
        template = templates.get(text.template, text.template)
        return template.format(**values) if values else template

    return say
