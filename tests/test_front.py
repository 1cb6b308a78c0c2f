"""The page's HTML, which is made once for each address."""

import asyncio
import gzip
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import gradio as gr
import httpx
import pytest
from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamspace.types import Status
from streamspace.ui.gradio_ import front
from streamspace.ui.gradio_.front import FrontPage
from streamspace.ui.gradio_.streams import StreamingBlocks
from tests.fake import FakePageEngine
from tests.inputs import READY, page_values
from tests.wire import Tab, completed, served_site


class Counted:
    """A Gradio app, and how often it was asked for its page."""

    def __init__(self) -> None:
        with StreamingBlocks(title="Counted") as self.demo:
            gr.Markdown("Hello, 你好")
        self.app: Any = gr.mount_gradio_app(FastAPI(), self.demo, path="/", ssr_mode=False)
        self.num_asked = 0
        self.headers = [(b"content-security-policy", b"default-src 'self'")]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.num_asked += 1
        await self.own(scope, receive, send)

    async def own(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self.headers]
            await send(message)

        await self.app(scope, receive, with_headers)


@pytest.fixture
def counted() -> Counted:
    return Counted()


def get(app: ASGIApp, *urls: str, method: str = "GET", **headers: str) -> list[httpx.Response]:
    """The answers to requests that are sent at once."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    async def ask() -> list[httpx.Response]:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
            return await asyncio.gather(*(client.request(method, url, headers=named) for url in urls))

    return asyncio.run(ask())


@pytest.mark.parametrize("forwarded", [{}, {"x_forwarded_host": "elsewhere.hf.space", "x_forwarded_proto": "https"}])
def test_it_is_gradios_own_and_made_once_for_a_crowd(counted: Counted, forwarded: dict[str, str]) -> None:
    (own,) = get(counted.own, "/", **forwarded)
    answers = get(FrontPage(counted, counted.demo, False), *["/", "/?__theme=dark", "/?q=Hello"] * 20, **forwarded)
    assert {(answer.status_code, answer.text) for answer in answers} == {(200, own.text)} and "你好" in own.text
    for name in own.headers.keys() - {"content-length"}:
        assert {answer.headers[name] for answer in answers} == {own.headers[name]}, name
    assert counted.num_asked == 1


def test_it_is_compressed_for_whoever_reads_that(counted: Counted) -> None:
    app = FrontPage(counted, counted.demo, False)
    zipped, plain = get(app, "/", accept_encoding="gzip, br")[0], get(app, "/", accept_encoding="identity")[0]
    assert zipped.text == plain.text and zipped.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"
    assert zipped.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert int(zipped.headers["content-length"]) * 2 < int(plain.headers["content-length"])


def test_a_browser_that_has_it_gets_nothing_again(counted: Counted) -> None:
    app = FrontPage(counted, counted.demo, False)
    (first,) = get(app, "/")
    (again,) = get(app, "/", if_none_match=first.headers["etag"])
    assert (again.status_code, again.content) == (304, b"") and first.headers["cache-control"] == "no-cache"
    assert get(app, "/", if_none_match='W/"another"')[0].status_code == 200


def test_head_has_the_headers_alone(counted: Counted) -> None:
    (answer,) = get(FrontPage(counted, counted.demo, False), "/", method="HEAD", accept_encoding="identity")
    (own,) = get(counted.app, "/", method="HEAD")
    assert answer.status_code == own.status_code == 200 and int(answer.headers["content-length"]) > 1000


def test_each_address_has_its_own_and_the_oldest_is_forgotten(
    counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front, "MOST_ADDRESSES", 2)
    app = FrontPage(counted, counted.demo, False)
    for host in ("a", "b", "b", "c"):
        assert f"http://{host}.hf.space" in get(app, "/", x_forwarded_host=f"{host}.hf.space")[0].text
    assert counted.num_asked == 3
    get(app, "/", x_forwarded_host="b.hf.space")
    assert counted.num_asked == 3
    get(app, "/", x_forwarded_host="a.hf.space")
    assert counted.num_asked == 4


def test_a_page_that_begins_in_another_way_is_made_anew(counted: Counted) -> None:
    app = FrontPage(counted, counted.demo, False)
    (before,) = get(app, "/")
    counted.demo.config["components"][0]["props"]["value"] = "Another"
    counted.demo.num_changes += 1
    (after,) = get(app, "/", if_none_match=before.headers["etag"])
    assert "Another" in after.text and "Another" not in before.text and after.status_code == 200


@pytest.mark.parametrize("url", ["/config", "/nothing"])
def test_all_else_is_left_to_gradio(counted: Counted, url: str) -> None:
    app = FrontPage(counted, counted.demo, False)
    for number in (1, 2):
        assert get(app, url)[0].status_code == get(counted.app, url)[0].status_code
        assert counted.num_asked == number


@pytest.mark.parametrize("has_login", [False, True])
@pytest.mark.parametrize("query", ["deep_link=x", "page=x", "all_endpoints=1", "%ff=%00"])
def test_no_query_breaks_it(counted: Counted, has_login: bool, query: str) -> None:
    app = FrontPage(counted, counted.demo, has_login)
    assert {answer.text for answer in get(app, f"/?{query}", "/")} == {get(counted.app, "/")[0].text}


def test_where_people_log_in_each_has_a_page_of_their_own(counted: Counted) -> None:
    app = FrontPage(counted, counted.demo, has_login=True)
    assert [answer.status_code for answer in get(app, "/", "/")] == [200, 200] and counted.num_asked == 2


def test_what_is_one_visitors_own_is_not_kept(counted: Counted) -> None:
    counted.headers.append((b"set-cookie", b"name=ada"))
    app = FrontPage(counted, counted.demo, False)
    answers = [get(app, "/")[0] for _ in range(2)]
    assert [answer.headers["set-cookie"] for answer in answers] == ["name=ada"] * 2 and "etag" not in answers[1].headers


def test_what_is_no_page_is_not_kept(counted: Counted) -> None:
    counted.app.router.routes.clear()
    app = FrontPage(counted, counted.demo, False)
    assert [answer.status_code for _ in range(2) for answer in get(app, "/")] == [404, 404]


@pytest.fixture
def url() -> Iterator[str]:
    with served_site(FakePageEngine()) as site:
        yield site.url


def num_enabled(url: str) -> int:
    """How many controls can be used on a page that is opened now."""
    return len(re.findall(r'"interactive": ?true', httpx.get(url).text))


def test_once_the_engine_is_ready_a_page_begins_so() -> None:
    with served_site(FakePageEngine(status=Status("loading", "Loading"))) as site:
        before, tab = num_enabled(site.url), Tab(site)
        site.engine.status = Status("ready", "Ready")
        numbers = []
        for _ in range(2):
            tab.join("engine_ready", page_values(READY, enable_thinking="true"))
            assert completed(list(tab.stream()))["success"]
            numbers.append(site.demo.num_changes)
        assert num_enabled(site.url) > before and numbers[0] == numbers[1]


def test_the_page_comes_so(url: str) -> None:
    with ThreadPoolExecutor(4) as pool:
        first, *others = pool.map(lambda _: httpx.get(url), range(8))
    assert "img-src 'self'" in first.headers["content-security-policy"]
    assert first.headers["content-encoding"] == "gzip" and {other.text for other in others} == {first.text}
    assert len(gzip.compress(first.content)) < 200_000
