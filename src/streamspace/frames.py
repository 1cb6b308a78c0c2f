"""Deltas at the engine's speed → frames at a pace that page and browser can follow. Pure asyncio.

The engine merges the deltas that nobody fetches, so pulling one a frame is enough: the slower the pace, the larger the
frame, and no text is lost.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

T = TypeVar("T")

FRAME_S = 0.05  # between two frames: as smooth as reading needs
LONG_FRAME_S = 0.1  # beyond LONG_TEXT characters, where a browser takes longer to draw
LONG_TEXT = 8_000
MOST_FRAME_S = 0.5
FRAME_COST_S = 0.0001  # of the event loop for one frame through the page
PAGE_SHARE = 0.1  # of one core for all frames together; the rest is the engine's
LATE_S = 0.005  # a loop that wakes its sleepers later than this, on average, has too much to do
MOST_STRETCH = 8.0
BEAT_S = 0.5  # the longest silence: Gradio notices a reader that has gone only when something is yielded


class Pacer:
    """Knows how many streams share the event loop and how late it runs, and so how long each waits between frames."""

    def __init__(self) -> None:
        self.num_streams = 0
        self.late_s = 0.0  # how late sleepers wake, averaged over the last hundred or so
        self.stretch = 1.0

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count one stream for as long as the block runs."""
        self.num_streams += 1
        try:
            yield
        finally:
            self.num_streams -= 1

    def interval_s(self, num_chars: int) -> float:
        """Seconds between two frames of a text of this length, so that the page leaves the engine its time."""
        least = LONG_FRAME_S if num_chars > LONG_TEXT else FRAME_S
        return min(MOST_FRAME_S, self.stretch * max(least, self.num_streams * FRAME_COST_S / PAGE_SHARE))

    def woke(self, late_s: float) -> None:
        """Take note that a sleeper woke so late: the frames of a loop that lags become fewer, step by step."""
        self.late_s += (late_s - self.late_s) / 100
        step = 1.01 if self.late_s > LATE_S else 0.99
        self.stretch = min(MOST_STRETCH, max(1.0, self.stretch * step))


async def frames(
    source: AsyncGenerator[T, None], interval_s: Callable[[], float], woke: Callable[[float], None]
) -> AsyncGenerator[T | None, None]:
    """Yield the first item of `source` at once and then one an interval; None after BEAT_S without one.

    `woke` is told after each interval how late its end was noticed.

    Closing this closes `source`, also while it waits. An error of `source` is raised after all that came before it.
    """
    loop = asyncio.get_running_loop()
    pulling: asyncio.Task[T] | None = None
    try:
        while True:
            pulling = pulling or asyncio.create_task(_next(source))
            done, _ = await asyncio.wait({pulling}, timeout=BEAT_S)
            if not done:
                yield None
                continue
            try:
                item = pulling.result()
            except StopAsyncIteration:
                return
            pulling = None
            yield item
            due_s = loop.time() + (pause_s := interval_s())
            await asyncio.sleep(pause_s)
            woke(loop.time() - due_s)
    finally:
        if pulling is not None:
            pulling.cancel()  # raised inside the engine's own generator, which aborts the request
            await asyncio.gather(pulling, return_exceptions=True)
        await source.aclose()


async def _next(source: AsyncGenerator[T, None]) -> T:
    """`anext` as a coroutine, which a task needs."""
    return await anext(source)
