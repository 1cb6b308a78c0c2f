"""A client's JSON values → checked values, or one sentence that names what is wrong. Pure."""

import math
from dataclasses import dataclass
from typing import Any, get_args

from streamspace.errors import BadRequest
from streamspace.types import Message, Role


@dataclass(frozen=True)
class Range:
    """The values that a number may have, both ends included."""

    least: float
    most: float


def check_text(name: str, value: Any) -> str:
    """A string from JSON; raises BadRequest for any other value."""
    if not isinstance(value, str):
        raise BadRequest("{name} is a {kind}; it must be a string.", name=name, kind=type(value).__name__)
    return value


def parse_images(value: Any) -> tuple[str, ...]:
    """The pictures of a message from JSON: a list of data URLs, or null; raises BadRequest for any other value."""
    if value is None:
        return ()
    if isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    raise BadRequest("images must be a list of data URLs.")


def parse_history(history: Any) -> tuple[Message, ...]:
    """Messages from JSON: a list of {"role": ..., "content": ...}; one of the user may have "images", too.

    Raises:
        BadRequest: it has another form; the sentence names the first item that is wrong.
    """
    if not isinstance(history, list | tuple):
        template = "history is a {kind}; it must be a list of {{role, content}} messages."
        raise BadRequest(template, kind=type(history).__name__)
    return tuple(_parse_message(number, item) for number, item in enumerate(history, 1))


def _parse_message(number: int, item: Any) -> Message:
    match item:
        case {"role": role, "content": str(content)} if role in get_args(Role):
            return Message(role, content, images=parse_images(item.get("images") if role == "user" else None))
    template = "Message {number} of the history must have a role (system, user or assistant) and a content (a string)."
    raise BadRequest(template, number=number)


def check_number(name: str, value: Any, allowed: Range, whole: bool) -> float:
    """A number from JSON, an int if `whole`; raises BadRequest for other values and out of range."""
    is_whole = isinstance(value, int) and not isinstance(value, bool)  # isfinite fails for a very large int
    is_number = is_whole or (isinstance(value, float) and math.isfinite(value))
    if not is_number or (whole and value != int(value)) or not allowed.least <= value <= allowed.most:
        template = "{name} is {value}; allowed is a number from {least:g} to {most}."
        if whole:
            template = "{name} is {value}; allowed is a whole number from {least:g} to {most}."
        most = f"{allowed.most:g}" if allowed.most < 1e6 else str(int(allowed.most))
        raise BadRequest(template, name=name, value=short(value), least=allowed.least, most=most)
    return int(value) if whole else float(value)


def short(value: Any) -> str:
    """A value as a sentence quotes it, 60 characters at most."""
    try:
        text = repr(value)
    except RecursionError:
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."
