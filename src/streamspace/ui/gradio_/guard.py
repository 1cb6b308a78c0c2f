"""Gradio's application behind a check of the requests.

Gradio expects requests of its own clients only. Any other body ends in a 500, in a traceback that may hold the whole
body, or in an error without words. So a request is checked before Gradio gets it, and one sentence says what is wrong.
Where Gradio still fails, the visitor gets a sentence and the log one line.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamspace.asgi import MOST_LEVELS, is_deep, parse, read, replay, respond, without_surrogates
from streamspace.errors import BadRequest
from streamspace.metrics import REFUSALS
from streamspace.ui.gradio_.internals import API, endpoint_of, event_of, has_component

log = logging.getLogger(__name__)

# Prompt injection could make the model write an image URL that leaks the chat: a browser fetches images at once. So the
# page loads no image, media, font, style or frame from elsewhere.
POLICY = (
    b"img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data: blob:; "
    b"style-src 'self' 'unsafe-inline'; frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'"
)
# Route → what its body has to hold; cancel and reset are Gradio's own.
KINDS: dict[str, dict[str, type]] = {
    "cancel": {"event_id": str, "session_hash": str, "fn_index": int}, "reset": {"event_id": str},
}  # fmt: skip


class Guard:
    """An ASGI application around Gradio's application for `demo`, which itself refuses visitors without a login."""

    def __init__(self, demo: gr.Blocks, app: ASGIApp, is_known: Callable[[Scope], Awaitable[bool]]) -> None:
        self._demo = demo
        self._app = app
        self._is_known = is_known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            if scope["method"] == "POST" and await self._is_known(scope):
                body = without_surrogates(await read(receive))
                receive = replay(self._checked(scope["path"].removeprefix(API), body), receive)
        except BadRequest as error:
            await refuse(send, str(error))
            return
        await self._serve(scope, receive, send)

    def _checked(self, path: str, body: bytes) -> bytes:
        """The body as Gradio gets it; `path` is without API. Raises BadRequest for a body that does not fit it."""
        route, _, name = path.strip("/").partition("/")
        if route not in ("queue", "run", "api", "call", *KINDS):
            return body
        content = parse(body)
        if not isinstance(content, dict):
            raise BadRequest(f"The body of the request is a {_kind(content)}; it must be an object.")
        if is_deep(content):
            raise BadRequest(f"The values are nested in more than {MOST_LEVELS} levels; a conversation has six.")
        for key, kind in KINDS.get(route, {}).items():
            _check(content, key, kind)
        if route not in KINDS and not name.startswith("v2/"):  # the body of v2 is the parameters by their names
            content = self._event_body(content, None if route == "queue" else name)
        return json.dumps(content).encode()

    def _event_body(self, content: dict[str, Any], name: str | None) -> dict[str, Any]:
        """The body of a request for an event, in Gradio's own form; `name` is None if the body has its number."""
        demo = self._demo
        event = endpoint_of(demo, name) if name is not None else event_of(demo, _check(content, "fn_index", int))
        if event is None:
            raise BadRequest(f"The page has no such event; {API}/info lists its endpoints.")
        inputs = _check(content, "data", list)
        if len(inputs) != event.num_inputs:
            raise BadRequest(f"data has {len(inputs)} values; {event.api_name} takes {event.num_inputs}.")
        if name is None or content.get("session_hash") is not None:
            _check(content, "session_hash", str)
        trigger = content.get("trigger_id")
        return {
            "data": inputs,
            "fn_index": event.number,
            "session_hash": content.get("session_hash") or None,  # Gradio mixes up an empty one and none
            "event_data": content.get("event_data"),
            "trigger_id": trigger if has_component(demo, trigger) else None,
        }

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Gradio answer, and answer in its place if it fails. Errors of our handlers go through their stream."""
        status, is_over = 0, False

        async def pass_on(message: Message) -> None:
            nonlocal status, is_over
            status = message.get("status", status)
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
            if status != 500:
                await send(message)
                is_over = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._app(scope, receive, pass_on)
        except Exception as error:
            log.info("Gradio could not answer %s %.200r: %.200r", scope["method"], scope["path"], error)
            if status not in (0, 500):
                if not is_over:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            status = 500
        if status == 500:
            await refuse(
                send, f"This request makes no sense here; {API}/info lists the endpoints and their parameters."
            )


async def refuse(send: Send, sentence: str) -> None:
    """Answer 400 with the sentence under both names by which Gradio's clients look for a reason."""
    REFUSALS.labels("bad_request").inc()
    await respond(send, 400, {"detail": sentence, "error": sentence})


def _check(content: dict[str, Any], key: str, kind: type) -> Any:
    value = content.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {str: "a string", int: "a whole number", list: "a list"}
        raise BadRequest(f"{key} is {'missing' if value is None else f'a {_kind(value)}'}; it must be {names[kind]}.")
    return value


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
