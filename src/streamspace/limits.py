"""Who is answered now, who waits and who is refused. Pure asyncio; every door asks the same Gate before an answer."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import TypeVar

from streamspace.errors import QueueFull, TooManyAnswers, TooManyRequests
from streamspace.frames import BEAT_S

T = TypeVar("T")

MINUTE_S = 60.0
MOST_ADDRESSES = 10_000  # remembered; when there are more, those without a request in the last minute are forgotten


@dataclass(frozen=True)
class Visitor:
    """Whoever asks: `name` is the tab of a browser or the client, `address` where the request comes from."""

    name: str
    address: str


@dataclass(frozen=True)
class Limits:
    """What the operator allows; 0 is no limit."""

    answers_per_visitor: int = 0  # at once
    queue_length: int = 0  # requests that wait for others
    requests_per_minute: int = 0  # of one address


class Gate:
    """Lets as many answers run at once as the engine takes, the others wait in the order in which they came."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._line: list[object] = []  # those that wait, the first first
        self._num_running = 0
        self._by_visitor: Counter[str] = Counter()  # running and waiting
        self._times: dict[str, deque[float]] = {}  # of each address's requests in the last minute, oldest first
        self._moved = asyncio.Event()  # replaced by another each time that the line moves

    async def admit(
        self,
        visitor: Visitor,
        work: AsyncGenerator[T, None],
        capacity: int | None,
        waiting: Callable[[int], T],
        num_answers: int = 1,
    ) -> AsyncGenerator[T, None]:
        """Yield what `work` yields, once no more than `capacity` run at once (None is no limit), and close it.

        `num_answers` is how many answers `work` is for its visitor. Until its turn yield `waiting(place)`, 1 being the
        next one, whenever the place changes and every BEAT_S.

        Raises:
            TooManyRequests, TooManyAnswers, QueueFull: at once; nothing of `work` has run then.
        """
        async with aclosing(work):
            self._check(visitor, capacity, num_answers)
            self._by_visitor[visitor.name] += num_answers
            try:
                async with aclosing(self._queue(capacity)) as places:
                    async for place in places:
                        yield waiting(place)
                self._num_running += 1
                try:
                    async for item in work:
                        yield item
                finally:
                    self._num_running -= 1
                    self._move()
            finally:
                self._by_visitor[visitor.name] -= num_answers
                if not self._by_visitor[visitor.name]:
                    del self._by_visitor[visitor.name]

    def _check(self, visitor: Visitor, capacity: int | None, num_answers: int) -> None:
        limits = self._limits
        if 0 < limits.requests_per_minute <= len(times := self._recent(visitor.address)):
            raise TooManyRequests(limits.requests_per_minute, times[0] + MINUTE_S - self._clock())
        if 0 < limits.answers_per_visitor < self._by_visitor[visitor.name] + num_answers:
            raise TooManyAnswers(limits.answers_per_visitor)
        if 0 < limits.queue_length <= len(self._line) and not self._has_room(capacity):
            raise QueueFull(limits.queue_length)
        if limits.requests_per_minute:
            times.append(self._clock())

    def _recent(self, address: str) -> "deque[float]":
        """The times of this address's requests in the last minute."""
        if len(self._times) >= MOST_ADDRESSES:
            self._times = {name: times for name in list(self._times) if (times := self._pruned(self._times[name]))}
        return self._pruned(self._times.setdefault(address, deque()))

    def _pruned(self, times: "deque[float]") -> "deque[float]":
        while times and times[0] <= self._clock() - MINUTE_S:
            times.popleft()
        return times

    def _has_room(self, capacity: int | None) -> bool:
        return capacity is None or self._num_running + len(self._line) < capacity

    async def _queue(self, capacity: int | None) -> AsyncGenerator[int, None]:
        """Yield the place in the line until it is this one's turn."""
        ticket = object()
        self._line.append(ticket)
        try:
            while capacity is not None and (place := self._line.index(ticket) + 1 + self._num_running - capacity) > 0:
                moved = self._moved
                yield place
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await moved.wait()
        finally:
            self._line.remove(ticket)
            self._move()

    def _move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()
