"""What a visitor sees of a failure: a sentence that stays, covers nothing and can be closed, and nothing is lost."""

import re

import pytest
from playwright.sync_api import Locator, Page, expect

from streamspace.errors import BreaksEngine, EngineStopped, RequestFailed
from streamspace.types import Delta
from tests.fake import deltas
from tests.page import (
    NewPage,
    begin_and_end,
    bot,
    box,
    compare,
    open_compare,
    questions,
    send,
    wait_for_end,
)
from tests.wire import Site

pytestmark = pytest.mark.browser

SIZES = [(1366, 768), (768, 1024), (390, 844), (360, 640)]
# Gradio's own windows over the page, and what of the failure's line something else covers, or it of anything else.
COVERED = """() => {
  const line = document.querySelector('.failure').getBoundingClientRect();
  const others = [...document.querySelectorAll('button, textarea, input, a, [data-testid=bot]')]
    .filter((each) => !each.closest('.failure') && each.checkVisibility())
    .map((each) => [each, each.getBoundingClientRect()])
    .filter(([, { width, height }]) => width && height)
    .filter(([, each]) => each.left < line.right && each.right > line.left && each.top < line.bottom
      && each.bottom > line.top && !each.closest?.('#conversation'));
  return [document.querySelectorAll('.toast-body').length, ...others.map(([each]) => each.outerHTML.slice(0, 80))];
}"""


def failure(page: Page) -> Locator:
    return page.get_by_role("alert").filter(has=page.get_by_label("Close"))


def go_on(page: Page, site: Site, whole: str) -> None:
    """Continue, by which the answer becomes this."""
    site.engine.script = deltas(", so good")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#chat [data-testid=bot]").last).to_have_text(whole)
    wait_for_end(page)
    expect(page.get_by_role("button", name="Continue")).to_be_hidden()


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_a_refusal_stays_covers_nothing_and_is_closed_or_ends_with_the_next_question(
    site: Site, new_page: NewPage, width: int, height: int
) -> None:
    page = new_page(site.url, viewport={"width": width, "height": height})
    send(page, "   ")
    expect(failure(page)).to_contain_text("The message is empty: type something first.")
    assert page.evaluate(COVERED) == [0]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.wait_for_timeout(500)
    expect(box(page)).to_be_in_viewport(ratio=1)
    failure(page).get_by_label("Close").click()
    expect(failure(page)).to_have_count(0)
    send(page, " ")
    expect(failure(page)).to_have_count(1)
    failure(page).get_by_label("Close").press("Enter")
    expect(box(page)).to_be_focused()
    send(page, " ")
    expect(failure(page)).to_have_count(1)
    begin_and_end(page, "Hello")
    expect(failure(page)).to_have_count(0)


def test_a_failure_before_the_first_token_leaves_what_was_there(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url)
    site.engine.script = deltas("so far", "length")
    begin_and_end(page, "one")
    note = page.locator("#note").inner_text()
    site.engine.script = [0.2, RequestFailed()]
    send(page, "two")
    expect(failure(page)).to_contain_text("The engine could not finish this answer; try again.")
    expect(box(page)).to_have_value("two")
    expect(questions(page)).to_have_text(["one"])
    assert page.locator("#note").inner_text() == note
    go_on(page, site, "so far, so good")


def test_retry_that_fails_before_the_first_token_keeps_the_answer(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url)
    begin_and_end(page, "one")
    box(page).fill("a draft")
    site.engine.script = [0.2, BreaksEngine(600)]
    page.get_by_label("Retry").click()
    expect(failure(page)).to_contain_text("it is not tried again for 10 minutes: change the message or the settings.")
    expect(bot(page)).to_have_text("an answer")
    expect(questions(page)).to_have_text(["one"])
    expect(box(page)).to_have_value("a draft")
    expect(page.locator(".versions")).to_have_count(0)


def test_an_edited_question_that_fails_is_in_the_box_and_the_first_one_stays(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url)
    begin_and_end(page, "one")
    site.engine.script = [0.2, RequestFailed()]
    for edited, sentence, left in (
        ("two", "The engine could not finish this answer; try again.", "two"),
        (" ", "The message is empty: type something first.", "a draft"),
    ):
        page.get_by_label("Edit").first.click()
        page.locator("#chat textarea").fill(edited)
        page.keyboard.press("Enter")
        expect(failure(page)).to_contain_text(sentence)
        expect(box(page)).to_have_value(left)
        expect(questions(page)).to_have_text(["one"])
        expect(bot(page)).to_have_text("an answer")
        box(page).fill("a draft")
    expect(page.locator(".versions")).to_have_count(0)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            EngineStopped(),
            "Interrupted: the engine stopped before the answer was complete; Continue takes it up again.",
        ),
        (RequestFailed(), "The engine could not finish this answer; try again."),
        (BreaksEngine(600), "The engine broke down while it worked on this request"),
        (ZeroDivisionError(), "Interrupted before its end; Continue takes it up again."),
    ],
)
def test_an_answer_that_an_error_ends_can_be_continued_also_after_a_reload(
    site: Site, new_page: NewPage, error: Exception, words: str
) -> None:
    page = new_page(site.url)
    site.engine.script = [Delta("so far"), 0.5, error]
    send(page, "Hello")
    expect(page.locator("#note")).to_contain_text(words)
    wait_for_end(page)
    expect(bot(page)).to_have_text("so far")
    page.reload()
    expect(page.locator("#note")).to_contain_text(words)
    go_on(page, site, "so far, so good")


def test_continue_that_fails_leaves_the_answer_and_continue(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url)
    site.engine.script = deltas("so far", "length")
    begin_and_end(page, "Hello")
    site.engine.script = [0.2, BreaksEngine(600)]
    page.get_by_role("button", name="Continue").click()
    expect(failure(page)).to_contain_text("The engine broke down while it worked on this request")
    expect(bot(page)).to_have_text("so far")
    go_on(page, site, "so far, so good")


def test_refusals_of_the_other_tabs_stand_beside_what_asked(site: Site, new_page: NewPage) -> None:
    page = open_compare(new_page(site.url))
    compare(page, " ")
    expect(failure(page)).to_contain_text("The message is empty: type something first.")
    expect(page.locator(".failure + #compare-compose")).to_have_count(1)
    page.get_by_role("tab", name="Completion").click()
    page.get_by_label("Prompt 2").fill("")
    page.get_by_role("button", name="Run 2").click()
    expect(failure(page)).to_have_count(1)
    expect(failure(page)).to_contain_text("The prompt is empty: there must be something to continue.")
    expect(failure(page)).to_be_in_viewport()
    expect(page.locator(".completion:has(button:text('Run 2')) + .failure")).to_have_count(1)
    page.get_by_role("button", name="Run 1").click()
    expect(page.locator("#continuation-1 textarea")).to_have_value(re.compile("an answer"))
    expect(failure(page)).to_have_count(0)
