"""On a phone: what fingers press is large enough, no box has iOS enlarge the page, and nothing is cut off."""

import pytest
from playwright.sync_api import Page, expect

from streamspace.types import Delta, Metrics
from tests.fake import deltas
from tests.page import NewPage, begin_and_end, compare, open_sidebar, wait_for_all
from tests.wire import Site

pytestmark = pytest.mark.browser

PHONE = {"viewport": {"width": 390, "height": 844}, "is_mobile": True, "has_touch": True}
LEAST = 24  # pixels on both sides, as WCAG 2.2 asks
# What can be pressed and is smaller, or has letters for which iOS enlarges the page. A label is as good as its box.
SMALL = """(least) => [...document.querySelectorAll('button, input, textarea, select, summary, [role=option]')]
  .filter((each) => each.checkVisibility({ visibilityProperty: true, opacityProperty: true }) && each.type !== 'range')
  .map((each) => [each, (each.closest('label') ?? each).getBoundingClientRect()])
  .filter(([, { width, height }]) => width > 1 && height > 1)
  .filter(([each, { width, height }]) => width < least || height < least
    || each.matches('textarea, [type=number], [type=text], [type=search], [type=password], :not([type])')
      && /input|textarea/i.test(each.localName) && parseFloat(getComputedStyle(each).fontSize) < 16)
  .map(([each, { width, height }]) => `${each.outerHTML.slice(0, 90)}: ${width} x ${height}`)"""
# Boxes that are cut off by what they stand in.
CUT = """() => [...document.querySelectorAll('input, textarea')].filter((each) => each.checkVisibility())
  .map((each) => [each, each.getBoundingClientRect(), each.parentElement.getBoundingClientRect()])
  .filter(([each, { top, bottom, width }, around]) => width > 1 && /number|text/.test(each.type)
    && (top < around.top - 1 || bottom > around.bottom + 1))
  .map(([each, { height }, around]) => `${each.outerHTML.slice(0, 90)}: ${height} of ${around.height}`)"""
SHEET = """() => {
  const { left, right, top, bottom } = document.querySelector('dialog[open]').getBoundingClientRect();
  return left >= 8 && right <= innerWidth - 8 && top >= 8 && bottom <= innerHeight - 8;
}"""


def check(page: Page) -> None:
    page.wait_for_timeout(500)  # tabs and folds come in by and by
    assert page.evaluate(SMALL, LEAST) == []
    assert page.evaluate(CUT) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_all_tabs_can_be_used_by_fingers(site: Site, new_page: NewPage) -> None:
    site.engine.script = [Delta("Some `code`.", "length", metrics=Metrics(900, 0, 90, 0.0, 0.1, 0.1))]
    page = new_page(site.url, **PHONE)
    begin_and_end(page, "Hello")
    site.engine.script = [Delta("Other code.", "length", metrics=Metrics(900, 0, 90, 0.0, 0.1, 0.1))]
    page.get_by_label("Retry").click()
    expect(page.locator(".versions")).to_be_visible()
    for name in ("Continue", "Summarise"):
        expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
    note = page.locator("#note").bounding_box()
    assert note and note["width"] > 300  # the buttons stand below it, not beside it
    check(page)
    open_sidebar(page)
    page.locator("#settings > button").click()
    page.get_by_label("Actions for").first.click()
    check(page)
    for button in ("View code", "Keyboard shortcuts"):
        page.get_by_role("button", name=button).click()
        assert page.evaluate(SHEET)
        check(page)
        page.keyboard.press("Escape")
    page.locator("#sidebar [aria-expanded]").first.click()
    page.get_by_role("tab", name="Completion").click()
    for fold in ("#constrain", "#completion-settings"):
        page.locator(f"{fold} > button").click()
    check(page)
    page.get_by_role("tab", name="Compare").click()
    site.engine.script = deltas("an answer")
    compare(page)
    wait_for_all(page)
    check(page)
    page.get_by_role("tab", name="Engine").click()
    expect(page.locator("#engine summary").first).to_be_visible()
    check(page)
