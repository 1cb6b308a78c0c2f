"""The MCP server at /gradio_api/mcp: Gradio's own, with two tools and nothing else.

A tool answers in one piece; the server cancels it when its client goes. What belongs to the page is no tool, and the
tools are no endpoints of the page: called in another way nobody would notice that their caller has gone.
"""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing

import gradio as gr
from starlette.datastructures import Headers
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from streamspace.asgi import respond
from streamspace.chat import ServedEngine, stream_chat
from streamspace.checks import check_text
from streamspace.errors import ChatError, RequestFailed
from streamspace.frames import Pacer
from streamspace.limits import Admission
from streamspace.metrics import count
from streamspace.prompt import conversation
from streamspace.sampling import check_settings
from streamspace.types import Message, Reply
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
            sampling = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
            settings = check_settings(sampling, engine.defaults, engine.config.max_tokens)
            system = (
                engine.config.system_prompt if system_prompt is None else check_text("system_prompt", system_prompt)
            )
            messages = conversation(system, (Message("user", check_text("question", question)),))
            text = ""
            answer = stream_chat(engine, messages, settings, pacer)
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

    # Not through Gradio's queue, whose way to a tool is a client of this server in a thread for each answer.
    return [add_endpoint(tool, "answer", queue=False) for tool in (ask, engine_state)]


def _check_way_in() -> None:
    """Raises gr.Error if the tool was called in another way than through McpServer."""
    if VISITOR.get() is None:
        sentence = f"This is a tool of the MCP server at {PATH}; there are the endpoints /chat and /complete."
        raise gr.Error(sentence, print_exception=False)


class McpServer:
    """The server behind the login, or a key; tells its tools who asks."""

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
        VISITOR.set(client_of(scope))  # of this request's task, and of those that it starts
        await self._app(scope, receive, send)


def guard_tools(demo: gr.Blocks, numbers: list[int], is_known: Callable[[Scope], Awaitable[bool]], keys: Keys) -> None:
    """Leave the MCP server of the mounted `demo` these tools alone, and put McpServer before it.

    Without a server the app goes on: Gradio makes none with a package mcp that it does not know.
    """
    if reason := choose_tools(demo, numbers):
        log.warning("There is no MCP server at %s (%s); all else works.", PATH, reason)
        return
    mount = next(route for route in app_of(demo).routes if isinstance(route, Mount) and route.path == PATH)
    mount.app = McpServer(mount.app, is_known, keys)
