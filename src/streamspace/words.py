"""The operator's own words on the page, from JSON."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamspace.errors import ConfigError

# The hues of Gradio's themes.
ACCENTS = (
    "slate gray zinc neutral stone red orange amber yellow lime green emerald teal cyan sky blue indigo violet purple "
    "fuchsia pink rose"
).split()
MOST_CHARS = 20_000  # of one text
MOST_PROMPTS = 8  # of the Completion tab
ICONS = {".png": b"\x89PNG", ".ico": b"\0\0\1\0", ".gif": b"GIF8", ".svg": b"<"}  # and how such a file begins
MOST_ICON_BYTES = 2**18


@dataclass(frozen=True)
class Example:
    """A question for an empty chat; `system_prompt` None leaves the visitor's as it is."""

    text: str
    system_prompt: str | None = None


@dataclass(frozen=True)
class Words:
    """What the operator says in place of the page's own words; empty is the page's own."""

    title: str = "StreamSpace"
    description: str = ""  # Markdown
    examples: tuple[Example, ...] | None = None
    system_prompts: tuple[tuple[str, str], ...] = ()  # name and text
    caveat: str = ""  # Markdown
    links: tuple[tuple[str, str], ...] = ()  # words and address
    accent: str = "indigo"
    prompts: tuple[str, ...] = ()  # texts to be continued
    favicon: str | None = None  # the name of a file

    @property
    def small_print(self) -> str:
        """Caveat and links in one line, as Markdown; empty if there are none."""
        return " · ".join([*filter(None, [self.caveat]), *(f"[{words}]({address})" for words, address in self.links)])


def read_words(value: str) -> Words:
    """The words in a JSON object, or in the file of this name.

    Raises:
        ConfigError: the file cannot be read, or something in it is not allowed; the sentence names it.
    """
    text = value if value.lstrip().startswith("{") else _text_of(value)
    try:
        given = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"PAGE is no JSON: {error}.") from None
    if not isinstance(given, dict):
        raise ConfigError("PAGE is no JSON object: it begins with { and ends with }.")
    if unknown := sorted({*given} - {*_CHECKS}):
        raise ConfigError(f"PAGE has {unknown[0]!r}; allowed are {', '.join(_CHECKS)}.")
    return Words(**{name: _CHECKS[name](name, value) for name, value in given.items()})


def _text_of(path: str) -> str:
    try:
        return Path(path).expanduser().read_text("utf-8")
    except (OSError, ValueError):
        raise ConfigError(f"PAGE is {path!r}, which is no file of text here, nor a JSON object itself.") from None


def _refused(name: str, value: Any, allowed: str) -> ConfigError:
    return ConfigError(f"PAGE: {name} is {json.dumps(value, ensure_ascii=False)[:60]}; allowed is {allowed}.")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or len(value) > MOST_CHARS:
        raise _refused(name, value, f"a text of 1 to {MOST_CHARS} characters")
    return value


def _line(name: str, value: Any) -> str:
    if "\n" in _text(name, value):
        raise _refused(name, value, "a text of one line")
    return str(value)


def _accent(name: str, value: Any) -> str:
    if value not in ACCENTS:
        raise _refused(name, value, ", ".join(ACCENTS))
    return str(value)


def _examples(name: str, value: Any) -> tuple[Example, ...]:
    if not isinstance(value, list):
        raise _refused(name, value, 'a list of texts, or of {"text": …, "system_prompt": …}')
    return tuple(_example(f"{name}[{number}]", each) for number, each in enumerate(value))


def _example(name: str, value: Any) -> Example:
    if not isinstance(value, dict):
        return Example(_text(name, value))
    if "text" not in value or {*value} - {"text", "system_prompt"}:
        raise _refused(name, value, 'a text, or {"text": …, "system_prompt": …}')
    prompt = value.get("system_prompt")
    return Example(_text(name, value["text"]), None if prompt is None else _text(f"{name}.system_prompt", prompt))


def _prompts(name: str, value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_PROMPTS:
        raise _refused(name, value, f"a list of 1 to {MOST_PROMPTS} texts")
    return tuple(_text(f"{name}[{number}]", each) for number, each in enumerate(value))


def _favicon(name: str, value: Any) -> str:
    path = Path(_line(name, value)).expanduser().resolve()
    try:
        with path.open("rb") as file:
            content = file.read(MOST_ICON_BYTES + 1)
    except (OSError, ValueError):
        content = b""
    if path.suffix not in ICONS or not content.startswith(ICONS[path.suffix]) or len(content) > MOST_ICON_BYTES:
        raise _refused(
            name, value, f"the name of a file here, {', '.join(ICONS)}, of {MOST_ICON_BYTES >> 10} KiB at most"
        )
    return str(path)


def _named(check: Callable[[str, Any], str]) -> Callable[[str, Any], tuple[tuple[str, str], ...]]:
    """The check of an object whose names are for people, and whose values pass `check`."""

    def checked(name: str, value: Any) -> tuple[tuple[str, str], ...]:
        if not isinstance(value, dict):
            raise _refused(name, value, 'an object, such as {"its name": "its value"}')
        return tuple((_line(name, key), check(f"{name}.{key}", each)) for key, each in value.items())

    return checked


def _address(name: str, value: Any) -> str:
    if not isinstance(value, str) or not re.fullmatch(r"(https?://|mailto:)[^\s()<>]+", value):
        raise _refused(name, value, "an address that begins with https://, http:// or mailto:")
    return value


_CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "title": _line,
    "description": _text,
    "examples": _examples,
    "system_prompts": _named(_text),
    "caveat": _text,
    "links": _named(_address),
    "accent": _accent,
    "prompts": _prompts,
    "favicon": _favicon,
}
