"""The engine's state in words."""

import pytest
from playwright.sync_api import expect

from streamspace.types import Stage, Status
from tests.page import NewPage, box
from tests.wire import Site

ASKING = ("#send", "#compare-run", "#run-all button:not(.stop)", ".completion button.sm")


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status("downloading", "Downloading org/m", 1_500_000, 3_000_000), "Downloading org/m: 1.5 MB of 3.0 MB (50%)"),
        (Status("downloading", "Downloading org/m", 10**9, 3 * 10**9), "Downloading org/m: 1.00 GB of 3.00 GB (33%)"),
        (Status("loading", "Warming up", 3, 4), "Warming up (step 4 of 4) …"),
        (Status("ready", "Ready", 4, 4), "Ready"),
        (Status("failed", "No disk space."), "No disk space."),
    ],
)
def test_progress_has_words_and_numbers(status: Status, words: str) -> None:
    assert status.sentence == words


@pytest.mark.browser
def test_what_asks_can_be_pressed_while_there_is_an_engine_to_be_asked(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url)
    steps: list[tuple[Stage, bool]] = [
        ("ready", True), ("failed", False), ("loading", False), ("ready", True), ("restarting", True), ("failed", False)
    ]  # fmt: skip
    for stage, can_be_pressed in steps:
        site.engine.status = Status(stage, "Its weights are broken")
        expect(page.locator(f"#status .state.{stage}")).to_have_count(1)
        for each in ASKING:
            for button in page.locator(each).all():
                expect(button).to_be_enabled(enabled=can_be_pressed)
    box(page).fill("Hello")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert").filter(has_text="Its weights are broken")).to_be_visible()
    expect(box(page)).to_have_value("Hello")
    later = new_page(site.url)  # begins as the others are now
    expect(later.locator("#status .state.failed")).to_have_count(1)
    expect(later.locator("#send")).to_be_disabled()
    site.engine.status = Status("ready", "Ready")
    for visitor in (page, later):
        expect(visitor.locator("#send")).to_be_enabled()
