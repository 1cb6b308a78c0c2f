"""Ten tasks of a visitor, and how many clicks and keys each takes: docs/peers.md has them."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from streamspace.types import Delta
from tests.page import SILENCE_S, NewPage, begin_and_end, bot, new_chat, questions, wait_for_all, wait_for_end
from tests.support import wait_until
from tests.wire import Site

pytestmark = pytest.mark.browser
TABLE = (Path(__file__).parent.parent / "docs" / "peers.md").read_text("utf-8").split("## Ten tasks")[1]
NOW = {task: int(now) for task, now in re.findall(r"^\| ([^|]+) \| [^|]+ \| (\d+) \|", TABLE, re.MULTILINE)}


@dataclass
class Visitor:
    """Does what a visitor does, and counts it. What is typed goes where the focus is."""

    page: Page
    number: int = 0

    def click(self, target: Locator) -> None:
        self.number += 1
        target.click()

    def press(self, key: str) -> None:
        self.number += 1
        self.page.keyboard.press(key)

    def type(self, text: str) -> None:
        self.page.keyboard.insert_text(text)

    @contextmanager
    def does(self, task: str) -> Iterator[None]:
        """Fail unless it takes as many clicks and keys as the table says."""
        self.number = 0
        yield
        assert self.number == NOW[task], task


@pytest.fixture
def visitor(site: Site, new_page: NewPage) -> Visitor:
    page = new_page(site.url, viewport={"width": 1366, "height": 768}, permissions=["clipboard-write"])
    expect(page.locator("#send")).to_be_enabled()
    expect(page.locator("#conversations .new")).to_be_visible()  # the sidebar is open
    return Visitor(page)


def button(page: Page, name: str) -> Locator:
    return page.get_by_role("button", name=name)


def test_ask_stop_retry_and_edit(site: Site, visitor: Visitor) -> None:
    page = visitor.page
    with visitor.does("ask"):
        visitor.type("one")
        visitor.press("Enter")
        expect(bot(page)).to_have_text("an answer")
    wait_for_end(page)
    site.engine.script = [Delta("so far"), SILENCE_S]
    visitor.type("two")
    visitor.press("Enter")
    expect(bot(page)).to_have_text("so far")
    with visitor.does("stop"):
        visitor.press("Escape")
        wait_for_end(page)
    site.engine.script = [Delta("another", "stop")]
    with visitor.does("retry, and go back to the first answer"):
        visitor.click(button(page, "Retry"))
        expect(bot(page)).to_have_text("another")
        wait_for_end(page)
        visitor.click(button(page, "The version before"))
        expect(bot(page)).to_have_text("so far")
    with visitor.does("edit an earlier question"):
        visitor.click(button(page, "Edit").first)
        expect(page.locator("#chat textarea")).to_be_focused()
        page.keyboard.press("Control+a")  # as much as a double click
        visitor.type("three")
        visitor.press("Enter")
        expect(questions(page)).to_have_text(["three"])
    wait_for_end(page)


def test_find_change_attach_export_and_use_from_python(site: Site, visitor: Visitor) -> None:
    page = visitor.page
    begin_and_end(page, "What is a loom?")
    new_chat(page)
    begin_and_end(page, "What is an engine?")
    with visitor.does("find a chat of last week"):
        visitor.press("Alt+k")
        expect(page.get_by_role("searchbox")).to_be_focused()
        visitor.type("loom")
        expect(page.locator("#conversations .name")).to_have_count(1)
        visitor.click(page.locator("#conversations .name"))
        expect(questions(page)).to_have_text("What is a loom?")
    with visitor.does("export a chat"), page.expect_download():
        visitor.click(button(page, "Export JSON"))
    with visitor.does("use this chat from Python"):
        visitor.click(button(page, "View code"))
        visitor.click(page.locator("dialog section", has_text="gradio_client").get_by_role("button", name="Copy"))
    button(page, "Close").click()
    with visitor.does("attach a file"), page.expect_file_chooser() as chooser:
        visitor.click(button(page, "Attach"))
    chooser.value.set_files({"name": "a.txt", "mimeType": "text/plain", "buffer": b"words"})
    expect(page.get_by_label("Show “a.txt” large")).to_be_visible()
    with visitor.does("change the temperature"):
        visitor.press("Alt+p")
        expect(page.locator("#settings").get_by_label("number input for temperature")).to_be_focused()
        visitor.type("0.3")
        expect(page.locator("#settings").get_by_label("range slider for temperature")).to_have_value("0.3")
    before = site.engine.num_started
    page.keyboard.press("Alt+m")
    visitor.type("go on")
    page.keyboard.press("Enter")
    wait_until(lambda: site.engine.num_started > before, what="the question")
    assert site.engine.settings[-1].temperature == 0.3


def test_compare_two_temperatures(site: Site, visitor: Visitor) -> None:
    page = visitor.page
    with visitor.does("compare two temperatures, go on with one"):
        visitor.click(page.get_by_role("tab", name="Compare"))
        expect(page.locator("#compare-message textarea")).to_be_focused()
        visitor.type("Hello")
        visitor.click(page.locator("#compare-number").get_by_label("2", exact=True))
        visitor.click(page.locator("#compare-run"))
        wait_for_all(page)
        visitor.click(page.locator("#column-2").get_by_role("button", name="Use this answer"))
        expect(questions(page)).to_have_text("Hello")
    assert [settings.temperature for settings in site.engine.settings[:2]] == [0.0, 0.7]
