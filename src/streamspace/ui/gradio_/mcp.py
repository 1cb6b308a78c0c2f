"""The MCP server at /gradio_api/mcp: Gradio's own, with two tools and nothing else.

A tool answers in one piece; the server cancels it when its client disconnects. The tools are not endpoints of the page
as well: there, nothing would cancel them.
"""

import json
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Any

import gradio as gr
from starlette.datastructures import Headers
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from streamspace.asgi import check_depth, num_nested, off_loop, parse, replay, respond
from streamspace.chat import ServedEngine
from streamspace.errors import BadRequest, ChatError, RequestFailed
from streamspace.faults import log_fault
from streamspace.frames import Pacer
from streamspace.limits import Admission
from streamspace.metrics import count
from streamspace.types import Reply
from streamspace.ui.gradio_.endpoints import answer_to
from streamspace.ui.gradio_.guard import read_checked, refuse
from streamspace.ui.gradio_.internals import API, app_of, choose_tools
from streamspace.ui.gradio_.parameters import add_endpoint
from streamspace.visitors import VISITOR, Keys, client_of

log = logging.getLogger(__name__)

PATH = f"{API}/mcp"
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
        except Exception:
            log_fault(log, "The tool failed")
            raise RequestFailed from None

    async def engine_state() -> str:
        """Tell what the engine is doing now: which model it serves, and how many requests run and wait."""
        counts = f"{engine.running} requests running, {engine.waiting} waiting"
        return f"{engine.config.model_name}: {engine.status.sentence}; {counts}."

    # Without Gradio's queue: with it, each answer would need a client of this server in a thread of its own.
    return [add_endpoint(tool, "answer", queue=False) for tool in (ask, engine_state)]


def _guarded(app: ASGIApp, is_known: IsKnown, keys: Keys, admission: Admission) -> ASGIApp:
    """Gradio's server behind the login or an API key; it sets VISITOR for the tools."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        route = (scope["method"], scope["path"].removeprefix(PATH).strip("/"))
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
                receive = replay(await off_loop(body, _checked, body), receive)
        except ChatError as error:
            await refuse(scope, receive, send, error)
            return
        VISITOR.set(visitor)  # for this request's task and those that it starts
        await app(scope, receive, send)

    return serve


def _checked(body: bytes) -> bytes:
    """The body as Gradio's server can read it; raises BadRequest for what it would need long for."""
    content = parse(body)
    check_depth(content)
    # Gradio's library needs half a second for 100,000, and tools take none.
    if (number := num_nested(content)) > MOST_NESTED:
        raise BadRequest(f"The request has {number} lists and objects; allowed are {MOST_NESTED}.")
    return json.dumps(content).encode()


def guard_tools(demo: gr.Blocks, numbers: list[int], is_known: IsKnown, keys: Keys, admission: Admission) -> None:
    """Leave the MCP server of the mounted `demo` these tools only, and require a login or a key for it.

    Gradio makes no server if it does not know the installed version of mcp; the app goes on without one.
    """
    if reason := choose_tools(demo, numbers):
        log.warning("There is no MCP server at %s (%s); all else works.", PATH, reason)
        return
    mount = next(route for route in app_of(demo).routes if isinstance(route, Mount) and route.path == PATH)
    mount.app = _guarded(mount.app, is_known, keys, admission)
