"""The values of vLLM's engine flags, checked without vLLM, which takes 5 to 20 s to import.

`vllm_flags.json` says of each flag which values vLLM's own parser takes; `python -m tests.flag_snapshot` writes it.
What it does not say, and all flags of another version of vLLM, are left to `streamspace.flags` in the loading thread.
"""

import importlib.util
import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from streamspace.errors import ConfigError

SNAPSHOT = Path(__file__).with_name("vllm_flags.json")
SWITCH = ("1", "true", "yes", "on", "0", "false", "no", "off", "")


def _size(value: str) -> None:
    if not re.fullmatch(r"\d+(\.\d+)?[kKmMgGtT]", value):
        int(value)


KINDS: dict[str, tuple[str, Callable[[str], object]]] = {  # what is allowed in words, and what fails of all else
    "int": ("a whole number", int),
    "float": ("a number", float),
    "size": ("a whole number, also with k, M or G behind it", _size),
    "json": ("JSON", json.loads),
    "text": ("a text", str),
}


@dataclass(frozen=True)
class Flag:
    """Which values vLLM's parser takes for a flag."""

    kind: str  # "switch", or one of KINDS
    several: bool = False
    words: tuple[str, ...] = ()  # allowed beside those of the kind
    choices: tuple[str, ...] = ()

    def check(self, name: str, value: str) -> None:
        """Raises ConfigError for a value that vLLM's parser does not take."""
        allowed, parse = KINDS[self.kind]
        if value in self.words or value.strip() in self.choices:
            return
        if not self.choices:
            with suppress(ValueError):
                parse(value)
                return
        allowed = ", ".join([*self.choices] or [allowed, *filter(None, self.words)])
        raise ConfigError(f"{name} is {value!r:.100}; allowed is {allowed} (an engine flag of vLLM).")


@cache
def known_flags() -> dict[str, Flag]:
    """Each flag that is known of the installed vLLM by its names, short ones too; none of another version's."""
    return pinned_flags() if json.loads(SNAPSHOT.read_text(encoding="utf-8"))["version"] == vllm_version() else {}


def pinned_flags() -> dict[str, Flag]:
    """Each flag of the vLLM that requirements.txt pins, which need not be installed here, by its names."""
    entries = json.loads(SNAPSHOT.read_text(encoding="utf-8"))["flags"]
    return {name: _flag(entry) for entry in entries for name in entry["names"]}


def _flag(entry: Mapping[str, Any]) -> Flag:
    words, choices = (tuple(entry.get(name, ())) for name in ("words", "choices"))
    return Flag(entry["kind"], "several" in entry, words, choices)


def vllm_version() -> str:
    """The installed vLLM's version, without importing it; empty if it does not say."""
    package = importlib.util.find_spec("vllm")
    file = Path(package.origin).with_name("_version.py") if package and package.origin else None
    found = re.search(r"version = '(\d+\.\d+\.\d+)", file.read_text("utf-8")) if file and file.is_file() else None
    return found[1] if found else ""


def check_arguments(arguments: Sequence[str]) -> None:
    """Raises ConfigError for a value on the command line that vLLM's parser does not take."""
    for name, values in given_flags(arguments):
        flag = known_flags().get(name)
        if flag is None or flag.kind == "switch":
            continue
        if not values:
            raise ConfigError(f"{name} has no value (an engine flag of vLLM).")
        for value in values if flag.several else values[:1]:
            flag.check(name, value)


def check_variable(name: str, flag_name: str, value: str) -> None:
    """Raises ConfigError for the value of a flag's environment variable that the installed vLLM does not take."""
    check_value(name, known_flags().get(flag_name), value)


def check_value(name: str, flag: Flag | None, value: str) -> None:
    """As `check_variable`, for a flag; without one, any value is allowed."""
    if flag and flag.kind == "switch":
        if value.lower() not in SWITCH:
            raise ConfigError(f"{name} is {value!r}; allowed is 1, true, yes or on; 0, false, no or off.")
    elif flag:
        for part in _split(name, value) if flag.several else [value]:
            flag.check(name, part)


def _split(name: str, value: str) -> list[str]:
    try:
        return shlex.split(value)
    except ValueError:
        raise ConfigError(f"{name} has a quote that is never closed.") from None


def given_flags(arguments: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Each flag of a command line, under vLLM's name for it, and its values."""
    name, values = "", list[str]()
    for argument in arguments:
        if not re.match(r"--?[a-zA-Z]", argument):
            values.append(argument)
            continue
        if name:
            yield name, values
        name, equals, value = argument.partition("=")
        name = name.replace("_", "-")
        values = [value] if equals else []
    if name:
        yield name, values
