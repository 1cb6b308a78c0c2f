"""A text as written ↔ the Markdown that shows it so. Pure."""

import re
from collections.abc import Callable, Iterator

# Fenced code to its end (or the text's, while it streams), or a run of backticks, which may begin code within a line.
_CODE = re.compile(r"(?ms)^[ ]{0,3}(?P<fence>`{3,}|~{3,}).*?(?:^[ ]{0,3}(?P=fence)[`~]*[ \t]*$|\Z)|`+")
_RUN_OR_BLANK_LINE = re.compile(r"`+|\n[ \t]*(?=\n)")
_TAG = re.compile(r"<(?=[A-Za-z/!?])")
_ENTITY = re.compile(r"&(?=#?\w+;)")
_LESS = re.compile(r"&lt;(?=[A-Za-z/!?])")
_AMPERSAND = re.compile(r"&amp;(?=#?\w+;)")


def to_markdown(text: str) -> str:
    """The text as Markdown that shows HTML as it was written, instead of running or dropping it.

    Outside code, `<` that would open a tag and `&` that would begin an entity become entities themselves.
    """
    if "<" not in text and "&" not in text:
        return text
    return _outside_code(text, lambda part: _TAG.sub("&lt;", _ENTITY.sub("&amp;", part)))


def from_markdown(markdown: str) -> str:
    """The text from which `to_markdown` made this."""
    if "&" not in markdown:
        return markdown
    return _outside_code(markdown, lambda part: _AMPERSAND.sub("&", _LESS.sub("<", part)))


def _outside_code(text: str, change: Callable[[str], str]) -> str:
    """Apply `change` to every part of a Markdown text that is not code."""
    parts, start = [], 0
    for code_start, code_end in _code(text):
        parts += [change(text[start:code_start]), text[code_start:code_end]]
        start = code_end
    return "".join([*parts, change(text[start:])])


def _code(text: str) -> Iterator[tuple[int, int]]:
    """Yield where code begins and ends: between fences, or between equal runs of backticks in one paragraph."""
    ends, position = _ends_within_paragraphs(text), 0
    while code := _CODE.search(text, position):
        end = code.end() if code["fence"] else ends.get(code.start())
        if end:
            yield code.start(), end
        position = end or code.end()


def _ends_within_paragraphs(text: str) -> dict[int, int]:
    """Start of a run of backticks → end of the next run of equal length in its paragraph; in one pass."""
    ends: dict[int, int] = {}
    later: dict[int, int] = {}  # length → end of the next run of this length
    for found in reversed(list(_RUN_OR_BLANK_LINE.finditer(text))):
        length = found.end() - found.start()
        if text[found.start()] == "\n":
            later.clear()
            continue
        if length in later:
            ends[found.start()] = later[length]
        later[length] = found.end()
    return ends
