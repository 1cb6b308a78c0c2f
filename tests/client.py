"""Requests as a plain HTTP client sends them."""

import http.client
import json
import urllib.request
from typing import Any
from urllib.parse import urlencode

from streamspace.ui import build_demo
from tests.fake import FakePageEngine
from tests.support import admission_of

AUTH = ("zoe", "long-secret")
JSON = {"Content-Type": "application/json"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def ask(
    url: str,
    method: str,
    path: str,
    body: bytes | None = None,
    headers: dict[str, str] | None = None,
    is_whole: bool = False,
) -> tuple[int, http.client.HTTPMessage, str]:
    """Status, headers and the answer, or at most its first thousand bytes; the path goes out as it is."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    connection.request(method, path, body, headers or {})
    response = connection.getresponse()
    text = (response.read() if is_whole else response.read1(1000)).decode()
    connection.close()
    return response.status, response.headers, text


def log_in(url: str, name: str = AUTH[0], password: str = AUTH[1]) -> dict[str, str]:
    """The headers of a visitor who has logged in."""
    body = urlencode({"username": name, "password": password}).encode()
    status, headers, _ = ask(url, "POST", "/login", body, FORM)
    assert status == 200
    return {"Cookie": "; ".join(cookie.partition(";")[0] for cookie in headers.get_all("Set-Cookie", []))}


def joined(url: str, name: str, data: list[Any], session: str, headers: dict[str, str]) -> tuple[int, str]:
    """Start an event of the page by its handler's name in a demo of the same shape."""
    engine = FakePageEngine()
    number = next(
        i for i, fn in build_demo(engine, admission_of(engine)).fns.items() if getattr(fn.fn, "__name__", "") == name
    )
    body = json.dumps({"data": data, "fn_index": number, "session_hash": session}).encode()
    status, _, text = ask(url, "POST", "/gradio_api/queue/join", body, {**JSON, **headers})
    return status, text


def whole(url: str, path: str) -> str:
    """All that is answered."""
    with urllib.request.urlopen(url + path) as answer:
        return str(answer.read().decode())
