"""Compare: several answers to one message at once, side by side, on the real engine and on a scripted one."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Any

import pytest
from playwright.sync_api import Locator, Page, expect

from streamspace.config import load_config
from streamspace.errors import RequestFailed
from streamspace.sampling import Settings
from streamspace.types import Delta, Message, Metrics, Prompt, Reply
from streamspace.ui import build_demo
from streamspace.ui.tabs.compare import Column, Comparison, _sum, _summary
from tests.fake import FakePageEngine, deltas
from tests.inputs import COMPARE, page_values
from tests.support import SHIFTS, Running, admission_of, served, wait_until
from tests.test_page import (
    FILLED,
    SILENCE_S,
    begin_and_end,
    box,
    delay,
    fill_setting,
    idle,
    questions,
    run_until,
    send,
)
from tests.test_streams import LONG, Site, completed
from tests.test_streams import Visitor as Tab

browser_test = pytest.mark.browser
NewPage = Callable[..., Page]


class BreakingEngine(FakePageEngine):
    """One request with a seed of `failing` breaks in the middle."""

    def __init__(self, script: Sequence[Delta | Exception | float] = (), failing: int | None = None) -> None:
        super().__init__(script)
        self.after: Sequence[Delta | Exception | float] | None = None  # another script, from the fourth request on
        self.failing = failing

    async def generate(
        self, prompt: Prompt, settings: Settings, ended: asyncio.Event | None = None
    ) -> AsyncGenerator[Delta, None]:
        if self.after is not None and self.num_started >= 3:
            self.script = self.after
        async with aclosing(super().generate(prompt, settings, ended)) as stream:
            async for delta in stream:
                yield delta
                if self.failing is not None and settings.seed == self.failing:
                    raise RequestFailed


class SlowReader(BreakingEngine):
    """Takes longer over each prompt than over the one before."""

    num_read = 0

    async def render_chat(self, messages: Sequence[Message], enable_thinking: bool | None = None) -> Prompt:
        self.num_read += 1
        await asyncio.sleep(0.2 * self.num_read)
        return await super().render_chat(messages, enable_thinking)


def open_compare(page: Page, number: int = 3) -> Page:
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-number").get_by_label(str(number), exact=True).check()
    expect(page.locator("#compare-run")).to_be_enabled()
    return page


def column(page: Page, number: int) -> Locator:
    return page.locator(f"#column-{number}")


def answer(page: Page, number: int) -> Locator:
    return column(page, number).locator(".block.answer .md")


def line(page: Page, number: int) -> Locator:
    return column(page, number).locator(".block.line")


def run(page: Page, text: str = "Hello") -> None:
    page.locator("#compare-message textarea").fill(text)
    page.locator("#compare-run").click()


def wait_for_all(page: Page) -> None:
    expect(page.locator("#compare.busy")).to_have_count(0, timeout=60_000)
    expect(page.locator("#compare-run")).to_be_visible()


def use(page: Page, number: int) -> None:
    column(page, number).get_by_role("button", name="Use this answer").click()
    expect(page.get_by_role("tab", name="Chat")).to_have_attribute("aria-selected", "true")


@browser_test
@pytest.mark.usefixtures("endless")
def test_four_columns_stream_at_once_and_the_winner_goes_on_in_the_chat(running: Running, new_page: NewPage) -> None:
    page = open_compare(new_page(running.url), 4)
    page.evaluate(SHIFTS)
    run(page, "Tell me a story about a robot.")
    wait_until(lambda: running.engine.running == 4, what="four at once")
    for number in (1, 2, 3, 4):
        expect(answer(page, number)).to_have_text(FILLED)
    expect(page.locator("#together")).to_contain_text("4 columns at once")
    assert not idle(running)  # the sum is shown while they stream
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
    wait_until(lambda: idle(running), 5, "the release")


@browser_test
def test_columns_stopped_before_anything_has_come_end(new_page: NewPage) -> None:
    engine = FakePageEngine([Delta("so far"), SILENCE_S])
    with served(engine) as url:
        page = open_compare(new_page(url), 2)
        delay(page, "its id")
        run(page)
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
    run(page)
    wait_until(lambda: running.engine.running == 4, what="four at once")
    for number in (1, 2, 3, 4):
        expect(answer(page, number)).to_have_text(FILLED)
    page.locator("#compare-stop").click()
    wait_until(lambda: idle(running), 5, "the release")
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
    run(page)
    wait_until(lambda: running.engine.running == 3, what="three at once")
    page.reload()
    wait_until(lambda: idle(running), 5, "the release")


@browser_test
def test_each_column_has_its_own_settings_and_only_those_shown_are_asked(new_page: NewPage) -> None:
    engine = BreakingEngine(deltas("an |answer"))
    with served(engine) as url:
        page = open_compare(new_page(url), 2)
        expect(column(page, 2)).to_be_visible()
        expect(column(page, 3)).to_be_hidden()
        fill_setting(column(page, 2), "temperature", "1.5")
        fill_setting(column(page, 2), "seed", "")
        run(page)
        expect(answer(page, 2)).to_have_text("an answer")
        wait_for_all(page)
        expect(answer(page, 3)).to_have_text("")
        assert [(one.temperature, one.seed) for one in engine.settings] == [(0.0, 1), (1.5, None)]
        expect(page.locator("#compare-message textarea")).to_have_value("Hello")


@browser_test
def test_samples_have_one_settings_and_drawn_seeds(new_page: NewPage) -> None:
    engine = BreakingEngine(deltas("an |answer"))
    with served(engine) as url:
        page = open_compare(new_page(url), 4)
        expect(page.locator("#compare-sampled")).to_be_hidden()
        page.get_by_label("Samples").check()
        expect(column(page, 1).locator(".own").first).to_be_hidden()
        fill_setting(page.locator("#compare-sampled"), "temperature", "1.1")
        run(page)
        expect(answer(page, 4)).to_have_text("an answer")
        assert [one.temperature for one in engine.settings] == [1.1] * 4
        seeds = [one.seed for one in engine.settings]
        assert len(set(seeds)) == 4 and None not in seeds
        for number, seed in enumerate(seeds, 1):
            expect(line(page, number)).to_contain_text(f"seed {seed}")


@browser_test
def test_the_chat_goes_on_from_the_answer_that_was_used(new_page: NewPage) -> None:
    text = "  <b>x</b> &amp; `<i>`\n\n- one\n"
    engine = BreakingEngine(deltas(text, "length"))
    with served(engine) as url:
        page = new_page(url)
        begin_and_end(page, "before")
        open_compare(page)
        expect(column(page, 1).get_by_role("button", name="Use this answer")).to_be_hidden()
        run(page, "Is 1 < 2 & <b>?")
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
def test_a_refused_setting_names_its_column_and_nothing_is_lost(new_page: NewPage) -> None:
    engine = BreakingEngine(deltas("an answer"))
    with served(engine) as url:
        page = open_compare(new_page(url))
        run(page, "first")
        wait_for_all(page)
        fill_setting(column(page, 3), "seed", "many")
        run(page, "second")
        sentence = "Column 3: seed is 'many'; allowed is a whole number from 0 to"
        expect(page.get_by_text(sentence).first).to_be_visible()
        wait_for_all(page)
        expect(page.locator("#compare-message textarea")).to_have_value("second")
        expect(answer(page, 1)).to_have_text("an answer")
        use(page, 1)
        expect(questions(page)).to_have_text("first")
        assert len(engine.settings) == 3


@browser_test
def test_a_column_that_fails_says_so_and_the_others_go_on(new_page: NewPage) -> None:
    with served(BreakingEngine([Delta("so far"), 0.5, Delta(", so good", "stop")], failing=2)) as url:
        page = open_compare(new_page(url))
        run(page)
        wait_for_all(page)
        expect(line(page, 2)).to_contain_text("The engine could not finish this answer; try again.")
        expect(answer(page, 2)).to_have_text("so far")
        for number in (1, 3):
            expect(answer(page, number)).to_have_text("so far, so good")
            expect(line(page, number)).to_contain_text("Ended.")


@browser_test
def test_what_all_are_refused_for_is_said_once_and_the_page_stays(new_page: NewPage) -> None:
    with served(SlowReader(deltas("an answer"))) as url:
        page = open_compare(new_page(url))
        run(page, "first")
        wait_for_all(page)
        long = "word " * 2000
        run(page, long)
        expect(page.get_by_text("the model's context holds 1000").first).to_be_visible()
        wait_for_all(page)
        expect(page.locator("#compare-message textarea")).to_have_value(long)
        expect(answer(page, 2)).to_have_text("an answer")


@browser_test
def test_stop_while_one_is_measured_alone_keeps_all_that_came(new_page: NewPage) -> None:
    rate = Metrics(9, 0, 11, 0.0, 0.1, 0.1)
    engine = BreakingEngine([Delta("an answer", "stop", metrics=rate)])
    engine.after = [Delta("an", metrics=rate), SILENCE_S]
    with served(engine) as url:
        page = open_compare(new_page(url))
        run(page)
        expect(page.locator("#together")).to_contain_text("300 tokens/s together. Measuring column 1 alone …")
        page.locator("#compare-stop").click()
        wait_until(lambda: engine.num_closed_early == 1, 5, "the release")
        wait_for_all(page)
        expect(page.locator("#together")).to_have_text("3 columns at once: 300 tokens/s together.", use_inner_text=True)
        expect(line(page, 1)).to_contain_text("Ended.")
        assert [(one.max_tokens, one.seed) for one in engine.settings] == [(100, 1), (100, 2), (100, 3), (64, 1)]


@browser_test
def test_chat_and_compare_have_one_system_prompt(new_page: NewPage) -> None:
    engine = BreakingEngine(deltas("an answer"))
    with served(engine) as url:
        page = open_compare(new_page(url))
        page.get_by_role("button", name="System prompt and settings of all columns").click()
        fill_setting(page.locator("#compare-shared"), "System prompt", "Be brief.")
        run(page)
        wait_for_all(page)
        assert {told[0].text for told in engine.conversations} == {"Be brief."}
        use(page, 1)
        send(page, "after")
        wait_until(lambda: len(engine.settings) == 4, what="the chat's answer")
        assert engine.conversations[-1][0].text == "Be brief."


@browser_test
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_swipes_through_the_columns_and_not_the_page(new_page: NewPage, scheme: str) -> None:
    with served(BreakingEngine([Delta("word " * 100), SILENCE_S])) as url:
        page = new_page(url, viewport={"width": 390, "height": 844}, color_scheme=scheme)
        open_compare(page, 4)
        run(page)
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
    demo = build_demo(engine, admission_of(engine))
    with served(engine, demo) as url:
        site = Site(url, engine, demo)
        tab, other = Tab(site), Tab(site)
        tab.join("_compare", compared())
        reading = tab.stream()
        messages = iter(reading)
        wait_until(lambda: engine.num_running == 4 or not next(messages), what="four columns")
        again = tab.join("_compare", compared(2))
        end = next(message for message in messages if message["msg"] == "process_completed")
        assert end["event_id"] == again and end["output"]["error"].startswith("At most one answer at once for each")
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
