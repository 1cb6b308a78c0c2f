"""Who is answered now, who waits and who is refused: every way in asks the one Admission before an answer."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from itertools import accumulate, islice
from typing import Protocol, TypeVar

from streamspace.config import Config
from streamspace.errors import EngineNotReady, QueueFull, TooManyAnswers, TooManyRequests
from streamspace.frames import BEAT_S
from streamspace.metrics import QUEUED, REFUSALS, RUNNING, VISITORS
from streamspace.types import Status
from streamspace.visitors import VISITOR, Visitor

T = TypeVar("T")

MINUTE_S = 60.0
MOST_ADDRESSES = 10_000  # remembered; when there are more, those without a request in the last minute are forgotten


@dataclass(frozen=True)
class Limits:
    """What the operator allows; 0 is no limit."""

    answers_per_visitor: int = 0  # at once
    queue_length: int = 0  # requests that wait for others
    requests_per_minute: int = 0  # of one address

    @classmethod
    def of(cls, config: Config) -> "Limits":
        """Those of the operator's choices."""
        return cls(config.answers_per_visitor, config.queue_length, config.requests_per_minute)


@dataclass(frozen=True, eq=False)  # one is not another, whatever they weigh
class _Ticket:
    """A place in the line."""

    weight: int


class Queue:
    """Lets as many answers run at once as the engine takes, the others wait in the order in which they came."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._line: list[_Ticket] = []  # those that wait, the first first
        self._num_running = 0  # requests in the engine
        self._by_visitor: Counter[str] = Counter()  # running and waiting
        self._times: dict[str, deque[float]] = {}  # of each address's requests in the last minute, oldest first
        self._moved = asyncio.Event()  # replaced by another each time that the line moves

    @property
    def num_running(self) -> int:
        """Answers under way."""
        return self._num_running

    @property
    def num_waiting(self) -> int:
        """Requests in the line."""
        return len(self._line)

    async def admit(
        self,
        visitor: Visitor,
        work: AsyncGenerator[T, None],
        capacity: int | None,
        waiting: Callable[[int], T],
        weight: int = 1,
    ) -> AsyncGenerator[T, None]:
        """Yield what `work` yields, once no more than `capacity` run at once (None is no limit), and close it.

        Until then yield `waiting(place)`, 1 being the next one, whenever the place changes and every BEAT_S.

        `weight` is how many requests the work makes of the engine at once. To the visitor it is one answer of many
        parts, so it counts once against the limits and has one place in the line, but all of its weight must have room
        until it ends. More than the engine takes at all it may weigh, too: then it runs alone.

        Raises:
            TooManyRequests, TooManyAnswers, QueueFull: at once; nothing of `work` has run then.
        """
        async with aclosing(work):
            weight = weight if capacity is None else min(weight, capacity)
            self._check(visitor, capacity, weight)
            self._by_visitor[visitor.name] += 1
            VISITORS.set(len(self._by_visitor))
            try:
                async with aclosing(self._queue(capacity, weight)) as places:
                    async for place in places:
                        yield waiting(place)
                self._num_running += weight
                RUNNING.inc(weight)
                try:
                    async for item in work:
                        yield item
                finally:
                    self._num_running -= weight
                    RUNNING.dec(weight)
                    self._move()
            finally:
                self._by_visitor[visitor.name] -= 1
                if not self._by_visitor[visitor.name]:
                    del self._by_visitor[visitor.name]
                VISITORS.set(len(self._by_visitor))

    def _check(self, visitor: Visitor, capacity: int | None, weight: int) -> None:
        limits = self._limits
        if 0 < limits.requests_per_minute <= len(times := self._recent(visitor.address)):
            REFUSALS.labels("requests_per_minute").inc()
            raise TooManyRequests(limits.requests_per_minute, times[0] + MINUTE_S - self._clock())
        if 0 < limits.answers_per_visitor <= self._by_visitor[visitor.name]:
            REFUSALS.labels("answers_per_visitor").inc()
            raise TooManyAnswers(limits.answers_per_visitor)
        if 0 < limits.queue_length <= len(self._line) and self._num_left_out(capacity, [*self._line, _Ticket(weight)]):
            REFUSALS.labels("queue_length").inc()
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

    def _num_left_out(self, capacity: int | None, line: Sequence[_Ticket]) -> int:
        """How many of these, who would go in one after another, the engine has no room for now."""
        if capacity is None:
            return 0
        loads = accumulate((ticket.weight for ticket in line), initial=self._num_running)
        return sum(load > capacity for load in islice(loads, 1, None))

    async def _queue(self, capacity: int | None, weight: int) -> AsyncGenerator[int, None]:
        """Yield the place in the line until it is this one's turn."""
        ticket = _Ticket(weight)
        self._line.append(ticket)
        QUEUED.inc()
        try:
            while place := self._num_left_out(capacity, self._line[: self._line.index(ticket) + 1]):
                moved = self._moved
                yield place
                with suppress(TimeoutError):
                    async with asyncio.timeout(BEAT_S):
                        await moved.wait()
        finally:
            self._line.remove(ticket)
            QUEUED.dec()
            self._move()

    def _move(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


class Engine(Protocol):
    """What admission needs of an engine."""

    @property
    def status(self) -> Status: ...

    @property
    def capacity(self) -> int | None: ...


class Admission:
    """The engine's state and the operator's limits, for whoever asks."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self.queue = Queue(limits)

    def answer(
        self,
        work: AsyncGenerator[T, None],
        waiting: Callable[[int], T],
        weight: int = 1,
        visitor: Visitor | None = None,
    ) -> AsyncGenerator[T, None]:
        """What `work` yields, once it is this visitor's turn; by default the visitor of the request that is handled.

        Raises:
            EngineNotReady: at once, if an answer cannot be hoped for.
            TooManyRequests, TooManyAnswers, QueueFull: as `Queue.admit`.
        """
        if not self._engine.status.takes_requests:
            raise EngineNotReady(self._engine.status.detail)
        visitor = visitor or VISITOR.get() or Visitor("", "")
        return self.queue.admit(visitor, work, self._engine.capacity, waiting, weight)
