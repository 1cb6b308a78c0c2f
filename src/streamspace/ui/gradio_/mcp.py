"""The MCP server at /gradio_api/mcp: Gradio's own, with two tools and nothing else.

A tool answers in one piece; the server cancels it when its client disconnects. The tools are not endpoints of the page
as well: there, nothing would cancel them.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import gradio as gr
from starlette.datastructures import Headers
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from streamspace.asgi import respond
from streamspace.chat import ServedEngine
from streamspace.errors import ChatError, RequestFailed
from streamspace.frames import Pacer
from streamspace.limits import Admission
from streamspace.metrics import count
from streamspace.types import Reply
from streamspace.ui.gradio_.endpoints import answer_to
from streamspace.ui.gradio_.internals import API, app_of, choose_tools
from streamspace.ui.gradio_.parameters import add_endpoint
from streamspace.visitors import VISITOR, Keys, client_of

log = logging.getLogger(__name__)

PATH = f"{API}/mcp"
LOCKED = "The MCP server wants one of the operator's API keys as Authorization: Bearer <key>."


def add_tools(engine: ServedEngine, pacer: Pacer, admission: Admission) -> list[int]:
    """Add both to the Blocks under construction.

    Returns:
        The numbers of their events.
    """

    async def ask(
        question: str,
        system_prompt: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        seed: int | None = None,
    ) -> str:
        """Ask the language model that is served here, and get its answer."""
        _check_way_in()
        try:
            values = {
                "question": question, "system_prompt": system_prompt,
                "max_tokens": max_tokens, "temperature": temperature, "seed": seed,
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
            log.exception("The tool failed")
            raise RequestFailed from None

    async def engine_state() -> str:
        """Tell what the engine is doing now: which model it serves, and how many requests run and wait."""
        _check_way_in()
        counts = f"{engine.running} requests running, {engine.waiting} waiting"
        return f"{engine.config.model_name}: {engine.status.sentence}; {counts}."

    # Without Gradio's queue: with it, each answer would need a client of this server in a thread of its own.
    return [add_endpoint(tool, "answer", queue=False) for tool in (ask, engine_state)]


def _check_way_in() -> None:
    """Raise gr.Error unless the tool was called through McpServer."""
    if VISITOR.get() is None:
        sentence = f"This is a tool of the MCP server at {PATH}; there are the endpoints /chat and /complete."
        raise gr.Error(sentence, print_exception=False)


class McpServer:
    """Gradio's server behind the login or an API key; it sets VISITOR for the tools."""

    def __init__(self, app: ASGIApp, is_known: Callable[[Scope], Awaitable[bool]], keys: Keys) -> None:
        self._app = app
        self._is_known = is_known
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        if not self._keys.fit(headers) and not await self._is_known(scope):
            await respond(send, 401, {"detail": LOCKED, "error": LOCKED})
            return
        inner = scope["path"].removeprefix(PATH).strip("/")
        if (scope["method"], inner) not in (("POST", ""), ("GET", "schema")):
            sentence = f"There is nothing here but the MCP server, by POST to {PATH}."
            await respond(send, 405, {"detail": sentence, "error": sentence})
            return
        VISITOR.set(client_of(scope))  # for this request's task and those that it starts
        await self._app(scope, receive, send)


def guard_tools(demo: gr.Blocks, numbers: list[int], is_known: Callable[[Scope], Awaitable[bool]], keys: Keys) -> None:
    """Leave the MCP server of the mounted `demo` these tools only, and put McpServer before it.

    Gradio makes no server if it does not know the installed version of mcp; the app goes on without one.
    """
    if reason := choose_tools(demo, numbers):
        log.warning("There is no MCP server at %s (%s); all else works.", PATH, reason)
        return
    mount = next(route for route in app_of(demo).routes if isinstance(route, Mount) and route.path == PATH)
    mount.app = McpServer(mount.app, is_known, keys)
