"""Streaming events of a Gradio page, served in Gradio's own protocol by a shorter way than Gradio's.

For every frame Gradio puts a handler's values through its whole pipeline and puts each result into an unbounded queue
that another task sends from. Here the two routes of that protocol are plain ASGI applications. A handler in
`StreamingBlocks.handlers` takes and yields the browser's raw values; only a diff and a short queue stand between it and
the socket. Gradio serves everything else, including other events of the same visitor, and its clients notice no
difference. benchmarks/streaming.py measures what this saves: page against gradio_paced.

A slow reader gets fewer, larger frames. The handler ends if its reader disconnects, or does not come for READER_S.
"""

import asyncio
import contextlib
import inspect
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs

import gradio as gr
import orjson
from fastapi import FastAPI
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from streamspace.asgi import is_deep, off_loop, parse, respond, start
from streamspace.errors import BadRequest, ChatError, ConfigError
from streamspace.faults import log_fault
from streamspace.limits import Admission
from streamspace.metrics import FRAMES, REFUSALS, STREAMS
from streamspace.translation import language_of
from streamspace.ui.gradio_.guard import MOST_NAME, Guard, read_checked, refuse
from streamspace.ui.gradio_.internals import (  # fmt: skip
    API,
    Event,
    Sessions,
    content_of,
    edits,
    event_of,
    let_cancel_find,
    with_cors,
)
from streamspace.ui.language import LANGUAGE, say
from streamspace.visitors import ARRIVED_S, VISITOR, client_of

log = logging.getLogger(__name__)

MOST_WAITING = 4  # messages that may wait for one reader; above it, frames are merged
MOST_RUNS = 1024  # handlers at once, of all visitors together; one more is refused as by Gradio's full queue
READER_S = 10.0  # how long a handler runs without a reader, or with one that takes nothing
NOT_READ = "The answer was ended, because nothing of it was read for a while; what came so far stands."
LINGER_S = 2.0  # how long a stream stays open after its last event: see `Streams._next`
HEARTBEAT_S = 15.0  # the longest silence on a connection, the same as Gradio's: proxies cut silent connections
# Options of the page's events that are served here; their values are raw.
RAW: dict[str, Any] = {
    "preprocess": False, "postprocess": False, "show_progress": "hidden", "api_visibility": "private",
}  # fmt: skip
LEFT = "left"  # cancel reason for a run whose reader disconnected; a visitor's Stop cancels without a reason
UNCHANGED: dict[str, Any] = {"__type__": "update"}  # the value of an output that the browser does not change

Handler = Callable[..., AsyncGenerator[Any, None]]


class StreamingBlocks(gr.Blocks):
    """Blocks with `handlers`, async generators that are served by `Streams`."""

    labels: gr.I18n  # the translations of the components' texts
    tools: list[int]  # the numbers of the events that only the MCP server serves
    admission: Admission  # which every request to the page passes

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except OSError as error:
            sentence = f"Gradio cannot write its temporary folder ({error.strerror}): set GRADIO_TEMP_DIR to another."
            raise ConfigError(sentence) from None
        self.handlers: dict[Handler, int | None] = {}  # → the index of its argument that is a gr.EventData
        self.add_routes: list[Callable[[FastAPI], None]] = []  # each adds routes to the application of `mount`

    def stream(self, *handlers: Handler) -> None:
        """Serve the events of these handlers by `Streams`; the events need the options RAW.

        A handler takes and yields raw values: all outputs in one list, or the value alone if there is one output. An
        argument annotated gr.EventData gets the event's data. A handler must yield at least every half a second,
        because a missing reader is only noticed then.
        """
        for handler in handlers:
            kinds = [parameter.annotation for parameter in inspect.signature(handler).parameters.values()]
            self.handlers[handler] = kinds.index(gr.EventData) if gr.EventData in kinds else None


@dataclass(frozen=True)
class _Sent:
    """A message as bytes; `ends` is the id of the event that it ends."""

    data: bytes
    ends: str | None = None


class _NotRead(gr.Error):
    """Nobody reads the frames of a run; `cause` is "never_read", or "stalled" if a reader was there."""

    def __init__(self, cause: str) -> None:
        super().__init__(say(NOT_READ), duration=None, print_exception=False)
        self.cause = cause


class Streams:
    """The two routes. `install` puts them before all others."""

    def __init__(
        self, demo: StreamingBlocks, is_known: Callable[[Scope], Awaitable[bool]], is_stopping: Callable[[], bool]
    ) -> None:
        """Serve `demo` to visitors whom `is_known` lets in; `is_stopping` is whether the server stops."""
        self._demo = demo
        self._is_known = is_known
        self._is_stopping = is_stopping
        self._sessions = Sessions(demo)
        self._runs: defaultdict[str, set[asyncio.Task[None]]] = defaultdict(set)  # by session
        self._read_s: dict[str, float] = {}  # when the reader of each session that has one last took a message
        self._endings: set[asyncio.Task[None]] = set()

    def install(self, app: FastAPI) -> None:
        """Add the routes to the application on which the page is mounted at /, and put Guard before the page."""
        mount = next(route for route in app.routes if isinstance(route, Mount))
        mount.app = self._gradio = Guard(self._demo, mount.app, self._is_known, self._demo.admission)
        app.user_middleware.append(Middleware(self._before))  # the innermost: it needs the sign-in's session

    def _before(self, app: ASGIApp) -> ASGIApp:
        """The two routes before FastAPI's own layers, through which every message would go otherwise."""
        served: dict[tuple[str, str], ASGIApp] = {
            ("POST", f"{API}/queue/join"): with_cors(self._join),
            ("GET", f"{API}/queue/data"): with_cors(self._data),
        }

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await served.get((scope.get("method", ""), scope.get("path", "")), app)(scope, receive, send)

        return serve

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /queue/join: start the event, answer with its id."""
        arrived_s = asyncio.get_running_loop().time()
        if not await self._is_known(scope):
            await self._gradio(scope, receive, send)
            return
        try:
            body = await read_checked(scope, receive, self._demo.admission)
        except ChatError as error:
            await refuse(scope, receive, send, error)
            return
        if body is None:
            return
        request = await off_loop(body, self._parse, body)
        if request is None:
            await self._gradio.answer(scope, receive, send, body)
            return
        if sum(map(len, self._runs.values())) >= MOST_RUNS:
            REFUSALS.labels("events").inc()
            await respond(send, 503, {"detail": f"{MOST_RUNS} events are under way: try again in a moment."})
            return
        event, session, inputs = request
        frames = event.handler(*inputs)
        del body, request, inputs  # they may be large, and the request may wait for long
        event_id = uuid.uuid4().hex
        sender = _Sender(event_id, self._sessions.add_event(session, event_id))
        context = copy_context()
        context.run(VISITOR.set, replace(client_of(scope), name=session))
        context.run(ARRIVED_S.set, arrived_s)
        context.run(LANGUAGE.set, language_of(Headers(scope=scope).get("accept-language", "")))
        run = asyncio.create_task(self._run(session, event, frames, sender), context=context)
        let_cancel_find(run, session, event, event_id)
        self._runs[session].add(run)
        run.add_done_callback(lambda run: self._forget(session, run))
        await respond(send, 200, {"event_id": event_id})

    def _parse(self, body: bytes) -> tuple[Event, str, list[Any]] | None:
        """The event, session and inputs of a request; None if Gradio has to answer or refuse it."""
        try:
            request = parse(body, takes_nan=True)
            number, session, inputs = request["fn_index"], request["session_hash"], request["data"]
            event = event_of(self._demo, number)
            if isinstance(number, bool) or event is None or event.handler not in self._demo.handlers:
                return None
            has_types = isinstance(session, str) and len(session) <= MOST_NAME and isinstance(inputs, list)
            if not has_types or len(inputs) != event.num_inputs or is_deep(request):
                return None
            if (index := self._demo.handlers[event.handler]) is not None:
                inputs.insert(index, gr.EventData(None, request.get("event_data")))
        except (BadRequest, KeyError, TypeError, AttributeError):
            return None
        return event, session, inputs

    async def _run(self, session: str, event: Event, frames: AsyncGenerator[Any, None], sender: "_Sender") -> None:
        """Run one handler to the end of its frames, send how it ended, and count it."""
        sender.put("process_starts", eta=None)
        cause = "finished"
        try:
            await self._send(session, frames, sender)
            output: dict[str, Any] = {"data": sender.values or [], "is_generating": False}
        except asyncio.CancelledError as error:
            cause = "left" if LEFT in error.args else "stopped"
            raise
        except Exception as error:
            cause = error.cause if isinstance(error, _NotRead) else "error"
            if not isinstance(error, gr.Error) or error.print_exception:
                log_fault(log, "The event %s failed", event.name)
            output = _failure(error)
        finally:
            STREAMS.labels(event.name, cause).inc()
        sender.put("process_completed", ends=sender.event_id, output=output, success="data" in output)

    async def _send(self, session: str, frames: AsyncGenerator[Any, None], sender: "_Sender") -> None:
        """Send the frames to the session's reader; while it is behind, only the newest frame is kept."""
        began_s = time.monotonic()
        try:
            async with aclosing(frames):
                async for frame in frames:
                    sender.values = frame if isinstance(frame, list) else [frame]
                    if time.monotonic() > self._read_s.get(session, began_s) + READER_S:
                        await self._check_reader(session, sender)
                    sender.send(only_if_read=True)
        finally:
            sender.send()  # also before a failure: the text so far stays, and some clients show only frames

    async def _check_reader(self, session: str, sender: "_Sender") -> None:
        """After READER_S without reading: raise _NotRead if there is no reader, or messages wait for it."""
        if session not in self._read_s:
            await self._end_session(session)
            raise _NotRead("never_read")
        if sender.is_ahead:
            raise _NotRead("stalled")

    def _forget(self, session: str, run: asyncio.Task[None]) -> None:
        self._runs[session].discard(run)
        if not self._runs[session]:
            del self._runs[session]
            if session not in self._read_s:
                asyncio.get_running_loop().call_later(READER_S, self._end_unread_session, session)

    def _end_unread_session(self, session: str) -> None:
        """End a session whose events ended READER_S ago and that still has no reader."""
        if session not in self._read_s and session not in self._runs:
            ending = asyncio.create_task(self._end_session(session))
            self._endings.add(ending)  # the event loop keeps weak references only
            ending.add_done_callback(self._endings.discard)

    async def _data(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /queue/data: all messages for one session, Gradio's too, until its last event has ended."""
        session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        messages = self._sessions.messages(session)
        if messages is None or not await self._is_known(scope):
            await self._gradio(scope, receive, send)
            return
        await send(start(200, b"text/event-stream; charset=utf-8"))
        self._read_s[session] = time.monotonic()
        disconnect = asyncio.create_task(self._end_on_disconnect(session, receive))
        try:
            is_over = False
            while not is_over and not disconnect.done():
                data, is_over = await self._next(session, messages)
                self._read_s[session] = time.monotonic()
                await send({"type": "http.response.body", "body": data, "more_body": not is_over})
        finally:
            self._read_s.pop(session, None)
            disconnect.cancel()

    async def _next(self, session: str, messages: asyncio.Queue[Any]) -> tuple[bytes, bool]:
        """All waiting messages, at least one, and whether the last one closes the stream.

        The stream stays open for LINGER_S after its last event. If it closed at once, a POST that overlaps the close
        would leave the browser waiting on a closed stream, or opening an empty one.
        """
        waiting = []
        with contextlib.suppress(TimeoutError):
            linger_s = 0 if self._is_stopping() else LINGER_S
            async with asyncio.timeout(HEARTBEAT_S if self._sessions.unfinished(session) else linger_s):
                waiting.append(await messages.get())
        while not messages.empty():
            waiting.append(messages.get_nowait())
        unfinished = self._sessions.unfinished(session)
        if not waiting and not unfinished:
            self._sessions.forget(session)
            return _CLOSE.data, True
        ready = [item if isinstance(item, _Sent) else _encoded(*content_of(item)) for item in waiting]
        unfinished.difference_update(message.ends for message in ready)
        return b"".join(message.data for message in ready or [_message("heartbeat", None)]), False

    async def _end_on_disconnect(self, session: str, receive: Receive) -> None:
        """Wait until the reader disconnects, then end its runs."""
        while (await receive())["type"] != "http.disconnect":
            pass
        for run in self._runs.get(session, set()):
            run.cancel(LEFT)
        await self._end_session(session)

    async def _end_session(self, session: str) -> None:
        """End a session without a reader, and drop its messages; a visitor who comes back begins anew."""
        messages = self._sessions.forget(session)
        await self._sessions.end_events(session)
        if messages is not None:
            messages.put_nowait(_CLOSE)  # wakes a writer that waits for the next message


class _Sender:
    """Puts the messages of one event into its session's queue; `values` are those of its last frame, sent or not."""

    def __init__(self, event_id: str, messages: asyncio.Queue[Any]) -> None:
        self.event_id = event_id
        self.values: list[Any] | None = None
        self._messages = messages
        self._sent: list[Any] | None = None

    @property
    def is_ahead(self) -> bool:
        """Whether MOST_WAITING messages wait for the reader."""
        return self._messages.qsize() >= MOST_WAITING

    def put(self, kind: str, ends: str | None = None, **content: Any) -> None:
        """Queue a message of this event."""
        self._messages.put_nowait(_message(kind, self.event_id, ends, **content))

    def send(self, only_if_read: bool = False) -> None:
        """Queue the changes since the frame that was sent last; `only_if_read`: not while the reader is behind.

        The first frame is always sent: it may change values that later ones leave UNCHANGED.
        """
        is_behind = only_if_read and self._sent is not None and self.is_ahead
        if self.values is None or self.values == self._sent or is_behind:
            return
        data = self.values if self._sent is None else edits(self._sent, self.values)
        self.put("process_generating", output={"data": data, "is_generating": True}, success=True)
        FRAMES.inc()
        self._sent = self.values


def _encoded(message: dict[str, Any], ends: str | None) -> _Sent:
    return _Sent(b"data: " + orjson.dumps(message, default=str) + b"\n\n", ends)


def _message(kind: str, event_id: str | None, ends: str | None = None, **content: Any) -> _Sent:
    return _encoded({"msg": kind, "event_id": event_id, **content}, ends)


_CLOSE = _message("close_stream", None)


def _failure(error: Exception) -> dict[str, Any]:
    """The error as the page shows it; only a gr.Error has a message."""
    if not isinstance(error, gr.Error):
        return {"error": None}
    return {"error": error.message, "duration": error.duration, "visible": error.visible, "title": error.title}
