"""How many tokens a message will have, while it is typed."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from playwright.sync_api import Page, expect

from streamspace.limits import Admission, Limits
from streamspace.ui.parts import typed_tokens
from streamspace.ui.parts.typed_tokens import TypedTokens
from tests.fake import FakePageEngine, deltas
from tests.page import NewPage, box, send, wait_for_end
from tests.support import Running
from tests.test_attachments import DROP
from tests.wire import Site, served_site

LONG = "word " * 40  # a word is a token of the scripted engine, whose context has 1,000


@pytest.fixture
def site() -> Iterator[Site]:
    with served_site(FakePageEngine(deltas("an answer"))) as served:
        yield served


def count(url: str, body: Any, **headers: str) -> tuple[int, Any]:
    named = {"Content-Type": "application/json", **{name.replace("_", "-"): text for name, text in headers.items()}}
    answer = httpx.post(f"{url}/count", content=json.dumps(body), headers=named)
    return answer.status_code, answer.json()


def test_a_text_has_the_tokens_that_the_engine_gives_it(running: Running) -> None:
    text = "Once upon a time, 你好 <|im_end|>"
    tokens = running.run(running.engine.render_text(text)).token_ids
    context = running.engine.max_model_len
    assert count(running.url, {"text": text}) == (200, {"tokens": len(tokens), "context": context})


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ([], "text is a NoneType; it must be a string."),
        ({}, "text is a NoneType; it must be a string."),
        ({"text": 7}, "text is a int; it must be a string."),
        ({"text": "word " * 1001}, "This is too long: it comes to 1001 tokens"),
    ],
)
def test_what_cannot_be_counted_is_refused_in_a_sentence(site: Site, body: Any, sentence: str) -> None:
    status, told = count(site.url, body)
    assert status == 400 and sentence in told["detail"]


def test_other_sites_cannot_count_and_nobody_often(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    assert count(site.url, {"text": "a"}, origin="https://elsewhere.org", host="here.org")[0] == 403
    assert httpx.post(f"{site.url}/count", content='{"text": "a"}').status_code == 400
    monkeypatch.setattr(typed_tokens, "MOST_A_MINUTE", 2)
    statuses = [count(site.url, {"text": "a"})[0] for _ in range(3)]
    assert statuses == [200, 200, 429]


def test_who_has_not_logged_in_counts_nothing() -> None:
    engine: Any = FakePageEngine()

    async def is_known(scope: Any) -> bool:
        return False

    app = TypedTokens(engine, Admission(engine, Limits.of(engine.config)), is_known)

    async def ask() -> int:
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://here") as client:
            return (await client.post("/count", json={"text": "a"})).status_code

    assert asyncio.run(ask()) == 401


@pytest.mark.browser
def test_the_page_tells_it_while_a_long_message_is_typed(site: Site, new_page: NewPage) -> None:
    page: Page = new_page(site.url)
    line = page.locator(".typed-tokens").first
    box(page).fill("Short.")
    page.wait_for_timeout(1000)
    expect(line).to_be_hidden()
    box(page).fill(LONG)
    expect(line).to_have_text("This message: 40 tokens; 1,000 are free")
    page.evaluate(DROP, ["#message", [{"name": "a.txt", "type": "text/plain", "base64": "d29yZCB3b3Jk"}]])
    expect(line).not_to_contain_text("40 tokens")
    box(page).fill("word " * 1000)
    expect(line).to_have_class("typed-tokens full")
    box(page).fill(LONG)
    expect(line).to_have_class("typed-tokens")
    page.locator(".attached .remove").first.click()
    send(page, box(page).input_value())
    wait_for_end(page)
    expect(line).to_be_hidden()
    box(page).fill(LONG)
    expect(line).to_contain_text("This message: 40 tokens; 9")  # the conversation has taken some


@pytest.mark.browser
def test_a_message_that_is_too_long_is_told_so_in_one_place(site: Site, new_page: NewPage) -> None:
    page: Page = new_page(site.url)
    hint, failure = page.locator(".typed-tokens").first, page.get_by_role("alert").filter(has_text="This is too long")
    too_long = "word " * 1200
    box(page).fill(too_long)
    expect(hint).to_contain_text("This is too long")
    expect(failure).to_have_count(0)
    send(page, too_long)
    wait_for_end(page)
    expect(failure).to_be_visible()
    expect(hint).to_be_hidden()
    expect(box(page)).to_have_value(too_long)
    box(page).fill("word " * 1300)  # what was refused is no more
    expect(failure).to_have_count(0)
    expect(hint).to_contain_text("1300")
    expect(hint).to_be_visible()
    send(page, "word " * 1300)
    wait_for_end(page)
    expect(failure).to_be_visible()
    box(page).fill(LONG)
    expect(failure).to_have_count(0)
    expect(hint).to_have_text("This message: 40 tokens; 1,000 are free")
