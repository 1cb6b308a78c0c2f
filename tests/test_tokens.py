"""Tokens with their probabilities: from the engine, as text, and in the view of the page."""

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from streamspace.chat import stream_completion
from streamspace.constraint import check_constraint
from streamspace.frames import Pacer
from streamspace.sampling import Settings
from streamspace.types import Delta, Prompt, Reply, Token
from streamspace.ui.parts.tokens import NUM_RUNNERS_UP, percent, spoken, token_label, tokens_html
from tests.fake import FakePageEngine, deltas
from tests.page import NewPage, begin_and_end, send, set_up, wait_for_end
from tests.support import Running
from tests.wire import Site

GREEDY = Settings(max_tokens=40, temperature=0.0, seed=None, logprobs=5)
CHINESE = check_constraint("regex", "[一-龥]{6}🎉")  # which a byte-level BPE of few tokens writes in pieces


@pytest.mark.parametrize(
    ("text", "in_the_text", "in_a_table", "in_speech"),
    [
        ("word", "word", "word", "word"),
        (" two words", " two words", "␣two␣words", "two words"),
        ("  ", "␣␣", "␣␣", "space space"),
        ("\n", "⏎", "⏎", "line break"),
        ("\r\n\t", "␍⏎⇥", "␍⏎⇥", "carriage return line break tab"),
        (".\n\n", ".⏎⏎", ".⏎⏎", "."),
        (r"\xe4\xb8", r"\xe4\xb8", r"\xe4\xb8", r"\xe4\xb8"),
        ("\u200b\u202ex\0", r"\u{200b}\u{202e}x\u{0}", r"\u{200b}\u{202e}x\u{0}", r"\u{200b}\u{202e}x\u{0}"),
        ("\u3000", "\u3000", "\u3000", "space"),
        ("", "∅", "∅", ""),
    ],
)
def test_what_cannot_be_seen_has_a_sign_and_a_name(
    text: str, in_the_text: str, in_a_table: str, in_speech: str
) -> None:
    assert (token_label(text, keeps_spaces=True), token_label(text), spoken(text)) == (
        in_the_text,
        in_a_table,
        in_speech,
    )


def test_a_probability_is_told_in_percent() -> None:
    assert [percent(p) for p in (1.0, 0.4234, 0.001, 0.0004, 0.0)] == ["100.0%", "42.3%", "0.1%", "<0.1%", "<0.1%"]


class Elements(HTMLParser):
    """The elements of a text in HTML, with their attributes' names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: set[tuple[str, ...]] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add((tag, *(name for name, _ in attrs)))


EVIL = [
    "<img src=x onerror=alert(1)>",
    "\"><b onclick='x'>",
    "'",
    "&lt;b&gt;",
    "${1+1}",
    "{{value}}",
    "@children",
    "</span>",
]


def evil_tokens() -> tuple[Token, ...]:
    return tuple(Token(text, 0.1, tuple((other, 0.05) for other in EVIL)) for text in EVIL)


def test_no_text_of_a_token_is_markup() -> None:
    assert Elements(tokens_html(evil_tokens(), str)).found == {
        ("div", "class"),
        ("div", "role", "aria-orientation", "aria-label"),
        ("div", "class", "aria-live"),
        ("span", "role", "aria-selected", "tabindex", "class", "aria-label", "data-likely"),
        ("p",),
    }


async def all_of(running: Running, prompt: Prompt, settings: Settings, pause_s: float = 0.0) -> list[Delta]:
    async with aclosing(running.engine.generate(prompt, settings)) as stream:
        found = []
        async for delta in stream:
            found.append(delta)
            await asyncio.sleep(pause_s)
        return found


def prompt(running: Running, text: str) -> Prompt:
    return running.run(running.engine.render_text(text))


def test_the_engine_tells_each_token_with_its_runners_up_however_deltas_merge(running: Running) -> None:
    story = prompt(running, "Once upon a time")
    for pause_s in (0.0, 0.2):
        found = running.run(all_of(running, story, GREEDY, pause_s))
        text = "".join(delta.text for delta in found)
        tokens = [token for delta in found for token in delta.tokens]
        last = found[-1].metrics
        assert last and len(tokens) == last.num_tokens > 20
        assert "".join(token.text for token in tokens).removesuffix("<|im_end|>") == text
        for token in tokens:
            likely = [token.probability, *(probability for _, probability in token.runners_up)]
            assert len(token.runners_up) == 4 and likely == sorted(likely, reverse=True)
            assert 0 < sum(likely) <= 1.0001


def test_logprobs_are_free_when_they_are_off(running: Running) -> None:
    from streamspace import llm

    assert llm.sampling_params(Settings()).logprobs is None
    found = running.run(all_of(running, prompt(running, "Once"), replace(GREEDY, logprobs=None)))
    assert all(delta.tokens == () for delta in found)


def test_a_character_in_pieces_is_shown_as_its_bytes(running: Running) -> None:
    settings = replace(GREEDY, constraint=CHINESE)
    found = running.run(all_of(running, prompt(running, "你好"), settings))
    text = "".join(delta.text for delta in found)
    texts = [token.text for delta in found for token in delta.tokens]
    assert re.fullmatch("[一-龥]{6}🎉", text)
    assert any(re.search(r"\\x[0-9a-f]{2}", piece) for piece in texts), texts
    assert not any("\ufffd" in piece or not piece for piece in texts)


def test_every_token_of_the_vocabulary_has_a_text(running: Running) -> None:
    from streamspace.tokenizer import token_text

    assert running.engine._vllm
    tokenizer = running.engine._vllm._tokenizer
    for token_id in range(len(tokenizer)):
        text = token_text(tokenizer, token_id, tokenizer.decode([token_id]))
        assert text and "\ufffd" not in text
    pieces = [token_text(tokenizer, token_id, None) for token_id in tokenizer.encode("é 世界 🎉")]
    plain = "".join(pieces).encode().decode("unicode_escape").encode("latin-1")
    assert plain.decode() == "é 世界 🎉" or "世" in "".join(pieces)


def test_the_tokens_come_once_with_the_end() -> None:
    token = Token("hi", 0.5)
    engine = FakePageEngine([Delta("hi", tokens=(token,)), 0.1, Delta("hi", "stop", tokens=(token,))])

    async def replies() -> list[Reply]:
        stream: AsyncGenerator[Reply, None] = stream_completion(engine, "x", Settings(logprobs=5), Pacer())
        async with aclosing(stream):
            return [reply async for reply in stream]

    found = asyncio.run(replies())
    assert [reply.tokens for reply in found] == [(), (token, token)]


def open_completion(url: str, new_page: NewPage, **options: Any) -> Page:
    page = new_page(url, **options)
    page.get_by_role("tab", name="Completion").click()
    expect(page.get_by_role("button", name="Run 1")).to_be_enabled()
    return page


def options(page: Page, number: int = 1) -> Any:
    return page.locator(f"#tokens-{number} [role=option]")


def test_the_view_is_for_the_keyboard_the_mouse_and_the_finger(running: Running, new_page: NewPage) -> None:
    page = open_completion(running.url, new_page, has_touch=True)
    page.get_by_label("Show token probabilities").check()
    page.get_by_role("button", name="Run 1").click()
    expect(options(page).nth(20)).to_be_attached()
    table = page.locator("#tokens-1 table")

    page.locator("#continuation-1 textarea").focus()
    for _ in range(10):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.role") == "option":
            break
    expect(options(page).first).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(options(page).nth(1)).to_be_focused()
    expect(options(page).nth(1)).to_have_attribute("aria-selected", "true")
    label = options(page).nth(1).get_attribute("aria-label") or ""
    assert re.search(r"\S.*, <?\d+\.\d%$", label)
    expect(table.locator("tr.taken")).to_contain_text(label.rpartition(", ")[2])
    page.keyboard.press("End")
    expect(options(page).last).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(options(page).last).to_be_focused()
    page.keyboard.press("Home")
    expect(options(page).first).to_be_focused()
    assert page.locator("#tokens-1 [role=option][tabindex='0']").count() == 1

    options(page).nth(5).hover()
    expect(options(page).nth(5)).to_have_attribute("aria-selected", "true")
    options(page).nth(7).tap()
    expect(options(page).nth(7)).to_have_attribute("aria-selected", "true")
    assert 5 <= table.locator("tbody tr").count() <= 6


def test_the_view_is_there_only_when_it_is_wanted_and_keeps_its_height(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("so", tokens=(Token("so", 0.5),)), 0.5, *deltas(" far")]
    page = open_completion(site.url, new_page)
    page.get_by_role("button", name="Run 1").click()
    expect(page.locator(".completion .note").first).to_contain_text("Ended.")
    assert page.locator(".tokens").count() == 0
    page.get_by_label("Show token probabilities").check()
    page.get_by_role("button", name="Run all at once").click()
    expect(page.locator("#tokens-1")).to_contain_text("when the text has ended")
    before = page.locator("#tokens-1").bounding_box()
    expect(options(page, 3)).to_have_text("so")
    assert page.locator("#tokens-1").bounding_box() == before
    page.get_by_label("Show token probabilities").uncheck()
    page.get_by_role("button", name="Run 1").click()
    expect(page.locator("#tokens-1 .tokens")).to_have_count(0)


def test_the_chat_shows_the_tokens_of_its_last_answer(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("so", tokens=(Token("so", 0.5),)), 0.5, *deltas(" far")]
    page = new_page(site.url)
    tokens, waiting = page.locator("#chat-tokens [role=option]"), page.locator("#chat-tokens .tokens")
    begin_and_end(page, "Hi")
    expect(waiting).to_have_count(0)
    set_up(page)
    page.get_by_label("Show token probabilities").check()
    send(page, "Hi again")
    expect(waiting).to_contain_text("when the text has ended")
    expect(tokens).to_have_text("so")
    wait_for_end(page)
    expect(tokens).to_have_text("so")
    page.get_by_role("button", name="Undo").first.click()
    expect(waiting).to_have_count(0)
    assert [settings.logprobs for settings in engine.settings] == [None, NUM_RUNNERS_UP]


def test_nothing_that_a_model_writes_runs_in_the_view(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("x", "stop", tokens=evil_tokens())]
    page = open_completion(site.url, new_page)
    page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    page.get_by_label("Show token probabilities").check()
    page.get_by_role("button", name="Run 1").click()
    expect(options(page)).to_have_text(EVIL)
    options(page).first.focus()
    expect(page.locator("#tokens-1 tbody code")).to_have_text([token_label(text) for text in (EVIL[0], *EVIL)])
    assert page.locator("#tokens-1").locator("img, b, script").count() == 0
