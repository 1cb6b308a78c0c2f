"""Bodies of requests at every entrypoint: their size, their time, what they may cost, and who may send them."""

import asyncio
import errno
import gc
import http.client
import json
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from fastapi.exceptions import RequestValidationError

from streamspace import asgi, faults, hardware, metrics, server
from streamspace.asgi import BIG_BYTES, LEAST_BYTES, LEAST_VALUES, BodyLimit, parse
from streamspace.config import load_config
from streamspace.errors import BadRequest, TooManyAttempts
from streamspace.sampling import Settings, check_settings
from streamspace.types import Delta, Reply, Token
from streamspace.ui.gradio_ import guard, mcp, streams
from streamspace.ui.gradio_.endpoints import complete_arguments
from streamspace.ui.parts import tokens
from streamspace.visitors import MINUTE_S, MOST_ATTEMPTS, Attempts, Keys
from tests.client import AUTH, FORM, JSON, ask, log_in
from tests.fake import FakePageEngine, deltas
from tests.inputs import CHAT, call_values, page_values
from tests.support import Running, served, wait_until
from tests.wire import ASK, Site, Tab, served_site

JOIN, CALL, MCP = "/gradio_api/queue/join", "/gradio_api/call/v2/complete", "/gradio_api/mcp/"
COMPLETIONS = "/v1/completions"
WAYS = (JOIN, CALL, MCP, COMPLETIONS)
ACCEPT = {"Accept": "application/json, text/event-stream"}
LOCAL_LIMIT = BodyLimit.of(1000)  # of the scripted engine


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(FakePageEngine(deltas("an| answer"))) as url:
        yield url


@contextmanager
def site_with(*options: str) -> Iterator[Site]:
    """A page with these options, on a scripted engine that takes one request at a time."""
    engine = FakePageEngine(deltas("an| answer"))
    engine.config = load_config(options, {"MODEL_ID": engine.config.model})
    with served_site(engine) as site:
        yield site


def body_for(way: str, number: int = 0, **more: Any) -> bytes:
    """A right body that asks for a short answer; `number` is the event's."""
    asked: dict[str, Any] = {"prompt": "Once upon a time", "max_tokens": 3}
    tool = {"name": "ask", "arguments": {"question": "Hi", "max_tokens": 3}}
    bodies: dict[str, dict[str, Any]] = {
        JOIN: {"data": call_values(complete_arguments(), **asked), "fn_index": number, "session_hash": "a session"},
        CALL: asked,
        MCP: {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": tool},
        COMPLETIONS: asked,
    }
    return json.dumps({**bodies[way], **more}).encode()


@contextmanager
def sending(url: str, way: str, *headers: str, body: bytes = b"") -> Iterator[socket.socket]:
    """A connection on which so much of a POST was sent."""
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        kinds = [f"{name}: {value}" for name, value in {**JSON, **ACCEPT}.items()]
        lines = [f"POST {way} HTTP/1.1", f"Host: {host}", *kinds, *headers, "", ""]
        connection.sendall("\r\n".join(lines).encode() + body)
        yield connection


def answer_on(connection: socket.socket) -> tuple[int, str]:
    """The status and the text of what is answered."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return response.status, response.read().decode()


def sentence_of(way: str, text: str) -> str:
    """The refusal as the clients of this entrypoint find it."""
    told = json.loads(text)
    return str(told["error"]["message"] if way == COMPLETIONS else told["detail"])


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


# How much, and how long


@pytest.mark.parametrize("way", WAYS)
def test_a_body_without_its_length_is_answered(running: Running, way: str) -> None:
    number = next(i for i, fn in running.demo.fns.items() if getattr(fn.fn, "__name__", "") == "complete")
    body = body_for(way, number)
    parts = b"".join(chunk(body[start : start + 7]) for start in range(0, len(body), 7)) + chunk(b"")
    with sending(running.url, way, "Transfer-Encoding: chunked", "Connection: close", body=parts) as connection:
        status, text = answer_on(connection)
    assert status == 200, text
    wait_until(lambda: running.is_idle, what="an idle engine")


@pytest.mark.parametrize("way", [JOIN, CALL, MCP])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_a_client_that_offers_http_2_keeps_its_body_and_its_connection(site: Site, way: str, is_chunked: bool) -> None:
    body = body_for(way, site.number("complete"))
    length = "Transfer-Encoding: chunked" if is_chunked else f"Content-Length: {len(body)}"
    offer = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
    with sending(site.url, way, length, *offer) as connection:
        for _ in range(2):  # Java's client sends the body apart from the head
            connection.sendall(chunk(body) + chunk(b"") if is_chunked else body)
            status, text = answer_on(connection)
            assert status == 200, text
            lines = [f"POST {way} HTTP/1.1", "Host: x", length, *(f"{k}: {v}" for k, v in {**JSON, **ACCEPT}.items())]
            connection.sendall("\r\n".join([*lines, "", ""]).encode())


@pytest.mark.parametrize("way", WAYS)
def test_a_body_that_grows_above_the_limit_is_refused_in_its_middle(url: str, way: str) -> None:
    with sending(url, way, "Transfer-Encoding: chunked") as connection:
        connection.sendall(chunk(b'{"prompt": "'))
        for _ in range(LOCAL_LIMIT.num_bytes // 32_000 + 1):
            connection.sendall(chunk(b"x" * 32_000))
        status, text = answer_on(connection)  # the body has not ended
    assert status == 413 and f"allowed are {LOCAL_LIMIT.num_bytes}" in sentence_of(way, text)


@pytest.mark.parametrize("way", WAYS)
def test_a_length_above_the_limit_is_refused_before_the_body(url: str, way: str) -> None:
    with sending(url, way, f"Content-Length: {LOCAL_LIMIT.num_bytes + 1}") as connection:
        status, text = answer_on(connection)
    assert status == 413
    assert sentence_of(way, text).startswith(f"The request has {LOCAL_LIMIT.num_bytes + 1} bytes or more; allowed are")
    with sending(url, way, "Content-Length: much") as connection:
        assert answer_on(connection)[0] == 400


def test_a_client_that_goes_on_sending_what_was_refused_sees_the_refusal(url: str) -> None:
    body = b" " * (LOCAL_LIMIT.num_bytes + (8 << 20))  # more than what lies between both ends
    assert ask(url, "POST", JOIN, body, JSON)[0] == 413


def test_the_limit_lets_a_full_context_in_and_the_largest_schemas() -> None:
    for max_model_len in (2048, 32_768, 1 << 20):
        text = "\U0001f600" * max_model_len  # a token each; in JSON's escapes twelve bytes
        body = json.dumps({"messages": [{"role": "user", "content": text}]}).encode()
        limit = BodyLimit.of(max_model_len)
        assert len(body) + (256 << 10) <= limit.num_bytes and body.count(b",") <= limit.num_values
    assert BodyLimit.of(None) == BodyLimit(LEAST_BYTES, LEAST_VALUES)
    assert BodyLimit.of(2048, 16 << 20).num_bytes == BodyLimit.of(2048).num_bytes + (16 << 20)


@pytest.mark.parametrize("way", WAYS)
def test_a_body_of_too_many_values_is_refused_before_they_are_parsed(url: str, way: str) -> None:
    body = b'{"prompt":[' + b"1," * LEAST_VALUES + b"1,1]}"
    status, _, text = ask(url, "POST", way, body, {**JSON, **ACCEPT})
    assert status == 400 and "commas; allowed are 100000" in sentence_of(way, text)


def test_the_mcp_server_gets_no_more_lists_than_it_can_check(url: str) -> None:
    for number, status in ((490, 200), (500, 400)):
        body = body_for(MCP, params={"name": "ask", "arguments": {"question": [[]] * number}})
        answered, _, text = ask(url, "POST", MCP, body, {**JSON, **ACCEPT})
        assert answered == status and (status == 200 or "lists and objects; allowed are 500" in sentence_of(MCP, text))


@pytest.mark.parametrize("way", WAYS)
def test_a_body_that_never_ends_is_refused_in_time(url: str, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "BODY_S", 0.2)
    monkeypatch.setattr(asgi, "DISCARD_S", 0.2)
    with sending(url, way, "Content-Length: 100", body=b'{"prompt"') as connection:
        status, text = answer_on(connection)
        assert status == 408 and sentence_of(way, text) == "The request was not complete after 0.2 s: send it again."
        assert connection.recv(1) == b""  # it is cut off


@pytest.mark.parametrize("way", WAYS)
def test_a_refusal_of_what_was_read_leaves_the_connection_open(
    url: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asgi, "DISCARD_S", 3600.0)
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.connect()
    first = connection.sock
    for _ in range(2):
        connection.request("POST", way, b"no JSON", {**JSON, **ACCEPT})
        assert connection.getresponse().read()
    assert connection.sock is first
    connection.close()


@pytest.mark.parametrize("way", [JOIN, "/gradio_api/call/complete"])
def test_who_disconnects_before_the_end_of_a_body_has_asked_for_nothing(
    site: Site, way: str, caplog: pytest.LogCaptureFixture
) -> None:
    session = "who disconnects"
    body = body_for(JOIN, site.number("complete"), session_hash=session)  # whole, but for a byte that the head promises
    with sending(site.url, way, f"Content-Length: {len(body) + 1}", body=body):
        pass
    tab = Tab(site)
    tab.complete("after")
    list(tab.stream())
    assert site.engine.num_started == 1 and not site.remembers(session) and not caplog.records


# What it costs


@pytest.mark.parametrize("way", WAYS)
def test_a_large_body_is_parsed_in_a_thread_and_a_small_one_on_the_loop(
    url: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def noting(body: bytes, **options: Any) -> Any:
        threads.append(threading.current_thread().name)
        return parse(body, **options)

    for module in (streams, guard, mcp, "streamspace.openai_server"):
        monkeypatch.setattr(f"{getattr(module, '__name__', module)}.parse", noting)
    for size, is_apart in ((10, False), (BIG_BYTES, True)):
        threads.clear()
        assert ask(url, "POST", way, b'{"fn_index": "%s"' % (b"x" * size), {**JSON, **ACCEPT})[0] == 400
        assert threads and all((name != "scripted") == is_apart for name in threads)


def test_large_bodies_are_counted_before_they_are_parsed_and_small_ones_when_they_ask() -> None:
    with site_with("--requests-per-minute", "1") as site:
        for size, statuses in ((BIG_BYTES, [400, 400, 429, 429]), (10, [400] * 4)):
            for status in statuses:
                assert ask(site.url, "POST", JOIN, b"[" * (size + 1), JSON)[0] == status
        tab = Tab(site)
        tab.complete()  # which large bodies have not used up
        assert list(tab.stream())[-2]["success"] is True


def test_at_the_openai_api_a_request_counts_before_it_is_read() -> None:
    with site_with("--requests-per-minute", "1") as site:
        assert ask(site.url, "POST", COMPLETIONS, b"no JSON", JSON)[0] == 400
        status, headers, text = ask(site.url, "POST", COMPLETIONS, b"no JSON", JSON)
        assert status == 429 and "At most 1 request a minute" in text and headers["Retry-After"]


def test_a_constraint_counts_before_it_is_checked() -> None:
    with site_with("--requests-per-minute", "1") as site:
        sentences = []
        for _ in range(2):
            tab = Tab(site)
            tab.join("complete", call_values(complete_arguments(), prompt="Hi", regex="("))
            (end,) = (message for message in tab.stream() if message["msg"] == "process_completed")
            sentences.append(end["output"]["error"])
        assert sentences[0].startswith("The regex cannot be used") and sentences[1].startswith("At most 1 request a")


def test_no_body_is_parsed_before_the_login(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(body: bytes, **options: Any) -> Any:
        raise AssertionError("parsed")

    monkeypatch.setattr(streams, "parse", parse)
    monkeypatch.setattr(guard, "parse", parse)
    monkeypatch.setattr(mcp, "parse", parse)
    engine = FakePageEngine()
    engine.config = replace(engine.config, auth=AUTH, api_keys=("right",))
    with served(engine) as url:
        for way in (*WAYS, "/gradio_api/call/complete"):  # Gradio says 422 to what it has parsed
            assert ask(url, "POST", way, b"[" * BIG_BYTES, {**JSON, **ACCEPT})[0] == 401


def test_a_request_that_waits_keeps_nothing_but_its_text(site: Site) -> None:
    site.engine.script, site.engine.capacity = [Delta("a"), 3600.0], 1
    first, second = Tab(site), Tab(site)
    first.ask()
    reader = first.stream()
    wait_until(lambda: site.engine.num_running == 1, what="the first answer")
    second.join(ASK, page_values(CHAT, message="Hi"), {"junk": [7] * 4999})
    wait_until(lambda: site.num_waiting(second.session) > 1, what="a place in the queue")
    assert not [one for one in gc.get_objects() if type(one) is list and len(one) == 4999]
    reader.close()
    second.stream().close()


def test_the_view_of_tokens_is_made_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[int] = []

    def tokens_html(*_: Any) -> str:
        threads.append(threading.get_ident())
        return "the view"

    monkeypatch.setattr(tokens, "tokens_html", tokens_html)
    view = tokens.TokensView(Settings(logprobs=5))
    assert asyncio.run(view.html(Reply("a", "stop", tokens=(Token("a", 1.0, ()),)))) == "the view"
    assert threads and threads[0] != threading.get_ident()


def test_a_stop_string_has_a_length_that_can_be_looked_for(url: str) -> None:
    assert check_settings({"stop": ["x" * 256]}, Settings(), 100).stop == ("x" * 256,)
    with pytest.raises(BadRequest, match="A stop string has 257 characters; allowed are 256"):
        check_settings({"stop": ["a", "x" * 257]}, Settings(), 100)
    for stop in ("x" * 257, ["x" * 257]):
        status, _, text = ask(url, "POST", COMPLETIONS, body_for(COMPLETIONS, stop=stop), JSON)
        assert status == 400 and "A stop string has 257 characters; allowed are 256." in text


# What is JSON


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (rb'["\ud83d\ude00 \ud800 \\ud800 \ude00\ud83d"]', ["\U0001f600 \ufffd \\ud800 \ufffd\ufffd"]),
        (b'["\xed\xa0\x80\xff"]', ["\ufffd" * 4]),
        (rb'{"\uDFFF": 1}', {"\ufffd": 1}),
        (b'["\\ud800' + b"x" * BIG_BYTES + b'"]', ["\ufffd" + "x" * BIG_BYTES]),
    ],
)
def test_half_a_character_is_replaced_and_no_other(body: bytes, value: Any) -> None:
    assert parse(body) == value


def test_nan_is_json_in_small_bodies_of_gradios_clients_alone() -> None:
    assert str(parse(b"[NaN, -Infinity]", takes_nan=True)) == "[nan, -inf]"
    for body, takes_nan in ((b"[NaN]", False), (b"[NaN" + b" " * BIG_BYTES + b"]", True), (b"[" * 5000, True)):
        with pytest.raises(BadRequest, match="not JSON"):
            parse(body, takes_nan)


# Faults


def test_a_fault_is_a_500_with_one_traceback_in_the_log(
    site: Site, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cancel(*_: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("gradio.routes.cancel_tasks", cancel)
    body = json.dumps({"session_hash": "s", "fn_index": 0, "event_id": "e"}).encode()
    monkeypatch.setattr(faults, "_places", {})
    for _ in range(3):
        status, _, text = ask(site.url, "POST", "/gradio_api/cancel", body, JSON)
        assert (
            status == 500 and json.loads(text)["detail"].startswith("The page could not answer") and "space" not in text
        )
    (record,) = caplog.records
    assert record.levelno == logging.ERROR and record.exc_info and "No space left on device" in caplog.text
    monkeypatch.setattr(faults, "EVERY_S", -1.0)
    for place in faults._places.values():
        place.due_s = 0
    ask(site.url, "POST", "/gradio_api/cancel", body, JSON)
    assert caplog.messages[-1].endswith("(and 2 times more since the last traceback)")


# Other sites


@pytest.mark.parametrize("path", [JOIN, CALL, "/gradio_api/call/complete", "/gradio_api/cancel", MCP, COMPLETIONS])
@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", ""])
def test_what_any_page_may_have_a_browser_send_starts_nothing(site: Site, path: str, kind: str) -> None:
    body = body_for(path if path in WAYS else JOIN, site.number("complete"))
    status, _, text = ask(site.url, "POST", path, body, {"Content-Type": kind, **ACCEPT})
    assert status == 400 and "Content-Type" in sentence_of(path, text) and site.engine.num_started == 0


FOREIGN = [
    {"Origin": "https://elsewhere.example"},
    {"Origin": "null"},
    {"Origin": "https://elsewhere.example", "Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://elsewhere.page.example", "Sec-Fetch-Site": "same-site"},
]
OWN = [
    {},
    {"Origin": "http://page.example"},
    {"Origin": "https://public.example", "X-Forwarded-Host": "public.example"},
    {"Origin": "https://public.example", "Sec-Fetch-Site": "same-origin"},  # behind a proxy that names itself as host
]


@pytest.mark.parametrize("path", [JOIN, CALL, "/gradio_api/cancel", MCP])
def test_pages_of_other_sites_start_nothing(site: Site, path: str) -> None:
    body = body_for(
        path if path in WAYS else JOIN, site.number("complete"), **({} if path == CALL else {"event_id": "none"})
    )
    for headers in FOREIGN:
        status, _, text = ask(site.url, "POST", path, body, {**JSON, **ACCEPT, "Host": "page.example", **headers})
        assert status == 403 and sentence_of(path, text).startswith("Pages of other sites cannot ask here")
    assert site.engine.num_started == 0
    for headers in OWN:
        assert ask(site.url, "POST", path, body, {**JSON, **ACCEPT, "Host": "page.example", **headers})[0] == 200
    started = 0 if path == "/gradio_api/cancel" else len(OWN)
    wait_until(lambda: site.engine.num_started == started, what="the start of each that is allowed")


def test_a_visitor_is_refused_in_the_own_language(site: Site) -> None:
    headers = {**JSON, "Host": "page.example", "Accept-Language": "zh-CN", **FOREIGN[0]}
    assert "其他网站" in ask(site.url, "POST", JOIN, b"{}", headers)[2]


# Keys and passwords


def test_an_address_may_be_wrong_so_often_a_minute() -> None:
    now_s = 0.0
    attempts = Attempts(lambda: now_s)
    for _ in range(MOST_ATTEMPTS):
        attempts.check("anna")
        attempts.failed("anna")
    with pytest.raises(TooManyAttempts, match="try again in 60 s"):
        attempts.check("anna")
    attempts.check("ben")
    now_s = MINUTE_S
    attempts.check("anna")


def test_only_a_key_that_is_wrong_counts() -> None:
    keys = Keys(["right"])
    for _ in range(2 * MOST_ATTEMPTS):
        assert not keys.fit({}, "anna") and not keys.fit({"authorization": "Basic x"}, "anna")
        assert keys.fit({"authorization": "Bearer right"}, "anna")
    for _ in range(MOST_ATTEMPTS):
        assert not keys.fit({"authorization": "Bearer wrong"}, "anna")
    with pytest.raises(TooManyAttempts):
        keys.fit({"authorization": "Bearer right"}, "anna")
    assert keys.fit({"authorization": "Bearer right"}, "ben")


GUESSES: dict[str, Callable[[str, str], int]] = {
    "the page's login": lambda url, word: ask(
        url, "POST", "/login", f"username={AUTH[0]}&password={word or AUTH[1]}".encode(), FORM
    )[0],
    "the OpenAI API": lambda url, word: ask(
        url, "GET", "/v1/models", None, {"Authorization": f"Bearer {word or 'right'}"}
    )[0],
    "the MCP server": lambda url, word: ask(
        url, "GET", f"{MCP}schema", None, {"Authorization": f"Bearer {word or 'right'}"}
    )[0],
    "another try of the engine": lambda url, word: ask(url, "POST", f"/retry?key={word or 'key'}")[0],
}


@pytest.mark.parametrize("guess", GUESSES.values(), ids=GUESSES)
def test_nothing_can_be_guessed_at_speed(guess: Callable[[str, str], int]) -> None:
    engine = FakePageEngine()
    engine.config = replace(engine.config, auth=AUTH, api_keys=("right",))
    with served(engine) as url:
        statuses = [guess(url, f"wrong{number}") for number in range(MOST_ATTEMPTS + 2)]
        assert not {429, 200} & {*statuses[:MOST_ATTEMPTS]} and statuses[MOST_ATTEMPTS:] == [429, 429]
        assert guess(url, "") == 429  # also when it is right
        assert engine.num_retries == 0


def test_logging_in_does_not_use_it_up() -> None:
    engine = FakePageEngine()
    engine.config = replace(engine.config, auth=AUTH)
    with served(engine) as url:
        for _ in range(MOST_ATTEMPTS + 1):
            log_in(url)


def test_the_numbers_are_computed_once_a_second_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s, made = 0.0, 0

    def exposition() -> bytes:
        nonlocal made
        made += 1
        return b"numbers"

    monkeypatch.setattr(metrics, "exposition", exposition)
    monkeypatch.setattr(time, "monotonic", lambda: now_s)
    shared = metrics.Exposition()
    now_s = 10.0
    assert [shared.text() for _ in range(100)] == [b"numbers"] * 100 and made == 1
    now_s += metrics.FRESH_S
    assert shared.text() == b"numbers" and made == 2


def test_what_bodies_left_free_is_given_back_again_and_again_off_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[str] = []
    monkeypatch.setattr(server, "GIVE_BACK_S", 0.01)
    monkeypatch.setattr(hardware, "give_free_memory_back", lambda: threads.append(threading.current_thread().name))
    engine = FakePageEngine()
    with served(engine):
        wait_until(lambda: len(threads) >= 3, what="giving it back")
    assert "scripted" not in threads
    assert engine.num_rests >= 3


def test_memory_is_given_back_though_the_engine_fails_of_its_part(monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[int] = []
    monkeypatch.setattr(server, "GIVE_BACK_S", 0.01)
    monkeypatch.setattr(hardware, "give_free_memory_back", lambda: given.append(1))
    engine = FakePageEngine()

    async def fail() -> None:
        raise RuntimeError

    monkeypatch.setattr(engine, "rest", fail)
    with served(engine):
        wait_until(lambda: len(given) >= 3, what="giving it back")


WRONG: dict[str, tuple[str, bytes]] = {
    f"{path} {kind}": (path, b'{"%s":[%s],"max_tokens":1}' % (field, b",".join([item] * 5000)))
    for path, field in {"/v1/responses": b"input", "/v1/chat/completions": b"messages"}.items()
    for kind, item in {"empty": b"{}", "lists": b"[]", "of a type": b'{"type":"message"}'}.items()
}


@pytest.mark.parametrize(("path", "body"), WRONG.values(), ids=WRONG)
def test_vllm_checks_a_request_to_its_first_wrong_item(
    running: Running, path: str, body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else 5,000 empty items of /v1/responses are a million errors, and stop the event loop for ten seconds."""
    from streamspace import openai_vllm

    told: list[int] = []
    app: Any = running.engine.openai

    async def count(request: Any, error: Any) -> Any:
        told.append(len(error.errors()))
        return await openai_vllm._refuse(request, error)

    monkeypatch.setitem(app.exception_handlers, RequestValidationError, count)
    monkeypatch.setattr(app, "middleware_stack", None)
    status, _, _ = ask(running.url, "POST", path, body, JSON)
    assert status == 400 and told and told[0] < 500


def test_a_request_to_v1_has_so_many_lists_and_objects(url: str) -> None:
    body = json.dumps({"prompt": "Hi", "x": [{}] * 10_000}).encode()
    status, _, answer = ask(url, "POST", COMPLETIONS, body, JSON)
    assert status == 400 and "The request has 10002 lists and objects; allowed are 10000." in str(answer)
