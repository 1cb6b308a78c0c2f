"""The page by keyboard, what stands in the message box when the page comes, and the sheets over the page."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from streamspace.types import Delta
from streamspace.words import read_words
from tests.fake import FakePageEngine, deltas
from tests.page import (
    SILENCE_S,
    NewPage,
    begin,
    begin_and_end,
    bot,
    box,
    open_compare,
    open_sidebar,
    questions,
    send,
    wait_for_all,
    wait_for_end,
)
from tests.support import wait_until
from tests.wire import Site, served_site

pytestmark = pytest.mark.browser
# What an input method sends while it composes; Safari says so by the number alone.
COMPOSE = """(about) => document.querySelector('#message textarea')
  .dispatchEvent(new KeyboardEvent('keydown', { key: 'Enter', bubbles: true, cancelable: true, ...about }))"""


def test_the_page_by_keyboard(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("so far"), SILENCE_S]
    page = new_page(site.url)
    begin(page, "one", "so far")
    page.keyboard.press("Escape")
    wait_until(lambda: engine.num_closed_early == 1, 5, "the release")
    wait_for_end(page)
    expect(page.locator("#note")).to_contain_text("Stopped by you.")

    engine.script = deltas("an answer")
    box(page).press("ArrowUp")
    edited = page.locator("#chat textarea")
    expect(edited).to_have_value("one")
    edited.fill("two")
    page.get_by_label("Submit").click()
    expect(bot(page)).to_have_text("an answer")
    wait_for_end(page)
    expect(questions(page)).to_have_text("two")

    box(page).fill("with a text")
    box(page).press("ArrowUp")  # moves in it
    expect(edited).to_have_count(0)
    box(page).press("?")
    expect(box(page)).to_have_value("?with a text")
    expect(page.get_by_role("dialog")).to_have_count(0)
    for about in ({"isComposing": True}, {"keyCode": 229}):
        page.evaluate(COMPOSE, about)
    page.wait_for_timeout(300)  # as long as a request would take
    assert engine.num_started == 2

    box(page).blur()
    page.keyboard.press("?")
    expect(page.get_by_role("dialog", name="Keyboard shortcuts")).to_contain_text("Stops the answer")
    page.keyboard.press("Alt+n")  # nothing behind a sheet
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(questions(page)).to_have_text("two")

    page.keyboard.press("Alt+m")
    expect(box(page)).to_be_focused()
    toggle = page.get_by_role("button", name="Sidebar")
    page.keyboard.press("Alt+l")
    expect(toggle).to_have_attribute("aria-expanded", "false")
    page.get_by_role("tab", name="Engine").click()
    page.keyboard.press("Alt+k")
    expect(page.get_by_role("searchbox")).to_be_focused()
    expect(toggle).to_have_attribute("aria-expanded", "true")
    page.keyboard.press("Alt+n")
    expect(questions(page)).to_have_count(0)
    expect(box(page)).to_be_focused()


def test_an_edited_message_by_keyboard(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    page = new_page(site.url)
    begin_and_end(page, "one")
    edited = page.locator("#chat textarea")
    box(page).press("ArrowUp")
    expect(edited).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.press("Shift+Enter")
    page.keyboard.insert_text("two")
    expect(edited).to_have_value("one\ntwo")
    page.keyboard.press("Escape")
    expect(edited).to_have_count(0)
    expect(box(page)).to_be_focused()
    expect(questions(page)).to_have_text("one")

    page.keyboard.press("ArrowUp")
    expect(edited).to_be_focused()
    page.keyboard.press("Control+a")
    page.keyboard.insert_text("three")
    page.evaluate(COMPOSE.replace("#message", "#chat"), {"isComposing": True})
    expect(edited).to_have_value("three")
    page.keyboard.press("Enter")
    expect(questions(page)).to_have_text("three")
    expect(box(page)).to_be_focused()
    wait_for_end(page)
    assert [conversation[-1].text for conversation in engine.conversations] == ["one", "three"]

    page.get_by_label("Edit").last.click()  # of the answer, where Enter is a new line
    expect(edited).to_be_focused()
    page.keyboard.press("Control+End")
    page.keyboard.press("Enter")
    expect(edited).to_have_value("an answer\n")
    assert engine.num_started == 2


def test_the_temperature_and_a_conversation_by_a_key(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url)
    begin_and_end(page, "What is a loom?")
    page.keyboard.press("Alt+n")
    expect(questions(page)).to_have_count(0)
    begin_and_end(page, "What is an engine?")
    page.get_by_role("tab", name="Engine").click()
    page.keyboard.press("Alt+p")
    field = page.locator("#settings").get_by_label("number input for temperature")
    expect(field).to_be_focused()
    page.keyboard.insert_text("0.4")
    page.keyboard.press("Alt+p")  # and once more: what is there is selected
    page.keyboard.insert_text("0.3")
    page.keyboard.press("Alt+m")
    expect(field).to_have_value("0.3")
    page.keyboard.press("Alt+k")
    page.keyboard.press("Enter")  # nothing is searched for
    expect(questions(page)).to_have_text("What is an engine?")
    page.keyboard.insert_text("loom")
    page.keyboard.press("Enter")
    expect(questions(page)).to_have_text("What is a loom?")
    expect(box(page)).to_be_focused()
    send(page, "And then?")
    wait_for_end(page)
    assert site.engine.settings[-1].temperature == 0.3


def test_a_draft_outlasts_a_reload_and_a_link_fills_the_box_or_asks(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    page = new_page(site.url)
    begin_and_end(page, "one")
    box(page).fill("two\nlines")
    page.reload()
    expect(questions(page)).to_have_text("one")
    expect(box(page)).to_have_value("two\nlines")
    page.goto(f"{site.url}/?q=Is+1+%3C+2%3F&lang=x")
    expect(box(page)).to_have_value("Is 1 < 2?")
    expect(questions(page)).to_have_count(0)  # a new chat
    assert page.url == f"{site.url}/?lang=x"
    assert engine.num_started == 1
    page.goto(f"{site.url}/?q=Is+1+%3C+2%3F&send=1")
    expect(bot(page)).to_have_text("an answer")
    wait_for_end(page)
    assert page.url == f"{site.url}/" and engine.num_started == 2
    page.reload()
    expect(questions(page)).to_have_text("Is 1 < 2?")
    expect(box(page)).to_have_value("")


def test_the_conversation_is_shown_as_code_that_says_what_the_page_would_send(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url, permissions=["clipboard-read", "clipboard-write"])
    begin_and_end(page, "one <b>")
    box(page).fill("And two?")
    open_sidebar(page)
    page.get_by_role("button", name="View code").click()
    dialog = page.get_by_role("dialog", name="View code")
    dialog.locator("section", has_text="curl").get_by_role("button", name="Copy").click()
    expect(dialog.get_by_role("button", name="Copied")).to_be_visible()
    text = page.evaluate("navigator.clipboard.readText()")
    asked = json.loads(re.findall(r"(?s)-d '(.*)'", text)[0])
    assert [message["content"] for message in asked["messages"]] == ["one <b>", "an answer", "And two?"]
    assert (asked["model"], asked["max_tokens"], asked["seed"]) == ("streamspace-tiny", 100, 42)
    expect(dialog.locator("section").last).to_contain_text("an answer")
    dialog.get_by_role("button", name="Close").click()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_the_page_has_the_operators_words(new_page: NewPage, tmp_path: Path) -> None:
    engine = FakePageEngine(deltas("an answer"))
    (tmp_path / "icon.svg").write_text("<svg/>")
    words = {
        "title": "Ask Ada",
        "description": "About **looms**.",
        "examples": ["What is a loom?", {"text": "And an engine?", "system_prompt": "One sentence."}],
        "system_prompts": {"Poet": "You rhyme."},
        "caveat": "She errs.",
        "links": {"Imprint": "https://example.org/imprint"},
        "accent": "teal",
        "favicon": str(tmp_path / "icon.svg"),
        "prompts": ["Once upon a", "It was"],
    }
    engine.config = replace(engine.config, page=read_words(json.dumps(words)))
    with served_site(engine) as site:
        page = new_page(site.url)
        expect(page.locator("#heading h1")).to_have_text("Ask Ada")
        assert page.title() == "streamspace-tiny · Ask Ada"
        expect(page.locator("#chat .placeholder")).to_contain_text("About looms.")
        expect(page.get_by_role("link", name="Imprint")).to_have_attribute("href", "https://example.org/imprint")
        expect(page.locator("#small-print")).to_contain_text("She errs.")
        assert page.locator("#chat .example").all_inner_texts() == ["What is a loom?", "And an engine?"]
        open_sidebar(page)
        page.get_by_role("button", name="Settings").first.click()
        page.get_by_label("System prompts").click()
        page.get_by_role("option", name="Poet").click()
        system = page.locator("#settings textarea").first
        expect(system).to_have_value("You rhyme.")
        page.get_by_text("And an engine?").click()
        expect(bot(page)).to_have_text("an answer")
        wait_for_end(page)
        expect(system).to_have_value("One sentence.")
        send(page, "More")
        wait_for_end(page)
        systems = [conversation[0].text for conversation in engine.conversations]
        assert systems == ["One sentence.", "One sentence."]

        icon = page.request.get(f"{site.url}/favicon.ico")
        assert (icon.text(), icon.headers["content-type"]) == ("<svg/>", "image/svg+xml")
        page.get_by_role("tab", name="Completion").click()
        prompts = page.get_by_label(re.compile(r"Prompt \d"))
        assert [prompt.input_value() for prompt in prompts.all()] == ["Once upon a", "It was"]
        expect(page.locator("#continuation-1 textarea")).to_have_attribute(
            "placeholder", "streamspace-tiny continues the prompt here"
        )


def test_compare_begins_with_the_operators_words_and_an_example(new_page: NewPage) -> None:
    engine = FakePageEngine(deltas("an answer"))
    words = {
        "title": "Ask Ada",
        "examples": ["What is a loom?", {"text": "And an engine?", "system_prompt": "Briefly."}],
    }
    engine.config = replace(engine.config, page=read_words(json.dumps(words)))
    with served_site(engine) as site:
        page = open_compare(new_page(site.url))
        welcome = page.locator("#compare-welcome")
        expect(welcome).to_contain_text("Ask Ada")
        message = page.locator("#compare-message textarea")
        expect(message).to_have_value("What is a loom?")
        welcome.get_by_role("button", name="And an engine?").click()
        expect(message).to_have_value("And an engine?")
        page.locator("#compare-run").click()
        wait_for_all(page)
        expect(welcome).to_be_hidden()
        assert [message.text for message in engine.conversations[0]] == ["Briefly.", "And an engine?"]
