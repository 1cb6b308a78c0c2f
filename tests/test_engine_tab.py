"""The Engine tab: its words, its stream of events, and the page in a real browser on the real engine."""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from streamspace.limits import Limits, Queue
from streamspace.stats import SECONDS, Histogram, Stats, Window
from streamspace.translation import catalog
from streamspace.ui.parts.engine_feed import PLOTS, EngineFeed, duration, event_of, facts_text, round_up, rows, spread
from streamspace.ui.tabs.engine import limits_of, page_html
from tests.fake import FakePageEngine
from tests.page import NewPage, bot, send, set_up, wait_for_end
from tests.support import Running, wait_until
from tests.wire import Site

BOXES = """() => [...document.querySelectorAll('.engine :is(figure, dl > div, svg, p, summary)')]
  .map((element) => JSON.stringify(element.getBoundingClientRect()))"""


class Seconds(Stats):
    """Of which each second can be told; `num_looks` counts how often somebody looked."""

    def __init__(self) -> None:
        self.now_s, self.num_looks = 1000.0, 0
        super().__init__(lambda: self.now_s)
        self.begin(1)

    def window(self) -> Window:
        self.num_looks += 1
        return super().window()

    def second(self, num_tokens: int = 0, num_queries: int = 0, num_hits: int = 0) -> None:
        self.scheduled(0, 3, 1, 0.25, num_queries, num_hits)
        self.produced(2 * num_tokens, num_tokens, 1, [0.04], [0.012] * num_tokens)
        self.now_s += 1


@pytest.fixture
def seconds() -> Seconds:
    return Seconds()


@pytest.fixture
def engine(seconds: Seconds) -> FakePageEngine:
    engine = FakePageEngine()
    engine.stats = seconds
    return engine


@pytest.fixture
def queue() -> Queue:
    return Queue(Limits())


def test_an_event_says_now_mean_and_highest(engine: FakePageEngine, seconds: Seconds, queue: Queue) -> None:
    engine.capacity = 256
    seconds.second(1500, 100, 25)
    seconds.second(500)
    event = event_of(engine, queue, seconds.window())
    shown = {key: event["text"][key] for key in ("out", "out.mean", "out.most", "out.top", "running", "kv", "kv.top")}
    assert shown == {
        "out": "500",
        "out.mean": "1,000.0",
        "out.most": "1,500",
        "out.top": "2,000",
        "running": "3",
        "kv": "25.0%",
        "kv.top": "100%",
    }
    assert (event["text"]["hits"], event["text"]["total"], event["text"]["busy"]) == (
        "25.0%",
        "4,000 / 2,000",
        "0 / 256",
    )
    assert event["text"]["itl.said"] == "p50 ≤ 20 ms, p90 ≤ 20 ms, p99 ≤ 20 ms, n = 2,000"
    assert event["bars"]["ttft"] == (0, 2, *[0] * 9)
    assert event["tops"] == [5, 2000, 1.0, 1, 5000, 1.0]


def test_a_gap_is_drawn_as_one_and_has_no_numbers(engine: FakePageEngine, seconds: Seconds, queue: Queue) -> None:
    seconds.second(5)
    seconds.end()
    seconds.now_s += 1
    window = seconds.window()
    assert rows(window.points) == [[3, 5, 0.25, 1, 10, None], None]
    text = event_of(engine, queue, window)["text"]
    assert (text["running"], text["out"], text["uptime"], text["out.mean"]) == ("–", "–", "–", "5.0")
    seconds.now_s += SECONDS
    assert event_of(engine, queue, seconds.window())["text"]["out.mean"] == "–"


def test_before_the_engine_is_built_there_are_no_facts(engine: FakePageEngine, seconds: Seconds, queue: Queue) -> None:
    engine.facts = None
    text = facts_text(engine, queue, seconds.window())
    assert (text["hardware"], text["context"], text["busy"]) == ("–", "–", "0 / –")


def test_every_word_of_an_event_has_its_place_on_the_page(
    engine: FakePageEngine, seconds: Seconds, queue: Queue
) -> None:
    page, event = page_html(engine.config), event_of(engine, queue, seconds.window())
    assert {*re.findall(r'data-key="([^"]+)"', page)} == {
        *event["text"],
        *(f"{key}.{number}" for key, counts in event["bars"].items() for number in range(len(counts))),
    }
    assert page.count("<svg") == len(PLOTS) == len(event["tops"])


def test_the_limits_are_named(engine: FakePageEngine) -> None:
    assert limits_of(engine.config) == {"Most tokens of an answer": 2048, "Most seconds of an answer": 3600}


def test_every_label_is_said_in_chinese(engine: FakePageEngine) -> None:
    config = replace(engine.config, max_prompt_tokens=1, answers_per_visitor=1, requests_per_minute=1)
    labels = re.findall(r"<(?:dt|figcaption|caption|th|summary|p class=.more)\b[^>]*>([^<]+)<", page_html(config))
    assert len(labels) > 40
    assert not [label for label in labels if label not in catalog("zh") and re.search(r"[A-Za-z]{3}", label)]


@pytest.mark.parametrize(("most", "top"), [(0, 1), (1, 1), (3, 5), (5, 5), (7, 10), (10, 10), (11, 20), (4999, 5000)])
def test_a_scale_ends_at_a_round_number(most: float, top: int) -> None:
    assert round_up(most) == top


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0 min 0 s"), (75.9, "1 min 15 s"), (3600, "1 h 0 min"), (90061, "1 d 1 h"), (86399, "23 h 59 min")],
)
def test_a_duration_has_two_units(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_a_histogram_says_what_is_beyond_its_last_bound() -> None:
    assert spread(Histogram((0.5, 2.0), (0, 9, 1))) == "p50 ≤ 2 s, p90 ≤ 2 s, p99 > 2 s, n = 10"
    assert spread(Histogram((0.5, 2.0), (0, 0, 0))) == "–"


async def next_event(events: AsyncGenerator[bytes, None]) -> tuple[bytes, dict[str, Any]]:
    data = await asyncio.wait_for(anext(events), 20)
    return data, json.loads(data.removeprefix(b"data: "))


def test_all_readers_get_the_same_bytes_of_one_computation(
    engine: FakePageEngine, seconds: Seconds, queue: Queue
) -> None:
    async def scenario() -> None:
        feed = EngineFeed(engine, queue)
        seconds.second(5)
        readers = [feed.events() for _ in range(3)]
        firsts = [await next_event(reader) for reader in readers]
        assert len({data for data, _ in firsts}) == 1
        assert firsts[0][1]["whole"] and firsts[0][1]["points"] == [[3, 5, 0.25, 1, 10, None]]
        assert seconds.num_looks == 1
        seconds.second(7)
        later = await asyncio.gather(*map(next_event, readers))
        assert len({id(data) for data, _ in later}) == 1
        assert not later[0][1]["whole"] and later[0][1]["points"] == [[3, 7, 0.25, 1, 14, None]]
        assert seconds.num_looks == 2
        for reader in readers:
            await reader.aclose()

    asyncio.run(scenario())


def test_a_reader_who_missed_a_second_gets_all_of_them(engine: FakePageEngine, seconds: Seconds, queue: Queue) -> None:
    async def scenario() -> None:
        feed = EngineFeed(engine, queue)
        seconds.second(5)
        reader = feed.events()
        await next_event(reader)
        seconds.second(6)
        seconds.second(7)
        _, event = await next_event(reader)
        assert event["whole"] and [row[1] for row in event["points"]] == [5, 6, 7]
        await reader.aclose()

    asyncio.run(scenario())


def test_while_nobody_reads_nothing_is_computed(engine: FakePageEngine, seconds: Seconds, queue: Queue) -> None:
    async def scenario() -> None:
        feed = EngineFeed(engine, queue)
        assert seconds.num_looks == 0
        for _ in range(2):  # who comes later is served as well
            reader = feed.events()
            await next_event(reader)
            watching = feed._watching
            assert watching is not None
            await reader.aclose()
            await asyncio.wait_for(watching, 20)
        assert feed._num_readers == 0

    asyncio.run(scenario())


def test_the_streams_end_when_the_app_shuts_down(engine: FakePageEngine, queue: Queue) -> None:
    async def scenario() -> None:
        reader = EngineFeed(engine, queue).events()
        await next_event(reader)
        await engine.stop()
        with pytest.raises(StopAsyncIteration):
            await next_event(reader)

    asyncio.run(scenario())


def number(page: Page, key: str) -> int:
    """The first number of a cell; -1 while it has none."""
    found = re.search(r"[\d,]+", page.locator(f'.engine [data-key="{key}"]').first.inner_text())
    return int(found[0].replace(",", "")) if found else -1


def is_quiet(page: Page, num_looks: Callable[[], int]) -> bool:
    """Whether nobody looked at the engine for the time of two events."""
    before = num_looks()
    page.wait_for_timeout(2500)
    return num_looks() == before


@pytest.mark.browser
def test_the_numbers_move_while_an_answer_streams_and_nothing_runs_once_the_tab_is_left(
    running: Running, new_page: NewPage, endless: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[Window] = []
    window = running.engine.stats.window

    def counted() -> Window:
        looks.append(window())
        return looks[-1]

    monkeypatch.setattr(running.engine.stats, "window", counted)
    page = new_page(running.url)
    streams: list[str] = []
    page.on("request", lambda request: streams.append(request.url))
    set_up(page, max_tokens="1900")
    assert not looks and not any(url.endswith("/engine") for url in streams)
    before = window().last
    send(page, "Tell me a long story.")
    expect(bot(page)).to_have_text(re.compile(r"\w"))
    page.get_by_role("tab", name="Engine").click()
    wait_until(lambda: number(page, "running") == 1 and number(page, "out") > 0, what="a running answer's numbers")
    expect(page.locator('.engine [data-key="context"]')).to_have_text("2,048")
    expect(page.locator('.engine [data-key="version"]')).to_contain_text("vLLM 0.")
    expect(page.locator('.engine [data-key="busy"]')).to_have_text(f"1 / {running.engine.capacity:,}")
    wait_until(lambda: len(page.locator(".engine .line").first.get_attribute("d") or "") > 10, what="a plot")
    page.get_by_role("tab", name="Chat").click()
    page.locator("#stop").click()
    wait_for_end(page)
    wait_until(lambda: running.is_idle, what="the release")
    wait_until(lambda: is_quiet(page, lambda: len(looks)), 30, "the end of the stream")
    page.get_by_role("tab", name="Engine").click()
    wait_until(lambda: number(page, "running") == 0, what="an idle engine's numbers")
    expect(page.locator('.engine [data-key="ttft.said"]')).to_contain_text("p50 ≤")
    page.get_by_text("The same as tables").click()
    after = window().last
    assert number(page, "answers") == after.num_answers
    assert after.num_generation_tokens > before.num_generation_tokens
    assert sum(after.ttft) == sum(before.ttft) + 1
    assert streams.count(f"{running.url}/engine") == 2


@pytest.mark.browser
def test_a_chinese_browser_gets_chinese_labels(site: Site, new_page: NewPage, seconds: Seconds) -> None:
    site.engine.stats = seconds
    page = new_page(site.url, locale="zh-CN")
    page.get_by_role("tab", name="引擎").click()
    expect(page.locator(".engine figcaption").first).to_have_text("运行中的请求")


@pytest.mark.browser
def test_a_tab_that_nobody_sees_lets_go(site: Site, new_page: NewPage, seconds: Seconds) -> None:
    site.engine.stats = seconds
    page = new_page(site.url)
    page.get_by_role("tab", name="Engine").click()
    seconds.second(5)
    expect(page.locator('.engine [data-key="out"]').first).to_have_text("5")
    page.evaluate(
        """() => {
          Object.defineProperty(document, 'hidden', {value: true, configurable: true});
          document.dispatchEvent(new Event('visibilitychange'));
        }"""
    )
    wait_until(lambda: is_quiet(page, lambda: seconds.num_looks), 30, "the stream's end")
    page.evaluate(
        """() => {
          Object.defineProperty(document, 'hidden', {value: false, configurable: true});
          document.dispatchEvent(new Event('visibilitychange'));
        }"""
    )
    seconds.second(8)
    expect(page.locator('.engine [data-key="out"]').first).to_have_text("8")


@pytest.mark.browser
@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_shifts_as_numbers_change_and_nothing_is_cut_off(
    site: Site, new_page: NewPage, seconds: Seconds, width: int
) -> None:
    site.engine.stats = seconds
    page = new_page(site.url, viewport={"width": width, "height": 844})
    page.get_by_role("tab", name="Engine").click()
    seconds.second(5)
    expect(page.locator('.engine [data-key="out"]').first).to_have_text("5")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    before = page.evaluate(BOXES)
    seconds.second(123_456, 10, 5)
    expect(page.locator('.engine [data-key="out"]').first).to_have_text("123,456")
    assert page.evaluate(BOXES) == before
