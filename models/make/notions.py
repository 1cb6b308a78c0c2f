"""Read the notions of language-model serving from notions_*.txt: names, glosses, key facts and additions."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

HAN = re.compile(r"[\u4e00-\u9fff]")


@dataclass
class Notion:
    """One notion; each dictionary has the keys en and zh."""

    group: str
    names: dict[str, list[str]]
    gloss: dict[str, str] = field(default_factory=dict)
    key: dict[str, list[str]] = field(default_factory=lambda: {"en": [], "zh": []})
    more: dict[str, list[str]] = field(default_factory=lambda: {"en": [], "zh": []})


def language_of(text: str) -> str:
    return "zh" if HAN.search(text) else "en"


def parse(lines: Iterable[str]) -> Iterator[Notion]:
    group, notion = "", None
    for line in (line.strip() for line in lines):
        mark, _, text = line.partition(" ")
        if mark == "#":
            group = text.removeprefix("group ") if text.startswith("group ") else group
        elif mark == "~" and notion:
            notion.gloss = dict(zip(("en", "zh"), text.split(" = "), strict=True))
        elif mark in ("=", "+") and notion:
            (notion.key if mark == "=" else notion.more)[language_of(text)].append(text)
        elif line:
            english, chinese = (part.split("; ") for part in line.split(" = "))
            notion = Notion(group, {"en": english, "zh": chinese})
            yield notion


@cache
def notions() -> list[Notion]:
    files = sorted(Path(__file__).parent.glob("notions_*.txt"))
    found = [notion for path in files for notion in parse(path.read_text(encoding="utf-8").splitlines())]
    for notion in found:
        short = [language for language in ("en", "zh") if len(notion.key[language]) < 2 or not notion.more[language]]
        assert notion.gloss and not short, f"{notion.names['en'][0]}: incomplete in {short}"
    return found
