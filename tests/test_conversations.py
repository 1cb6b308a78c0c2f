"""Conversations that the browser keeps: over a reload, in the list, in files, in two tabs, and if its storage fails."""

import json
import re
from functools import partial
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from streamspace.types import Delta
from tests.fake import FakePageEngine, deltas
from tests.page import (
    LONG,
    SILENCE_S,
    THINK,
    NewPage,
    begin,
    begin_and_end,
    bot,
    box,
    bring_in,
    compare,
    continue_the_thought,
    exported,
    new_chat,
    open_compare,
    open_sidebar,
    questions,
    send,
    set_up,
    told,
    use,
    wait_for_all,
    wait_for_end,
)
from tests.payloads import LIVE, PAYLOADS, watch
from tests.support import Running, free_port, served, wait_until
from tests.wire import Site

pytestmark = pytest.mark.browser
INTERRUPTED = "Interrupted by a reload; Continue takes it up again."


@pytest.fixture
def engine(site: Site) -> FakePageEngine:
    return site.engine


@pytest.fixture
def url(site: Site) -> str:
    return site.url


def titles(page: Page) -> Locator:
    """The titles in the list, in the open sidebar."""
    open_sidebar(page)
    return page.locator("#conversations .name")


def choose(page: Page, title: str) -> None:
    open_sidebar(page)
    page.locator("#conversations").get_by_role("button", name=title, exact=True).click()


def act(page: Page, title: str, action: str) -> None:
    """Press an action of the conversation with this title."""
    open_sidebar(page)
    menu = page.get_by_role("button", name=f"Actions for “{title}”")
    if menu.get_attribute("aria-expanded") == "false":
        menu.click()
    page.locator("#conversations").get_by_role("button", name=action, exact=True).click()


def asked_of(engine: FakePageEngine) -> list[str]:
    return [message.text for message in engine.conversations[-1]]


def reload(page: Page) -> None:
    page.reload()
    expect(page.locator("#send")).to_be_enabled()


KEPT = """(text) => new Promise((resolve) => {
  const opening = indexedDB.open('streamspace-conversations');
  opening.onsuccess = () => {
    const all = opening.result.transaction('records').objectStore('records').getAll();
    all.onsuccess = () => { opening.result.close(); resolve(JSON.stringify(all.result).includes(text)); };
  };
})"""


def wait_until_kept(page: Page, text: str) -> None:
    """The text, of a question or an answer under way, is in the browser's store."""
    wait_until(lambda: page.evaluate(KEPT, text), 10, f"the save of {text!r}")


# ---- Over a reload


def test_a_reload_brings_the_conversation_back_and_it_goes_on(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    text = "  <b>x</b> &amp; `<i>`\n\n```\n\tcode & <b>\n```\n"
    engine.script = deltas(text)
    page = new_page(url)
    set_up(page, **{"System prompt": "Be brief."})
    begin_and_end(page, "one <b>")
    reload(page)
    expect(questions(page)).to_have_text("one <b>")
    expect(bot(page)).to_contain_text("code & <b>")
    expect(page.locator("#note")).to_contain_text("Ended.")
    begin_and_end(page, "two")
    assert asked_of(engine) == ["Be brief.", "one <b>", text, "two"]
    expect(titles(page)).to_have_text(["one <b>"])


def test_a_reload_before_the_answer_is_saved_loses_none_of_it(url: str, new_page: NewPage) -> None:
    page = new_page(url)
    page.evaluate(
        "() => { IDBObjectStore.prototype.put = function () { queueMicrotask(() => this.transaction.abort()); }; }"
    )
    begin_and_end(page, "one")
    expect(page.get_by_text("This browser could not keep the conversation").first).to_be_visible()
    reload(page)
    expect(page.locator("#chat [data-testid=bot]")).to_have_text(["an answer"])
    expect(titles(page)).to_have_text(["one"])
    assert page.evaluate("() => sessionStorage.getItem('streamspace-unsaved')") is None


def test_a_reload_in_mid_answer_keeps_the_text_so_far_and_continue_takes_it_up(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    page = new_page(url)
    begin_and_end(page, "one")
    engine.script = [Delta("so far"), SILENCE_S]
    begin(page, "two", "so far")
    wait_until_kept(page, "so far")
    page.reload()
    wait_until(lambda: engine.num_closed_early == 1, 5, "the release")
    expect(page.locator("#chat [data-testid=bot]")).to_have_text(["an answer", "so far"])
    expect(page.locator("#note")).to_have_text(INTERRUPTED)
    engine.script = deltas(", so good")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#chat [data-testid=bot]").last).to_have_text("so far, so good")
    assert asked_of(engine) == ["one", "an answer", "two", "so far"]
    wait_until_kept(page, "so far, so good")
    reload(page)
    expect(page.locator("#chat [data-testid=bot]")).to_have_text(["an answer", "so far, so good"])
    expect(page.get_by_role("button", name="Continue")).to_be_hidden()


@pytest.mark.usefixtures("endless")
def test_a_real_answer_is_continued_after_a_reload(running: Running, new_page: NewPage) -> None:
    page = new_page(running.url)
    set_up(page, **LONG)
    send(page, "Tell me a long story.")
    page.wait_for_function("document.querySelector('#live [data-testid=bot]')?.innerText.length > 80")
    seen = page.locator("#live [data-testid=bot]").inner_text()
    wait_until_kept(page, seen[:60])
    page.reload()
    wait_until(lambda: running.is_idle, 5, "the release")
    expect(page.locator("#note")).to_have_text(INTERRUPTED)
    kept = bot(page).inner_text()
    assert kept.startswith(seen[:60])
    page.get_by_role("button", name="Continue").click()
    page.wait_for_function(
        "length => document.querySelector('#live [data-testid=bot]')?.innerText.length > length", arg=len(kept) + 20
    )
    assert bot(page).inner_text().startswith(seen[:60])
    page.get_by_role("button", name="Stop").click()
    wait_until(lambda: running.is_idle, 5, "the release")


def test_a_reload_before_the_first_token_gives_the_question_back(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    engine.script = [SILENCE_S]
    page = new_page(url)
    send(page, "Is 1 < 2 & <b>?")
    expect(page.locator("#live [data-testid=user]")).to_have_count(1)
    wait_until_kept(page, "Is 1 < 2")
    page.reload()
    expect(box(page)).to_have_value("Is 1 < 2 & <b>?")
    expect(page.locator("#note")).to_contain_text("the question is back in the box")
    expect(page.locator("#conversation .message")).to_have_count(0)


def test_a_connection_that_breaks_in_mid_answer_loses_nothing(new_page: NewPage) -> None:
    """The server goes away; Gradio's client reloads the page when there is one again."""
    engine, port = FakePageEngine([Delta("so far"), SILENCE_S]), free_port()
    with served(engine, port=port) as url:
        page = new_page(url)
        begin(page, "Hello", "so far")
        wait_until_kept(page, "so far")
        page.evaluate("window.isOld = true")
    with served(FakePageEngine(deltas(", so good")), port=port):
        page.wait_for_function("window.isOld === undefined && document.querySelector('#chat [data-testid=bot]')")
        expect(bot(page)).to_have_text("so far")
        expect(page.locator("#note")).to_have_text(INTERRUPTED)
        page.get_by_role("button", name="Continue").click()
        expect(page.locator("#chat [data-testid=bot]")).to_have_text("so far, so good")


def test_a_page_that_crashes_in_mid_answer_keeps_what_was_saved(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    engine.script = [Delta("so far"), SILENCE_S]
    page = new_page(url)
    begin(page, "Hello", "so far")
    wait_until_kept(page, "so far")
    context = page.context
    page.on("crash", lambda _: None)
    with pytest.raises(Exception, match="crash"):
        page.goto("chrome://crash")
    again = context.new_page()
    again.goto(url)
    choose(again, "Hello")
    expect(bot(again)).to_have_text("so far")
    expect(again.locator("#note")).to_have_text(INTERRUPTED)


def test_stop_and_its_continue_outlast_a_reload(engine: FakePageEngine, url: str, new_page: NewPage) -> None:
    engine.script = [Delta("so far"), SILENCE_S]
    page = new_page(url)
    begin(page, "Hello", "so far")
    page.get_by_role("button", name="Stop").click()
    wait_for_end(page)
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("so far")
    reload(page)
    expect(page.locator("#note")).to_contain_text("Stopped by you.")
    engine.script = deltas(", so good")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("so far, so good")


def test_a_thought_under_way_outlasts_a_reload_and_is_continued(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    engine.split, engine.script = THINK, [Delta("<think>2 and 2"), SILENCE_S]
    page = new_page(url)
    send(page, "What is 2 + 2?")
    wait_until_kept(page, "2 and 2")
    reload(page)
    expect(page.locator("#note")).to_have_text(INTERRUPTED)
    expect(page.locator("#chat").get_by_text("Thought")).to_be_visible()  # it runs no more
    continue_the_thought(page, engine)
    title = titles(page).inner_text()
    _, file = exported(page, lambda: act(page, title, "Export Markdown"))
    bring_in(page, ("again.md", file))
    expect(titles(page)).to_have_text([title, title])
    for _ in range(2):  # as it came, and as it is kept
        expect(bot(page)).to_contain_text("Four.")
        page.locator("#chat").get_by_text("Thought").click()
        expect(page.locator("#chat").get_by_text("2 and 2 make 4.")).to_be_visible()
        reload(page)


def test_retry_edit_undo_and_clear_stay_in_step_with_what_is_kept(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    page = new_page(url)
    for text in ("one", "two", "three"):
        begin_and_end(page, text)
    page.get_by_label("Undo").last.click()
    expect(questions(page)).to_have_count(2)
    reload(page)
    expect(questions(page)).to_have_text(["one", "two"])
    engine.script = deltas("another")
    page.get_by_label("Retry").last.click()
    expect(bot(page)).to_have_text("another")
    wait_for_end(page)
    page.get_by_label("Edit").first.click()
    page.locator("#chat textarea").fill("changed")
    page.get_by_label("Submit").click()
    expect(questions(page)).to_have_count(1)
    wait_for_end(page)
    reload(page)
    expect(questions(page)).to_have_text("changed")
    expect(bot(page)).to_have_text("another")
    page.get_by_label("Clear").click()
    expect(told(page)).to_have_text("Deleted “changed”.")
    expect(titles(page)).to_have_count(0)
    reload(page)
    expect(page.locator("#conversation .message")).to_have_count(0)
    expect(titles(page)).to_have_count(0)


def pager(page: Page, number: int = 0) -> Locator:
    return page.get_by_role("group", name="Versions of this turn").nth(number)


def test_versions_of_a_turn_are_kept_by_pointer_and_keyboard_over_a_reload_and_in_files(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    page = new_page(url)
    begin_and_end(page, "one")
    begin_and_end(page, "two")
    expect(pager(page)).to_have_count(0)
    engine.script = deltas("another")
    page.get_by_label("Retry").last.click()
    expect(bot(page)).to_have_text("another")
    wait_for_end(page)
    expect(pager(page)).to_have_text("‹2/2›")
    pager(page).get_by_role("button", name="The version before").click()
    expect(bot(page)).to_have_text("an answer")
    expect(pager(page)).to_have_text("‹1/2›")
    expect(pager(page).get_by_role("button", name="The next version")).to_be_focused()
    page.keyboard.press("ArrowRight")
    expect(bot(page)).to_have_text("another")

    engine.script = deltas("a third")
    page.get_by_label("Edit").first.click()  # of the first question
    page.locator("#chat textarea").fill("changed")
    page.get_by_label("Submit").click()
    expect(questions(page)).to_have_text(["changed"])
    wait_for_end(page)
    expect(pager(page)).to_have_text("‹2/2›")
    reload(page)
    expect(questions(page)).to_have_text(["changed"])
    expect(pager(page)).to_have_text("‹2/2›")
    title = titles(page).first.inner_text()
    files = [exported(page, partial(act, page, title, action)) for action in ("Export JSON", "Export Markdown")]

    for name, file in files:
        other = new_page(url)
        bring_in(other, (name, file))
        expect(questions(other)).to_have_text(["changed"])
        pager(other).get_by_role("button", name="The version before").click()
        expect(questions(other)).to_have_text(["one", "two"])
        expect(bot(other)).to_have_text("another")
        expect(pager(other, 1)).to_have_text("‹2/2›")
        pager(other, 1).get_by_role("button", name="The version before").click()
        expect(bot(other)).to_have_text("an answer")
        engine.script = deltas("and on")
        begin_and_end(other, "three")
        assert asked_of(engine) == ["one", "an answer", "two", "an answer", "three"]
        other.get_by_label("Undo").last.click()
        expect(questions(other)).to_have_text(["one", "two"])
        expect(pager(other, 1)).to_have_text("‹1/2›")


def test_an_edited_answer_goes_on_and_the_one_before_is_kept(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    page = new_page(url)
    begin_and_end(page, "one")
    begin_and_end(page, "two")
    engine.script = deltas(" and this.")
    page.get_by_label("Edit").nth(1).click()  # of the first answer
    page.locator("#chat textarea").fill("Only that")
    page.get_by_label("Submit").click()
    expect(page.locator("#chat [data-testid=bot]")).to_have_text(["Only that and this."])
    wait_for_end(page)
    assert asked_of(engine) == ["one", "Only that"]
    pager(page).get_by_role("button", name="The version before").click()
    expect(page.locator("#chat [data-testid=bot]")).to_have_text(["an answer", "an answer"])


def test_clear_in_mid_answer_can_be_undone(engine: FakePageEngine, url: str, new_page: NewPage) -> None:
    page = new_page(url)
    begin_and_end(page, "one")
    engine.script = [Delta("so far"), SILENCE_S]
    begin(page, "two", "so far")
    page.get_by_label("Clear").first.click()
    expect(page.locator("#conversation .message")).to_have_count(0)
    wait_for_end(page)
    page.locator("#said").get_by_role("button", name="Undo").click()
    expect(questions(page).first).to_have_text("one")
    expect(titles(page)).to_have_text(["one"])


def test_an_answer_that_was_used_from_a_comparison_is_kept(engine: FakePageEngine, url: str, new_page: NewPage) -> None:
    page = new_page(url)
    open_compare(page)
    compare(page, "Is 1 < 2 & <b>?")
    wait_for_all(page)
    use(page, 1)
    wait_until_kept(page, "Is 1 < 2")
    reload(page)
    expect(questions(page)).to_have_text("Is 1 < 2 & <b>?")
    expect(bot(page)).to_have_text("an answer")
    expect(pager(page)).to_have_count(0)  # all columns have the same one


def test_a_refused_question_leaves_nothing_in_the_list(engine: FakePageEngine, url: str, new_page: NewPage) -> None:
    page = new_page(url)
    send(page, "word " * 2000)
    expect(page.get_by_text("the model's context holds").first).to_be_visible()
    wait_for_end(page)
    expect(titles(page)).to_have_count(0)


# ---- The list


def test_conversations_are_listed_switched_renamed_found_and_deleted(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    page = new_page(url)
    long = "What is the KV cache, and why does it matter for a server that answers many people at once?"
    cut = "What is the KV cache, and why does it matter for a server…"
    begin_and_end(page, long)
    new_chat(page)
    engine.script = deltas("你好，世界")
    begin_and_end(page, "用两句话解释什么是连续批处理")
    expect(titles(page)).to_have_text(["用两句话解释什么是连续批处理", cut])
    expect(page.locator(".name[aria-current]")).to_have_text("用两句话解释什么是连续批处理")

    engine.script = deltas("an answer")
    choose(page, cut)
    expect(questions(page)).to_have_text(long)
    expect(box(page)).to_be_focused()
    begin_and_end(page, "and then?")
    assert asked_of(engine) == [long, "an answer", "and then?"]
    expect(titles(page)).to_have_text([cut, "用两句话解释什么是连续批处理"])  # the latest first

    act(page, cut, "Rename")
    field = page.get_by_role("textbox", name=f"New title for “{cut}”")
    field.fill("<i>Cache</i>")
    field.press("Enter")
    expect(told(page)).to_have_text("Renamed to “<i>Cache</i>”.")
    expect(titles(page).first).to_have_text("<i>Cache</i>")
    act(page, "<i>Cache</i>", "Rename")
    field = page.get_by_role("textbox", name="New title for “<i>Cache</i>”")
    field.fill("not this")
    field.press("Escape")
    expect(titles(page).first).to_have_text("<i>Cache</i>")

    for words, found in (("世界", 1), ("KV CACHE", 1), ("cache</I>", 1), ("nowhere", 0), ("", 2)):
        page.get_by_role("searchbox").fill(words)
        expect(titles(page)).to_have_count(found)
    page.get_by_role("searchbox").fill("nowhere")
    expect(page.get_by_text("Nothing found.")).to_be_visible()
    page.get_by_role("searchbox").fill("")

    act(page, "<i>Cache</i>", "Delete")
    expect(told(page)).to_have_text("Deleted “<i>Cache</i>”.")
    expect(page.locator("#conversation .message")).to_have_count(0)  # it was the one on the page
    expect(titles(page)).to_have_count(1)
    page.locator("#said").get_by_role("button", name="Undo").click()
    expect(titles(page)).to_have_count(2)
    expect(questions(page)).to_have_text([long, "and then?"])
    act(page, "用两句话解释什么是连续批处理", "Delete")
    expect(titles(page)).to_have_text(["<i>Cache</i>"])
    expect(questions(page)).to_have_count(2)
    reload(page)
    expect(titles(page)).to_have_text(["<i>Cache</i>"])


def test_a_switch_in_mid_answer_stops_it_and_keeps_what_came(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    page = new_page(url)
    begin_and_end(page, "one")
    new_chat(page)
    engine.script = [Delta("so far"), SILENCE_S]
    begin(page, "two", "so far")
    choose(page, "one")
    wait_until(lambda: engine.num_closed_early == 1, 5, "the release")
    expect(page.locator("#conversation [data-testid=bot]")).to_have_text("an answer")
    choose(page, "two")
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("so far")
    expect(page.locator("#note")).to_contain_text("Stopped by you.")


def test_a_conversation_keeps_its_system_prompt(engine: FakePageEngine, url: str, new_page: NewPage) -> None:
    page = new_page(url)
    set_up(page, **{"System prompt": "Be brief."})
    begin_and_end(page, "one")
    new_chat(page)
    expect(page.get_by_label("System prompt")).to_have_value("")
    begin_and_end(page, "two")
    assert asked_of(engine) == ["two"]
    choose(page, "one")
    expect(page.get_by_label("System prompt")).to_have_value("Be brief.")


def test_the_keyboard_alone_does_it(engine: FakePageEngine, url: str, new_page: NewPage) -> None:
    page = new_page(url)
    begin_and_end(page, "one")
    open_sidebar(page)
    page.locator("#sidebar [aria-expanded]").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # New chat
    expect(box(page)).to_be_focused()
    page.locator("#sidebar [aria-expanded]").first.focus()
    expect(page.locator("#conversations .name")).to_have_text("one")
    for key in ("Tab", "Tab", "Tab", "Tab", "Enter"):  # past New chat, the search and the title to the menu
        page.keyboard.press(key)
    expect(page.get_by_role("button", name="Actions for “one”")).to_have_attribute("aria-expanded", "true")
    expect(page.get_by_role("button", name="Actions for “one”")).to_be_focused()
    for key in ("Tab", "Enter", "Control+A", "x", "Enter"):  # Rename
        page.keyboard.press(key)
    expect(page.get_by_role("button", name="x", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(questions(page)).to_have_text("one")
    expect(box(page)).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_the_list_without_scrolling_sideways(
    engine: FakePageEngine, url: str, new_page: NewPage, scheme: str
) -> None:
    page = new_page(url, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    begin_and_end(page, "word" * 40)
    expect(titles(page).first).to_have_text(re.compile("word"), use_inner_text=True)  # once the drawer is open
    title = titles(page).first.inner_text()
    page.get_by_role("button", name=f"Actions for “{title}”").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for button in page.locator("#conversations button:visible").all():
        place = button.bounding_box()
        assert place and place["x"] >= 0 and place["x"] + place["width"] <= 390


def test_nothing_of_it_goes_to_the_server_and_saves_do_not_come_with_each_frame(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    page = new_page(url)
    page.evaluate("""() => {
      const put = IDBObjectStore.prototype.put;
      window.numPuts = 0;
      IDBObjectStore.prototype.put = function (value) { window.numPuts++; return put.call(this, value); };
    }""")
    engine.script = [step for n in range(60) for step in (Delta(f"{n} "), 0.05)] + [Delta("end", "stop")]
    began_ms = page.evaluate("performance.now()")
    begin_and_end(page, "secret")
    num_seconds = (page.evaluate("performance.now()") - began_ms) / 1000
    assert 0 < page.evaluate("window.numPuts") < 4 * num_seconds + 8  # four a second, and those at its end
    posted: list[str] = []
    page.on("request", lambda request: posted.append(request.url) if request.method == "POST" else None)
    _, file = exported(page, lambda: act(page, "secret", "Export JSON"))
    bring_in(page, ("again.json", file))
    expect(titles(page)).to_have_count(2)
    page.get_by_role("searchbox").fill("secret")
    expect(told(page)).to_have_text("2 found.")
    new_chat(page)
    assert posted == []


def test_a_chinese_browser_gets_it_in_chinese(engine: FakePageEngine, url: str, new_page: NewPage) -> None:
    page = new_page(url, locale="zh-CN")
    begin_and_end(page, "one $& {title}")
    open_sidebar(page)
    page.get_by_role("button", name="“one $& {title}”的操作").click()
    page.locator("#conversations").get_by_role("button", name="删除").click()
    expect(told(page)).to_have_text("已删除“one $& {title}”。")
    expect(titles(page)).to_have_count(0)  # the list is drawn anew when the store has answered
    assert not re.search(r"[A-Za-z]{3,}", page.locator("#conversations").inner_text())


# ---- Two tabs


def test_two_tabs_do_not_overwrite_each_other(engine: FakePageEngine, url: str, new_page: NewPage) -> None:
    first = new_page(url)
    second = first.context.new_page()
    second.goto(url)
    begin_and_end(first, "first")
    begin_and_end(second, "second")
    begin_and_end(first, "first again")
    expect(titles(first)).to_have_text(["first", "second"])
    expect(titles(second)).to_have_text(["first", "second"])

    choose(second, "first")  # both tabs have the same one now
    expect(questions(second)).to_have_count(2)
    begin_and_end(first, "in the first tab")
    begin_and_end(second, "in the second tab")
    expect(told(second)).to_contain_text("went on in another tab")
    expect(titles(second)).to_have_text(["first", "first", "second"])
    begin_and_end(second, "in the copy")
    expect(titles(second)).to_have_text(["first", "first", "second"])
    for page, asked in ((first, "in the first tab"), (second, "in the copy")):
        reload(page)
        expect(questions(page).last).to_have_text(asked)

    expect(titles(second)).to_have_count(3)
    act(first, "second", "Delete")
    expect(titles(second)).to_have_text(["first", "first"])  # it is told


# ---- Files

NASTY = (
    "  <b>x</b> &amp; `<i>` 你好 👩‍👩‍👧\r\n\n<!-- x --> --> # no title\n## You\n\n"
    "````md\n```py\n\tif a < b & c: pass\n```\n````\n\n| a | b |\n|---|---|\n\n$$x^2$$\n\n"
)


@pytest.mark.parametrize("action", ["Export JSON", "Export Markdown", "Export all"])
def test_what_is_exported_comes_back_as_it_was(
    engine: FakePageEngine, url: str, new_page: NewPage, action: str
) -> None:
    engine.script = [Delta(NASTY, "stop")]
    page = new_page(url)
    set_up(page, **{"System prompt": "Be <b>brief</b>.\n## You\n\n&lt;"})
    for text in (f"--> {NASTY.strip()}", "two"):
        begin_and_end(page, text)
    begin_and_end(page, "three")
    first = asked_of(engine)
    title = titles(page).inner_text()
    if action == "Export all":
        name, file = exported(page, page.get_by_role("button", name="Export all").click)
        assert name == "Conversations.json"
    else:
        name, file = exported(page, lambda: act(page, title, action))
        assert name.endswith(".md" if "Markdown" in action else ".json")
    if name.endswith(".json"):
        texts = [message["content"] for message in json.loads(file)["conversations"][0]["messages"]]
        assert texts == [*first[1:], NASTY]

    other = new_page(url)  # of another visitor
    bring_in(other, (name, file))
    expect(told(other)).to_have_text("Conversations imported: 1.")
    expect(questions(other)).to_have_count(3)
    assert titles(other).inner_text() == title
    begin_and_end(other, "four")
    assert asked_of(engine) == [*first, NASTY, "four"]


def test_the_button_above_the_conversation_exports_what_the_menu_does(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url)
    button = page.locator("#chat").get_by_role("button", name="Export JSON")
    expect(button).to_have_count(0)  # for there is nothing yet
    begin_and_end(page, "one")
    site.engine.script = deltas("word\n\n" * 100)
    begin_and_end(page, "two")
    expect(button).to_be_in_viewport()  # though the beginning of the conversation is not
    site.engine.script = deltas("an answer")
    by_menu = exported(page, lambda: act(page, titles(page).inner_text(), "Export JSON"))
    assert exported(page, button.click) == by_menu
    new_chat(page)
    expect(button).to_have_count(0)
    begin_and_end(page, "three")
    name, file = exported(page, button.click)
    assert (name, [each["content"] for each in json.loads(file)["conversations"][0]["messages"]]) == (
        "three.json", ["three", "an answer"],
    )  # fmt: skip


GOOD = {
    "format": "streamspace-conversations",
    "version": 1,
    "conversations": [
        {"title": "t", "system_prompt": "", "messages": [{"role": "user", "content": "q"}], "updated": "never"}
    ],
}


def changed(**changes: Any) -> str:
    """GOOD with other values in its conversation."""
    return json.dumps({**GOOD, "conversations": [{**GOOD["conversations"][0], **changes}]})  # type: ignore[index]


BAD_FILES: list[tuple[str | bytes, str]] = [
    ("", "neither JSON nor Markdown"),
    (b"\xff\xfe\x00\x01\x89PNG", "neither JSON nor Markdown"),
    ("null", "neither JSON nor Markdown"),
    ("[1, 2]", "neither JSON nor Markdown"),
    ("[" * 100_000, "neither JSON nor Markdown"),
    ("# A title\n\nSome text", "neither JSON nor Markdown"),
    (json.dumps({**GOOD, "format": "other"}), "neither JSON nor Markdown"),
    (json.dumps({**GOOD, "conversations": []}), "neither JSON nor Markdown"),
    (json.dumps({**GOOD, "conversations": {"a": 1}}), "neither JSON nor Markdown"),
    (json.dumps({**GOOD, "version": 2}), "newer version"),
    (changed(title=7), "neither JSON nor Markdown"),
    (changed(messages=[]), "neither JSON nor Markdown"),
    (changed(messages=[{"role": "root", "content": "x"}]), "neither JSON nor Markdown"),
    (changed(messages=[{"role": "user", "content": [{"type": "component"}]}]), "neither JSON nor Markdown"),
    (changed(messages=[{"role": "user", "content": "x", "metadata": "x"}]), "neither JSON nor Markdown"),
    ("<!-- streamspace-conversations {} -->\n# t\n", "neither JSON nor Markdown"),
    ('<!-- streamspace-conversations {"version":1,"mark":"m"} -->\n# t\n\n<!-- m {"ro', "neither JSON nor"),
    ('<!-- streamspace-conversations {"version":9,"mark":"m"} -->\n# t\n', "newer version"),
]


def test_bad_files_are_refused_in_one_sentence_each(url: str, new_page: NewPage) -> None:
    page = new_page(url)
    for text, sentence in BAD_FILES:
        bring_in(page, ("<b>bad</b>.json", text))
        refusal = rf"^“<b>bad</b>\.json” is not imported: it (is|was) .*{sentence}.*\.$"
        expect(told(page), str(text[:99])).to_have_text(re.compile(refusal))
        expect(titles(page)).to_have_count(0)
        bring_in(page, ("good.json", json.dumps(GOOD)), ("bad.json", text))  # all or none
        expect(told(page)).to_contain_text("“bad.json” is not imported")
        expect(titles(page)).to_have_count(0)


def test_windows_line_ends_and_an_editor_that_trims_do_no_harm(url: str, new_page: NewPage) -> None:
    page = new_page(url)
    bring_in(page, ("good.json", json.dumps(GOOD)))
    expect(questions(page)).to_have_text("q")
    _, file = exported(page, lambda: act(page, "t", "Export Markdown"))
    bring_in(page, ("t.md", b"\xef\xbb\xbf" + file.rstrip().replace(b"\n", b"\r\n")))
    expect(titles(page)).to_have_text(["t", "t"])
    expect(questions(page)).to_have_text("q")


def test_what_an_imported_file_holds_runs_nothing(url: str, new_page: NewPage) -> None:
    """As a title, a system prompt, a question, an answer and a thought, in the list and in the chat, by both files."""
    page = (watched := watch(new_page, url)).page
    expect(page.locator("#send")).to_be_enabled()
    messages = [
        message
        for payload in PAYLOADS.values()
        for message in (
            {"role": "user", "content": payload},
            {"role": "assistant", "content": payload, "metadata": {"title": payload, "log": payload, "id": payload}},
            {"role": "assistant", "content": payload, "options": [{"value": payload}]},
        )
    ]
    talks = [
        {"title": payload, "system_prompt": payload, "messages": messages[number * 3 :][:3], "id": payload}
        for number, payload in enumerate(PAYLOADS.values())
    ]
    bring_in(page, ("many.json", json.dumps({**GOOD, "conversations": talks})))
    expect(titles(page)).to_have_count(len(PAYLOADS))
    for menu in page.locator("[data-does=menu]").all():
        menu.click()
    assert page.evaluate(LIVE.replace("#conversation .message *", "#conversations *")) == []
    watched.check()
    whole = {"title": "all", "system_prompt": "\n".join(PAYLOADS.values()), "messages": messages}
    bring_in(page, ("all.json", json.dumps({**GOOD, "conversations": [whole]})))
    expect(questions(page)).to_have_count(len(PAYLOADS))
    watched.check()
    _, file = exported(page, lambda: act(page, "all", "Export Markdown"))
    act(page, "all", "Delete")
    expect(questions(page)).to_have_count(0)
    bring_in(page, ("all.md", file))
    expect(questions(page)).to_have_count(len(PAYLOADS))
    watched.check()
    assert page.locator("#chat button.example, #chat .options button").count() == 0


# ---- Storage that fails


def test_full_storage_is_told_and_the_chat_goes_on(engine: FakePageEngine, url: str, new_page: NewPage) -> None:
    page = new_page("about:blank")
    devtools = page.context.new_cdp_session(page)
    devtools.send("Storage.overrideQuotaForOrigin", {"origin": url, "quotaSize": 1})
    page.goto(url)
    begin_and_end(page, "one")
    expect(told(page)).to_contain_text("The browser's storage is full")
    begin_and_end(page, "two")
    devtools.send("Storage.overrideQuotaForOrigin", {"origin": url})
    begin_and_end(page, "three")
    expect(told(page)).to_be_empty()
    reload(page)
    expect(questions(page)).to_have_text(["one", "two", "three"])


def test_a_browser_that_keeps_nothing_says_so_and_the_page_works(
    engine: FakePageEngine, url: str, new_page: NewPage
) -> None:
    page = new_page("about:blank")
    page.add_init_script("""for (const name of ['indexedDB', 'sessionStorage', 'localStorage'])
      Object.defineProperty(window, name, {get() { throw new DOMException('blocked', 'SecurityError'); }});""")
    page.goto(url)
    expect(told(page)).to_contain_text("This browser keeps nothing for this page")
    begin_and_end(page, "one")
    new_chat(page)
    begin_and_end(page, "two")
    expect(titles(page)).to_have_text(["two", "one"])  # for as long as the page is open
    choose(page, "one")
    expect(questions(page)).to_have_text("one")


WRITE = """(records) => new Promise((resolve) => {
  const opening = indexedDB.open('streamspace-conversations');
  opening.onsuccess = () => {
    const transaction = opening.result.transaction('records', 'readwrite');
    for (const record of records) transaction.objectStore('records').put(record);
    transaction.oncomplete = () => { opening.result.close(); resolve(); };
  };
})"""


def test_damaged_records_are_set_aside_and_not_lost(engine: FakePageEngine, url: str, new_page: NewPage) -> None:
    page = new_page(url)
    begin_and_end(page, "one")
    good = {"version": 3, "forks": [], "revision": "r", "title": None, "updated": 1, "system": "", "note": {"text": ""}}
    damaged = [
        {"id": "a"},
        {"id": 7, "version": 1, "messages": "what was said"},
        {**good, "id": "b", "messages": [{"role": "user", "content": [{"type": "image", "url": "x"}]}], "live": []},
        {**good, "id": "c", "messages": [None], "live": []},
        {**good, "id": "d", "messages": [], "live": 3},
    ]
    markdown = {"role": "user", "metadata": None, "content": [{"type": "text", "text": "a &lt;b>"}], "options": None}
    old = {**good, "id": "old", "version": 1, "messages": [markdown], "live": []}  # when texts were kept as Markdown
    page.evaluate(WRITE, [*damaged, old, {**good, "id": "newer", "version": 4}])
    reload(page)
    expect(told(page)).to_contain_text("Damaged conversations, set aside: 5;")
    expect(questions(page)).to_have_text("one")
    expect(titles(page)).to_have_text(["one", "a <b>"])
    _, file = exported(page, page.get_by_role("button", name="Export all").click)
    assert json.loads(file)["conversations"][1]["messages"] == [{"role": "user", "content": "a <b>"}]
    assert sorted(str(record["id"]) for record in json.loads(file)["aside"]) == ["7", "a", "b", "c", "d"]
    reload(page)
    expect(told(page)).to_contain_text("newer version")  # and that one stays where it is
    bring_in(new_page(url), ("all.json", file))


@pytest.mark.parametrize(
    ("upgrade", "version"), [("", 7), ("opening.result.deleteObjectStore('records');", 2)], ids=["newer", "foreign"]
)
def test_a_foreign_store_is_left_alone(
    engine: FakePageEngine, url: str, new_page: NewPage, upgrade: str, version: int
) -> None:
    page = new_page(f"{url}/health")
    page.evaluate(f"""() => new Promise((resolve) => {{
      const opening = indexedDB.open('streamspace-conversations', {version});
      opening.onupgradeneeded = () => {{
        opening.result.createObjectStore('records');
        {upgrade}
      }};
      opening.onsuccess = () => {{ opening.result.close(); resolve(); }};
    }})""")
    page.goto(url)
    expect(told(page)).to_contain_text("newer version")
    begin_and_end(page, "one")
    expect(titles(page)).to_have_text(["one"])
