"""Streaming events of a Gradio page, served in Gradio's own protocol by a shorter way than Gradio's.

For every frame Gradio puts a handler's values through its whole pipeline and puts each result into an unbounded queue
that another task sends from. Here the routes of that protocol are plain ASGI applications. A handler in
`StreamingBlocks.handlers` takes and yields the browser's raw values; only a diff and a short queue stand between it and
the socket. Gradio serves everything else, including other events of the same visitor, and its clients notice no
difference. benchmarks/streaming.py measures what this saves: page against gradio_paced.

A slow reader gets fewer, larger frames. The handler ends if its reader disconnects, or does not come for READER_S. A
newer reader of the same session, after a change of networks for example, takes over: each event begins again for it,
with all so far, and the end of the older one ends nothing.

An endpoint that is asked by plain HTTP (POST /call/<name>, then GET /call/<name>/<event id>) is served by the same way:
such a call is a session of one event, whose messages are written in another form.
"""

import asyncio
import contextlib
import inspect
import logging
import time
import uuid
from collections import Counter, defaultdict
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
from streamspace.ui.gradio_.guard import Guard, check_name, read_checked, refuse
from streamspace.ui.gradio_.internals import (  # fmt: skip
    API,
    Event,
    Sessions,
    content_of,
    edits,
    endpoint_of,
    event_of,
    let_cancel_find,
    with_cors,
)
from streamspace.ui.language import LANGUAGE, say
from streamspace.visitors import ARRIVED_S, VISITOR, client_of
from streamspace.votes import Votes

log = logging.getLogger(__name__)

MOST_QUEUED = 512  # events in Gradio's own queue
MOST_WAITING = 4  # messages that may wait for one reader; above it, frames are merged
# Handlers at once, of all visitors together, one more is refused as by Gradio's full queue: a large GPU answers 1,024
# requests, as many may wait, and as many events that ask for no answer may run beside them.
MOST_RUNS = 4096
MOST_SESSIONS = 4096  # with messages that a reader has or may still fetch
SESSIONS_PER_ANSWER = 64  # of one address, for each answer that a visitor may have at once; more are inventions
READER_S = 10.0  # how long a handler runs without a reader, or with one that takes nothing
KEPT_S = 60.0  # how long what a call ended with waits to be fetched, maybe by a person who types the second command
NOT_READ = "The answer was ended, because nothing of it was read for a while; what came so far stands."
AGAIN_S = 2.0  # how long an event that was asked for beside an open stream waits for another, if that stream ends
LINGER_S = 2.0  # how long a stream stays open after its last event: see `Streams._next`
HEARTBEAT_S = 15.0  # the longest silence on a connection, the same as Gradio's: proxies cut silent connections
# Options of the page's events that are served here; their values are raw.
RAW: dict[str, Any] = {
    "preprocess": False, "postprocess": False, "show_progress": "hidden", "api_visibility": "private",
}  # fmt: skip
CALL = f"{API}/call/"
CALL_NAMES = {"process_generating": b"generating", "process_completed": b"complete", "heartbeat": b"heartbeat"}
HEARTBEAT: dict[str, Any] = {"msg": "heartbeat", "event_id": None}
CLOSE: dict[str, Any] = {"msg": "close_stream", "event_id": None}
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
        self.votes: Votes | None = None  # if the operator wants them
        self.num_changes = 0  # of the components as a page begins with them
        self.add_routes: list[Callable[[FastAPI], None]] = []  # each adds routes to the application of `mount`

    def queue(self, *arguments: Any, **options: Any) -> gr.Blocks:
        """Gradio's constructor calls this; each further call would make another application, in a tenth of a second."""
        blocks: gr.Blocks = super().queue(default_concurrency_limit=None, max_size=MOST_QUEUED, api_open=False)
        return blocks

    def stream(self, *handlers: Handler) -> None:
        """Serve the events of these handlers by `Streams`; the events need the options RAW.

        A handler takes and yields raw values: all outputs in one list, or the value alone if there is one output. An
        argument annotated gr.EventData gets the event's data. A handler must yield at least every half a second, or two
        where it is far in the queue, because a missing reader is only noticed then.
        """
        for handler in handlers:
            kinds = [parameter.annotation for parameter in inspect.signature(handler).parameters.values()]
            self.handlers[handler] = kinds.index(gr.EventData) if gr.EventData in kinds else None


@dataclass(frozen=True)
class _Sent:
    """A message as bytes; `ends` is the id of the event that it ends."""

    data: bytes
    ends: str | None = None


_WAKE = _Sent(b"")  # for a writer that waits for the next message of a queue that is no session's any more


@dataclass(frozen=True)
class _Asked:
    """A request for an event; a call of an endpoint is a session of its own."""

    event: Event
    inputs: list[Any]
    session: str
    event_id: str
    arrived_s: float
    is_call: bool = False


class _Reader:
    """The connection that takes the messages of a session."""

    def __init__(self, messages: asyncio.Queue[Any], is_call: bool) -> None:
        self.is_call = is_call
        self.messages = messages  # no longer the session's once a newer reader has taken over
        self.began_s = self.read_s = time.monotonic()  # when it came, and when it last took messages
        self.sending: list[_Sent] = []  # what it has taken and not sent
        self.ended: list[_Sender] = []  # of events that ended just now and may be meant for another reader


class _NotRead(gr.Error):
    """Nobody reads the frames of a run; `cause` is "never_read", or "stalled" if a reader was there."""

    def __init__(self, cause: str) -> None:
        super().__init__(say(NOT_READ), duration=None, print_exception=False)
        self.cause = cause


class Streams:
    """The routes. `install` puts them before all others."""

    def __init__(
        self,
        demo: StreamingBlocks,
        is_known: Callable[[Scope], Awaitable[bool]],
        is_stopping: Callable[[], bool],
        answers_per_visitor: int = 0,
    ) -> None:
        """Serve `demo` to visitors whom `is_known` lets in; `is_stopping` is whether the server stops.

        An address has at most SESSIONS_PER_ANSWER times `answers_per_visitor` sessions; 0 is no limit.
        """
        self._demo = demo
        self._is_known = is_known
        self._is_stopping = is_stopping
        self._sessions = Sessions(demo)
        self._runs: defaultdict[str, dict[asyncio.Task[None], _Sender]] = defaultdict(dict)  # by session
        self._readers: dict[str, _Reader] = {}  # of each session that has one
        self._most_at_address = SESSIONS_PER_ANSWER * answers_per_visitor
        self._addresses: dict[str, str] = {}  # of those who began each session
        self._num_at: Counter[str] = Counter()  # sessions by address
        self._endings: set[asyncio.Task[None]] = set()

    def install(self, app: FastAPI) -> None:
        """Add the routes to the application on which the page is mounted at /, and put Guard before the page."""
        mount = next(route for route in app.routes if isinstance(route, Mount))
        mount.app = self._gradio = Guard(self._demo, mount.app, self._is_known, self._demo.admission)
        app.user_middleware.append(Middleware(self._before))  # the innermost: it needs the sign-in's session

    def _before(self, app: ASGIApp) -> ASGIApp:
        """The routes before FastAPI's own layers, through which every message would go otherwise."""
        served: dict[tuple[str, str], ASGIApp] = {
            ("POST", f"{API}/queue/join"): with_cors(self._join),
            ("GET", f"{API}/queue/data"): with_cors(self._data),
        }
        calls = {"POST": with_cors(self._call), "GET": with_cors(self._call_data)}

        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            method, path = scope.get("method", ""), scope.get("path", "")
            route = calls.get(method, app) if path.startswith(CALL) else served.get((method, path), app)
            await route(scope, receive, send)

        return serve

    async def _join(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /queue/join: start the event, answer with its id."""
        arrived_s = asyncio.get_running_loop().time()
        if not await self._is_known(scope):
            await self._gradio(scope, receive, send)
            return
        try:
            body = await read_checked(scope, receive, self._demo.admission)
            asked = await off_loop(body, self._parse, body, arrived_s) if body is not None else None
        except ChatError as error:
            await refuse(scope, receive, send, error)
            return
        if asked is not None:
            await self._start(asked, scope, send)
        elif body is not None:
            await self._gradio.answer(scope, receive, send, body)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        """POST /call/{name} or /call/v2/{name}: start the endpoint's event, answer with its id."""
        arrived_s = asyncio.get_running_loop().time()
        path = scope["path"].removeprefix(API)
        is_by_name = path.startswith("/call/v2/")
        event = endpoint_of(self._demo, path.removeprefix("/call/v2/" if is_by_name else "/call/").strip("/"))
        if not await self._is_known(scope) or (event and event.handler not in self._demo.handlers):
            await self._gradio(scope, receive, send)
            return
        try:
            body = await read_checked(scope, receive, self._demo.admission)
            if body is None:
                return
            content = await off_loop(body, self._gradio.checked, path, body)
        except ChatError as error:
            await refuse(scope, receive, send, error)
            return
        assert event is not None  # else `checked` has refused it
        inputs = _by_name(event, content) if is_by_name else content["data"]
        event_id = uuid.uuid4().hex
        await self._start(_Asked(event, inputs, event_id, event_id, arrived_s, is_call=True), scope, send)

    async def _start(self, asked: _Asked, scope: Scope, send: Send) -> None:
        """Start the event and answer with its id, unless too much is under way."""
        visitor = client_of(scope)
        if refusal := self._refusal(asked.session, visitor.address):
            REFUSALS.labels("events").inc()
            await respond(send, 503, {"detail": refusal})
            return
        session, event = asked.session, asked.event
        if session not in self._addresses:
            self._addresses[session] = visitor.address
            self._num_at[visitor.address] += 1
        messages = self._sessions.add_event(session, asked.event_id)
        sender = _Sender(asked.event_id, messages, asked.is_call)
        context = copy_context()
        context.run(VISITOR.set, visitor if asked.is_call else replace(visitor, name=session))
        context.run(ARRIVED_S.set, asked.arrived_s)
        context.run(LANGUAGE.set, language_of(Headers(scope=scope).get("accept-language", "")))
        frames = event.handler(*asked.inputs)  # alone with what it needs of a request that may wait for long
        run = asyncio.create_task(self._run(session, event, frames, sender), context=context)
        let_cancel_find(run, session, event, asked.event_id)
        self._runs[session][run] = sender
        run.add_done_callback(lambda run: self._forget(session, run))
        await respond(send, 200, {"event_id": asked.event_id})

    def _refusal(self, session: str, address: str) -> str | None:
        """Why this page's next event cannot be started, or None."""
        if sum(map(len, self._runs.values())) >= MOST_RUNS:
            return f"{MOST_RUNS} events are under way: try again in a moment."
        if session in self._addresses:
            return None
        if len(self._addresses) >= MOST_SESSIONS:
            return f"{MOST_SESSIONS} sessions are under way: try again in a moment."
        if 0 < self._most_at_address <= self._num_at[address]:
            return f"{self._most_at_address} sessions of one address are under way: try again in a moment."
        return None

    def _parse(self, body: bytes, arrived_s: float) -> _Asked | None:
        """What a request asks for; None if Gradio has to answer or refuse it.

        Raises BadRequest for a tool of the MCP server, which nothing would cancel here, and for a long session's name.
        """
        try:
            request = parse(body, takes_nan=True)
            number, session, inputs = request["fn_index"], request["session_hash"], request["data"]
            event = event_of(self._demo, number)
            if isinstance(number, bool) or event is None:
                return None
            if event.number in self._demo.tools:
                template = "{name} is a tool of the MCP server; {api}/info lists the endpoints."
                raise BadRequest(template, name=event.api_name, api=API)
            has_types = isinstance(session, str) and isinstance(inputs, list)
            if not has_types or len(inputs) != event.num_inputs or is_deep(request):
                return None
            check_name("session_hash", session)
            if event.handler not in self._demo.handlers:
                return None
            if (index := self._demo.handlers[event.handler]) is not None:
                inputs.insert(index, gr.EventData(None, request.get("event_data")))
        except (KeyError, TypeError, AttributeError):
            return None
        return _Asked(event, inputs, session, uuid.uuid4().hex, arrived_s)

    async def _run(self, session: str, event: Event, frames: AsyncGenerator[Any, None], sender: "_Sender") -> None:
        """Run one handler to the end of its frames, send how it ended, and count it."""
        sender.start()
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
        sender.end(output)

    async def _send(self, session: str, frames: AsyncGenerator[Any, None], sender: "_Sender") -> None:
        """Send the frames to the session's reader; while it is behind, only the newest frame is kept."""
        began_s = time.monotonic()
        try:
            async with aclosing(frames):
                async for frame in frames:
                    sender.values = frame if isinstance(frame, list) else [frame]
                    reader = self._readers.get(session)
                    if time.monotonic() > (reader.read_s if reader else began_s) + READER_S:
                        await self._check_reader(session, sender)
                    sender.send(only_if_read=True)
        finally:
            sender.send()  # also before a failure: the text so far stays, and some clients show only frames

    async def _check_reader(self, session: str, sender: "_Sender") -> None:
        """After READER_S without reading: raise _NotRead if there is no reader, or messages wait for it."""
        if session not in self._readers:
            if not sender.is_call:
                await self._end_session(session)
            raise _NotRead("never_read")
        if sender.is_ahead:
            raise _NotRead("stalled")

    def _forget(self, session: str, run: asyncio.Task[None]) -> None:
        sender = self._runs[session].pop(run)
        if reader := self._readers.get(session):
            reader.ended = [one for one in (*reader.ended, sender) if one.is_for_another(reader)]
        if not self._runs[session]:
            del self._runs[session]
            if reader is None:
                kept_s = KEPT_S if sender.is_call else READER_S
                messages = self._sessions.messages(session)
                asyncio.get_running_loop().call_later(kept_s, self._end_unread_session, session, messages)

    def _end_unread_session(self, session: str, messages: asyncio.Queue[Any] | None) -> None:
        """End a session whose events ended some time ago if these messages of theirs still wait for a reader."""
        is_same = self._sessions.messages(session) is messages
        if is_same and session not in self._readers and session not in self._runs:
            ending = asyncio.create_task(self._end_session(session))
            self._endings.add(ending)  # the event loop keeps weak references only
            ending.add_done_callback(self._endings.discard)

    async def _data(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /queue/data: all messages for one session, Gradio's too, until its last event has ended."""
        session = parse_qs(scope["query_string"].decode("latin-1")).get("session_hash", [""])[0]
        if not await self._is_known(scope) or self._sessions.messages(session) is None:
            await self._gradio(scope, receive, send)
            return
        await self._serve(session, self._take_over(session), receive, send)

    async def _call_data(self, scope: Scope, receive: Receive, send: Send) -> None:
        """GET /call/{name}/{event_id}, or the same below /call/v2: what a call came to."""
        event_id = scope["path"].removeprefix(CALL).rpartition("/")[2]
        if not await self._is_known(scope):
            await self._gradio(scope, receive, send)
        elif self._sessions.messages(event_id) is None:
            await respond(send, 404, {"detail": f"There is no such call; what it ends with is kept for {KEPT_S:g} s."})
        else:
            await self._serve(event_id, self._take_over(event_id, is_call=True), receive, send)

    async def _serve(self, session: str, reader: _Reader, receive: Receive, send: Send) -> None:
        """Send the session's messages to this reader, until its last event has ended or a newer one takes over."""
        disconnect = asyncio.create_task(self._end_on_disconnect(session, reader, receive))
        try:
            await send(start(200, b"text/event-stream; charset=utf-8"))
            is_over = False
            while not is_over:
                data, is_over = await self._next(session, reader)
                await send({"type": "http.response.body", "body": data, "more_body": not is_over})
        finally:
            if self._readers.get(session) is reader:
                del self._readers[session]
            disconnect.cancel()

    def _take_over(self, session: str, is_call: bool = False) -> _Reader:
        """Make this connection the session's reader; the stream of the one before closes."""
        if older := self._readers.get(session):
            self._begin_again(session, older)
        reader = self._readers[session] = _Reader(self._sessions.queue(session), is_call)
        return reader

    def _begin_again(self, session: str, older: _Reader) -> None:
        """Give the session a queue that needs nothing of what `older` has taken, which may be lost on the way."""
        running = [*self._runs.get(session, {}).values()]
        recent = [sender for sender in older.ended if sender.is_for_another(older)]
        known = {sender.event_id for sender in (*running, *recent)}
        left = [*older.sending, *_waiting_in(self._sessions.renew(session))]
        older.messages.put_nowait(_WAKE)
        messages = self._sessions.queue(session)
        for message in left:
            if not isinstance(message, _Sent) or (message.ends and message.ends not in known):
                messages.put_nowait(message)
        for sender in (*recent, *running):
            sender.begin_again(messages)

    async def _next(self, session: str, reader: _Reader) -> tuple[bytes, bool]:
        """All waiting messages, at least one, and whether the last one closes the stream.

        The stream stays open for LINGER_S after its last event. If it closed at once, a POST that overlaps the close
        would leave the browser waiting on a closed stream, or opening an empty one.
        """
        messages, unfinished = reader.messages, self._sessions.unfinished(session)
        if self._readers.get(session) is reader:  # what was sent has ended
            unfinished.difference_update(message.ends for message in reader.sending)
        reader.sending = []
        waiting = []
        with contextlib.suppress(TimeoutError):
            linger_s = 0 if self._is_stopping() or reader.is_call else LINGER_S
            async with asyncio.timeout(HEARTBEAT_S if unfinished else linger_s):
                waiting.append(await messages.get())
        waiting += _waiting_in(messages)
        reader.read_s = time.monotonic()
        encode = _of_call if reader.is_call else _encoded
        if not waiting and not self._sessions.unfinished(session):
            self._drop(session)
            return encode(CLOSE).data, True
        reader.sending = [item if isinstance(item, _Sent) else encode(*content_of(item)) for item in waiting]
        is_over = self._sessions.messages(session) is not messages
        data = b"".join(message.data for message in reader.sending or [encode(HEARTBEAT)])
        return data + (encode(CLOSE).data if is_over else b""), is_over

    async def _end_on_disconnect(self, session: str, reader: _Reader, receive: Receive) -> None:
        """Wait until the reader disconnects, then end the runs that it read, unless a newer one has taken over.

        A run that was asked for a moment ago, while this stream was open, may be meant for another that is on its way:
        a browser that lost its connection asks on a new one before the server knows of the loss.
        """
        while (await receive())["type"] != "http.disconnect":
            pass
        if self._readers.get(session) is not reader:
            return
        del self._readers[session]
        runs = self._runs.get(session, {})
        others = {run: sender for run, sender in runs.items() if sender.is_for_another(reader)}
        for run in runs.keys() - others.keys():
            self._leave(session, run, runs[run])
        if others or any(sender.is_for_another(reader) for sender in reader.ended):
            self._begin_again(session, reader)
            messages = self._sessions.messages(session)
            asyncio.get_running_loop().call_later(AGAIN_S, self._leave_unread, session, others, messages)
        else:
            await self._end_session(session)

    def _leave(self, session: str, run: asyncio.Task[None], sender: "_Sender") -> None:
        run.cancel(LEFT)
        self._sessions.unfinished(session).discard(sender.event_id)

    def _leave_unread(
        self, session: str, runs: "dict[asyncio.Task[None], _Sender]", messages: asyncio.Queue[Any] | None
    ) -> None:
        """End these runs unless their reader has come; what is then left is ended as everything unread."""
        if session not in self._readers:
            for run, sender in runs.items():
                self._leave(session, run, sender)
            self._end_unread_session(session, messages)

    async def _end_session(self, session: str) -> None:
        """End a session without a reader, and drop its messages; a visitor who comes back begins anew."""
        messages = self._drop(session)
        await self._sessions.end_events(session)
        if messages is not None:
            messages.put_nowait(_WAKE)

    def _drop(self, session: str) -> asyncio.Queue[Any] | None:
        """Forget a session; returns its messages."""
        if (address := self._addresses.pop(session, None)) is not None:
            self._num_at[address] -= 1
            if not self._num_at[address]:
                del self._num_at[address]
        return self._sessions.forget(session)


class _Sender:
    """Puts the messages of one event into its session's queue; `values` are those of its last frame, sent or not."""

    def __init__(self, event_id: str, messages: asyncio.Queue[Any], is_call: bool) -> None:
        self.event_id = event_id
        self.is_call = is_call
        self.values: list[Any] | None = None
        self._joined_s = time.monotonic()
        self._messages = messages
        self._first: list[Any] | None = None  # of the frames that were sent
        self._sent: list[Any] | None = None  # the newest
        self._end: dict[str, Any] | None = None  # what the event ended with

    @property
    def is_ahead(self) -> bool:
        """Whether MOST_WAITING messages wait for the reader."""
        return self._messages.qsize() >= MOST_WAITING

    def is_for_another(self, reader: _Reader) -> bool:
        """Whether the event was asked for just now and after this reader came, so that another may be on its way."""
        return reader.began_s < self._joined_s > time.monotonic() - AGAIN_S

    def start(self) -> None:
        """Queue the message that the event has begun."""
        self._put("process_starts", eta=None)

    def end(self, output: dict[str, Any]) -> None:
        """Queue the message that the event has ended, with its values or an error."""
        self._end = output
        self._put("process_completed", self.event_id, output=output, success="data" in output)

    def begin_again(self, messages: asyncio.Queue[Any]) -> None:
        """Queue all so far for a newer reader, who may know nothing of it; what follows goes there, too."""
        self._messages, first = messages, self._first
        self.start()
        if first is not None:
            self._put_frame(first)
            self._sent = first
            self.send()
        if self._end is not None:
            self.end(self._end)

    def send(self, only_if_read: bool = False) -> None:
        """Queue the changes since the frame that was sent last; `only_if_read`: not while the reader is behind.

        The first frame is always sent: it may change values that later ones leave UNCHANGED.
        """
        is_behind = only_if_read and self._sent is not None and self.is_ahead
        if self.values is None or self.values == self._sent or is_behind:
            return
        is_whole = self._sent is None or self.is_call
        self._put_frame(self.values if self._sent is None or is_whole else edits(self._sent, self.values))
        self._sent = self.values
        self._first = self._first or self._sent

    def _put_frame(self, data: list[Any]) -> None:
        self._put("process_generating", output={"data": data, "is_generating": True}, success=True)
        FRAMES.inc()

    def _put(self, kind: str, ends: str | None = None, **content: Any) -> None:
        encode = _of_call if self.is_call else _encoded
        self._messages.put_nowait(encode({"msg": kind, "event_id": self.event_id, **content}, ends))


def _waiting_in(messages: asyncio.Queue[Any]) -> list[Any]:
    return [messages.get_nowait() for _ in range(messages.qsize())]


def _encoded(message: dict[str, Any], ends: str | None = None) -> _Sent:
    """A message as the page's stream has it."""
    return _Sent(b"data: " + orjson.dumps(message, default=str) + b"\n\n", ends)


def _of_call(message: dict[str, Any], ends: str | None = None) -> _Sent:
    """A message as the stream of a call has it: the values so far, those at its end, or what its error is."""
    name = CALL_NAMES.get(message["msg"])
    if name is None:
        return _Sent(b"", ends)
    output, is_error = message.get("output") or {}, message.get("success") is False
    data = orjson.dumps(output if is_error else output.get("data"), default=str)
    return _Sent(b"event: %s\ndata: %s\n\n" % (b"error" if is_error else name, data), ends)


def _by_name(event: Event, content: dict[str, Any]) -> list[Any]:
    """The values of a call that has them by the names of the parameters, which have been checked."""
    given = {name: value for name, value in content.items() if name != "oauth_token"}  # Gradio ignores it here, too
    bound = inspect.signature(event.handler).bind(**given)
    bound.apply_defaults()
    return [*bound.args]


def _failure(error: Exception) -> dict[str, Any]:
    """The error as the page shows it; only a gr.Error has a message."""
    if not isinstance(error, gr.Error):
        return {"error": None}
    return {"error": error.message, "duration": error.duration, "visible": error.visible, "title": error.title}
