"""Thoughts on the page, and the answer's own line."""

from typing import Any

import pytest
from playwright.sync_api import expect

from streamspace.types import Delta
from tests.fake import FakePageEngine
from tests.page import SILENCE_S, THINK, NewPage, begin_and_end, bot, continue_the_thought, send, wait_for_end
from tests.support import Running
from tests.wire import Site

pytestmark = pytest.mark.browser
WATCH = """() => {
  window.seen = [];
  const look = () => seen.push(document.querySelector('#live').innerText);
  const all = { subtree: true, childList: true, characterData: true };
  new MutationObserver(look).observe(document.querySelector('#conversation'), all);
}"""


def thinking(site: Site, script: Any) -> FakePageEngine:
    engine = site.engine
    engine.script, engine.split, engine.thinks = script, THINK, True
    return engine


def test_a_thought_is_open_while_it_runs_then_folded_and_never_sent_back(site: Site, new_page: NewPage) -> None:
    begun = [Delta("<thi"), 0.3, Delta("nk>\n2 and 2 "), 2.0, Delta("make 4.\n</thi"), 0.3, Delta("nk>\n\nFo"), 0.3]
    engine = thinking(site, [*begun, Delta("ur.", "stop")])
    page = new_page(site.url)
    expect(page.locator("#conversation")).to_be_visible()
    page.evaluate(WATCH)
    send(page, "What is 2 + 2?")
    expect(page.locator("#live").get_by_text("2 and 2")).to_be_visible()
    expect(page.locator("#note")).to_contain_text("Thinking")
    wait_for_end(page)
    expect(bot(page)).to_contain_text("Four.")
    expect(page.locator("#chat").get_by_text("2 and 2 make 4.")).to_be_hidden()
    page.locator("#chat").get_by_text("Thought").click()
    expect(page.locator("#chat").get_by_text("2 and 2 make 4.")).to_be_visible()
    assert any("2 and 2" in text for text in page.evaluate("seen"))
    assert not [text for text in page.evaluate("seen") if "<" in text or "think>" in text]
    begin_and_end(page, "And 3 + 3?")
    assert [(message.text, message.thought) for message in engine.conversations[-1]] == [
        ("What is 2 + 2?", ""), ("Four.", ""), ("And 3 + 3?", "")
    ]  # fmt: skip


def test_a_thought_that_is_stopped_can_be_continued(site: Site, new_page: NewPage) -> None:
    engine = thinking(site, [Delta("<think>2 and 2"), SILENCE_S])
    page = new_page(site.url)
    send(page, "What is 2 + 2?")
    expect(page.locator("#live").get_by_text("2 and 2")).to_be_visible()
    page.get_by_role("button", name="Stop").click()
    wait_for_end(page)
    continue_the_thought(page, engine)
    page.locator("#chat").get_by_text("Thought").click()
    expect(page.locator("#chat").get_by_text("2 and 2 make 4.")).to_be_visible()


def test_the_switch_makes_the_model_think(running: Running, new_page: NewPage) -> None:
    page = new_page(running.url)
    page.get_by_role("button", name="Settings").first.click()
    page.get_by_label("on", exact=True).check()
    begin_and_end(page, "What is 27 + 45?")
    expect(bot(page)).to_contain_text("72")
    expect(page.locator("#chat").get_by_text("Thought")).to_be_visible()
    expect(page.locator("#note")).to_contain_text("Ended.")
    page.get_by_label("off", exact=True).check()
    begin_and_end(page, "What is 30 + 13?")
    expect(page.locator("#chat").get_by_text("Thought")).to_have_count(1)


def test_a_model_without_the_switch_has_none_on_the_page(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url)
    page.get_by_role("button", name="Settings").first.click()
    expect(page.get_by_label("System prompt").first).to_be_visible()
    expect(page.locator("#thinking")).to_have_count(0)
