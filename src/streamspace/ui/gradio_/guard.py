"""Gradio's application behind a check of the requests.

Gradio expects requests of its own clients only. Any other body ends in a 500, in a traceback that may hold the whole
body, or in an error without words. So a request is checked before Gradio gets it, and one sentence says what is wrong.
Where Gradio still fails, it is a fault: the visitor gets a sentence, and the log a traceback.
"""

import inspect
import json
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import gradio as gr
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamspace import asgi
from streamspace.asgi import (
    BodyLimit,
    check_depth,
    check_json,
    check_site,
    off_loop,
    parse,
    read,
    replay,
    respond,
)
from streamspace.errors import BadRequest, ChatError
from streamspace.faults import log_fault
from streamspace.limits import Admission
from streamspace.metrics import count
from streamspace.translation import language_of, say_in
from streamspace.ui.gradio_.internals import API, endpoint_of, event_of, has_component
from streamspace.visitors import Attempts, client_of

log = logging.getLogger(__name__)

FAULT = "The page could not answer this request: the fault is here, and the log has it."
LOGIN = BodyLimit(num_bytes=8 << 10, num_values=100)  # a name and a password
MOST_NAME = 100  # characters of a session's or an event's name, which clients make up; Gradio's own have 36 at most

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
ROUTES = ("queue", "call", *KINDS)  # those that take JSON


class Guard:
    """An ASGI application around Gradio's application for `demo`, which itself refuses visitors without a login."""

    def __init__(
        self, demo: gr.Blocks, app: ASGIApp, is_known: Callable[[Scope], Awaitable[bool]], admission: Admission
    ) -> None:
        self._demo = demo
        self._app = app
        self._is_known = is_known
        self._admission = admission
        self._attempts = Attempts()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(API)
        # The MCP server has a guard of its own, which also lets programs in that have a key and no login.
        if scope["type"] != "http" or scope["method"] != "POST" or path.startswith("/mcp"):
            await self._serve(scope, receive, send)
            return
        try:
            if path.strip("/") == "login":
                await self._log_in(scope, receive, send)
                return
            if path.strip("/").partition("/")[0] not in ROUTES or not await self._is_known(scope):
                # Gradio refuses it, but without a login it would parse any body before.
                await self._serve(scope, replay(b"{}", receive), send)
                return
            body = await read_checked(scope, receive, self._admission)
        except ChatError as error:
            await refuse(scope, receive, send, error)
            return
        if body is not None:
            await self.answer(scope, receive, send, body)

    async def answer(self, scope: Scope, receive: Receive, send: Send, body: bytes) -> None:
        """Answer a request whose body `read_checked` has read."""
        try:
            body = await off_loop(body, self._for_gradio, scope["path"].removeprefix(API), body)
        except BadRequest as error:
            await refuse(scope, receive, send, error)
            return
        await self._serve(scope, replay(body, receive), send)

    async def _log_in(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /login, which cannot be tried at speed."""
        address, status = client_of(scope).address, 0

        async def pass_on(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        self._attempts.check(address)
        body = await read(scope, receive, LOGIN)
        if body is not None:
            await self._serve(scope, replay(body, receive), pass_on)
            if status == 400:
                self._attempts.failed(address)

    def _for_gradio(self, path: str, body: bytes) -> bytes:
        return json.dumps(self.checked(path, body)).encode()

    def checked(self, path: str, body: bytes) -> dict[str, Any]:
        """The body as Gradio gets it; `path` is without API. Raises BadRequest for a body that does not fit it."""
        route, _, name = path.strip("/").partition("/")
        content = parse(body, takes_nan=True)
        if not isinstance(content, dict):
            raise BadRequest(f"The body of the request is a {_kind(content)}; it must be an object.")
        check_depth(content)
        for key, kind in KINDS.get(route, {}).items():
            check_name(key, _check(content, key, kind))
        if name.startswith("v2/"):  # the body is the parameters by their names
            self._check_names(content, name.removeprefix("v2/"))
        elif route not in KINDS:
            return self._event_body(content, None if route == "queue" else name)
        whole: dict[str, Any] = content
        return whole

    def _check_names(self, content: dict[str, Any], name: str) -> None:
        """Raise BadRequest unless there is an endpoint of this name, and it takes these parameters."""
        event = endpoint_of(self._demo, name)
        if event is None:
            raise BadRequest(f"The page has no such event; {API}/info lists its endpoints.")
        parameters = inspect.signature(event.handler).parameters
        if unknown := [key for key in content if key not in parameters and key != "oauth_token"]:
            raise BadRequest(f"{event.api_name} has no parameter {unknown[0][:60]!r}; {API}/info lists its parameters.")
        needed = (name for name, parameter in parameters.items() if parameter.default is parameter.empty)
        if missing := [name for name in needed if name not in content]:
            raise BadRequest(f"{missing[0]} is missing; {API}/info lists the parameters of {event.api_name}.")

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
            check_name("session_hash", _check(content, "session_hash", str))
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
            if not (isinstance(error.__cause__, HTTPException) and error.__cause__.status_code < 500):
                log_fault(log, "Gradio could not answer %s %.200r", scope["method"], scope["path"])
            if status not in (0, 500):
                if not is_over:
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
                return
            status = 500
        if status == 500:
            await respond(send, 500, {"detail": FAULT, "error": FAULT})


async def read_checked(scope: Scope, receive: Receive, admission: Admission) -> bytes | None:
    """The body of a request that may start something, counted if it is large; None if its client has gone.

    Raises BadRequest and ForeignSite for what another site may make a browser send, TooManyRequests, and as `read`.
    """
    check_json(scope)
    check_site(scope)
    body = await read(scope, receive, admission.body_limit)
    if body is not None:
        admission.count(client_of(scope), body)
    return body


async def refuse(scope: Scope, receive: Receive, send: Send, error: ChatError) -> None:
    """Answer with the sentence, under both names by which Gradio's clients look for a reason."""
    count(error)
    sentence = say_in(language_of(Headers(scope=scope).get("accept-language", "")))(error.sentence)
    await asgi.refuse(scope, receive, send, error.status, {"detail": sentence, "error": sentence})


def check_name(key: str, value: Any) -> None:
    """Raise BadRequest if a name that the client made up is too long."""
    if isinstance(value, str) and len(value) > MOST_NAME:
        raise BadRequest(f"{key} has {len(value)} characters; allowed are {MOST_NAME}.")


def _check(content: dict[str, Any], key: str, kind: type) -> Any:
    value = content.get(key)
    if not isinstance(value, kind) or isinstance(value, bool):
        names = {str: "a string", int: "a whole number", list: "a list"}
        raise BadRequest(f"{key} is {'missing' if value is None else f'a {_kind(value)}'}; it must be {names[kind]}.")
    return value


def _kind(value: Any) -> str:
    names = {dict: "object", list: "list", str: "string", bool: "boolean", type(None): "null"}
    return names.get(type(value), "number")
