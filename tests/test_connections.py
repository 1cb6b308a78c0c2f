"""How many connections the server takes and from whom, how long one may say nothing, and where it listens."""

import asyncio
import errno
import http.client
import json
import resource
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

import pytest

from streamspace import connections
from streamspace.config import load_config
from streamspace.connections import (
    MOST_TAKEN,
    Connections,
    listen_everywhere,
    most_connections,
    raise_file_limit,
)
from streamspace.errors import ConfigError
from streamspace.server import keep_alive_s, places
from streamspace.types import Delta
from tests.client import JSON, ask
from tests.fake import FakePageEngine, deltas
from tests.support import free_port, served, wait_until
from tests.wire import LONG, Site, Tab, completed, served_site

Open = Callable[..., socket.socket]


@pytest.fixture
def connect() -> Iterator[Open]:
    """Opens connections that say so much and no more."""
    with ExitStack() as stack:

        def to(url: str, said: bytes = b"") -> socket.socket:
            host, port = url.removeprefix("http://").split(":")
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=10))
            connection.sendall(said)
            return connection

        yield to


@contextmanager
def crowded(monkeypatch: pytest.MonkeyPatch, most: int, per_address: int = 0) -> Iterator[Site]:
    """A page that takes so many connections, on an engine that never comes to an end."""
    monkeypatch.setattr(connections, "MOST_CONNECTIONS", most)
    engine = FakePageEngine([Delta("a"), LONG])
    engine.config = replace(engine.config, connections_per_address=per_address)
    with served_site(engine) as site:
        yield site


def answered(connection: socket.socket) -> bytes:
    """All that comes until the server closes it."""
    return b"".join(iter(lambda: connection.recv(10_000), b""))


def test_half_a_header_is_cut_off(site: Site, connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_S", 0.2)
    assert answered(connect(site.url, b"GET /health HTTP/1.1\r\nHost: x\r\n")).startswith(b"HTTP/1.1 408 ")
    second = connect(site.url, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HT")
    first, _, last = answered(second).partition(b"HTTP/1.1 408 ")
    assert first.startswith(b"HTTP/1.1 200 ") and b"connection: close" in last


def test_a_header_without_end_is_cut_off(site: Site, connect: Open) -> None:
    long = b"GET /health HTTP/1.1\r\nX: " + b"x" * (connections.MOST_HEADER_BYTES + 1)
    assert answered(connect(site.url, long)).startswith(b"HTTP/1.1 431 ")


def test_a_slow_body_and_a_slow_answer_are_no_slow_header(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "HEADER_S", 0.1)
    site.engine.script = [Delta("a"), 0.3, Delta("b", "stop")]
    tab = Tab(site)
    assert completed(tab.answer())["success"]


def test_a_connection_that_says_nothing_is_closed(connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VLLM_HTTP_TIMEOUT_KEEP_ALIVE", "1")
    with served(FakePageEngine()) as url:
        assert answered(connect(url)) == b""
        assert answered(connect(url, b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n\r\n")).startswith(b"HTTP/1.1 200 ")


def test_at_the_bound_an_idle_one_makes_room_and_a_reader_stays(connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with crowded(monkeypatch, most=6) as site:
        reader = Tab(site)
        reader.ask()
        stream = reader.stream()
        messages = iter(stream)
        next(message for message in messages if message["msg"] == "process_generating")
        silent = [connect(site.url, b"GET / HT" if number % 2 else b"") for number in range(20)]
        assert answered(silent[0]) == b""  # closed, as the longest idle one
        assert ask(site.url, "GET", "/health")[0] == 200
        assert site.engine.num_running == 1 and site.engine.num_closed_early == 0
        newcomer = Tab(site)
        newcomer.ask()
        wait_until(lambda: site.engine.num_running == 2, what="the newcomer's answer")
        stream.close(reset=True)


def test_where_all_are_busy_one_more_is_told_so(connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    with crowded(monkeypatch, most=2) as site:
        status = b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n"
        readers = [connect(site.url, status) for _ in range(2)]
        assert all(reader.recv(10_000).startswith(b"HTTP/1.1 200 ") for reader in readers)
        assert answered(connect(site.url)).startswith(b"HTTP/1.1 503 ")
        readers[0].close()
        wait_until(lambda: ask(site.url, "GET", "/health")[0] == 200, what="the room")


def test_an_address_has_so_many_and_its_longest_idle_one_goes(connect: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "10.9.9.9")  # so that 127.0.0.1 is nobody's proxy
    with crowded(monkeypatch, most=100, per_address=3) as site:
        silent = [connect(site.url) for _ in range(4)]
        assert answered(silent[0]) == b""
        busy = [connect(site.url, b"GET /status HTTP/1.1\r\nHost: x\r\n\r\n") for _ in range(3)]
        assert all(reader.recv(10_000).startswith(b"HTTP/1.1 200 ") for reader in busy)
        assert answered(connect(site.url)).startswith(b"HTTP/1.1 503 ")


def test_behind_a_proxy_an_address_has_so_many_requests_in_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    with crowded(monkeypatch, most=100, per_address=2) as site, ExitStack() as stack:
        own = {"X-Forwarded-For": "9.9.9.9, 2001:db8::1"}
        for _ in range(2):
            connection = http.client.HTTPConnection(site.url.removeprefix("http://"), timeout=10)
            stack.callback(connection.close)
            connection.request("GET", "/status", headers=own)
            assert connection.getresponse().status == 200
        status, _, text = ask(site.url, "GET", "/health", None, {"X-Forwarded-For": "8.8.8.8, 2001:db8::2"})
        assert status == 503 and "At most 2 connections at once for one address" in json.loads(text)["detail"]
        assert ask(site.url, "GET", "/health", None, {"X-Forwarded-For": "2001:db8:0:1::1"})[0] == 200


def test_a_crowd_is_taken_in_turns_and_nobody_has_to_knock_again(
    connect: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, loops = FakePageEngine(), list[asyncio.AbstractEventLoop]()
    turns, entered, enter = 0, Counter[int](), Connections.enter

    def turn() -> None:
        nonlocal turns
        turns += 1
        if turns >= 0:
            loops[0].call_soon(turn)

    def counted(self: Connections, *arguments: Any) -> bool:
        entered[turns] += 1
        return enter(self, *arguments)

    monkeypatch.setattr(Connections, "enter", counted)
    monkeypatch.setattr(engine, "start", lambda: loops.append(asyncio.get_running_loop()))
    with served(engine) as url:
        goes_on = threading.Event()
        loops[0].call_soon_threadsafe(turn)
        loops[0].call_soon_threadsafe(goes_on.wait, LONG)
        try:
            for _ in range(3 * MOST_TAKEN):
                connect(url)
        finally:
            goes_on.set()
        wait_until(lambda: entered.total() == 3 * MOST_TAKEN, what="their coming in")
        turns = -10
    assert max(entered.values()) <= MOST_TAKEN


def test_nothing_is_kept_of_connections_that_have_gone() -> None:
    all_of_them = Connections(10, 5, lambda address: address == "10.0.0.1")
    fakes: list[Any] = [object() for _ in range(8)]
    for number, fake in enumerate(fakes):
        assert all_of_them.enter(fake, "10.0.0.1" if number % 2 else f"2001:db8::{number}")
    all_of_them.set_idle(fakes[0], False)
    for fake in (*fakes, *fakes):
        all_of_them.leave(fake)
        all_of_them.set_idle(fake, True)
    assert not (all_of_them._addresses or all_of_them._num_at or all_of_them._idle)


@pytest.mark.parametrize("path", ["/status", "/engine", "/v1/completions", "/gradio_api/call/complete"])
def test_no_proxy_holds_a_stream_back(path: str) -> None:
    async def openai(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream; charset=utf-8")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: [DONE]\n\n"})

    engine = FakePageEngine(deltas("a"))
    engine.openai_app = openai
    with served_site(engine) as site:
        if path.startswith("/v1"):
            answer = ask(site.url, "POST", path, b'{"prompt": "Hi", "max_tokens": 1}', JSON)
        elif "call" in path:
            answer = ask(site.url, "GET", f"/gradio_api/{Tab(site).call()}")
        else:
            answer = ask(site.url, "GET", path)
        assert answer[0] == 200 and answer[1].get_content_type() == "text/event-stream"
        assert answer[1]["X-Accel-Buffering"] == "no" and answer[1]["Cache-Control"] in ("no-store", "no-cache")


def test_idle_connections_outlive_the_pools_of_usual_clients() -> None:
    assert keep_alive_s({}) > 90
    assert keep_alive_s({"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "7"}) == 7
    with pytest.raises(ConfigError, match="VLLM_HTTP_TIMEOUT_KEEP_ALIVE is 'x'; allowed is a whole number"):
        keep_alive_s({"VLLM_HTTP_TIMEOUT_KEEP_ALIVE": "x"})


def test_the_limit_of_open_files_is_raised() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, before[1]))
    try:
        assert raise_file_limit() == resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(65_535, before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_where_few_files_may_be_open_there_are_connections_all_the_same() -> None:
    assert [most_connections(num_files) for num_files in (65_535, 1024, 256, 64)] == [8192, 768, 64, 16]


@pytest.mark.parametrize("written", ["::", "[::]"])
def test_every_address_is_that_of_ipv4_and_that_of_ipv6(written: str) -> None:
    host, port = load_config(["--host", written], {}).host, free_port()
    with ExitStack() as stack:
        listeners = [stack.enter_context(listener) for listener in listen_everywhere(host, port)]
        for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
            connection = stack.enter_context(socket.socket(family))
            connection.connect((address, port))
            accepting = next(listener for listener in listeners if listener.family == family)
            assert accepting.accept()[1][0] == address  # not an address of IPv4 in the form of IPv6


@pytest.mark.parametrize(
    ("host", "number", "words"),
    [
        ("::", errno.EAFNOSUPPORT, "this machine has no such IPv6 address; choose another with --host"),
        ("::1", errno.EADDRNOTAVAIL, "this machine has no such IPv6 address; choose another with --host"),
        ("9.9.9.9", errno.EADDRNOTAVAIL, "this machine has no such address; choose another with --host"),
        ("127.0.0.1", errno.EADDRINUSE, "stop the program that uses it, or choose another with --port"),
    ],
)
def test_what_cannot_be_listened_on_is_told_truly(
    host: str, number: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise OSError(number, "as the system says")

    monkeypatch.setattr(socket, "create_server", fail)
    with pytest.raises(ConfigError, match=rf"Cannot listen on {host} port 7860 \(as the system says\): {words}"):
        listen_everywhere(host, 7860)


def test_a_port_that_is_taken_in_one_family_leaves_nothing_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(ConfigError):
            listen_everywhere("::", port)
        with socket.create_server(("::", port), family=socket.AF_INET6):
            pass


# Public and private places

PUBLIC = {"answers_per_visitor": 1, "requests_per_minute": 30, "max_seconds": 300, "queue_length": 256}


@pytest.mark.parametrize(
    ("arguments", "environ", "why"),
    [
        ((), {}, None),
        (("--host", "localhost"), {}, None),
        (("--host", "127.0.0.2"), {}, None),
        (("--host", "[::1]"), {}, None),
        (("--host", "0.0.0.0"), {}, "it listens on 0.0.0.0"),
        (("--host", "[::]"), {}, "it listens on ::"),
        ((), {"GRADIO_SERVER_NAME": "0.0.0.0"}, "it listens on 0.0.0.0"),  # as in our images
        (("--host", "127.0.0.1"), {"GRADIO_SERVER_NAME": "0.0.0.0"}, None),
        (("--host", "192.168.1.5"), {}, "it listens on 192.168.1.5"),
        ((), {"SPACE_ID": "o/n"}, "it is a Space"),
    ],
)
def test_where_strangers_come_the_limits_are_those_of_a_public_place(
    arguments: tuple[str, ...], environ: dict[str, str], why: str | None
) -> None:
    config = load_config(arguments, environ)
    assert config.why_public == why and config.serves_openai == (why is None)
    values = {name: getattr(config, name) for name in PUBLIC}
    assert (values == PUBLIC) == (why is not None)
    assert load_config((*arguments, "--api-key", "k"), environ).serves_openai
    assert load_config((*arguments, "--requests-per-minute", "7"), environ).requests_per_minute == 7


def test_the_log_says_which_limits_are_in_force_and_why() -> None:
    told = places(load_config(("--host", "0.0.0.0"), {}))
    assert told == (
        "The place is public, because it listens on 0.0.0.0. Limits: 1 answers at once for a visitor, 4 answers at "
        "once for an address, 30 requests a minute from an address, 256 connections from an address, 256 waiting "
        "requests, 300 seconds for an answer; /v1 is off without --api-key."
    )
    told = places(load_config((), {}))
    assert told.startswith(
        "The place is private, because it listens on 127.0.0.1. Limits: any number of answers at once"
    )
    assert told.endswith("/v1 is without a key.")
