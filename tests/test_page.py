"""The page in a real browser on the real engine; where a text or a fault must be exact, on a scripted one."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from playwright.sync_api import Page, Route, expect

from streamspace.errors import EngineStopped
from streamspace.sampling import Settings
from streamspace.types import Delta, Status
from tests.fake import FakePageEngine, deltas
from tests.page import (
    FILLED,
    LONG,
    SILENCE_S,
    SLOW,
    NewPage,
    begin,
    begin_and_end,
    bot,
    box,
    delay,
    fill_setting,
    questions,
    run_until,
    send,
    set_up,
    wait_for_end,
)
from tests.support import AT_ONCE_S, Running, wait_until
from tests.wire import Site, served_site

pytestmark = pytest.mark.browser


def test_a_question_is_answered_and_the_next_one_too(running: Running, new_page: NewPage) -> None:
    page = new_page(running.url)
    expect(page.locator("#status")).to_contain_text("Ready: the context holds 2048 tokens")
    send(page, "What is the KV cache?")
    expect(box(page)).to_have_value("")
    expect(bot(page)).to_have_text(re.compile(r"\w"))
    wait_for_end(page)
    send(page, "你好")
    expect(questions(page)).to_have_count(2)
    wait_for_end(page)
    expect(page.locator("#conversation [data-testid=bot]")).to_have_count(2)
    assert running.is_idle


@pytest.mark.usefixtures("endless")
def test_stop_keeps_the_text_frees_the_engine_and_the_chat_goes_on(running: Running, new_page: NewPage) -> None:
    page = new_page(running.url)
    set_up(page, **LONG)
    send(page, "Tell me a long story.")
    expect(bot(page)).to_have_text(re.compile(r"\w"))
    page.get_by_role("button", name="Stop").click()
    wait_until(lambda: running.is_idle, AT_ONCE_S, "the release")
    wait_for_end(page)
    text = bot(page).inner_text()
    assert text.strip()
    send(page, "Go on.")
    expect(questions(page)).to_have_count(2)
    wait_until(lambda: running.engine.running == 1, what="the next answer")
    page.get_by_role("button", name="Stop").click()
    wait_until(lambda: running.is_idle, AT_ONCE_S, "the release")


@pytest.mark.parametrize("leave", ["close", "reload"])
@pytest.mark.usefixtures("endless")
def test_leaving_in_mid_answer_frees_the_engine(running: Running, new_page: NewPage, leave: str) -> None:
    page = new_page(running.url)
    set_up(page, **LONG)
    send(page, "Tell me a long story.")
    wait_until(lambda: running.engine.running == 1, what="the answer")
    expect(bot(page)).to_have_text(re.compile(r"\w"))
    page.close() if leave == "close" else page.reload()
    wait_until(lambda: running.is_idle, AT_ONCE_S, "the release")


@pytest.mark.usefixtures("endless")
def test_two_visitors_are_answered_at_once(running: Running, new_page: NewPage) -> None:
    pages = [new_page(running.url), new_page(running.url)]
    for page in pages:  # both before either asks: on a slow machine an answer would end meanwhile
        set_up(page, **LONG)
    for page in pages:
        send(page, "Tell me a long story.")
    wait_until(lambda: running.engine.running == 2, what="two answers at once")
    for page in pages:
        page.bring_to_front()  # a page behind another is drawn late
        expect(bot(page)).to_have_text(re.compile(r"\w"))
        page.get_by_role("button", name="Stop").click()
    wait_until(lambda: running.is_idle, AT_ONCE_S, "the release")


def test_an_example_is_a_question(running: Running, new_page: NewPage) -> None:
    page = new_page(running.url)
    expect(page.locator("#send")).to_be_enabled()
    page.get_by_text("What is the KV cache?").click()
    expect(questions(page)).to_have_text("What is the KV cache?")
    expect(bot(page)).to_have_text(re.compile(r"\w"))
    wait_for_end(page)


def test_retry_undo_edit_and_clear(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("an |answer")
    page = new_page(site.url)
    for number, text in enumerate(("first", "second"), 1):
        send(page, text)
        expect(page.locator("#conversation [data-testid=bot]")).to_have_count(number)
        wait_for_end(page)

    page.get_by_label("Retry").last.click()
    wait_until(lambda: engine.num_started == 3, what="another answer")
    assert [message.text for message in engine.conversations[-1]] == ["first", "an answer", "second"]
    wait_for_end(page)

    page.get_by_label("Undo").last.click()
    expect(box(page)).to_have_value("second")
    expect(questions(page)).to_have_count(1)

    page.get_by_label("Edit").first.click()
    page.locator("#chat textarea").fill("changed <b>")
    page.get_by_label("Submit").click()
    wait_until(lambda: engine.num_started == 4, what="an answer to the edited question")
    assert [message.text for message in engine.conversations[-1]] == ["changed <b>"]
    expect(questions(page)).to_have_text("changed <b>")
    wait_for_end(page)
    expect(box(page)).to_have_value("second")

    page.get_by_label("Clear").click()
    expect(questions(page)).to_have_count(0)


CODE = "Look:\n\n```python\ndef f(x):\n\tif x < 3:\n\t    return '<b>&amp;</b>'\n\n\n    # four\n```\n\nDone."


def test_code_html_and_characters_reach_the_eye_and_the_clipboard_undamaged(site: Site, new_page: NewPage) -> None:
    text = f"A <b>tag</b>, <script>document.title='run'</script>, &lt; and 👩‍👩‍👧 你好 مرحبا.\n\n{CODE}"
    site.engine.script = deltas("|".join(re.findall("(?s).{1,7}", text)))
    page = new_page(site.url, permissions=["clipboard-read", "clipboard-write"])
    send(page, "<img src=x onerror=\"document.title='run'\"> & </textarea>")
    expect(bot(page)).to_contain_text("Done.")
    wait_for_end(page)
    first = "A <b>tag</b>, <script>document.title='run'</script>, &lt; and 👩‍👩‍👧 你好 مرحبا."
    expect(bot(page).locator("p").first).to_have_text(first)
    code = bot(page).locator("pre code").first.inner_text()
    # The Markdown renderer of Gradio draws a leading tab as four spaces; what is copied has the tab.
    assert code.rstrip("\n") == CODE.split("```")[1].removeprefix("python\n").rstrip("\n").replace("\t", " " * 4)
    expect(questions(page)).to_have_text("<img src=x onerror=\"document.title='run'\"> & </textarea>")
    assert page.title() == "streamspace-tiny · StreamSpace"
    page.get_by_label("Copy message").last.click()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert CODE in copied


def test_history_goes_back_to_the_engine_as_it_came_from_it(site: Site, new_page: NewPage) -> None:
    text = f"  <b>x</b> &amp; `<i>`\n\n{CODE}\n"
    engine = site.engine
    engine.script = deltas(text)
    page = new_page(site.url)
    send(page, "one <b>")
    expect(bot(page)).to_contain_text("Done.")
    wait_for_end(page)
    send(page, "two")
    wait_until(lambda: engine.num_started == 2, what="the second answer")
    assert [message.text for message in engine.conversations[-1]] == ["one <b>", text, "two"]


def test_a_message_that_is_too_long_is_refused_and_comes_back(running: Running, new_page: NewPage) -> None:
    page = new_page(running.url)
    long = "word " * 3000
    send(page, long)
    expect(page.get_by_text("the model's context holds 2048").first).to_be_visible()
    expect(box(page)).to_have_value(long)
    expect(questions(page)).to_have_count(0)
    wait_for_end(page)


def test_a_bad_setting_is_refused_by_name_and_the_message_comes_back(running: Running, new_page: NewPage) -> None:
    page = new_page(running.url)
    set_up(page, stop="\n".join(f"s{n}" for n in range(20)))
    send(page, "Hello")
    expect(page.get_by_text("stop has 20 strings; allowed are 16.").first).to_be_visible()
    expect(box(page)).to_have_value("Hello")


def test_an_empty_message_is_not_sent(running: Running, new_page: NewPage) -> None:
    page = new_page(running.url)
    send(page, "   ")
    expect(page.get_by_text("type something first").first).to_be_visible()
    expect(questions(page)).to_have_count(0)


@pytest.mark.usefixtures("endless")
def test_the_settings_reach_the_engine(running: Running, new_page: NewPage) -> None:
    page = new_page(running.url)
    set_up(page, max_tokens="3")
    send(page, "Tell me a long story.")
    expect(page.locator("#note")).to_contain_text("max_tokens is 3")
    wait_for_end(page)


def test_a_turn_under_way_is_live_and_joins_the_settled_chat_when_it_ends(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("so far"), 3.0, Delta(" and done", "stop")]
    page = new_page(site.url)
    begin(page, "Hello", "so far")
    expect(page.locator("#chat .message")).to_have_count(0)
    wait_for_end(page)
    expect(page.locator("#live .message")).to_have_count(0)
    expect(page.locator("#chat [data-testid=user]")).to_have_text("Hello")
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("so far and done")


WATCHED = """(() => {
  const { stringify } = JSON;
  window.sent = []; // what each question sends
  JSON.stringify = (value, ...more) => {
    if (value?.session_hash && value.data?.includes('one')) window.sent.push(new WeakRef(value.data));
    return stringify(value, ...more);
  };
})()"""


def test_what_a_question_sent_is_let_go_also_where_its_answer_came_first(site: Site, new_page: NewPage) -> None:
    site.engine.script = [Delta("Hi.", "stop")]
    page = new_page(site.url)
    page.evaluate(WATCHED)

    def later(route: Route) -> None:
        answer = route.fetch()
        page.wait_for_timeout(500)  # by then the stream has brought it
        route.fulfill(response=answer)

    page.route("**/queue/join**", later)
    for _ in range(3):
        begin_and_end(page, "one")
    page.request_gc()
    assert page.evaluate("sent.map((each) => each.deref() !== undefined)") == [False] * 3


def test_enter_during_an_answer_leaves_what_is_typed_for_later(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("so far"), SILENCE_S]
    page = new_page(site.url)
    begin(page, "one", "so far")
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.url))
    box(page).fill("two")
    page.keyboard.press("Enter")
    page.wait_for_timeout(300)  # as long as a request would take
    assert sent == [] and engine.num_started == 1
    expect(box(page)).to_have_value("two")
    page.get_by_role("button", name="Stop").click()
    wait_for_end(page)
    expect(box(page)).to_have_value("two")
    box(page).press("Enter")
    wait_until(lambda: engine.num_started == 2, what="the next answer")
    assert [message.text for message in engine.conversations[-1]] == ["one", "so far", "two"]


def test_stop_can_be_pressed_on_a_device_that_draws_more_slowly_than_the_answer_comes(
    site: Site, new_page: NewPage
) -> None:
    site.engine.script = [step for number in range(4000) for step in (Delta(f"**{number}** and `{number}`, "), 0.003)]
    page = new_page(site.url)
    expect(page.locator("#send")).to_be_enabled()
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": 8})
    send(page, "Hello")
    expect(bot(page)).to_contain_text("400 and 400")
    page.get_by_role("button", name="Stop").click(timeout=20_000)
    wait_until(lambda: site.engine.num_closed_early == 1, what="the release")
    wait_for_end(page)
    expect(page.locator("#chat [data-testid=bot]")).to_contain_text("400 and 400")


def test_stop_before_the_first_token_keeps_the_question_and_brings_send_back(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [SILENCE_S]
    page = new_page(site.url)
    send(page, "Hello")
    expect(page.locator("#note")).to_contain_text("Reading the prompt (prefill of 1 token)")
    expect(page.locator("#send")).to_be_hidden()
    page.get_by_role("button", name="Stop").click()
    wait_until(lambda: engine.num_closed_early == 1, AT_ONCE_S, "the release")
    wait_for_end(page)
    expect(page.locator("#chat [data-testid=user]")).to_have_text("Hello")
    expect(page.locator("#conversation [data-testid=bot]")).to_have_count(0)
    expect(page.locator("#live .message")).to_have_count(0)
    expect(page.locator("#note")).to_have_text("", use_inner_text=True)  # Gradio keeps a hidden word there


def test_retry_replaces_the_last_answer(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("the first")
    page = new_page(site.url)
    begin_and_end(page, "one")
    begin_and_end(page, "two")
    engine.script = deltas("another")
    page.get_by_label("Retry").last.click()
    expect(bot(page)).to_have_text("another")
    wait_for_end(page)
    expect(page.locator("#chat [data-testid=bot]")).to_have_text(["the first", "another"])
    expect(questions(page)).to_have_text(["one", "two"])


def test_an_example_leaves_the_box_alone(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("an answer")
    page = new_page(site.url)
    expect(page.locator("#send")).to_be_enabled()
    box(page).fill("typed before")
    page.get_by_text("What is the KV cache?").click()
    expect(bot(page)).to_have_text("an answer")
    wait_for_end(page)
    expect(questions(page)).to_have_text("What is the KV cache?")
    expect(box(page)).to_have_value("typed before")


def test_an_edited_question_takes_away_all_that_came_after_it(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("an answer")
    page = new_page(site.url)
    for text in ("one", "two", "three"):
        begin_and_end(page, text)
    engine.script = [Delta("so far"), SILENCE_S]
    page.get_by_label("Edit").nth(2).click()  # of the second question
    page.locator("#chat textarea").fill("changed")
    page.get_by_label("Submit").click()
    expect(bot(page)).to_have_text("so far")
    expect(questions(page)).to_have_text(["one", "changed"])
    assert [message.text for message in engine.conversations[-1]] == ["one", "an answer", "changed"]
    for name in ("Edit", "Retry", "Undo"):  # nothing to press while the answer is under way
        expect(page.get_by_label(name).last).to_be_hidden()


def test_clear_during_an_answer_ends_it_and_leaves_nothing(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("an answer")
    page = new_page(site.url)
    begin_and_end(page, "one")
    engine.script = [Delta("so far"), SILENCE_S]
    begin(page, "two", "so far")
    page.get_by_label("Clear").first.click()
    wait_until(lambda: engine.num_closed_early == 1, AT_ONCE_S, "the release")
    wait_for_end(page)
    page.wait_for_load_state("networkidle")
    expect(page.locator("#conversation .message")).to_have_count(0)
    engine.script = deltas("another")
    begin_and_end(page, "three")
    assert [message.text for message in engine.conversations[-1]] == ["three"]


def lines(num_lines: int) -> Any:
    """An answer of many lines, at some 20 a second."""
    return [Delta(f"line {number}\n\n") for number in range(num_lines)] + [SILENCE_S]


BELOW = """() => {
  const last = [...document.querySelectorAll('#live [data-testid=bot] p')].at(-1).getBoundingClientRect();
  return last.bottom - document.querySelector('#conversation').getBoundingClientRect().bottom;
}"""
QUESTION_TOP = "() => document.querySelector('#conversation [data-testid=user]').getBoundingClientRect().top"


def wait_for_line(page: Page, number: int) -> None:
    page.wait_for_function(f"document.querySelector('#live').innerText.includes('line {number}\\n')")


@contextmanager
def slow_line(page: Page, path: str) -> Iterator[None]:
    """Requests for this path reach the server only when the block ends."""
    held: list[Route] = []
    page.route(f"**/{path}*", lambda route: held.append(route))
    yield
    for route in held:
        route.continue_()
    page.wait_for_load_state("networkidle")


def test_what_is_typed_while_an_answer_is_being_stopped_stays(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("so far"), SILENCE_S]
    page = new_page(site.url)
    begin(page, "Hello", "so far")
    with slow_line(page, "run/predict"):
        page.get_by_role("button", name="Stop").click()
        wait_for_end(page)
        box(page).fill("typed")
    expect(box(page)).to_have_value("typed")
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("so far")


def test_clear_while_text_streams_leaves_nothing_either(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("an answer")
    page = new_page(site.url)
    begin_and_end(page, "one")
    engine.script = lines(200)
    send(page, "two")
    wait_for_line(page, 5)
    with slow_line(page, "cancel"):
        page.get_by_label("Clear").first.click()
        page.wait_for_timeout(500)  # in which more frames come
    wait_until(lambda: engine.num_closed_early == 1, AT_ONCE_S, "the release")
    wait_for_end(page)
    expect(page.locator("#conversation .message")).to_have_count(0)


def test_a_failure_before_the_first_token_gives_the_question_back(site: Site, new_page: NewPage) -> None:
    site.engine.script = [0.2, EngineStopped()]
    page = new_page(site.url)
    send(page, "Is 1 < 2 & <b>?")
    expect(page.get_by_text("The engine stopped before the answer was complete").first).to_be_visible()
    expect(box(page)).to_have_value("Is 1 < 2 & <b>?")
    expect(questions(page)).to_have_count(0)
    wait_for_end(page)


def test_the_chat_follows_the_answer_until_the_reader_scrolls_up(site: Site, new_page: NewPage) -> None:
    site.engine.script = lines(200)
    page = new_page(site.url)
    send(page, "Hello")
    for number in (30, 40, 50):
        wait_for_line(page, number)
        assert page.evaluate(BELOW) < 1  # the end is in view
    page.locator("#conversation").hover()
    page.mouse.wheel(0, -100_000)
    page.wait_for_function("document.querySelector('#conversation').scrollTop < -100")
    page.wait_for_timeout(200)  # the wheel's own motion
    top = page.evaluate(QUESTION_TOP)
    wait_for_line(page, 80)
    assert page.evaluate(QUESTION_TOP) == pytest.approx(top, abs=2)  # what is read stays where it is
    while page.evaluate("document.querySelector('#conversation').scrollTop") < -1:
        page.mouse.wheel(0, 1000)
        page.wait_for_timeout(50)
    wait_for_line(page, 120)
    assert page.evaluate(BELOW) < 1


def test_an_engine_that_breaks_keeps_the_text_and_continue_takes_it_up(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("so far"), 0.2, EngineStopped()]
    page = new_page(site.url, viewport={"width": 390, "height": 844})
    send(page, "Hello")
    expect(page.locator("#note")).to_contain_text("Interrupted: the engine stopped before the answer was complete")
    wait_for_end(page)
    expect(bot(page)).to_have_text("so far")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    engine.script = deltas(", so good")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("so far, so good")
    assert [(message.role, message.text) for message in engine.conversations[-1]] == [
        ("user", "Hello"),
        ("assistant", "so far"),
    ]
    expect(questions(page)).to_have_count(1)
    expect(page.get_by_role("button", name="Continue")).to_be_hidden()


@pytest.mark.parametrize("late", SLOW)
def test_stop_pressed_before_anything_has_come_ends_the_answer_and_loses_nothing(
    site: Site, late: str, new_page: NewPage
) -> None:
    engine = site.engine
    engine.script = [Delta("so far"), SILENCE_S]
    page = new_page(site.url)
    delay(page, late)
    send(page, "Hello")
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#chat [data-testid=user]")).to_have_text("Hello")
    wait_for_end(page)
    run_until(page, lambda: engine.num_closed_early == 1)
    if bot(page).count():  # the first words may have come with the first frame
        expect(page.locator("#note")).to_contain_text("Stopped by you.")
    begin(page, "And?", "so far")
    assert [message.text for message in engine.conversations[-1] if message.role == "user"] == ["Hello", "And?"]


def test_a_chat_cleared_before_anything_has_come_is_empty(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("an answer")
    page = new_page(site.url)
    begin_and_end(page, "Hello")
    engine.script = [Delta("so far"), SILENCE_S]
    delay(page, "its id")
    send(page, "And?")
    page.get_by_role("button", name="Clear").click()
    wait_for_end(page)
    run_until(page, lambda: engine.num_closed_early == 1)
    expect(page.locator("#conversation .message")).to_have_count(0)


def test_completions_stopped_before_anything_has_come_end(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("so far"), SILENCE_S]
    page = new_page(site.url)
    page.get_by_role("tab", name="Completion").click()
    delay(page, "its id")
    page.get_by_role("button", name="Run all at once").click()
    page.get_by_role("button", name="Stop").last.click()
    run_until(page, lambda: engine.num_closed_early == 3)


def test_an_answer_that_was_stopped_can_be_continued(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("so far"), SILENCE_S]
    page = new_page(site.url)
    begin(page, "Hello", "so far")
    expect(page.get_by_role("button", name="Continue")).to_be_hidden()
    page.get_by_role("button", name="Stop").click()
    expect(page.locator("#note")).to_contain_text("Stopped by you.")
    engine.script = deltas(", so good")
    page.get_by_role("button", name="Continue").click()
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("so far, so good")
    expect(page.locator("#note")).to_contain_text("Ended.")


def test_every_open_page_is_told_what_the_engine_does(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("hi")
    pages = [new_page(site.url), new_page(site.url)]
    for status in (
        Status("restarting", "The engine has broken down", 1, 4),
        Status("failed", "The engine is <given> up"),
        Status("ready", "Ready again"),
    ):
        engine.status = status
        for page in pages:
            expect(page.locator(f"#status .{status.stage}")).to_contain_text(status.detail)
    engine.status = Status("restarting", "Once more", 1, 4)
    expect(pages[0].locator("#status")).to_contain_text("Once more")
    expect(pages[0].locator("#send")).to_be_enabled()  # a question waits
    send(pages[0], "Hello")
    expect(pages[0].locator("#note")).to_contain_text("this waits until it is back")
    engine.status = Status("ready", "Ready at last")
    expect(bot(pages[0])).to_have_text("hi")


def test_a_page_whose_server_has_gone_says_so(new_page: NewPage) -> None:
    with served_site(FakePageEngine(deltas("hi"))) as site:
        page = new_page(site.url)
        begin_and_end(page, "Hello")  # by then it has all of its scripts
    expect(page.locator("#status .failed")).to_contain_text("The connection to the server is lost")


def test_a_failure_to_load_is_shown_with_its_reason_and_nothing_can_be_sent(new_page: NewPage) -> None:
    with served_site(FakePageEngine(status=Status("failed", "The driver is <too> old."))) as site:
        page = new_page(site.url)
        expect(page.locator("#status .failed")).to_have_text("The driver is <too> old.")
        box(page).fill("Hello")
        page.keyboard.press("Enter")
        expect(page.get_by_text("The model is not ready").first).to_be_visible()
        expect(box(page)).to_have_value("Hello")
        expect(page.locator("#send")).to_be_disabled()


def test_the_load_is_a_bar_with_words_and_numbers_until_the_model_is_ready(new_page: NewPage) -> None:
    engine = FakePageEngine(deltas("hi"), Status("downloading", "Downloading org/m", 10**6, 4 * 10**6))
    with served_site(engine) as site:  # of its own, for the page is built while the model loads
        page = new_page(site.url)
        expect(page.locator("#status")).to_contain_text("Downloading org/m: 1.0 MB of 4.0 MB (25%)")
        expect(page.locator("#status progress")).to_have_attribute("value", "0.250")
        expect(page.locator("#send")).to_be_disabled()
        box(page).fill("typed while it loads")
        engine.status = Status("loading", "Warming up", 3, 4)
        expect(page.locator("#status")).to_contain_text("Warming up (step 4 of 4)")
        engine.status = Status("ready", "Ready")
        expect(page.locator("#status progress")).to_have_count(0)
        expect(page.locator("#send")).to_be_enabled()
        expect(box(page)).to_have_value("typed while it loads")
        page.locator("#send").click()
        expect(bot(page)).to_have_text("hi")


def open_completion(running: Running, new_page: NewPage) -> Page:
    page = new_page(running.url)
    page.get_by_role("tab", name="Completion").click()
    expect(page.get_by_role("button", name="Run all at once")).to_be_enabled()
    return page


def continuation(page: Page, number: int) -> Any:
    return page.locator(f"#continuation-{number} textarea")


WHOLE = re.compile(r"[\s\S]{200,}")  # a good part of 100 tokens


def test_the_three_example_prompts_run_alone_in_sequence_and_at_once(running: Running, new_page: NewPage) -> None:
    page = open_completion(running, new_page)
    page.get_by_role("button", name="Run 2").click()
    expect(continuation(page, 2)).to_have_value(FILLED)
    expect(continuation(page, 1)).to_have_value("")
    wait_until(lambda: running.is_idle, what="the end")
    texts = []
    for button in ("Run all in sequence", "Run all at once"):
        page.get_by_role("button", name=button).click()
        for number in (1, 2, 3):
            expect(continuation(page, number)).to_have_value(WHOLE)
        texts.append([continuation(page, number).input_value() for number in (1, 2, 3)])
        page.reload()
        page.get_by_role("tab", name="Completion").click()
        expect(page.get_by_role("button", name="Run all at once")).to_be_enabled()
    assert all(len({text[:20] for text in three}) == 3 for three in texts)


def test_the_completion_defaults_are_those_of_the_example(running: Running, new_page: NewPage) -> None:
    page = open_completion(running, new_page)
    page.get_by_role("button", name="Settings").last.click()
    for name, value in {"max_tokens": "100", "temperature": "0.8", "top_p": "0.95"}.items():
        control = page.locator(".block", has=page.get_by_text(name, exact=True)).last
        expect(control.locator("input[type=number]")).to_have_value(value)
    expect(page.get_by_label("seed").last).to_have_value("42")


def test_an_empty_seed_stays_empty_when_the_settings_are_opened(new_page: NewPage) -> None:
    engine = FakePageEngine(deltas("Done."))
    engine.defaults = Settings(seed=None)  # those with which the page is built
    with served_site(engine) as site:
        page = new_page(site.url)
        page.get_by_role("button", name="Settings").first.click()
        expect(page.get_by_label("seed").first).to_have_value("")
        begin_and_end(page, "Hello")
        page.get_by_label("seed").first.fill(" 7 ")
        begin_and_end(page, "Hello again")
        page.get_by_label("seed").first.fill("seven")
        send(page, "And again")
        expect(page.get_by_text("seed is 'seven'; allowed is a whole number").first).to_be_visible()
    assert [settings.seed for settings in engine.settings] == [None, 7]


def test_a_page_begins_with_the_settings_that_suit_the_model_once_one_page_was_settled(
    site: Site, new_page: NewPage
) -> None:
    engine = site.engine
    engine.defaults = Settings(temperature=0.0, seed=None, max_tokens=77)
    engine.thinks = True

    def begun() -> dict[str, Any]:
        return {part["props"].get("label"): part["props"] for part in reversed(site.demo.config["components"])}

    assert begun()["seed"]["value"] == "42"
    page = new_page(site.url)
    begin_and_end(page, "Hello")
    wait_until(lambda: begun()["seed"]["value"] == "", what="the new beginning")
    assert begun()["temperature"]["value"] == 0 and begun()["enable_thinking"]["visible"] is True
    again = new_page(site.url)
    begin_and_end(again, "Hello")
    assert engine.settings[-1].temperature == 0 and engine.settings[-1].seed is None


@pytest.mark.usefixtures("endless")
def test_stop_ends_all_completions(running: Running, new_page: NewPage) -> None:
    page = open_completion(running, new_page)
    page.get_by_role("button", name="Settings").last.click()
    fill_setting(page.locator("#completion-settings"), "max_tokens", "1900")
    page.get_by_role("button", name="Run all at once").click()
    wait_until(lambda: running.engine.running == 3, what="three at once")
    page.get_by_role("button", name="Stop").last.click()
    wait_until(lambda: running.is_idle, AT_ONCE_S, "the release")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_everything_without_scrolling_sideways(running: Running, new_page: NewPage, scheme: str) -> None:
    page = new_page(running.url, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    for tab in ("Chat", "Completion"):
        page.get_by_role("tab", name=tab).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.fixture
def frames_page(site: Site) -> Iterator[str]:
    """The address of a page of another origin that shows the page seven times."""
    frames = "".join(f'<iframe src="{site.url}" width=400 height=600></iframe>' for _ in range(7))

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(frames.encode())

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_seven_frames_of_one_page_are_usable(site: Site, frames_page: str, new_page: NewPage) -> None:
    """A browser allows six connections per host, and each page follows the engine's state."""
    page = new_page(frames_page)
    frames = [page.frame_locator("iframe").nth(number) for number in range(7)]
    for frame in frames:
        expect(frame.locator("#send")).to_be_enabled()
    frames[6].get_by_label("Message", exact=True).fill("Hi")
    frames[6].locator("#send").click()
    expect(frames[6].locator("#chat [data-testid=bot]")).to_have_text("an answer")
    site.engine.status = Status("loading", "Loading once more")
    for frame in frames:
        expect(frame.locator("#status .state")).to_contain_text("Loading once more")
    page.locator("iframe").first.evaluate("frame => frame.remove()")  # the one that reads
    site.engine.status = Status("ready", "Ready once more")
    for frame in frames[:6]:
        expect(frame.locator("#status .state")).to_contain_text("Ready once more")
