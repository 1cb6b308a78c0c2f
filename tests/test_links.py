"""A conversation as a link: what it brings, that it is read and not kept, and that nothing in it runs."""

import base64
import json
import zlib

import pytest
from playwright.sync_api import Page, expect

from tests.page import NewPage, begin_and_end, box, new_chat, open_sidebar, questions, set_up, told
from tests.payloads import PAYLOADS, watch
from tests.wire import Site

pytestmark = pytest.mark.browser
BRINGS = "A conversation from a link: it is kept in this browser once you go on from it."


def link_of(page: Page) -> str:
    """The link to the first conversation of the list."""
    open_sidebar(page)
    page.get_by_role("button", name="Actions for").first.click()
    page.get_by_role("button", name="Link", exact=True).click()
    sheet = page.get_by_role("dialog", name="Link to")
    link = sheet.locator("code").inner_text()
    sheet.get_by_role("button", name="Close").click()
    return link


def forged(url: str, title: str = "", system: str = "", *texts: str) -> str:
    """A link that somebody else made: questions and answers by turns."""
    roles = ("user", "assistant") * len(texts)
    messages = [{"role": role, "content": text} for role, text in zip(roles, texts, strict=False)]
    conversation = {"title": title, "updated": "", "system_prompt": system, "messages": messages}
    file = json.dumps({"format": "streamspace-conversations", "version": 1, "conversations": [conversation]})
    packed = zlib.compressobj(wbits=-15)
    return f"{url}/#conversation={base64.urlsafe_b64encode(packed.compress(file.encode()) + packed.flush()).decode()}"


def kept(page: Page) -> list[str]:
    open_sidebar(page)
    return page.locator("#conversations .name").all_inner_texts()


def test_a_link_is_read_and_kept_once_the_visitor_goes_on(site: Site, new_page: NewPage) -> None:
    begin_and_end(first := new_page(site.url), "What is a loom?")
    link = link_of(first)
    asked: list[str] = []
    page = new_page(site.url)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(link)
    for _ in "as it comes", "after a reload":
        expect(questions(page)).to_have_text("What is a loom?")
        expect(told(page)).to_have_text(BRINGS)
        expect(box(page)).to_be_hidden()
        expect(page.get_by_role("button", name="Copy message")).to_have_count(2)
        for name in ("Retry", "Undo", "Edit", "Clear"):
            expect(page.locator("#chat").get_by_role("button", name=name)).to_have_count(0)
        assert kept(page) == [] and page.url == link
        page.reload()
    page.get_by_role("button", name="Go on from here").click()
    expect(box(page)).to_be_focused()
    assert page.url == f"{site.url}/"
    expect(page.locator("#conversations .name")).to_have_text("What is a loom?")
    begin_and_end(page, "And an engine?")
    assert [message.text for message in site.engine.conversations[-1]] == [
        "What is a loom?",
        "an answer",
        "And an engine?",
    ]
    page.reload()
    expect(questions(page)).to_have_text(["What is a loom?", "And an engine?"])
    assert asked and not [url for url in asked if "conversation=" in url]


def test_a_link_is_read_from_its_beginning_and_gone_on_from_its_end(site: Site, new_page: NewPage) -> None:
    page = new_page(forged(site.url, "Long", "", "first", "word " * 3000, "last", "the end"))
    expect(questions(page)).to_have_text(["first", "last"])
    page.wait_for_timeout(500)  # it is drawn by and by
    expect(questions(page).first).to_be_in_viewport()
    page.get_by_role("button", name="Go on from here").click()
    expect(page.get_by_text("the end")).to_be_in_viewport()


def test_another_conversation_ends_the_reading(site: Site, new_page: NewPage) -> None:
    page = new_page(forged(site.url, "", "", "one", "two"))
    expect(questions(page)).to_have_text("one")
    new_chat(page)
    expect(box(page)).to_be_visible()
    assert page.url == f"{site.url}/" and kept(page) == []
    begin_and_end(page, "mine")
    page.goto(forged(site.url, "Theirs", "Rhyme.", "three", "four"))  # into the page that is open
    expect(questions(page)).to_have_text("three")
    expect(box(page)).to_be_hidden()
    assert kept(page) == ["mine"]
    page.get_by_role("button", name="mine", exact=True).click()
    expect(questions(page)).to_have_text("mine")
    expect(box(page)).to_be_visible()


def test_a_question_of_the_address_is_not_asked_of_a_conversation_that_is_read(site: Site, new_page: NewPage) -> None:
    page = new_page(forged(f"{site.url}/?q=Go&send=1", "", "", "one", "two").replace("/#", "#"))
    expect(questions(page)).to_have_text("one")
    page.wait_for_timeout(500)  # as long as a request would take
    assert site.engine.num_started == 0


def test_a_link_that_is_broken_or_too_long_is_one_sentence(site: Site, new_page: NewPage) -> None:
    page = new_page(forged(site.url, "", "", "one", "two")[:-30])
    expect(told(page)).to_have_text(
        "The conversation of this link cannot be shown: it was cut off, or is none of this page."
    )
    expect(box(page)).to_be_visible()
    site.engine.max_model_len = 100_000
    begin_and_end(page, "".join(chr(0x4E00 + (7919 * number) % 20_000) for number in range(20_000)))
    open_sidebar(page)
    page.get_by_role("button", name="Actions for").first.click()
    page.get_by_role("button", name="Link", exact=True).click()
    expect(page.get_by_role("dialog")).to_contain_text("This conversation is too long for a link: export it instead.")


def test_nothing_of_a_link_runs(site: Site, new_page: NewPage) -> None:
    page = (watched := watch(new_page, site.url)).page
    link = forged(site.url, PAYLOADS["handlers"], "\n".join(PAYLOADS.values()), *PAYLOADS.values())
    page.goto(link)
    for _ in "into the open page", "as it comes":
        expect(questions(page)).to_have_count((len(PAYLOADS) + 1) // 2)
        watched.check()
        page.reload()
    expect(questions(page)).to_have_count((len(PAYLOADS) + 1) // 2)
    set_up(page)
    page.get_by_role("button", name="Go on from here").click()
    expect(page.locator("#conversations .name")).to_have_count(1)
    watched.check()
