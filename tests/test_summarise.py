"""Where the context ends: a summary of the turns so far, for the model in their place, for the visitor beside them."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.fake import deltas
from tests.page import (
    SILENCE_S,
    NewPage,
    begin_and_end,
    bot,
    box,
    bring_in,
    exported,
    new_chat,
    open_sidebar,
    questions,
    wait_for_end,
)
from tests.wire import Site

pytestmark = pytest.mark.browser
ASKS = re.compile("^Sum up our conversation so far")


def sum_up(site: Site, page: Page, summary: str) -> None:
    site.engine.script = deltas(summary)
    page.get_by_role("button", name="Summarise").click()
    expect(bot(page)).to_have_text(summary)
    wait_for_end(page)


def sent(site: Site) -> list[str]:
    """The texts that the model got last, the summary's question by its first two words."""
    return [ASKS.sub("Sum up", message.text).split(",")[0] for message in site.engine.conversations[-1]]


def test_a_summary_stands_for_the_turns_before_it_until_it_is_undone(site: Site, new_page: NewPage) -> None:
    site.engine.max_model_len, long = 200, "word " * 110 + "end"
    page = new_page(site.url)
    begin_and_end(page, "short")
    expect(page.get_by_role("button", name="Summarise")).to_be_hidden()
    begin_and_end(page, long)
    expect(page.locator("#note")).to_contain_text("the next answer will leave out the oldest messages")
    box(page).fill("a draft")
    sum_up(site, page, "so far")
    assert sent(site) == ["short", "an answer", long, "an answer", "Sum up"]
    assert site.engine.settings[-1].max_tokens == 200 // 8
    expect(box(page)).to_have_value("a draft")
    expect(questions(page)).to_have_count(3)  # nothing is lost
    expect(page.get_by_role("button", name="Summarise")).to_be_hidden()

    begin_and_end(page, "next")
    page.reload()
    expect(questions(page)).to_have_count(4)
    begin_and_end(page, "last")
    assert sent(site) == ["Sum up", "so far", "next", "so far", "last"]

    open_sidebar(page)
    page.get_by_role("button", name="Actions for").first.click()
    for kind in ("JSON", "Markdown"):
        name, file = exported(page, page.locator("#conversations").get_by_role("button", name=f"Export {kind}").click)
        new_chat(page)
        bring_in(page, (name, file))
        expect(questions(page)).to_have_count(5)
        page.get_by_label("Retry").last.click()
        expect(page.locator("#chat [data-testid=user]")).to_have_count(5)
        wait_for_end(page)
        assert sent(site) == ["Sum up", "so far", "next", "so far", "last"]
        open_sidebar(page)

    for _ in range(3):
        num_questions = questions(page).count()
        page.get_by_label("Undo").last.click()
        expect(questions(page)).to_have_count(num_questions - 1)
    expect(box(page)).to_have_value("next\nlast")  # and not the question of the summary
    box(page).fill("again")
    page.keyboard.press("Enter")
    expect(page.locator("#chat [data-testid=user]")).to_have_count(3)
    wait_for_end(page)
    assert sent(site)[-1] == "again" and "Sum up" not in sent(site)


def test_a_summary_that_did_not_begin_replaces_nothing(site: Site, new_page: NewPage) -> None:
    site.engine.max_model_len, long = 200, "word " * 110 + "end"
    page = new_page(site.url)
    begin_and_end(page, long)
    site.engine.script = [SILENCE_S]
    page.get_by_role("button", name="Summarise").click()
    expect(page.locator("#stop")).to_be_visible()
    page.locator("#stop").click()
    wait_for_end(page)
    site.engine.script, site.engine.max_model_len = deltas("an answer"), 1000
    begin_and_end(page, "next")
    assert sent(site)[0] == long
