"""What the page answers to whom: the routes that are open, those that are not, and the login."""

import contextlib
import http.client
import json
import socket
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from gradio.utils import get_upload_folder
from gradio_client import Client
from gradio_client.exceptions import AuthenticationError
from playwright.sync_api import Page, expect

from streamspace.types import Status
from streamspace.ui import build_demo
from streamspace.ui.gradio_ import routes
from streamspace.ui.gradio_.endpoints import complete_arguments
from tests.client import AUTH, FORM, JSON, ask, joined, log_in
from tests.fake import FakePageEngine, deltas
from tests.inputs import call_values
from tests.page import bot, send, set_up, wait_for_end
from tests.support import Running, admission_of, serve_beside, served, wait_until
from tests.wire import Site

UPLOAD = (
    b'--x\r\nContent-Disposition: form-data; name="%s"; filename="a.mp4"\r\n\r\n' + bytes(300_000) + b"\r\n--x--\r\n"
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The page without a login."""
    with served(FakePageEngine(deltas("an| answer"))) as url:
        yield url


@pytest.fixture(scope="module")
def locked() -> Iterator[str]:
    """The page with a login."""
    engine = FakePageEngine(deltas("an| answer"))
    engine.config = replace(engine.config, auth=AUTH)
    with served(engine) as url:
        yield url


def test_no_route_is_open_that_nobody_decided_on() -> None:
    """A newer Gradio may bring one, or rename one."""
    engine = FakePageEngine()
    demo = build_demo(engine, admission_of(engine))
    with served(FakePageEngine(), demo):
        paths = {getattr(route, "path", "a mount").rstrip("/") or "/" for route in demo.app.routes}
    assert paths == {*routes.PAGE, *("/gradio_api" + path for path in routes.API)}


def test_only_the_logs_reader_has_the_engine_tried_again() -> None:
    engine = FakePageEngine(status=Status("failed", "It broke too often."))
    with served(engine) as url:
        assert ask(url, "GET", "/retry?key=guessed")[0] == ask(url, "GET", "/retry")[0] == 403
        assert ask(url, "POST", "/retry?key=guessed")[0] == 403
        path = f"/retry?key={engine.operator_key}"
        status, headers, text = ask(url, "GET", path)  # as whatever looks at the addresses in a log does it, too
        assert status == 200 and '<form method="post"><button>' in text and engine.num_retries == 0
        assert headers["Referrer-Policy"] == "no-referrer"
        assert ask(url, "POST", path)[0] == 303 and engine.num_retries == 1


PRIVATE = [
    *("/etc/passwd", "app.py", "README.md", ".env", ".git/config", "../.bashrc", "models/streamspace-tiny/config.json"),
    *("http://127.0.0.1:1/", "http://169.254.169.254/latest/meta-data/"),
]


@pytest.mark.parametrize("name", PRIVATE)
@pytest.mark.parametrize("route", ["/gradio_api/file=", "/file=", "/gradio_api/file/", "/gradio_api/proxy="])
def test_no_file_and_no_address_is_handed_out(url: str, route: str, name: str) -> None:
    assert ask(url, "GET", route + name)[0] == 404
    assert ask(url, "HEAD", route + name)[0] == 404


def test_what_other_gradio_apps_of_the_machine_keep_is_not_handed_out(url: str) -> None:
    folder = Path(get_upload_folder(), uuid.uuid4().hex)
    folder.mkdir(parents=True)
    (folder / "their.txt").write_text("an upload of theirs")
    try:
        assert ask(url, "GET", f"/gradio_api/file={folder / 'their.txt'}")[0] == 404
    finally:
        (folder / "their.txt").unlink()
        folder.rmdir()


@pytest.mark.parametrize("route", ["/static/", "/assets/", "/svelte/"])
@pytest.mark.parametrize(
    "name", ["", "../routes.py", "../../../etc/passwd", "%2e%2e/routes.py", "..%2froutes.py", "/etc/passwd"]
)
def test_gradios_own_files_are_no_way_to_others(url: str, route: str, name: str) -> None:
    status, _, text = ask(url, "GET", route + name)
    assert status in (400, 403, 404) and "root:" not in text and "import" not in text


@pytest.mark.parametrize(
    ("route", "field"), [("upload", b"files"), ("process_recording", b"video"), ("component_server", b"x")]
)
def test_an_upload_is_refused_and_leaves_nothing(
    url: str, route: str, field: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = set(Path(get_upload_folder()).glob("*"))
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    assert ask(url, "POST", f"/gradio_api/{route}", UPLOAD % field, headers)[0] == 404
    assert set(Path(get_upload_folder()).glob("*")) == before and not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["pdf.min.mjs", "pdf.worker.min.mjs"])
def test_what_reads_pdfs_is_handed_out_and_nothing_beside_it(url: str, name: str) -> None:
    status, headers, text = ask(url, "GET", f"/pdfjs/{name}")
    assert status == 200 and headers["Content-Type"].startswith("text/javascript") and "Mozilla" in text[:300]
    assert [ask(url, "GET", f"/pdfjs/{other}")[0] for other in ("LICENSE", "../page.css", "")] == [404] * 3


@pytest.mark.parametrize(
    "path",
    [
        *("/monitoring", "/monitoring/summary", "/monitoring/x", "/docs", "/redoc", "/openapi.json", "/mcp"),
        *("/gradio_api/runs", "/gradio_api/run-history/buckets", "/gradio_api/vibe-code", "/gradio_api/dev/reload"),
        *("/gradio_api/deep_link?session_hash=x", "/gradio_api/startup-events", "/gradio_api/token"),
    ],
)  # fmt: skip
def test_what_is_for_developers_is_closed(url: str, path: str) -> None:
    assert ask(url, "GET", path)[0] == 404


def test_no_invented_session_is_kept(site: Site) -> None:
    body = json.dumps({"data": call_values(complete_arguments(), prompt="Hi"), "session_hash": "invented"}).encode()
    for path in ("run/complete", "run/chat/", "api/complete", "cancel", "reset"):
        ask(site.url, "POST", f"/gradio_api/{path}", body, JSON)
    for path in ("queue/data?session_hash=invented", "call/complete/invented", "call/v2/complete/invented"):
        ask(site.url, "GET", f"/gradio_api/{path}", is_whole=True)
    with contextlib.closing(socket.create_connection(("127.0.0.1", int(site.url.rpartition(":")[2])))) as heart:
        heart.sendall(b"GET /gradio_api/heartbeat/invented HTTP/1.1\r\nHost: x\r\n\r\n")
        assert heart.recv(100).startswith(b"HTTP/1.1 200")
    assert not site.demo.app.state_holder.session_data and not site.remembers("invented")


def test_nothing_is_recorded_or_sent_away(url: str) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request("GET", "/config")
    config = json.load(connection.getresponse())
    connection.close()
    assert config["run_history"] is False and config["analytics_enabled"] is False
    assert config["footer_links"] == ["api"]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("call/nothing", {"data": []}),
        ("call/v2/nothing", {}),
        ("call/v2/chat", {"nothing": 1}),
        ("queue/join", {"data": [], "fn_index": 9999, "session_hash": "x"}),
        ("queue/join", {"data": [], "fn_index": -1, "session_hash": "x"}),
    ],
)
def test_an_event_that_there_is_not_is_one_sentence(
    url: str, path: str, body: Any, caplog: pytest.LogCaptureFixture
) -> None:
    status, _, text = ask(url, "POST", f"/gradio_api/{path}", json.dumps(body).encode(), JSON)
    assert status == 400 and "/gradio_api/info lists" in json.loads(text)["detail"]
    assert not caplog.records


# The login

LOCKED = [
    ("GET", "/config"),
    ("GET", "/config/"),
    ("GET", "/gradio_api/info"),
    ("GET", "/gradio_api/openapi.json"),
    ("GET", "/gradio_api/login_check"),
    ("GET", "/gradio_api/queue/data?session_hash=x"),
    ("GET", "/gradio_api/queue/status"),
    ("GET", "/gradio_api/call/chat/x"),
    ("GET", "/gradio_api/call/v2/chat/x"),
    ("POST", "/gradio_api/queue/join"),
    ("POST", "/gradio_api/call/chat"),
    ("POST", "/gradio_api/call/v2/chat"),
]


@pytest.mark.parametrize("cookie", ["", "access-token-unsecure-x=y"])
@pytest.mark.parametrize(("method", "path"), LOCKED)
def test_nobody_gets_in_without_the_login(locked: str, method: str, path: str, cookie: str) -> None:
    body = json.dumps({"data": ["Hi"], "fn_index": 0, "session_hash": "x"}).encode() if method == "POST" else None
    status, _, text = ask(locked, method, path, body, {**JSON, "Cookie": cookie})
    assert status == 401 and "Not authenticated" in text


def test_no_event_of_the_page_starts_without_the_login(locked: str) -> None:
    for name in ("engine_ready", "chat", "complete"):
        status, _ = joined(locked, name, ["Hi", *[None] * 10], "x", {})
        assert status == 401


def test_the_page_without_the_login_shows_nothing_but_the_login(locked: str) -> None:
    connection = http.client.HTTPConnection(locked.removeprefix("http://"), timeout=10)
    connection.request("GET", "/")
    text = connection.getresponse().read().decode()
    connection.close()
    assert '"auth_required":true' in text.replace(" ", "") and "streamspace-tiny" not in text
    assert AUTH[0] not in text and AUTH[1] not in text


@pytest.mark.parametrize(
    ("name", "password"), [("zoe", "x"), ("", ""), ("long-secret", "zoe"), ("zoe", "long-secret ")]
)
def test_a_wrong_password_is_refused(locked: str, name: str, password: str) -> None:
    body = urlencode({"username": name, "password": password}).encode()
    status, headers, text = ask(locked, "POST", "/login", body, FORM)
    assert status in (400, 422) and not headers.get_all("Set-Cookie") and AUTH[1] not in text.replace(password, "")


@pytest.mark.parametrize("path", ["/health", "/metrics"])
def test_numbers_need_no_login(locked: str, path: str) -> None:
    assert ask(locked, "GET", path)[0] == 200


def test_a_stream_of_one_who_logged_in_is_not_for_one_who_did_not(locked: str) -> None:
    visitor, session = log_in(locked), uuid.uuid4().hex
    status, text = joined(locked, "complete", call_values(complete_arguments(), prompt="Hi"), session, visitor)
    assert status == 200, text
    path = f"/gradio_api/queue/data?session_hash={session}"
    assert ask(locked, "GET", path)[0] == 401
    status, headers, text = ask(locked, "GET", path, None, visitor)
    assert status == 200 and headers.get_content_type() == "text/event-stream" and "process_starts" in text


def test_logging_out_ends_it(locked: str) -> None:
    visitor = log_in(locked)
    assert ask(locked, "GET", "/config", None, visitor)[0] == 200
    ask(locked, "GET", "/logout", None, visitor)
    assert ask(locked, "GET", "/config", None, visitor)[0] == 401


def test_gradios_client_logs_in(locked: str) -> None:
    client = Client(locked, auth=AUTH, verbose=False)
    assert client.predict("Hi", api_name="/chat") == "an answer"
    assert list(client.submit("Hi", api_name="/complete"))[-1] == "an answer"
    client.close()
    with pytest.raises(ValueError, match="Could not login"):
        Client(locked, auth=("zoe", "wrong"), verbose=False)
    with pytest.raises(AuthenticationError):
        Client(locked, verbose=False)


# In the browser


def fill_login(page: Page, name: str, password: str) -> None:
    page.get_by_label("username").fill(name)
    page.get_by_label("password").fill(password)
    page.get_by_role("button", name="Login").click()


@pytest.mark.browser
@pytest.mark.usefixtures("endless")
def test_after_the_login_the_page_works_as_without(running: Running, new_page: Callable[..., Page]) -> None:
    with serve_beside(running, AUTH) as url:
        page = new_page(url)
        fill_login(page, "zoe", "wrong")
        expect(page.get_by_text("Incorrect Credentials")).to_be_visible()
        fill_login(page, *AUTH)
        expect(page.locator("#status")).to_contain_text("Ready: the context holds 2048 tokens")
        set_up(page, max_tokens="1900")
        send(page, "Tell me a long story.")
        expect(bot(page)).to_contain_text(" ")
        wait_until(lambda: running.engine.running == 1, what="the answer")
        page.get_by_role("button", name="Stop").click()
        wait_until(lambda: running.is_idle, 5, "the release")
        wait_for_end(page)
        assert bot(page).inner_text().strip()
        send(page, "Go on.")
        wait_until(lambda: running.engine.running == 1, what="the next answer")
        page.close()
        wait_until(lambda: running.is_idle, 5, "the release")


@pytest.mark.browser
def test_the_page_asks_for_nothing_that_is_closed_and_for_nothing_elsewhere(new_page: Callable[..., Page]) -> None:
    with served(FakePageEngine(deltas("an| answer"))) as url:
        page = new_page("about:blank")
        asked: list[tuple[int, str]] = []
        page.on("response", lambda response: asked.append((response.status, response.url)))
        page.goto(url)
        send(page, "Hi")
        expect(bot(page)).to_have_text("an answer")
        wait_for_end(page)
        page.get_by_role("button", name="Retry").click()
        wait_for_end(page)
        page.get_by_role("button", name="Undo").click()
        page.get_by_role("tab", name="Completion").click()
        page.get_by_role("button", name="Use via API").click()
        expect(page.get_by_text("MCP documentation").first).to_be_visible()
    documentation = {f"{url}/monitoring/summary"}  # what it would show if there were any
    refused = {address for status, address in asked if status >= 400}
    assert refused == documentation and all(address.startswith(url) for _, address in asked)
