"""Gradio's undocumented names, each behind a function or a class of ours; no other module uses one.

NAMES lists them. tests/test_gradio_internals.py looks each up, and says in one sentence what a newer Gradio renamed.
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import gradio as gr
from fastapi import FastAPI
from gradio.block_function import BlockFunction
from gradio.context import Context, LocalContext
from gradio.networking import setup_tunnel
from gradio.oauth import attach_oauth
from gradio.route_utils import API_PREFIX, CustomCORSMiddleware
from gradio.server_messages import ProcessCompletedMessage
from gradio.state_holder import SessionState
from gradio.utils import diff, set_task_name
from starlette.requests import Request
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from streamspace.patching import patch, require
from streamspace.visitors import VISITOR, Visitor, client_of

# Module or class → its names → what StreamSpace needs each for.
NAMES: dict[str, dict[str, str]] = {
    "gradio.blocks.Blocks": {
        "_queue": "to share the stream of a session with events that Gradio runs",
        "app": "to know which routes and which login the page has",
        "blocks": "to know the page's components",
        "config": "to change what a page begins with that is opened later",
        "default_config": "to answer a tool without the configuration of the whole page",
        "fns": "to find an event by its number or name",
        "max_threads": "to let many events run at once",
        "mcp_error": "to say why there is no MCP server",
        "mcp_server_obj": "to choose the tools of the MCP server",
    },
    "gradio.block_function.BlockFunction": {
        "_id": "to tell events apart",
        "api_name": "to find an endpoint",
        "api_visibility": "to hide the MCP server's tools from the page's API",
        "fn": "to call an event's handler",
        "inputs": "to count the values that an event takes",
        "outputs": "to name the answer of an endpoint",
    },
    "gradio.blocks.Block": {
        "_id": "to find a component in the page's config",
        "get_block_name": "to tell a component of the page from an endpoint's parameter",
    },
    "gradio.components.api_component.Api": {
        "_api_info": "to explain an endpoint's parameter",
        "example_payload": "to give an example for an endpoint's parameter",
        "label": "to name an endpoint's parameter",
    },
    "gradio.context.Context": {"root_block": "to know the Blocks under construction"},
    "gradio.context.LocalContext": {"request": "to know who asks in an event that Gradio runs"},
    "gradio.events.EventData": {"_data": "to know which message of the chat a visitor edits or asks again"},
    "gradio.mcp": {"SessionState": "to answer a tool without the configuration of the whole page"},
    "gradio.mcp.GradioMCPServer": {
        "manager": "to change how large a request to the MCP server may be",
        "mcp_server": "to have a resource at the MCP server",
        "tool_to_endpoint": "to choose the tools of the MCP server",
    },
    "mcp.server.transport_security.RequestBodyLimitMiddleware": {
        "max_body_size": "to let a request to the MCP server have as large pictures as any other",
    },
    "gradio.networking": {"setup_tunnel": "to open a temporary public link"},
    "gradio.oauth": {"attach_oauth": "to sign visitors in with Hugging Face"},
    "gradio.queueing.Queue": {
        "clean_events": "to end the events of a visitor who has gone",
        "pending_event_ids_session": "to know when a stream is over",
        "pending_messages_per_session": "to send a session all its messages in one stream",
        "progress_update_sleep_when_free": "to let an idle page use less of a core",
        "sleep_when_free": "to let an idle page use less of a core",
    },
    "gradio.route_utils": {
        "API_PREFIX": "to know the paths of Gradio's routes",
        "CustomCORSMiddleware": "to answer other origins as Gradio does",
    },
    "gradio.routes.App": {
        "auth": "to know whether the page has a login",
        "auth_dependency": "to know whether the page has a sign-in",
    },
    "gradio.server_messages": {"ProcessCompletedMessage": "to know when an event that Gradio runs has ended"},
    "gradio.server_messages.ProcessCompletedMessage": {
        "event_id": "to know which event has ended",
        "model_dump": "to send a message that Gradio made",
    },
    "gradio.state_holder": {"SessionState": "to answer a tool without the configuration of the whole page"},
    "gradio.utils": {
        "diff": "to send what has changed since the frame before",
        "set_task_name": "to let /cancel find an event",
    },
}
API = API_PREFIX  # the path of all that is not the page itself
with_cors: Callable[[ASGIApp], ASGIApp] = CustomCORSMiddleware  # Gradio's own rule for the scripts of other sites
add_oauth_routes: Callable[[FastAPI], None] = attach_oauth  # /login/huggingface, /login/callback, /logout; a session
open_tunnel: Callable[..., str] = setup_tunnel  # opens Gradio's tunnel, gives its public URL; blocks, raises anything


def _patch(owner: Any, name: str, value: Any, declared_in: str) -> None:
    patch(owner, name, value, NAMES[declared_in][name])


def visitor() -> Visitor:
    """The visitor whose event is handled now, by `Streams` or by Gradio's own queue."""
    if visitor := VISITOR.get():
        return visitor
    request = LocalContext.request.get(None)
    if isinstance(request, list):
        request = request[0]
    return client_of(request.request.scope) if request and request.request else Visitor("", "")


def login_of(demo: gr.Blocks) -> Callable[[Scope], Awaitable[bool]]:
    """A function of a request to the mounted page: whether its visitor has logged in, or need not."""
    app = demo.app
    user = next(cast(Route, route).endpoint for route in app.routes if getattr(route, "path", "") == f"{API}/user")

    async def is_known(scope: Scope) -> bool:
        is_open = app.auth is None and app.auth_dependency is None
        return is_open or await user(Request(scope)) is not None

    return is_known


def pace_queue(demo: gr.Blocks, most_events: int, poll_s: float) -> None:
    """Let Gradio's queue run so many events at once, and look for the next one every `poll_s` seconds."""
    _patch(demo, "max_threads", most_events, "gradio.blocks.Blocks")
    for name in ("sleep_when_free", "progress_update_sleep_when_free"):
        _patch(demo._queue, name, poll_s, "gradio.queueing.Queue")


def components_of(demo: gr.Blocks) -> Iterator[Any]:
    """Yield all components of the page, without the parameters of named endpoints."""
    return (block for block in demo.blocks.values() if block.get_block_name() != "api")


def has_component(demo: gr.Blocks, number: Any) -> bool:
    """Whether the page has a component of this number."""
    return isinstance(number, int) and number in demo.blocks


def first_props(demo: gr.Blocks, components: Sequence[Any]) -> list[dict[str, Any]]:
    """The initial properties of each component on pages opened from now on; the caller may change them."""
    props = {part["id"]: part["props"] for part in demo.config["components"]}
    return [props[component._id] for component in components]


def use_mounted_app(demo: gr.Blocks, mounted: FastAPI) -> None:
    """Make the application that `mount_gradio_app` mounted last the page's own."""
    _patch(demo, "app", cast(Any, mounted.routes[-1]).app, "gradio.blocks.Blocks")


def app_of(demo: gr.Blocks) -> FastAPI:
    """The application that serves the page and its API."""
    return demo.app


@dataclass(frozen=True)
class Event:
    """An event of the page, or a named endpoint."""

    number: int
    api_name: str
    handler: Callable[..., Any]
    num_inputs: int

    @property
    def name(self) -> str:
        """Its handler's name."""
        return str(getattr(self.handler, "__name__", self.api_name)).strip("_")


def event_of(demo: gr.Blocks, number: int) -> Event | None:
    """The event of this number; None if there is none, or only the browser handles it."""
    return _event(demo.fns.get(number))


def endpoint_of(demo: gr.Blocks, api_name: str) -> Event | None:
    """The endpoint of this name; None if there is none, or it is private."""
    fns = (fn for fn in demo.fns.values() if fn.api_name == api_name and fn.api_visibility != "private")
    return _event(next(fns, None))


def _event(fn: BlockFunction | None) -> Event | None:
    return Event(fn._id, str(fn.api_name), fn.fn, len(fn.inputs)) if fn is not None and fn.fn is not None else None


def event_data(event: gr.EventData) -> Any:
    """The data that the browser sends with some events, beside the values of the inputs; else None."""
    return event._data


def explain(endpoint: Any, parameters: Sequence[tuple[str, str, Any]], answer: str) -> int:
    """Document an endpoint that `gr.api` has added to the Blocks under construction; returns its event's number.

    Each parameter is a name, an explanation and an example; `answer` is the name of the returned value.
    """
    number = int(endpoint["id"])
    fn = require(Context, "root_block", NAMES["gradio.context.Context"]["root_block"]).fns[number]
    declared_in = "gradio.components.api_component.Api"
    for component, (name, explanation, example) in zip(fn.inputs, parameters, strict=True):
        info = {**component._api_info, "additional_description": explanation}
        _patch(component, "label", name, declared_in)
        _patch(component, "_api_info", info, declared_in)
        _patch(component, "example_payload", lambda value=example: value, declared_in)
    _patch(fn.outputs[0], "label", answer, declared_in)
    return number


class Sessions:
    """The sessions in Gradio's queue: the messages that wait for each, and its unfinished events."""

    def __init__(self, demo: gr.Blocks) -> None:
        queue: Any = demo._queue
        self._clean_events = queue.clean_events
        # A plain dict: Gradio's own forgets the oldest of 2,000 sessions, whether or not it is read.
        self._messages: dict[str, asyncio.Queue[Any]] = {}
        _patch(queue, "pending_messages_per_session", self._messages, "gradio.queueing.Queue")
        self._unfinished: dict[str, set[Any]] = queue.pending_event_ids_session

    def messages(self, session: str) -> asyncio.Queue[Any] | None:
        """The messages that wait for a session's reader; None for an unknown session."""
        return self._messages.get(session)

    def add_event(self, session: str, event_id: str) -> asyncio.Queue[Any]:
        """Add an unfinished event to a session, which may be new; returns the session's messages."""
        self._unfinished.setdefault(session, set()).add(event_id)
        return self.queue(session)

    def queue(self, session: str) -> asyncio.Queue[Any]:
        """The messages that wait for a session's reader; a new session has none."""
        return self._messages.setdefault(session, asyncio.Queue())

    def unfinished(self, session: str) -> set[Any]:
        """The ids of the events whose end has not been sent; the caller may remove ids from the set."""
        return self._unfinished.get(session, set())

    def renew(self, session: str) -> asyncio.Queue[Any]:
        """Give a session a new queue; returns the old one."""
        old, self._messages[session] = self.queue(session), asyncio.Queue()
        return old

    def forget(self, session: str) -> asyncio.Queue[Any] | None:
        """Forget a session; returns the messages that waited for its reader."""
        self._unfinished.pop(session, None)
        return self._messages.pop(session, None)

    async def end_events(self, session: str) -> None:
        """End the events that Gradio itself runs for a session."""
        await self._clean_events(session_hash=session)


def let_cancel_find(run: asyncio.Task[Any], session: str, event: Event, event_id: str) -> None:
    """Name the task that runs an event so that Gradio's /cancel finds it."""
    set_task_name(run, session, event.number, event_id, False)


def edits(old: Sequence[Any], new: Sequence[Any]) -> list[Any]:
    """The edits by which Gradio's clients turn each old value into the new one."""
    return [*map(diff, old, new)]


def content_of(message: Any) -> tuple[dict[str, Any], str | None]:
    """The content of a message from Gradio's queue, and the id of the event that it ends, if any."""
    return message.model_dump(), message.event_id if isinstance(message, ProcessCompletedMessage) else None


def has_mcp() -> bool:
    """Whether what Gradio needs for an MCP server is installed."""
    try:
        import gradio.mcp  # noqa: F401
    except ImportError:
        return False
    return True


def _tool_state(blocks: gr.Blocks) -> SessionState:
    """The state in which a tool is called. Gradio's own has the configuration of the page's 226 components: 20 ms."""
    without_components: Any = SimpleNamespace(default_config=blocks.default_config, blocks=())
    return SessionState(without_components)


def choose_tools(demo: gr.Blocks, numbers: Collection[int]) -> str | None:
    """Give the endpoints of these numbers to the mounted page's MCP server only, and all others to its API only.

    Returns None, or why there is no MCP server.
    """
    names = {f"/{demo.fns[number].api_name}" for number in numbers}
    for number in numbers:
        _patch(demo.fns[number], "api_visibility", "private", "gradio.block_function.BlockFunction")
    for dependency in demo.config["dependencies"]:
        if dependency["id"] in numbers:
            dependency["api_visibility"] = "private"
    server: Any = demo.mcp_server_obj
    if server is None:
        return str(getattr(demo, "mcp_error", None) or "what Gradio needs for one is not installed")
    tools = {tool: endpoint for tool, endpoint in server.tool_to_endpoint.items() if endpoint in names}
    _patch(server, "tool_to_endpoint", tools, "gradio.mcp.GradioMCPServer")
    from gradio import mcp  # it may lack what it needs

    _patch(mcp, "SessionState", _tool_state, "gradio.mcp")
    return None


def mcp_server_of(demo: gr.Blocks) -> Any:
    """The official library's server behind the mounted page's MCP server, of which `choose_tools` found one.

    From here on it takes bodies of any size, where its own limit is 4 MiB: whoever serves it has to check them.
    """
    server: Any = demo.mcp_server_obj
    if limit := getattr(server.manager, "asgi_app", None):  # older versions have none
        _patch(limit, "max_body_size", 1 << 40, "mcp.server.transport_security.RequestBodyLimitMiddleware")
    return server.mcp_server
