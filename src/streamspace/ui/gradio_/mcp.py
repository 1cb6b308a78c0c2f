"""The MCP server at /gradio_api/mcp: Gradio's own, with two tools, a resource and nothing else.

A tool answers in one piece; it ends when its client disconnects or cancels it. So there is nothing to resume. The tools
are not endpoints of the page as well: there, nothing would cancel them.
"""

import asyncio
import json
import logging
import uuid
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import gradio as gr
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamspace.asgi import check_depth, num_nested, off_loop, parse, replay, respond
from streamspace.chat import ServedEngine
from streamspace.checks import short
from streamspace.errors import BadRequest, ChatError
from streamspace.faults import told_as_failed
from streamspace.frames import Pacer
from streamspace.limits import Admission, Limits
from streamspace.metrics import count
from streamspace.types import Reply
from streamspace.ui.gradio_.endpoints import answer_to
from streamspace.ui.gradio_.guard import read_checked, refuse
from streamspace.ui.gradio_.internals import API, app_of, choose_tools, mcp_server_of
from streamspace.ui.gradio_.parameters import add_endpoint
from streamspace.visitors import VISITOR, Keys, client_of

if TYPE_CHECKING:
    from mcp.server.lowlevel.helper_types import ReadResourceContents
    from mcp.types import Resource

log = logging.getLogger(__name__)

PATH = f"{API}/mcp"
MODEL = "streamspace://model"  # the address of the resource
JSON = "application/json"
SESSION = "mcp-session-id"
MOST_NESTED = 500  # lists and objects in a request; the arguments of the tools are none
LOCKED = "The MCP server wants one of the operator's API keys as Authorization: Bearer <key>."
IsKnown = Callable[[Scope], Awaitable[bool]]  # whether a visitor has logged in, or need not
NO_ROUTE = f"There is nothing here but the MCP server, by POST to {PATH}."


def add_tools(engine: ServedEngine, pacer: Pacer, admission: Admission) -> list[int]:
    """Add both to the Blocks under construction; returns the numbers of their events."""

    async def ask(
        question: str,
        system_prompt: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
        images: list[str] | None = None,
        history: list[dict[str, Any]] | None = None,
    ) -> str:
        """Ask the language model that is served here, and get its answer."""
        try:
            with told_as_failed(log, "The tool failed"):
                values = {
                    "question": question, "system_prompt": system_prompt,
                    "max_tokens": max_tokens, "temperature": temperature, "seed": seed, "images": images,
                    "history": history,
                }  # fmt: skip
                answer, text = answer_to(engine, pacer, "question", values), ""
                async with aclosing(admission.answer(answer, lambda place: Reply(place=place))) as replies:
                    async for reply in replies:
                        text = reply.text
                return text
        except ChatError as error:
            count(error)
            raise  # its sentence is the tool's answer

    async def engine_state() -> str:
        """Tell what the engine is doing now: which model it serves, and how many requests run and wait."""
        counts = f"{engine.running} requests running, {engine.waiting} waiting"
        return f"{engine.config.model_name}: {engine.status.sentence}; {counts}."

    # Without Gradio's queue: with it, each answer would need a client of this server in a thread of its own.
    return [add_endpoint(tool, "answer", queue=False) for tool in (ask, engine_state)]


def _limits_of(engine: ServedEngine) -> dict[str, Any]:
    """The model and what a request may be, by the names of the operator's options; null until the model is loaded."""
    return {
        "model": engine.config.model_name,
        "status": engine.status.stage,
        "context_tokens": engine.max_model_len,
        "max_tokens": engine.config.max_tokens,
        "max_prompt_tokens": engine.max_prompt_tokens,
        "max_seconds": engine.max_seconds,
        "images_per_message": min(engine.images_per_message, engine.most_images),
        **asdict(Limits.of(engine.config)),
    }


def _add_resource(server: Any, engine: ServedEngine) -> None:
    """Have the official server list and read MODEL.

    Gradio's own way, `gr.mcp.resource`, would read it as a client of this server over HTTP, past no login.
    """
    from mcp.server.lowlevel.helper_types import ReadResourceContents
    from mcp.types import Resource

    told = Resource.model_validate(
        {"uri": MODEL, "name": "model", "mimeType": JSON, "description": "The model here and its limits; 0 is none."}
    )

    @server.list_resources()  # type: ignore[untyped-decorator]
    async def resources() -> list["Resource"]:
        return [told]

    @server.read_resource()  # type: ignore[untyped-decorator]
    async def read(uri: Any) -> list["ReadResourceContents"]:
        if str(uri) != MODEL:
            raise ValueError(f"There is no resource {short(str(uri))}; there is: {MODEL}.")
        return [ReadResourceContents(content=json.dumps(_limits_of(engine)), mime_type=JSON)]


class _Cancelling:
    """An ASGI application around Gradio's server, which is a new one for each request and so can cancel no other.

    A session is a name that a client gets first and says in all its requests; nothing is kept of it but its calls.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._calls: dict[tuple[str, Any], asyncio.Event] = {}

    async def serve(self, asked: Any, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve the request with this content."""
        session = Headers(scope=scope).get(SESSION, "")
        match asked:
            case {"method": "initialize"}:
                send = _naming_session(send)
            case {"method": "notifications/cancelled", "params": {"requestId": int() | str() as number}}:
                if is_cancelled := self._calls.get((session, number)):
                    is_cancelled.set()
            case {"method": str(), "id": int() | str() as number} if session:
                await self._serve_call((session, number), scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _serve_call(self, key: tuple[str, Any], scope: Scope, receive: Receive, send: Send) -> None:
        is_cancelled = self._calls[key] = asyncio.Event()
        is_whole = False

        async def sent(message: Message) -> None:
            nonlocal is_whole
            is_whole = message["type"] == "http.response.body" and not message.get("more_body")
            await send(message)

        try:
            await self._app(scope, _until(is_cancelled, receive), sent)
            if is_cancelled.is_set() and not is_whole:
                await send({"type": "http.response.body", "body": b""})
        finally:
            if self._calls.get(key) is is_cancelled:
                del self._calls[key]


def _naming_session(send: Send) -> Send:
    async def named(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message)[SESSION] = uuid.uuid4().hex
        await send(message)

    return named


def _until(is_cancelled: asyncio.Event, receive: Receive) -> Receive:
    """A `receive` that tells of a disconnect as soon as the event is set."""

    async def received() -> Message:
        message, notice = asyncio.ensure_future(receive()), asyncio.ensure_future(is_cancelled.wait())
        try:
            await asyncio.wait({message, notice}, return_when=asyncio.FIRST_COMPLETED)
            return message.result() if message.done() else {"type": "http.disconnect"}
        finally:
            message.cancel()
            notice.cancel()

    return received


def _guarded(app: ASGIApp, is_known: IsKnown, keys: Keys, admission: Admission) -> ASGIApp:
    """Gradio's server behind the login or an API key; it sets VISITOR for the tools."""
    cancelling = _Cancelling(app)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        route = (scope["method"], scope["path"].removeprefix(PATH).strip("/"))
        asked = None
        try:
            visitor = client_of(scope)
            if not await is_known(scope) and not keys.fit(Headers(scope=scope), visitor.address):
                await respond(send, 401, {"detail": LOCKED, "error": LOCKED})
                return
            if route not in (("POST", ""), ("GET", "schema")):
                await respond(send, 405, {"detail": NO_ROUTE, "error": NO_ROUTE})
                return
            if scope["method"] == "POST":
                body = await read_checked(scope, receive, admission)
                if body is None:
                    return
                asked, checked = await off_loop(body, _checked, body)
                receive = replay(checked, receive)
        except ChatError as error:
            await refuse(scope, receive, send, error)
            return
        VISITOR.set(visitor)  # for this request's task and those that it starts
        await cancelling.serve(asked, scope, receive, send)

    return serve


def _checked(body: bytes) -> tuple[Any, bytes]:
    """The content, and the body as Gradio's server can read it; raises BadRequest for what it would need long for."""
    content = parse(body)
    check_depth(content)
    # Gradio's library needs half a second for 100,000, and tools take none.
    if (number := num_nested(content)) > MOST_NESTED:
        raise BadRequest(f"The request has {number} lists and objects; allowed are {MOST_NESTED}.")
    return content, json.dumps(content).encode()


def guard_tools(
    demo: gr.Blocks, numbers: list[int], engine: ServedEngine, is_known: IsKnown, admission: Admission
) -> None:
    """Leave the MCP server of the mounted `demo` these tools and the resource, and require a login or a key for it.

    Gradio makes no server if it does not know the installed version of mcp; the app goes on without one.
    """
    if reason := choose_tools(demo, numbers):
        log.warning("There is no MCP server at %s (%s); all else works.", PATH, reason)
        return
    mount = next(route for route in app_of(demo).routes if isinstance(route, Mount) and route.path == PATH)
    mount.app = _guarded(mount.app, is_known, Keys(engine.config.api_keys), admission)
    _add_resource(mcp_server_of(demo), engine)
