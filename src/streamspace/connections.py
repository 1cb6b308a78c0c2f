"""The server's connections: where it listens, how many it takes and from whom, and how long one may say nothing.

At the bound the longest idle connection makes room for a new one, so that those who are answered stay, and others come
in. uvicorn closes what idles between two requests; here also what has sent nothing yet, or half a header.
"""

import asyncio
import errno
import re
import resource
import socket
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from streamspace.asgi import respond
from streamspace.errors import ConfigError
from streamspace.metrics import REFUSALS
from streamspace.visitors import client_of, known_as

GONE_S = 20  # a connection is cut when its other end has been silent for so long
HEADER_S = 20.0  # for a request's header, from its first byte to its last
MOST_HEADER_BYTES = 64 << 10
MOST_CONNECTIONS = 8192  # in all, if the machine lets the process have as many
BACKLOG = 2048  # connections that wait in the kernel to be taken
MOST_TAKEN = 100  # of them at once: nothing else runs meanwhile, 2,000 would take half a second
FILES = 65_535  # that the process may have open: vLLM's own number
OTHER_FILES = 256  # for all but connections
BUSY = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 10\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_SLOW = b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
TOO_LONG = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
OFFER = re.compile(rb"(?i)\r\nupgrade:[ \t]*h2c[ \t]*(?=\r\n)")
STREAM = ((b"cache-control", b"no-cache"), (b"x-accel-buffering", b"no"))  # headers of every event stream


def raise_file_limit() -> int:
    """Let the process have FILES files open, or as many as the system allows; returns the number."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return FILES if soft == resource.RLIM_INFINITY else soft


def most_connections(num_files: int) -> int:
    """How many connections there may be where the process may have so many files open: a quarter of few ones."""
    return min(MOST_CONNECTIONS, max(num_files - OTHER_FILES, num_files // 4))


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; the kernel cuts its connections when their other end has been silent for GONE_S.

    Otherwise the server would write for a quarter of an hour to a reader that sleeps or has lost its network, and would
    wait for ever for one that only it could hear. Raises ConfigError if the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
    except OSError as error:
        raise ConfigError(f"Cannot listen on {host} port {port} ({error.strerror}): {_advice(host, error)}") from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * GONE_S)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, max(1, GONE_S // 2))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, max(1, GONE_S // 4))
    return listener


def listen_everywhere(host: str, port: int) -> list[socket.socket]:
    """The sockets for a host: `::` is every address of IPv6 and of IPv4, each with a socket of its own.

    One socket for both would show IPv4 addresses in the form of IPv6, which uvicorn's list of proxies does not know.
    """
    listeners = [listen(host, port)]
    if host == "::":
        try:
            listeners.append(listen("0.0.0.0", port))
        except ConfigError:
            listeners[0].close()
            raise
    return listeners


def _advice(host: str, error: OSError) -> str:
    if ":" in host and error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
        return "this machine has no such IPv6 address; choose another with --host, such as 0.0.0.0."
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return "this machine has no such address; choose another with --host, such as 0.0.0.0."
    return "stop the program that uses it, or choose another with --port."


class Connections:
    """All connections of the server; those without a request in progress are idle."""

    def __init__(self, most: int, most_of_address: int, is_proxy: Callable[[str], bool]) -> None:
        """Take `most` connections, and `most_of_address` from one address that is not a proxy's; 0 is no limit."""
        self._most = most
        self._most_of_address = most_of_address
        self._is_proxy = is_proxy
        self._addresses: dict[Connection, str] = {}  # "" for a proxy's
        self._num_at: Counter[str] = Counter()
        self._idle: dict[str | None, dict[Connection, None]] = defaultdict(dict)  # by address; None has all

    def enter(self, connection: "Connection", address: str) -> bool:
        """Take a new connection, in the place of the longest idle one if need be; False if there is no room."""
        place = "" if self._is_proxy(address) else known_as(address)
        if place and 0 < self._most_of_address <= self._num_at[place] and not self._make_room(place):
            return False
        if len(self._addresses) >= self._most and not self._make_room(None):
            return False
        self._addresses[connection] = place
        self._num_at[place] += 1
        self.set_idle(connection, True)
        return True

    def _make_room(self, place: str | None) -> bool:
        idle = next(iter(self._idle.get(place, ())), None)
        if idle is None:
            return False
        self.leave(idle)
        idle.transport.close()
        return True

    def set_idle(self, connection: "Connection", is_idle: bool) -> None:
        """Note whether a connection is without a request in progress; a new idle one is the last to go."""
        if (address := self._addresses.get(connection)) is None:
            return
        for place in (address, None):
            self._idle[place].pop(connection, None)
            if is_idle:
                self._idle[place][connection] = None
            elif not self._idle[place]:
                del self._idle[place]

    def leave(self, connection: "Connection") -> None:
        """Forget a connection; does nothing if it was not taken."""
        self.set_idle(connection, False)
        if (address := self._addresses.pop(connection, None)) is not None:
            self._num_at[address] -= 1
            if not self._num_at[address]:
                del self._num_at[address]


class Connection(HttpToolsProtocol):
    """uvicorn's connection, with a place among Connections and a deadline for each header."""

    def __init__(self, connections: Connections, **options: Any) -> None:
        super().__init__(**options)
        self._connections = connections
        self._deadline: asyncio.TimerHandle | None = None
        self._num_header_bytes = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self._connections.enter(self, self.client[0] if self.client else ""):
            self._refuse(BUSY)
            return
        # A browser may open a connection before it needs one.
        self.timeout_keep_alive_task = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)

    def data_received(self, data: bytes) -> None:
        # Java's client offers HTTP/2, in a head of one piece. With the offer, uvicorn loses the body.
        is_head = self.cycle is None or self.cycle.response_complete
        if is_head and (end := data.find(b"\r\n\r\n")) >= 0 and OFFER.search(data, 0, end + 2):
            data = OFFER.sub(b"", data, 1)
        super().data_received(data)
        if self._deadline is None:
            return
        self._num_header_bytes += len(data)
        if self._num_header_bytes > MOST_HEADER_BYTES:
            self._refuse(TOO_LONG)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._num_header_bytes = 0
        self._deadline = self.loop.call_later(HEADER_S, self._refuse, TOO_SLOW)

    def on_headers_complete(self) -> None:
        self._stop_clock()
        self._connections.set_idle(self, False)
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        if not self.pipeline:
            self._connections.set_idle(self, True)
        super().on_response_complete()

    def handle_websocket_upgrade(self) -> None:
        self._connections.leave(self)
        super().handle_websocket_upgrade()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        self._connections.leave(self)
        super().connection_lost(exc)

    def _stop_clock(self) -> None:
        if self._deadline:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, answer: bytes) -> None:
        """Answer, unless the answer to an earlier request is still on its way, and close."""
        self._stop_clock()
        REFUSALS.labels("connections").inc()
        if self.cycle is None or self.cycle.response_complete:
            self.transport.write(answer)
        self.transport.close()


class RequestLimit:
    """The outermost application: counts requests in progress by address; has proxies pass streams on at once."""

    def __init__(self, app: ASGIApp, most_of_address: int) -> None:
        """Let `most_of_address` requests of one address be in progress at once, also behind a proxy; 0 is no limit."""
        self._app = app
        self._most = most_of_address
        self._num_at: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        address = client_of(scope).address
        if 0 < self._most <= self._num_at[address]:
            REFUSALS.labels("connections").inc()
            sentence = f"At most {self._most} connections at once for one address: close a page, or wait a moment."
            await respond(send, 503, {"detail": sentence, "error": sentence})
            return
        self._num_at[address] += 1
        try:
            await self._app(scope, receive, _unbuffered(send))
        finally:
            self._num_at[address] -= 1
            if not self._num_at[address]:
                del self._num_at[address]


def _unbuffered(send: Send) -> Send:
    """A `send` that adds the headers of STREAM which an event stream lacks."""

    async def pass_on(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = message.get("headers") or []
            given = {name.lower(): value for name, value in headers}
            if given.get(b"content-type", b"").startswith(b"text/event-stream"):
                missing = [header for header in STREAM if header[0] not in given]
                message = {**message, "headers": [*headers, *missing]}
        await send(message)

    return pass_on
