"""Bodies and answers of plain ASGI applications. Pure.

A visitor writes the bodies. So each is read within a size and a time, and what takes long is done off the event loop.
"""

import asyncio
import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar
from urllib.parse import urlsplit

import orjson
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from streamspace.errors import BadRequest, BodyTooLarge, BodyTooLate, ForeignSite

T = TypeVar("T")

MOST_LEVELS = 32  # of nested lists and objects; a conversation of the page has six
BIG_BYTES = 64 << 10  # a body above it is parsed in a thread, and counted before: below it takes a few milliseconds
LEAST_BYTES = 256 << 10  # of a body that is allowed with any context
BYTES_A_TOKEN = 32  # a token has four bytes or so, JSON's escapes make them up to six each
LEAST_VALUES = 100_000  # that are allowed with any context; a parser stops the loop for 20 ms with so many
BODY_S = 60.0  # until the whole body of a request is there
IS_READ = "streamspace.is_read"  # in the scope of a request whose whole body has been read
DISCARD_S = 5.0  # for the rest of a body that was refused
LOCAL = ("localhost", "127.0.0.1", "0.0.0.0")  # where Gradio lets no script of another site ask


@dataclass(frozen=True)
class BodyLimit:
    """How large a body may be. Text that has more commas than values is refused with it, so that parsing is bounded."""

    num_bytes: int
    num_values: int

    @classmethod
    def of(cls, max_model_len: int | None, media_bytes: int = 0) -> "BodyLimit":
        """Of a request to a model with this context, if it is known: several contexts of text, and `media_bytes`."""
        num_tokens = max_model_len or 0
        return cls(LEAST_BYTES + BYTES_A_TOKEN * num_tokens + media_bytes, max(LEAST_VALUES, num_tokens))


async def read(scope: Scope, receive: Receive, limit: BodyLimit) -> bytes | None:
    """The whole body of a request; None if its client has disconnected before the end.

    Raises:
        BodyTooLarge: it is above the limit, by its Content-Length or as soon as so much has come.
        BodyTooLate: it is not there after BODY_S.
        BadRequest: it has too many values.
    """
    _check_bytes(int(Headers(scope=scope).get("content-length", 0)), limit)
    parts: list[bytes] = []
    num_bytes, more = 0, True
    try:
        async with asyncio.timeout(BODY_S):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return None
                parts.append(message.get("body", b""))
                num_bytes, more = num_bytes + len(parts[-1]), message.get("more_body", False)
                _check_bytes(num_bytes, limit)
    except TimeoutError:
        raise BodyTooLate(BODY_S) from None
    scope[IS_READ] = True
    body = b"".join(parts)
    if (num_commas := body.count(b",")) > limit.num_values:
        template = "The request has {number} commas; allowed are {most}, because each may begin another value."
        raise BadRequest(template, number=num_commas, most=limit.num_values)
    return body


def _check_bytes(num_bytes: int, limit: BodyLimit) -> None:
    if num_bytes > limit.num_bytes:
        raise BodyTooLarge(num_bytes, limit.num_bytes)


async def off_loop(body: bytes, work: Callable[..., T], *arguments: Any) -> T:
    """Do `work` on a body: in a thread if it is large."""
    return await asyncio.to_thread(work, *arguments) if len(body) > BIG_BYTES else work(*arguments)


_ESCAPE = re.compile(  # one in JSON: a pair of surrogates, a lone one, or any other
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


def parse(body: bytes, takes_nan: bool = False) -> Any:
    """A body's JSON, with U+FFFD for half characters; raises BadRequest if it is none.

    `takes_nan` takes the NaN and Infinity of Python and Gradio's clients, too, in a body that is not big.
    """
    with suppress(ValueError):
        return orjson.loads(body)
    text = _ESCAPE.sub(lambda found: r"\ufffd" if found[1] else found[0], body.decode(errors="replace"))
    with suppress(ValueError):
        return orjson.loads(text)
    try:
        if takes_nan and len(body) <= BIG_BYTES:
            return json.loads(text)
    except (ValueError, RecursionError):
        pass
    raise BadRequest("The body of the request is not JSON.")


def is_deep(value: Any, most: int = MOST_LEVELS) -> bool:
    """Whether parsed JSON has more than so many levels of nested lists and objects."""
    level = [value]
    for _ in range(most + 1):
        nested = [item for item in level if isinstance(item, (list, dict))]
        if not nested:
            return False
        level = [part for item in nested for part in (item.values() if isinstance(item, dict) else item)]
    return True


def num_nested(value: Any) -> int:
    """How many lists and objects parsed JSON has, itself included."""
    number, left = 0, [value]
    while left:
        item = left.pop()
        if isinstance(item, (list, dict)):
            number += 1
            left += item.values() if isinstance(item, dict) else item
    return number


def check_depth(value: Any, most: int = MOST_LEVELS) -> None:
    """Raise BadRequest if parsed JSON has more than so many levels."""
    if is_deep(value, most):
        raise BadRequest(f"The values are nested in more than {most} levels; allowed are {most}.")


def check_json(scope: Scope) -> None:
    """Raise BadRequest unless the request says that it has JSON: a browser asks before it sends that for others."""
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        template = "The Content-Type of the request is {kind!r:.60}; it must be application/json."
        raise BadRequest(template, kind=kind)


def check_site(scope: Scope) -> None:
    """Raise ForeignSite for a browser's request from a page of another site.

    At LOCAL names Gradio already refuses what a browser asks before such a request, and a proxy may have put that name
    in the place of the page's own.
    """
    headers = Headers(scope=scope)
    hosts = {headers.get("host", ""), headers.get("x-forwarded-host", "")}
    if urlsplit(f"//{headers.get('host', '')}").hostname in LOCAL:
        return
    if site := headers.get("sec-fetch-site"):  # browsers send it to secure pages; no page can change it
        is_foreign = site in ("cross-site", "same-site")
    else:
        origin = headers.get("origin")  # "null" of a page without a site
        is_foreign = origin is not None and (origin.partition("://")[2] or origin) not in hosts
    if is_foreign:
        raise ForeignSite


def etag_of(content: bytes) -> str:
    """The ETag of a content that is sent as it is."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def has_it(asked: Mapping[str, str], etag: str) -> bool:
    """Whether the client of a request with these headers has the content; a proxy that compresses weakens the ETag."""
    return asked.get("if-none-match", "").removeprefix("W/") == etag.removeprefix("W/")


def replay(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives the body once more, then goes on as the original."""
    parts: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return parts.pop() if parts else await receive()

    return again


async def respond(
    send: Send, status: int, content: dict[str, Any], headers: Iterable[tuple[bytes, bytes]] = ()
) -> None:
    """Answer with a JSON object."""
    await send(start(status, b"application/json", headers))
    await send({"type": "http.response.body", "body": orjson.dumps(content)})


async def refuse(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    content: dict[str, Any],
    headers: Iterable[tuple[bytes, bytes]] = (),
) -> None:
    """As `respond`, also to a client that still sends its body: the rest is discarded for a while, then it is cut off.

    A client that is cut off at once may never see the answer.
    """
    given = Headers(scope=scope)
    if IS_READ in scope or not {"content-length", "transfer-encoding"} & set(given):
        await respond(send, status, content, headers)
        return
    body = orjson.dumps(content)
    length = (b"content-length", str(len(body)).encode())
    await send(start(status, b"application/json", [*headers, length, (b"connection", b"close")]))
    await send({"type": "http.response.body", "body": body, "more_body": True})
    with suppress(TimeoutError):
        async with asyncio.timeout(DISCARD_S):
            while (await receive()).get("more_body", False):
                pass
    await send({"type": "http.response.body", "body": b""})


def start(status: int, content_type: bytes, headers: Iterable[tuple[bytes, bytes]] = ()) -> Message:
    """The head of a response that no cache may store and no proxy may buffer."""
    own = [(b"content-type", content_type), (b"cache-control", b"no-store"), (b"x-accel-buffering", b"no")]
    return {"type": "http.response.start", "status": status, "headers": [*own, *headers]}
