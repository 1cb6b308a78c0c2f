"""Driving the page in a browser: what a visitor does, and what is there to be looked at."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import FilePayload, Locator, Page, Route, expect

from streamspace.thoughts import Splitter
from tests.fake import FakePageEngine, deltas
from tests.support import wait_until

expect.set_options(timeout=60_000)

NewPage = Callable[..., Page]
LONG = {"max_tokens": "1900"}  # with the fixture `endless`: an answer that does not end before the test does
THINK = Splitter(("<think>",), ("</think>",))
SILENCE_S = 60.0  # that no test waits for
FILLED = re.compile(r"\S")


def open_sidebar(page: Page) -> None:
    """Have the sidebar open, with the conversations and the chat's settings."""
    expect(page.locator("#send")).to_be_enabled()
    toggle = page.locator("#sidebar [aria-expanded]").first
    if toggle.get_attribute("aria-expanded") == "false":
        toggle.click()
    expect(toggle).to_have_attribute("aria-expanded", "true")


def told(page: Page) -> Locator:
    """The sentence about the conversations."""
    return page.locator("#said [role=status]")


def exported(page: Page, press: Callable[[], None]) -> tuple[str, bytes]:
    """Name and bytes of the file that the browser saves."""
    with page.expect_download() as download:
        press()
    return download.value.suggested_filename, Path(download.value.path()).read_bytes()


def bring_in(page: Page, *files: tuple[str, bytes | str]) -> None:
    open_sidebar(page)
    page.locator("#conversations input[type=file]").set_input_files(
        [
            FilePayload(name=name, mimeType="text/plain", buffer=text.encode() if isinstance(text, str) else text)
            for name, text in files
        ]
    )


def new_chat(page: Page) -> None:
    open_sidebar(page)
    page.get_by_role("button", name="New chat").click()
    expect(page.locator("#conversation .message")).to_have_count(0)


def set_up(page: Page, **settings: str) -> None:
    """Open the settings of the chat and fill them in by their labels."""
    open_sidebar(page)
    page.get_by_role("button", name="Settings").first.click()
    for name, value in settings.items():
        fill_setting(page.locator("#settings"), name, value)


def fill_setting(settings: Locator, name: str, value: str) -> None:
    """Fill the number or the text of the control with this label."""
    control = settings.locator(".block", has=settings.page.get_by_text(name, exact=True)).last
    field = control.locator("input:not([type=range]), textarea").first

    def stays() -> bool:
        # Gradio mounts what is in a fold when it is opened, and takes back what a robot types into it at that moment.
        field.fill(value)
        field.press("Tab")
        settings.page.wait_for_timeout(200)
        return field.input_value() == value

    wait_until(stays, 30, f"{name} = {value!r}")


# Until the page has taken notice of Enter, the end of the answer before still stands.
TAKES_NOTICE = """() => {
  const compose = document.querySelector('#compose');
  window.hasAsked = compose.classList.contains('busy');
  new MutationObserver((_, observer) => {
    if (!compose.classList.contains('busy')) return;
    window.hasAsked = true;
    observer.disconnect();
  }).observe(compose, { attributeFilter: ['class'] });
}"""


def send(page: Page, text: str) -> None:
    """Ask by Enter, and return once the page has begun with it."""
    expect(page.locator("#send")).to_be_enabled()
    page.locator("#message textarea").fill(text)
    page.evaluate(TAKES_NOTICE)
    page.keyboard.press("Enter")
    page.wait_for_function("window.hasAsked")


def bot(page: Page) -> Any:
    return page.locator("#conversation [data-testid=bot]").last


def questions(page: Page) -> Any:
    return page.locator("#conversation [data-testid=user]")


def wait_for_end(page: Page) -> None:
    """The answer has ended when Send is back."""
    expect(page.locator("#send")).to_be_visible()
    expect(page.locator("#compose.busy")).to_have_count(0)


def box(page: Page) -> Any:
    return page.locator("#message textarea")


def begin(page: Page, text: str, answer: str) -> None:
    """Ask, and wait until this much of the answer has come."""
    send(page, text)
    expect(page.locator("#live [data-testid=bot]")).to_have_text(answer)


def begin_and_end(page: Page, text: str) -> None:
    """Ask, and wait until the answer is settled."""
    num_questions = questions(page).count()
    send(page, text)
    expect(page.locator("#chat [data-testid=user]")).to_have_count(num_questions + 1)
    wait_for_end(page)


SLOW = {"its id": "**/queue/join**", "its first frame": "**/queue/data**"}


def delay(page: Page, what: str) -> None:
    """Have what an event needs take half a second, once the page's own events have come to their end."""
    closed = "performance.getEntriesByType('resource').some((entry) => entry.name.includes('/queue/data'))"
    wait_until(lambda: page.evaluate(closed), what="the end of the page's own stream")

    def later(route: Route) -> None:
        page.wait_for_timeout(500)
        route.continue_()

    page.route(SLOW[what], later)


def run_until(page: Page, condition: Callable[[], bool]) -> None:
    """The same as `wait_until`, with the delays going on meanwhile."""
    wait_until(lambda: page.evaluate("true") and condition())


def continue_the_thought(page: Page, engine: FakePageEngine) -> None:
    """Take up a thought that was cut off after "2 and 2", and wait for the answer."""
    engine.script, engine.split = deltas(" make 4.</think>\nFour."), replace(THINK, is_begun=True)
    page.get_by_role("button", name="Continue").click()
    expect(bot(page)).to_contain_text("Four.")
    wait_for_end(page)
    question, begun = engine.conversations[-1]
    assert (question.text, begun.text, begun.thought) == ("What is 2 + 2?", "", "2 and 2")


# ---- Compare


def open_compare(page: Page, number: int = 3) -> Page:
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-number").get_by_label(str(number), exact=True).check()
    expect(page.locator("#compare-run")).to_be_enabled()
    return page


def column(page: Page, number: int) -> Locator:
    return page.locator(f"#column-{number}")


def compare(page: Page, text: str = "Hello") -> None:
    page.locator("#compare-message textarea").fill(text)
    page.locator("#compare-run").click()


def wait_for_all(page: Page) -> None:
    expect(page.locator("#compare.busy")).to_have_count(0, timeout=120_000)
    expect(page.locator("#compare-run")).to_be_visible()


def use(page: Page, number: int) -> None:
    column(page, number).get_by_role("button", name="Use this answer").click()
    expect(page.get_by_role("tab", name="Chat")).to_have_attribute("aria-selected", "true")
