"""Pacing, keep-alives and closing, on an event loop whose clock is scripted: no test here waits."""

import asyncio
import selectors
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import aclosing
from typing import Any

import pytest

from streamspace.frames import BEAT_S, FRAME_S, LATE_S, MOST_FRAME_S, Pacer, frames


class ScriptedLoop(asyncio.SelectorEventLoop):
    """Time passes only when everybody sleeps, and then at once."""

    def __init__(self) -> None:
        super().__init__(selectors.SelectSelector())
        self.now = 0.0
        self.late_s = 0.0  # what else there is to do whenever somebody wakes
        select = self._selector.select  # type: ignore[attr-defined]

        def skip(timeout: float | None) -> Any:
            self.now += timeout + self.late_s if timeout else 0
            return select(0)

        self._selector.select = skip  # type: ignore[attr-defined]

    def time(self) -> float:
        return self.now


@pytest.fixture
def loop() -> Iterator[ScriptedLoop]:
    loop = ScriptedLoop()
    yield loop
    loop.close()


class Source:
    """Yields one item after each of `gaps_s` seconds; notes how it ended."""

    def __init__(self, *gaps_s: float, error: Exception | None = None) -> None:
        self.gaps_s, self.error, self.ended = gaps_s, error, ""

    async def items(self) -> AsyncGenerator[int, None]:
        try:
            for number, gap_s in enumerate(self.gaps_s):
                await asyncio.sleep(gap_s)
                yield number
            if self.error:
                raise self.error
            self.ended = "whole"
        except (asyncio.CancelledError, GeneratorExit):
            self.ended = "aborted"
            raise


async def timed(source: Source, interval_s: float = FRAME_S) -> list[tuple[float, int | None]]:
    loop = asyncio.get_running_loop()
    async with aclosing(frames(source.items(), lambda: interval_s, ignore, asyncio.Event())) as items:
        return [(round(loop.time(), 3), item) async for item in items]


def ignore(now_s: float, due_s: float) -> None: ...


def run(loop: ScriptedLoop, work: Coroutine[Any, Any, Any]) -> Any:
    return loop.run_until_complete(work)


def test_the_first_item_comes_at_once_and_then_one_an_interval(loop: ScriptedLoop) -> None:
    assert run(loop, timed(Source(0.2, 0, 0), 0.05)) == [(0.2, 0), (0.25, 1), (0.3, 2)]


def test_the_last_item_comes_as_soon_as_it_can_be_had(loop: ScriptedLoop) -> None:
    ended = asyncio.Event()

    async def items() -> AsyncGenerator[int, None]:
        yield 1
        yield 2  # fetched only when the interval is over, or the end known

    async def times() -> list[tuple[float, int | None]]:
        loop.call_later(1.0, ended.set)
        async with aclosing(frames(items(), lambda: 60.0, ignore, ended)) as stream:
            return [(loop.time(), item) async for item in stream]

    assert run(loop, times()) == [(0.0, 1), (1.0, 2)]


def test_silence_is_broken_by_keep_alives_before_and_after_the_first_item(loop: ScriptedLoop) -> None:
    seen = run(loop, timed(Source(1.2 * BEAT_S, 2.5 * BEAT_S)))
    assert [item for _, item in seen] == [None, 0, None, None, 1]


def test_an_error_comes_after_all_that_came_before_it(loop: ScriptedLoop) -> None:
    seen: list[int | None] = []

    async def read() -> None:
        async for item in frames(Source(0, 0, error=ValueError("gone")).items(), lambda: 0.05, ignore, asyncio.Event()):
            seen.append(item)

    with pytest.raises(ValueError, match="gone"):
        run(loop, read())
    assert seen == [0, 1]


@pytest.mark.parametrize("num_items", [0, 1, 2])
def test_closing_early_closes_the_source_before_it_returns(loop: ScriptedLoop, num_items: int) -> None:
    source = Source(0, 0, 100 * BEAT_S)

    async def leave() -> str:
        items = frames(source.items(), lambda: 0.05, ignore, asyncio.Event())
        for _ in range(num_items + (num_items == 2)):  # in the last case, also a keep-alive of the long silence
            await anext(items)
        await items.aclose()
        return source.ended

    assert run(loop, leave()) == ("aborted" if num_items else "")  # a source that never began has nothing to abort


def test_cancelling_while_it_waits_aborts_the_source(loop: ScriptedLoop) -> None:
    source = Source(100.0)

    async def cancel() -> None:
        task = asyncio.create_task(timed(source))
        await asyncio.sleep(0.1)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    run(loop, cancel())
    assert source.ended == "aborted"


def test_the_interval_grows_with_the_streams_and_the_text_and_ends_somewhere() -> None:
    pacer = Pacer()
    assert pacer.interval_s(0) == FRAME_S
    assert FRAME_S < pacer.interval_s(5_000) < pacer.interval_s(10_000) < MOST_FRAME_S
    pacer.num_streams = 100
    assert FRAME_S < pacer.interval_s(0) < MOST_FRAME_S
    pacer.num_streams = 10_000
    assert pacer.interval_s(0) == pacer.interval_s(10**9) == MOST_FRAME_S


def test_a_smaller_share_for_the_page_means_fewer_frames() -> None:
    intervals = []
    for page_share in (0.1, 0.02):
        pacer = Pacer(page_share)
        pacer.num_streams = 60
        intervals.append(pacer.interval_s(0))
    assert intervals[0] < intervals[1]


def test_a_loop_that_lags_gets_fewer_frames_until_it_keeps_up_again(loop: ScriptedLoop) -> None:
    pacer = Pacer()

    async def read(late_s: float) -> None:
        loop.late_s = late_s
        async for _ in frames(Source(*[0.0] * 500).items(), lambda: FRAME_S, pacer.woke, asyncio.Event()):
            pass

    run(loop, read(2 * LATE_S))
    assert 2 * FRAME_S < pacer.interval_s(0) <= MOST_FRAME_S
    run(loop, read(0.0))
    run(loop, read(0.0))
    assert pacer.interval_s(0) == FRAME_S


def test_one_halt_of_the_loop_is_no_overload_however_many_read(loop: ScriptedLoop) -> None:
    pacer, intervals_s = Pacer(), []

    async def read() -> None:
        async for _ in frames(Source(*[0.0] * 100).items(), lambda: pacer.interval_s(0), pacer.woke, asyncio.Event()):
            intervals_s.append(pacer.interval_s(0))

    async def halt() -> None:
        await asyncio.sleep(1.01)
        loop.now += 0.4  # nobody runs for so long

    async def act() -> None:
        await asyncio.gather(halt(), *(read() for _ in range(64)))

    run(loop, act())
    assert max(intervals_s) == FRAME_S


def test_streams_are_counted_only_while_they_run() -> None:
    pacer = Pacer()
    with pytest.raises(RuntimeError), pacer.stream():
        assert pacer.num_streams == 1
        raise RuntimeError
    assert pacer.num_streams == 0
