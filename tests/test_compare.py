"""Compare: several answers to one message at once, side by side, on the real engine and on a scripted one."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from itertools import count
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from streamspace.config import load_config
from streamspace.errors import RequestFailed
from streamspace.sampling import Settings
from streamspace.types import Delta, Metrics, Prompt, Reply
from streamspace.ui.tabs.compare import Column, Comparison, _sum, _summary
from tests.fake import FakePageEngine, deltas
from tests.inputs import COMPARE, page_values
from tests.page import (
    FILLED,
    SILENCE_S,
    NewPage,
    begin_and_end,
    box,
    column,
    compare,
    delay,
    fill_setting,
    open_compare,
    questions,
    run_until,
    send,
    use,
    wait_for_all,
)
from tests.support import AT_ONCE_S, SHIFTS, Running, wait_until
from tests.wire import LONG, Site, Tab, completed, served_site

browser_test = pytest.mark.browser
Script = Sequence[Delta | Exception | float]


def break_off(
    engine: FakePageEngine, seed: int, monkeypatch: pytest.MonkeyPatch, error: type[Exception] = RequestFailed
) -> None:
    """Have requests with this seed fail after the first delta."""
    generate = engine.generate

    async def breaking(
        prompt: Prompt, settings: Settings, ended: asyncio.Event | None = None
    ) -> AsyncGenerator[Delta, None]:
        async with aclosing(generate(prompt, settings, ended)) as stream:
            async for delta in stream:
                yield delta
                if settings.seed == seed:
                    raise error

    monkeypatch.setattr(engine, "generate", breaking)


def change_script(engine: FakePageEngine, script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine follow another script from the fourth request on."""
    generate = engine.generate

    def generate_by_number(*arguments: Any) -> AsyncGenerator[Delta, None]:
        if engine.num_started >= 3:
            engine.script = script
        return generate(*arguments)

    monkeypatch.setattr(engine, "generate", generate_by_number)


def read_slowly(engine: FakePageEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the engine take longer over each prompt than over the one before."""
    render_chat, numbers = engine.render_chat, count(1)

    async def slow(*arguments: Any) -> Prompt:
        await asyncio.sleep(0.2 * next(numbers))
        return await render_chat(*arguments)

    monkeypatch.setattr(engine, "render_chat", slow)


def answer(page: Page, number: int) -> Locator:
    return column(page, number).locator(".block.answer .md")


def line(page: Page, number: int) -> Locator:
    return column(page, number).locator(".block.line")


# Run in a page: from then on `summedLive` says whether a sum of all columns has stood beside a column under way.
SUMMED_LIVE = """() => {
  window.summedLive = false;
  new MutationObserver(() => {
    window.summedLive ||= !!document.querySelector('#together b') && !!document.querySelector('#columns .live');
  }).observe(document.querySelector('#compare'), { subtree: true, childList: true, characterData: true });
}"""


@browser_test
@pytest.mark.usefixtures("endless")
def test_four_columns_stream_at_once_and_the_winner_goes_on_in_the_chat(running: Running, new_page: NewPage) -> None:
    page = open_compare(new_page(running.url), 4)
    page.evaluate(SHIFTS)
    page.evaluate(SUMMED_LIVE)
    compare(page, "Tell me a story about a robot.")
    wait_until(lambda: running.engine.running == 4, what="four at once")
    for number in (1, 2, 3, 4):
        expect(answer(page, number)).to_have_text(FILLED)
    expect(page.locator("#together")).to_contain_text("4 columns at once")
    assert page.evaluate("window.summedLive")  # the sum is shown while they stream
    wait_for_all(page)
    told = page.locator("#together").inner_text()
    rates = [float(rate.replace(",", "")) for rate in re.findall(r"([\d,]+) tokens/s", told)]
    assert len(rates) == 2 and all(rates) and "Column 1 alone, measured right after over 64 tokens" in told
    for number in (1, 2, 3, 4):
        expect(line(page, number)).to_contain_text("max_tokens is 256. 256 tokens in")
        expect(line(page, number)).to_contain_text("tokens/s · TTFT")
    texts = [answer(page, number).inner_text() for number in (1, 2, 3, 4)]
    assert len(set(texts)) == 4
    assert page.evaluate("window.shift") <= 0.02

    use(page, 2)
    expect(questions(page)).to_have_text("Tell me a story about a robot.")
    expect(page.locator("#chat [data-testid=bot]")).to_have_text(re.compile(re.escape(texts[1][:30])))
    send(page, "Go on.")
    expect(page.locator("#conversation [data-testid=bot]")).to_have_count(2)
    page.get_by_role("button", name="Stop").click()
    wait_until(lambda: running.is_idle, AT_ONCE_S, "the release")


@browser_test
def test_columns_stopped_before_anything_has_come_end(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("so far"), SILENCE_S]
    page = open_compare(new_page(site.url), 2)
    delay(page, "its id")
    compare(page)
    page.locator("#compare-stop").click()
    run_until(page, lambda: engine.num_closed_early == 2)
    wait_for_all(page)
    for number in (1, 2):
        expect(line(page, number)).to_contain_text("Stopped.")


@browser_test
@pytest.mark.usefixtures("endless")
def test_stop_ends_all_columns(running: Running, new_page: NewPage) -> None:
    page = open_compare(new_page(running.url), 4)
    for number in (1, 2, 3, 4):
        fill_setting(column(page, number), "max_tokens", "1900")
    compare(page)
    wait_until(lambda: running.engine.running == 4, what="four at once")
    for number in (1, 2, 3, 4):
        expect(answer(page, number)).to_have_text(FILLED)
    page.locator("#compare-stop").click()
    wait_until(lambda: running.is_idle, AT_ONCE_S, "the release")
    wait_for_all(page)
    for number in (1, 2, 3, 4):
        expect(line(page, number)).to_contain_text("Stopped.")
        expect(answer(page, number)).to_have_text(FILLED)


@browser_test
@pytest.mark.usefixtures("endless")
def test_leaving_in_mid_comparison_frees_the_engine(running: Running, new_page: NewPage) -> None:
    page = open_compare(new_page(running.url))
    for number in (1, 2, 3):
        fill_setting(column(page, number), "max_tokens", "1900")
    compare(page)
    wait_until(lambda: running.engine.running == 3, what="three at once")
    page.reload()
    wait_until(lambda: running.is_idle, AT_ONCE_S, "the release")


@browser_test
def test_each_column_has_its_own_settings_and_only_those_shown_are_asked(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("an |answer")
    page = open_compare(new_page(site.url), 2)
    expect(column(page, 2)).to_be_visible()
    expect(column(page, 3)).to_be_hidden()
    fill_setting(column(page, 2), "temperature", "1.5")
    fill_setting(column(page, 2), "seed", "")
    compare(page)
    expect(answer(page, 2)).to_have_text("an answer")
    wait_for_all(page)
    expect(answer(page, 3)).to_have_text("")
    compared = engine.settings[:2]  # a third is measured alone, if the two had a speed
    assert [(one.temperature, one.seed) for one in compared] == [(0.0, 1), (1.5, None)]
    assert len(engine.settings) <= 3
    expect(page.locator("#compare-message textarea")).to_have_value("Hello")


@browser_test
def test_what_is_typed_after_a_click_on_the_tab_is_the_message(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url)
    message = page.locator("#compare-message textarea")
    chat, tab = page.get_by_role("tab", name="Chat"), page.get_by_role("tab", name="Compare")
    chat.focus()
    tab.press("Enter")
    expect(message).to_be_visible()
    expect(tab).to_be_focused()  # where a keyboard or a screen reader opened it
    chat.click()
    tab.click()
    expect(message).to_be_focused()
    page.keyboard.insert_text("Hello")
    expect(message).to_have_value("Hello")
    chat.click()
    tab.click()
    expect(message).to_be_focused()
    page.keyboard.press("End")
    page.keyboard.insert_text(" there")  # a draft is not selected: it goes on
    expect(message).to_have_value("Hello there")
    page.keyboard.press("Enter")
    wait_for_all(page)
    chat.click()
    tab.click()
    expect(message).to_be_focused()
    page.keyboard.insert_text("Bye")
    expect(message).to_have_value("Bye")


@browser_test
def test_samples_have_one_settings_and_drawn_seeds(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("an |answer")
    page = open_compare(new_page(site.url), 4)
    expect(page.locator("#compare-sampled")).to_be_hidden()
    page.get_by_label("Samples").check()
    expect(column(page, 1).locator(".own").first).to_be_hidden()
    fill_setting(page.locator("#compare-sampled"), "temperature", "1.1")
    compare(page)
    expect(answer(page, 4)).to_have_text("an answer")
    compared = engine.settings[:4]  # a fifth is measured alone, if the four had a speed
    assert [one.temperature for one in compared] == [1.1] * 4
    seeds = [one.seed for one in compared]
    assert len(set(seeds)) == 4 and None not in seeds
    for number, seed in enumerate(seeds, 1):
        expect(line(page, number)).to_contain_text(f"seed {seed}")


@browser_test
def test_the_chat_goes_on_from_the_answer_that_was_used(site: Site, new_page: NewPage) -> None:
    text = "  <b>x</b> &amp; `<i>`\n\n- one\n"
    engine = site.engine
    engine.script = deltas(text, "length")
    page = new_page(site.url)
    begin_and_end(page, "before")
    open_compare(page)
    expect(column(page, 1).get_by_role("button", name="Use this answer")).to_be_hidden()
    compare(page, "Is 1 < 2 & <b>?")
    wait_for_all(page)
    expect(answer(page, 1)).to_contain_text("<b>x</b> &amp; <i>")
    page.locator("#compare-message textarea").fill("changed since")
    use(page, 1)
    expect(box(page)).to_be_focused()
    expect(questions(page)).to_have_text(["before", "Is 1 < 2 & <b>?"])
    expect(page.get_by_role("button", name="Continue")).to_be_visible()  # for the answer was cut
    send(page, "after")
    wait_until(lambda: len(engine.settings) == 5, what="the chat's answer")
    assert [message.text for message in engine.conversations[-1]] == [
        "before", text, "Is 1 < 2 & <b>?", text, "after",
    ]  # fmt: skip


@browser_test
def test_a_refused_setting_names_its_column_and_nothing_is_lost(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("an answer")
    page = open_compare(new_page(site.url))
    compare(page, "first")
    wait_for_all(page)
    fill_setting(column(page, 3), "seed", "many")
    compare(page, "second")
    sentence = "Column 3: seed is 'many'; allowed is a whole number from 0 to"
    expect(page.get_by_text(sentence).first).to_be_visible()
    wait_for_all(page)
    expect(page.locator("#compare-message textarea")).to_have_value("second")
    expect(answer(page, 1)).to_have_text("an answer")
    use(page, 1)
    expect(questions(page)).to_have_text("first")
    assert len(engine.settings) == 3


@browser_test
@pytest.mark.parametrize("error", [RequestFailed, ZeroDivisionError])
def test_a_column_that_fails_says_so_and_the_others_go_on(
    site: Site, new_page: NewPage, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    site.engine.script = [Delta("so far"), 0.5, Delta(", so good", "stop")]
    break_off(site.engine, 2, monkeypatch, error)
    page = open_compare(new_page(site.url))
    compare(page)
    wait_for_all(page)
    expect(line(page, 2)).to_contain_text("The engine could not finish this answer; try again.")
    expect(answer(page, 2)).to_have_text("so far")
    for number in (1, 3):
        expect(answer(page, number)).to_have_text("so far, so good")
        expect(line(page, number)).to_contain_text("Ended.")


@browser_test
def test_what_all_are_refused_for_is_said_once_and_the_page_stays(
    site: Site, new_page: NewPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    read_slowly(site.engine, monkeypatch)
    page = open_compare(new_page(site.url))
    compare(page, "first")
    wait_for_all(page)
    long = "word " * 2000
    compare(page, long)
    expect(page.get_by_text("the model's context holds 1000").first).to_be_visible()
    wait_for_all(page)
    expect(page.locator("#compare-message textarea")).to_have_value(long)
    expect(answer(page, 2)).to_have_text("an answer")


@browser_test
def test_stop_while_one_is_measured_alone_keeps_all_that_came(
    site: Site, new_page: NewPage, monkeypatch: pytest.MonkeyPatch
) -> None:
    rate = Metrics(9, 0, 11, 0.0, 0.1, 0.1)
    engine = site.engine
    engine.script = [Delta("an answer", "stop", metrics=rate)]
    change_script(engine, [Delta("an", metrics=rate), SILENCE_S], monkeypatch)
    page = open_compare(new_page(site.url))
    compare(page)
    expect(page.locator("#together")).to_contain_text("300 tokens/s together. Measuring column 1 alone …")
    page.locator("#compare-stop").click()
    wait_until(lambda: engine.num_closed_early == 1, AT_ONCE_S, "the release")
    wait_for_all(page)
    expect(page.locator("#together")).to_have_text("3 columns at once: 300 tokens/s together.", use_inner_text=True)
    expect(line(page, 1)).to_contain_text("Ended.")
    assert [(one.max_tokens, one.seed) for one in engine.settings] == [(100, 1), (100, 2), (100, 3), (64, 1)]


@browser_test
def test_chat_and_compare_have_one_system_prompt(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("an answer")
    page = open_compare(new_page(site.url))
    page.get_by_role("button", name="System prompt and settings of all columns").click()
    fill_setting(page.locator("#compare-shared"), "System prompt", "Be brief.")
    compare(page)
    wait_for_all(page)
    assert {told[0].text for told in engine.conversations} == {"Be brief."}
    use(page, 1)
    send(page, "after")
    wait_until(lambda: len(engine.settings) == 4, what="the chat's answer")
    assert engine.conversations[-1][0].text == "Be brief."


@browser_test
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_swipes_through_the_columns_and_not_the_page(site: Site, new_page: NewPage, scheme: str) -> None:
    site.engine.script = [Delta("word " * 100), SILENCE_S]
    page = new_page(site.url, viewport={"width": 390, "height": 844}, color_scheme=scheme)
    open_compare(page, 4)
    compare(page)
    expect(answer(page, 4)).to_have_text(FILLED)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    box = answer(page, 1).bounding_box()
    assert box is not None and box["width"] > 200  # wide enough to be read
    answer(page, 4).scroll_into_view_if_needed()
    expect(answer(page, 4)).to_be_in_viewport()


def compared(number: int = 4) -> list[Any]:
    """What the page sends for so many columns."""
    return page_values(COMPARE, columns=number)


def test_a_comparison_is_one_answer_of_its_visitor_and_takes_the_room_of_all() -> None:
    engine = FakePageEngine([Delta("a"), LONG])
    engine.config = load_config(("--answers-per-visitor", "1"), {"MODEL_ID": str(engine.config.model)})
    engine.capacity = 4
    with served_site(engine) as site:
        tab, other = Tab(site), Tab(site)
        tab.join("_compare", compared())
        reading = tab.stream()
        messages = iter(reading)
        wait_until(lambda: engine.num_running == 4 or not next(messages), what="four columns")
        again = tab.join("_compare", compared(2))
        end = next(message for message in messages if message["msg"] == "process_completed")
        assert end["event_id"] == again and end["output"]["error"].startswith("At most 1 answer at once for each")
        engine.script = deltas("b")
        other.ask()
        waiting = iter(other.stream())
        assert any("Waiting in the queue: place 1" in json.dumps(message) for message in waiting)
        reading.close()
        assert "b" in json.dumps(completed(list(waiting))["output"]["data"])


def measured(rate: float, **more: Any) -> Column:
    return Column(Reply("text", metrics=Metrics(9, 0, 1 + round(rate * 2), 0.0, 0.1, 2.0), **more))


def test_the_sum_needs_a_rate_of_every_column() -> None:
    assert _sum([measured(50), measured(40.5)]) == 90.5
    assert _sum([measured(50), Column(Reply("text"))]) is None  # one has a single token, or nobody counts


def test_the_summary_says_what_was_measured_and_how() -> None:
    columns = (measured(50, finish_reason="stop"), measured(40, finish_reason="stop"))
    assert _summary(Comparison(columns)) == ""
    assert _summary(Comparison(columns, 90.0)) == "2 columns at once: <b>90 tokens/s</b> together."
    assert _summary(Comparison(columns, 90.0, measured(60))).endswith("Measuring column 1 alone …</span>")
    assert _summary(Comparison(columns, 90.0, measured(60, finish_reason="length"))).endswith(
        "Column 1 alone, measured right after over 121 tokens: <b>60 tokens/s</b>. Together that is 1.5 times as much."
    )
    failed = Column(Reply("text"), RequestFailed())
    assert _summary(Comparison(columns, 90.0, failed)) == _summary(Comparison(columns, 90.0))
