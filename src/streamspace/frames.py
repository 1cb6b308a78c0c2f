"""Deltas at the engine's speed → frames at a pace that page and browser can follow. Pure asyncio.

The engine merges the deltas that nobody fetches, so pulling one a frame is enough: the slower the pace, the larger the
frame, and no text is lost.
"""

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TypeVar

T = TypeVar("T")

TICK_S = 1 / 60  # frames are due on ticks of a common clock, so that several streams share one wake-up of the loop
FRAME_S = 0.05  # between two frames: as smooth as reading needs
CHAR_S = 15e-6  # added for each character of the text: a browser draws the whole text again for each frame
MOST_FRAME_S = 0.5
FRAME_COST_S = 0.0001  # a frame's time on the event loop; 0.4 ms if it wakes an idle loop (benchmarks/page_cost.py)
PAGE_SHARE = 0.1  # of one core for the frames of all streams together; the rest is the engine's
BESIDE_ENGINE_SHARE = 0.015  # the same on a machine without a GPU, where page and engine share the cores
LATE_S = 0.005  # a loop that wakes its sleepers later than this is overloaded
MOST_LATE_S = 0.1  # as how late the longest halt counts: one halt is no overload
MOST_STRETCH = 10.0
BEAT_S = 0.5  # the longest silence: only a yield shows whether the reader has gone


class Pacer:
    """Sets the time between frames by the text's length, the number of streams and the lateness of the event loop."""

    def __init__(self, page_share: float = PAGE_SHARE) -> None:
        self.num_streams = 0
        self._stretch = 1.0  # factor of all intervals; more than 1 while the loop runs late
        self._page_share = page_share
        self._late_s = 0.0  # average over about the last hundred ticks at which somebody woke
        self._woke_s = -TICK_S  # when that was

    @contextmanager
    def stream(self) -> Iterator[None]:
        """Count one stream for as long as the block runs."""
        self.num_streams += 1
        try:
            yield
        finally:
            self.num_streams -= 1

    def interval_s(self, num_chars: int) -> float:
        """Seconds between two frames of a text of this length, at most MOST_FRAME_S."""
        least = max(FRAME_S, num_chars * CHAR_S, self.num_streams * FRAME_COST_S / self._page_share)
        return min(MOST_FRAME_S, self._stretch * least)

    def woke(self, now_s: float, due_s: float) -> None:
        """Note when a sleeper woke. While the loop lags, all intervals grow by 1% a tick.

        A halt wakes all sleepers late, and is one sign all the same.
        """
        if now_s - self._woke_s < TICK_S:
            return
        self._woke_s = now_s
        self._late_s += (min(now_s - due_s, MOST_LATE_S) - self._late_s) / 100
        step = 1.01 if self._late_s > LATE_S else 0.99
        self._stretch = min(MOST_STRETCH, max(1.0, self._stretch * step))


async def frames(
    source: AsyncGenerator[T, None],
    interval_s: Callable[[], float],
    woke: Callable[[float, float], None],
    ended: asyncio.Event,
) -> AsyncGenerator[T | None, None]:
    """Yield the first item of `source` at once and then one an interval; None after BEAT_S without one.

    The producer sets `ended` when the last item is there, so that it comes at once. `woke` gets when an interval ended,
    and when it should have. Closing this closes `source`, also while it waits. An error of `source` comes last.
    """
    loop = asyncio.get_running_loop()
    pulling: asyncio.Task[T] | None = None
    try:
        while True:
            pulling = pulling or asyncio.create_task(_next(source))
            await asyncio.sleep(0)  # mostly the item is there by then, and a wait with a timer costs more
            if not pulling.done():
                await asyncio.wait({pulling}, timeout=BEAT_S)
            if not pulling.done():
                yield None
                continue
            try:
                item = pulling.result()
            except StopAsyncIteration:
                return
            pulling = None
            yield item
            due_s = math.ceil((loop.time() + interval_s()) / TICK_S - 1e-6) * TICK_S  # less what floats lose
            with suppress(TimeoutError):
                async with asyncio.timeout_at(due_s):
                    await ended.wait()
            woke(max(due_s, loop.time()), due_s)
    finally:
        if pulling is not None:
            pulling.cancel()  # raised inside the engine's own generator, which aborts the request
            await asyncio.gather(pulling, return_exceptions=True)
        await source.aclose()


async def _next(source: AsyncGenerator[T, None]) -> T:
    """`anext` as a coroutine, which a task needs."""
    return await anext(source)
