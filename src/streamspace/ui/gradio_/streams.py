"""Streaming events of a Gradio page, served in Gradio's own protocol by a shorter way than Gradio's.

Gradio drives a streaming handler by one pass through its whole pipeline for every frame and hands the result to a queue
without end, from which another task sends it. Here the two routes of that protocol that streams use are plain ASGI: a
handler that is named in `StreamingBlocks.handlers` gets the browser's values as they came, yields values as they go
out, and between it and the socket stand one diff and one short queue. Everything else, other events of the same visitor
among them, goes to Gradio, whose clients notice no difference. benchmarks/streaming.py measures what it saves.

A reader that is slow gets fewer, larger frames. One that goes away, or never comes, ends the handler at once.

This works with the insides of Gradio's queue, a reason more why requirements.txt pins its version.
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from contextvars import copy_context
from dataclasses import dataclass, replace
from typing import Any, cast
from urllib.parse import parse_qs

import gradio as gr
import orjson
from fastapi import FastAPI
from gradio.block_function import BlockFunction
from gradio.helpers import special_args
from gradio.route_utils import API_PREFIX, CustomCORSMiddleware
from gradio.server_messages import ProcessCompletedMessage
from gradio.utils import diff, error_payload, set_task_name
from starlette.datastructures import Headers
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from streamspace.asgi import is_deep, parse, read, replay, respond, start, without_surrogates
from streamspace.errors import BadRequest, ConfigError
from streamspace.metrics import FRAMES, REFUSALS, STREAMS
from streamspace.translation import language_of
from streamspace.ui.gradio_.guard import Guard
from streamspace.ui.language import LANGUAGE, say
from streamspace.visitors import ARRIVED_S, VISITOR, client_of

log = logging.getLogger(__name__)

MOST_WAITING = 4  # messages for one reader that may wait to be sent: beyond, frames are merged
MOST_RUNS = 1024  # handlers at once, of all visitors together; the next one is refused as by Gradio's full queue
READER_S = 10.0  # how long a handler runs for a visitor who has not begun to read, or who takes nothing any more
NOT_READ = "The answer was ended, because nothing of it was read for a while; what came so far stands."
LINGER_S = 2.0  # how long a stream stays open with nothing under way: see `Streams._next`
HEARTBEAT_S = 15.0  # the longest silence on a connection, as Gradio has it: proxies cut dead ones
RAW: dict[str, Any] = {"preprocess": False, "postprocess": False}  # options of an event whose handler is served here
LEFT = "left"  # why a run is cancelled whose reader has gone; Gradio gives no reason when a visitor stops it
UNCHANGED: dict[str, Any] = {"__type__": "update"}  # the value of an output that stays in the browser as it is

Handler = Callable[..., AsyncGenerator[Any, None]]


class StreamingBlocks(gr.Blocks):
    """Blocks with `handlers`, async generators that are served by `Streams`."""

    tools: list[int]  # the events that are for the MCP server alone

    def __init__(self, **options: Any) -> None:
        try:
            super().__init__(**options)
        except OSError as error:
            sentence = f"Gradio cannot write its temporary folder ({error.strerror}): set GRADIO_TEMP_DIR to another."
            raise ConfigError(sentence) from None
        self.handlers: dict[Handler, int | None] = {}  # → where among its arguments a gr.EventData goes
        self.add_routes: list[Callable[[FastAPI], None]] = []  # the page's own ones, to whatever it is mounted on

    def stream(self, *handlers: Handler) -> None:
        """Have the events of these handlers served by `Streams`.

        They get raw values and yield raw ones (give their events the options RAW): all outputs in one list, or the
        value alone if there is one output. They may ask for a gr.EventData by annotation, and must yield every half a
        second or so: that is when a reader's absence is noticed.
        """
        for handler in handlers:
            self.handlers[handler] = special_args(handler)[2]


@dataclass(frozen=True)
class _Sent:
    """A message ready to go out; `ends` is the id of the event that it ends."""

    data: bytes
    ends: str | None = None


class _NotRead(gr.Error):
    """Nothing is read of a run; `cause` is "never_read", or "stalled" if something was."""

    def __init__(self, cause: str) -> None:
        super().__init__(say(NOT_READ), duration=None, print_exception=False)
        self.cause = cause


class Streams:
    """The two routes. `install` puts them before all others."""

    def __init__(self, demo: StreamingBlocks, is_stopping: Callable[[], bool]) -> None:
        self._demo = demo
        self._is_stopping = is_stopping  # the server: then no event comes any more
        self._queue = demo._queue
        self._messages: dict[str, asyncio.Queue[Any]] = cast(Any, self._queue.pending_messages_per_session)
        self._runs: defaultdict[str, set[asyncio.Task[None]]] = defaultdict(set)  # by session
        self._read_s: dict[str, float] = {}  # when each session that reads last took something
        self._leaving: set[asyncio.Task[None]] = set()
        routes = cast(list[Route], demo.app.routes)
        self._user = next(route.endpoint for route in routes if route.path == f"{API_PREFIX}/user")

    def install(self, app: FastAPI) -> None:
        """Add the routes to the application that the page was mounted on at /; all others are guarded."""
        mount = next(route for route in app.routes if isinstance(route, Mount))
        mount.app = self._gradio = Guard(self._demo, mount.app, self.is_known)
        app.user_middleware.append(Middleware(self._before))  # the innermost: sessions are known there

    def _before(self, app: ASGIApp) -> ASGIApp:
        """The two routes before the layers that FastAPI puts around its own, through which every message would go."""
        queue = f"{API_PREFIX}/queue"
        served: dict[tuple[str, str], ASGIApp] = {
            ("POST", f"{queue}/join"): CustomCORSMiddleware(self._join),  # Gradio's own rule for other origins
            ("GET", f"{queue}/data"): CustomCORSMiddleware(self._data),
        }

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await served.get((scope.get("method", ""), scope.get("path", "")), app)(scope, receive, send)

        return serve

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /queue/join: start the event, answer with its id."""
        arrived_s = asyncio.get_running_loop().time()
        body = without_surrogates(await read(receive))
        event = self._parse(body) if await self.is_known(scope) else None
        if event is None:
            await self._gradio(scope, replay(body, receive), send)
            return
        if sum(map(len, self._runs.values())) >= MOST_RUNS:
            REFUSALS.labels("events").inc()
            await respond(send, 503, {"detail": f"{MOST_RUNS} events are under way: try again in a moment."})
            return
        fn, session, inputs = event
        event_id = uuid.uuid4().hex
        self._messages.setdefault(session, asyncio.Queue())
        self._queue.pending_event_ids_session.setdefault(session, set()).add(event_id)
        context = copy_context()
        context.run(VISITOR.set, replace(client_of(scope), name=session))
        context.run(ARRIVED_S.set, arrived_s)
        context.run(LANGUAGE.set, language_of(Headers(scope=scope).get("accept-language", "")))
        run = asyncio.create_task(self._run(session, event_id, fn, inputs), context=context)
        set_task_name(run, session, fn._id, event_id, False)  # by which Gradio's /cancel finds it
        self._runs[session].add(run)
        run.add_done_callback(lambda run: self._forget(session, run))
        await respond(send, 200, {"event_id": event_id})

    async def is_known(self, scope: Scope) -> bool:
        """Whether the visitor has logged in, or need not; Gradio refuses the others."""
        app = self._demo.app
        is_open = app.auth is None and app.auth_dependency is None
        return is_open or await self._user(Request(scope)) is not None

    def _parse(self, body: bytes) -> tuple[BlockFunction, str, list[Any]] | None:
        """The event that is asked for; None if it is not one of ours, or not what Gradio's clients send."""
        try:
            asked = parse(body)
            fn, session, inputs = self._demo.fns[asked["fn_index"]], asked["session_hash"], asked["data"]
            if fn.fn not in self._demo.handlers or not isinstance(session, str):
                return None
            if isinstance(asked["fn_index"], bool):  # which would be found as 0 or 1
                return None
            if not isinstance(inputs, list) or len(inputs) != len(fn.inputs) or is_deep(asked):
                return None
            if (index := self._demo.handlers[cast(Handler, fn.fn)]) is not None:
                inputs.insert(index, gr.EventData(None, asked.get("event_data")))
        except (BadRequest, KeyError, TypeError, AttributeError):
            return None
        return fn, session, inputs

    async def _run(self, session: str, event_id: str, fn: BlockFunction, inputs: list[Any]) -> None:
        """Drive one handler to its end, and say how it ended."""
        messages = self._messages[session]
        messages.put_nowait(_message("process_starts", event_id, eta=None))
        cause = "finished"
        try:
            values = await self._send(session, event_id, cast(Handler, fn.fn)(*inputs), messages)
            output: dict[str, Any] = {"data": values, "is_generating": False}
        except asyncio.CancelledError as error:
            cause = "left" if LEFT in error.args else "stopped"
            raise
        except Exception as error:
            cause = error.cause if isinstance(error, _NotRead) else "error"
            if not isinstance(error, gr.Error) or error.print_exception:
                log.exception("The event %s failed", fn.name)
            output = {**error_payload(error, self._demo.show_error)}
        finally:
            STREAMS.labels(str(fn.name).strip("_"), cause).inc()
        is_whole = "data" in output
        messages.put_nowait(_message("process_completed", event_id, output=output, success=is_whole, ends=event_id))

    async def _send(
        self, session: str, event_id: str, frames: AsyncGenerator[Any, None], messages: asyncio.Queue[Any]
    ) -> list[Any]:
        """Send what changed since the frame before; returns the last one, which goes out whole."""
        began_s = time.monotonic()
        sent: list[Any] | None = None
        values: list[Any] = []

        def tell() -> None:
            nonlocal sent
            changes = values if sent is None else [*map(diff, sent, values)]
            output = {"data": changes, "is_generating": True}
            messages.put_nowait(_message("process_generating", event_id, output=output, success=True))
            FRAMES.inc()
            sent = values

        try:
            async with aclosing(frames):
                async for frame in frames:
                    values = frame if isinstance(frame, list) else [frame]
                    if time.monotonic() > self._read_s.get(session, began_s) + READER_S:
                        if session not in self._read_s:
                            await self._leave(session)
                            raise _NotRead("never_read")
                        if messages.qsize() >= MOST_WAITING:
                            raise _NotRead("stalled")
                    # The first one is never merged: it may change what later ones keep.
                    if values != sent and (sent is None or messages.qsize() < MOST_WAITING):
                        tell()
        finally:
            if values != (sent or []):
                tell()  # also before a failure, for what came stands; some clients show the frames alone
        return values

    def _forget(self, session: str, run: asyncio.Task[None]) -> None:
        self._runs[session].discard(run)
        if not self._runs[session]:
            del self._runs[session]
            if session not in self._read_s:
                asyncio.get_running_loop().call_later(READER_S, self._give_up, session)

    def _give_up(self, session: str) -> None:
        """What has ended is kept for a reader who may yet come, but not for ever."""
        if session not in self._read_s and session not in self._runs:
            leaving = asyncio.create_task(self._leave(session))
            self._leaving.add(leaving)  # the loop alone would not keep it
            leaving.add_done_callback(self._leaving.discard)

    async def _data(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /queue/data: everything for one session, Gradio's messages too, until none of its events is left."""
        session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        messages = self._messages.get(session)
        if messages is None or not await self.is_known(scope):
            await self._gradio(scope, receive, send)
            return
        await send(start(200, b"text/event-stream; charset=utf-8"))
        self._read_s[session] = time.monotonic()
        leaving = asyncio.create_task(self._when_gone(session, receive))
        try:
            is_over = False
            while not is_over and not leaving.done():
                data, is_over = await self._next(session, messages)
                self._read_s[session] = time.monotonic()
                await send({"type": "http.response.body", "body": data, "more_body": not is_over})
        finally:
            self._read_s.pop(session, None)
            leaving.cancel()

    async def _next(self, session: str, messages: asyncio.Queue[Any]) -> tuple[bytes, bool]:
        """All that waits, at least one message; and whether it was the last.

        A stream does not close with its last event, when the next one is often on its way: a browser that reads of the
        close after the next event's id takes the old stream for that event's and waits for ever, and one that reads of
        it before a second event's id asks for a stream that has nothing more to say.
        """
        waiting = []
        with contextlib.suppress(TimeoutError):
            linger_s = 0 if self._is_stopping() else LINGER_S
            async with asyncio.timeout(HEARTBEAT_S if self._left(session) else linger_s):
                waiting.append(await messages.get())
        while not messages.empty():
            waiting.append(messages.get_nowait())
        if not waiting and not self._left(session):
            self._drop(session)
            return _CLOSE.data, True
        ready = [message if isinstance(message, _Sent) else _gradios(message) for message in waiting]
        for message in ready:
            self._left(session).discard(message.ends)
        return b"".join(message.data for message in ready or [_message("heartbeat", None)]), False

    def _left(self, session: str) -> set[Any]:
        """The ids of its events whose end has not been sent."""
        return self._queue.pending_event_ids_session.get(session, set())

    async def _when_gone(self, session: str, receive: Receive) -> None:
        """Once the reader has gone, end all that runs for it."""
        while (await receive())["type"] != "http.disconnect":
            pass
        for run in self._runs.get(session, set()):
            run.cancel(LEFT)
        await self._leave(session)

    def _drop(self, session: str) -> asyncio.Queue[Any] | None:
        """Forget the session, and what Gradio would keep of it; returns what waited for its reader."""
        self._queue.pending_event_ids_session.pop(session, None)
        return self._messages.pop(session, None)

    async def _leave(self, session: str) -> None:
        """Drop all that waits for a visitor who is not there; one who comes back begins anew."""
        messages = self._drop(session)
        await self._queue.clean_events(session_hash=session)
        if messages is not None:
            messages.put_nowait(_CLOSE)  # wakes whoever writes to nobody


def _encoded(message: dict[str, Any], ends: str | None) -> _Sent:
    return _Sent(b"data: " + orjson.dumps(message, default=str) + b"\n\n", ends)


def _message(kind: str, event_id: str | None, ends: str | None = None, **content: Any) -> _Sent:
    return _encoded({"msg": kind, "event_id": event_id, **content}, ends)


_CLOSE = _message("close_stream", None)


def _gradios(message: Any) -> _Sent:
    """A message that Gradio's own queue made."""
    return _encoded(message.model_dump(), message.event_id if isinstance(message, ProcessCompletedMessage) else None)
