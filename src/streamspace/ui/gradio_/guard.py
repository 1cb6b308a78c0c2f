"""Gradio's application behind a check of what comes in.

Gradio trusts that its own clients ask. What they would not send ends in a 500, a traceback that may hold the whole
body, or an error without words. So a request is checked here before Gradio has it, and refused in one sentence that
names what is wrong; where Gradio fails over one all the same, the visitor gets a sentence and the log one line.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr
from gradio.block_function import BlockFunction
from gradio.route_utils import API_PREFIX
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamspace.asgi import MOST_LEVELS, is_deep, parse, read, replay, respond, without_surrogates
from streamspace.errors import BadRequest
from streamspace.metrics import REFUSALS

log = logging.getLogger(__name__)


# A browser fetches the images of a text at once, so that a model that was talked into it could tell another server, by
# the address of one, what the visitor has said. So nothing that a text can name is fetched from elsewhere.
POLICY = "; ".join(
    [
        *(f"{kind}-src 'self' data: blob:" for kind in ("img", "media", "font")),
        "style-src 'self' 'unsafe-inline'",
        "frame-src 'none'; object-src 'none'; base-uri 'self'; form-action 'self'",
    ]
).encode()


class Guard:
    """An ASGI application around the one that Gradio made of `demo`; whom it does not know, Gradio refuses itself."""

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
                receive = replay(self._checked(scope["path"].removeprefix(API_PREFIX), body), receive)
        except BadRequest as error:
            await refuse(send, str(error))
            return
        await self._serve(scope, receive, send)

    def _checked(self, path: str, body: bytes) -> bytes:
        """A body with only what Gradio is to have of it.

        Raises:
            BadRequest: Gradio's clients send no such body to this path, which is without Gradio's prefix.
        """
        route, _, name = path.strip("/").partition("/")
        if route not in ("queue", "run", "api", "call", "cancel", "reset"):
            return body
        asked = parse(body)
        if not isinstance(asked, dict):
            raise BadRequest(f"The body of the request is a {_kind(asked)}; it must be an object.")
        if is_deep(asked):
            raise BadRequest(f"The values are nested in more than {MOST_LEVELS} levels; a conversation has six.")
        if route in ("cancel", "reset"):
            for key in ("event_id", "session_hash") if route == "cancel" else ("event_id",):
                _check(asked, key, str)
            if route == "cancel":
                _check(asked, "fn_index", int)
        elif not name.startswith("v2/"):  # whose body is the parameters by their names
            asked = self._event(asked, None if route == "queue" else name)
        return json.dumps(asked).encode()

    def _event(self, asked: dict[str, Any], name: str | None) -> dict[str, Any]:
        """The event that is asked for by its number or the name in the path, in Gradio's own form."""
        fn = self._fn(asked, name)
        inputs = _check(asked, "data", list)
        if len(inputs) != len(fn.inputs):
            raise BadRequest(f"data has {len(inputs)} values; {fn.api_name} takes {len(fn.inputs)}.")
        if name is None or asked.get("session_hash") is not None:
            _check(asked, "session_hash", str)
        trigger = asked.get("trigger_id")
        return {
            "data": inputs,
            "fn_index": fn._id,
            "session_hash": asked.get("session_hash") or None,  # Gradio mixes up an empty one and none
            "event_data": asked.get("event_data"),
            "trigger_id": trigger if isinstance(trigger, int) and trigger in self._demo.blocks else None,
        }

    def _fn(self, asked: dict[str, Any], name: str | None) -> BlockFunction:
        fns = self._demo.fns
        if name is None:
            fn = fns.get(_check(asked, "fn_index", int))
        else:
            fn = next((fn for fn in fns.values() if fn.api_name == name and fn.api_visibility != "private"), None)
        if fn is None or fn.fn is None:  # some are done in the browser alone
            raise BadRequest(f"The page has no such event; {API_PREFIX}/info lists its endpoints.")
        return fn

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let Gradio answer. Where it fails, it did not foresee the request: handlers of ours fail in their stream."""
        status, is_over = 0, False

        async def passed(message: Message) -> None:
            nonlocal status, is_over
            status = message.get("status", status)
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY)]
            if status != 500:
                await send(message)
                is_over = message["type"] == "http.response.body" and not message.get("more_body", False)

        try:
            await self._app(scope, receive, passed)
        except Exception as error:
            log.info("Gradio could not answer %s %.200r: %.200r", scope["method"], scope["path"], error)
            if status not in (0, 500):
                if not is_over:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            status = 500
        if status == 500:
            info = f"{API_PREFIX}/info"
            await refuse(send, f"This request makes no sense here; {info} lists the endpoints and their parameters.")


async def refuse(send: Send, sentence: str) -> None:
    """Answer that the request is not allowed, under the names by which Gradio's clients look for the reason."""
    REFUSALS.labels("bad_request").inc()
    await respond(send, 400, {"detail": sentence, "error": sentence})


def _check(asked: dict[str, Any], key: str, kind: type) -> Any:
    value = asked.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {str: "a string", int: "a whole number", list: "a list"}
        raise BadRequest(f"{key} is {'missing' if value is None else f'a {_kind(value)}'}; it must be {names[kind]}.")
    return value


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
