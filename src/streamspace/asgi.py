"""Bodies and answers of plain ASGI applications. Pure."""

import json
from contextlib import suppress
from typing import Any

import orjson
from starlette.types import Message, Receive, Send

from streamspace.errors import BadRequest
from streamspace.prompt import clean

MOST_LEVELS = 32  # of nested lists and objects; a conversation of the page has six


def parse(body: bytes) -> Any:
    """A body's JSON, also with the NaN and Infinity of Python and Gradio's clients; raises BadRequest for any other."""
    with suppress(ValueError):
        return orjson.loads(body)
    try:
        return json.loads(body.decode(errors="replace"))
    except (ValueError, RecursionError):
        raise BadRequest("The body of the request is not JSON.") from None


def is_deep(value: Any, most: int = MOST_LEVELS) -> bool:
    """Whether parsed JSON has more than so many levels of nested lists and objects."""
    level = [value]
    for _ in range(most + 1):
        nested = [item for item in level if isinstance(item, (list, dict))]
        if not nested:
            return False
        level = [part for item in nested for part in (item.values() if isinstance(item, dict) else item)]
    return True


async def read(receive: Receive) -> bytes:
    """The whole body of a request, whose size `body_limit` has checked."""
    parts, more = [], True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


def without_surrogates(body: bytes) -> bytes:
    """The body with U+FFFD for lone surrogates: JSON can write them, UTF-8 cannot."""
    if b"\\ud" not in body.lower():
        return body
    try:
        return clean(json.dumps(json.loads(body), ensure_ascii=False)).encode()
    except (ValueError, RecursionError):
        return body


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more, then goes on as the original."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return parts.pop() if parts else await receive()

    return again


async def respond(send: Send, status: int, content: dict[str, Any]) -> None:
    """Answer with a JSON object."""
    await send(start(status, b"application/json"))
    await send({"type": "http.response.body", "body": orjson.dumps(content)})


def start(status: int, content_type: bytes) -> Message:
    """The head of a response that no cache may store and no proxy may buffer."""
    headers = [(b"content-type", content_type), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    return {"type": "http.response.start", "status": status, "headers": headers}
