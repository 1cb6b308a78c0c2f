"""A client's JSON values → values of ours, or one sentence that names what is wrong. Pure."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from streamspace.errors import BadRequest
from streamspace.types import Message, Role


@dataclass(frozen=True)
class Range:
    """The values that a number may have, both ends among them."""

    least: float
    most: float


def check_text(name: str, value: Any) -> str:
    """A text from an API's JSON.

    Raises:
        BadRequest: it is none.
    """
    if not isinstance(value, str):
        raise BadRequest("{name} is a {kind}; it must be a string.", name=name, kind=type(value).__name__)
    return value


def parse_history(history: Any) -> tuple[Message, ...]:
    """Messages from an API's JSON: a list of {"role": ..., "content": ...}.

    Raises:
        BadRequest: it has another form; the sentence names the first item that is wrong.
    """
    if not isinstance(history, list | tuple):
        raise BadRequest(
            "history is a {kind}; it must be a list of {{role, content}} messages.", kind=type(history).__name__
        )
    return tuple(_parse_message(number, item) for number, item in enumerate(history, 1))


def _parse_message(number: int, item: Any) -> Message:
    if (
        not isinstance(item, Mapping)
        or item.get("role") not in get_args(Role)
        or not isinstance(item.get("content"), str)
    ):
        raise BadRequest(
            "Message {number} of the history must have a role (system, user or assistant) and a content (a string).",
            number=number,
        )
    return Message(item["role"], item["content"])


def check_number(name: str, value: Any, allowed: Range, whole: bool) -> float:
    """A number from JSON, `whole` ones as int.

    Raises:
        BadRequest: it is none, or out of range.
    """
    is_whole = isinstance(value, int) and not isinstance(value, bool)  # of any size, which isfinite does not take
    is_number = is_whole or (isinstance(value, float) and math.isfinite(value))
    if not is_number or (whole and value != int(value)) or not allowed.least <= value <= allowed.most:
        raise BadRequest(
            "{name} is {value}; allowed is a whole number from {least:g} to {most}."
            if whole
            else "{name} is {value}; allowed is a number from {least:g} to {most}.",
            name=name,
            value=short(value),
            least=allowed.least,
            most=_plain(allowed.most),
        )
    return int(value) if whole else float(value)


def short(value: Any) -> str:
    """A value as a sentence can quote it, 60 characters at most."""
    try:
        text = repr(value)
    except RecursionError:
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(number: float) -> str:
    return f"{number:g}" if number < 1e6 else str(int(number))
