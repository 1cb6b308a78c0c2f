"""Who is answered now, who waits and who is refused: every entrypoint asks the one Admission before an answer."""

import asyncio
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass, field, fields
from functools import partial
from itertools import count
from operator import attrgetter
from typing import Protocol, TypeVar

from streamspace.asgi import BIG_BYTES, BodyLimit
from streamspace.config import Config
from streamspace.errors import (
    EngineNotReady,
    LimitReached,
    QueueFull,
    TooManyAnswers,
    TooManyAtAddress,
    TooManyRequests,
)
from streamspace.frames import BEAT_S
from streamspace.metrics import QUEUED, REFUSALS, RUNNING, VISITORS
from streamspace.pictures import MEDIA_BYTES
from streamspace.types import Status
from streamspace.visitors import VISITOR, LastMinute, Visitor

T = TypeVar("T")

NEAR = 10  # places whose changes are yielded at once: waking a thousand would take 30 ms of the event loop
FAR, FAR_S = 100, 2.0  # beyond this place it is told so rarely: a thousand frames a second are half of a core
TABS = 4  # visitors with as many answers as are allowed that one address may be: the rest are taken for inventions
BODIES_A_REQUEST = 2  # large bodies that an address may send for each request: a failure gives the question back


def _limit(label: str = "") -> int:
    """A field of Limits; `label` is for the Engine tab, which shows no limit without one."""
    limit: int = field(default=0, metadata={"label": label})
    return limit


@dataclass(frozen=True)
class Limits:
    """What the operator allows; 0 is no limit. docs/architecture.md says how to add one."""

    answers_per_visitor: int = _limit("Most answers at once for a visitor")
    queue_length: int = _limit()  # requests that wait for others
    requests_per_minute: int = _limit("Most requests a minute from an address")

    @classmethod
    def of(cls, config: Config) -> "Limits":
        """The limits in the operator's configuration."""
        return cls(**{limit.name: getattr(config, limit.name) for limit in fields(cls)})

    @property
    def labels(self) -> dict[str, int]:
        """The limits that the Engine tab shows, by their labels."""
        return {limit.metadata["label"]: getattr(self, limit.name) for limit in fields(self) if limit.metadata["label"]}


class _Ticket:
    """One answer that waits or runs."""

    def __init__(self, number: int, weight: int, capacity: int | None) -> None:
        self.number = number  # in the order of arrival
        self.weight = weight if capacity is None else min(weight, capacity)
        self.capacity = capacity
        self.is_waiting = False
        self.moved = asyncio.Event()  # set when its turn has come, or a near place changes


_NUMBER = attrgetter("number")


class Queue:
    """Lets as many answers run at once as the engine takes; the others wait in the order of arrival.

    A place is found when it is told. So a departure costs those that begin or are near, however many wait.
    """

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._waiting: list[_Ticket] = []  # the next one first
        self._numbers = count()
        self._largest = 0  # capacity of those that have waited since nobody waited
        self.num_running = 0  # requests in the engine
        self._num_wanted = 0  # requests in the engine or waiting for it
        self._by_visitor: Counter[Visitor] = Counter()  # running and waiting
        self._by_address: Counter[str] = Counter()
        self._asked = LastMinute(clock)  # requests and large bodies by address

    @property
    def num_waiting(self) -> int:
        """The number of answers that wait."""
        return len(self._waiting)

    async def admit(
        self,
        visitor: Visitor,
        work: AsyncGenerator[T, None],
        capacity: int | None,
        waiting: Callable[[int], T],
        weight: int = 1,
        is_counted: bool = False,
    ) -> AsyncGenerator[T, None]:
        """Yield what `work` yields, once no more than `capacity` run at once (None is no limit), and close it.

        Until then yield `waiting(place)`, 1 is next, every BEAT_S, and at once when a near place changes; a far place
        every FAR_S.

        `weight` is the number of requests that the work sends to the engine at once. It counts once against the limits
        and has one place in the queue, but all of its weight must have room until it ends. A weight above `capacity` is
        allowed; this work runs alone. `is_counted` says that `count` has counted the request already.

        Raises:
            TooManyRequests, TooManyAnswers, TooManyAtAddress, QueueFull: at once; nothing of `work` has run then.
        """
        VISITOR.set(visitor)  # the engine has to know whose request it was that broke it
        async with aclosing(work):
            ticket = _Ticket(next(self._numbers), weight, capacity)
            try:
                self._check(visitor, ticket, is_counted)
            except LimitReached as error:
                REFUSALS.labels(error.limit).inc()
                raise
            self._enter(visitor, ticket)
            try:
                while ticket.is_waiting:
                    ticket.moved.clear()
                    place = self._index(ticket) + 1
                    yield waiting(place)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(BEAT_S if place <= FAR else FAR_S):
                            await ticket.moved.wait()
                async for item in work:
                    yield item
            finally:
                self._leave(visitor, ticket)

    def count(self, address: str, is_body: bool = False) -> None:
        """Count a request of an address, or a large body of one that is still to be read.

        Raises TooManyRequests if it comes too soon; it is not counted then.
        """
        try:
            self._count(address, is_body)
        except LimitReached as error:
            REFUSALS.labels(error.limit).inc()
            raise

    def _count(self, address: str, is_body: bool = False) -> None:
        if most := self._limits.requests_per_minute * (BODIES_A_REQUEST if is_body else 1):
            key = f"bodies of {address}" if is_body else address
            self._asked.take(key, most, partial(TooManyRequests, self._limits.requests_per_minute))

    def _check(self, visitor: Visitor, ticket: _Ticket, is_counted: bool) -> None:
        limits = self._limits
        if 0 < limits.answers_per_visitor <= self._by_visitor[visitor]:
            raise TooManyAnswers(limits.answers_per_visitor)
        if 0 < TABS * limits.answers_per_visitor <= self._by_address[visitor.address]:
            raise TooManyAtAddress(TABS * limits.answers_per_visitor)
        if 0 < limits.queue_length <= len(self._waiting) and not self._has_room(ticket, self._num_wanted):
            raise QueueFull(limits.queue_length)
        if not is_counted:
            self._count(visitor.address)

    def _has_room(self, ticket: _Ticket, num_before: int) -> bool:
        """Whether it can run beside `num_before` requests that run or are ahead in the queue."""
        return ticket.capacity is None or num_before + ticket.weight <= ticket.capacity

    def _enter(self, visitor: Visitor, ticket: _Ticket) -> None:
        self._by_visitor[visitor] += 1
        self._by_address[visitor.address] += 1
        VISITORS.set(len(self._by_visitor))
        if self._has_room(ticket, self._num_wanted):
            self._run(ticket)
        else:
            assert ticket.capacity is not None  # without one there is room
            self._largest = max(self._largest, ticket.capacity) if self._waiting else ticket.capacity
            ticket.is_waiting = True
            self._waiting.append(ticket)
            QUEUED.inc()
        self._num_wanted += ticket.weight

    def _index(self, ticket: _Ticket) -> int:
        """Where one that waits is in the queue."""
        return bisect_left(self._waiting, ticket.number, key=_NUMBER)

    def _run(self, ticket: _Ticket) -> None:
        self.num_running += ticket.weight
        RUNNING.inc(ticket.weight)

    def _leave(self, visitor: Visitor, ticket: _Ticket) -> None:
        _discount(self._by_visitor, visitor)
        _discount(self._by_address, visitor.address)
        VISITORS.set(len(self._by_visitor))
        self._num_wanted -= ticket.weight
        if ticket.is_waiting:
            self._move(self._remove(self._index(ticket)))
        else:
            self.num_running -= ticket.weight
            RUNNING.dec(ticket.weight)
            self._move(len(self._waiting))

    def _remove(self, index: int) -> int:
        """Take one out of the queue; returns the index, from which on all have new places."""
        self._waiting.pop(index).is_waiting = False
        QUEUED.dec()
        return index

    def _move(self, first_moved: int) -> None:
        """Start the answers that have room now, and wake the near ones of those whose places change from here on."""
        num_before, index = self.num_running, 0
        while index < len(self._waiting) and num_before < self._largest:  # beyond it nobody has room
            ticket = self._waiting[index]
            if self._has_room(ticket, num_before):
                first_moved = min(first_moved, self._remove(index))
                self._run(ticket)
                ticket.moved.set()
            else:
                index += 1
            num_before += ticket.weight
        for ticket in self._waiting[first_moved:NEAR]:
            ticket.moved.set()


def _discount(counts: "Counter[T]", key: T) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]


class Engine(Protocol):
    """What admission needs of an engine."""

    @property
    def status(self) -> Status: ...
    @property
    def capacity(self) -> int | None: ...
    @property
    def max_model_len(self) -> int | None: ...
    @property
    def most_images(self) -> int: ...


class Admission:
    """The check before every answer: the engine's state, the limits, the queue."""

    def __init__(self, engine: Engine, limits: Limits) -> None:
        self._engine = engine
        self.queue = Queue(limits)

    @property
    def body_limit(self) -> BodyLimit:
        """How large the body of a request may be."""
        return BodyLimit.of(self._engine.max_model_len, MEDIA_BYTES if self._engine.most_images else 0)

    def count(self, visitor: Visitor, body: bytes | None = None) -> None:
        """Count a request before what it costs to check it; with its `body`, that alone, and only if it is large.

        Raises TooManyRequests.
        """
        if body is None or len(body) > BIG_BYTES:
            self.queue.count(visitor.address, is_body=body is not None)

    def answer(
        self,
        work: AsyncGenerator[T, None],
        waiting: Callable[[int], T],
        weight: int = 1,
        visitor: Visitor | None = None,
        is_counted: bool = False,
    ) -> AsyncGenerator[T, None]:
        """Yield what `work` yields, once it is the visitor's turn; the default is the visitor of the current request.

        `is_counted` says that `count` has counted it already.

        Raises:
            EngineNotReady: at once, if the engine takes no requests.
            TooManyRequests, TooManyAnswers, TooManyAtAddress, QueueFull: as `Queue.admit`.
        """
        if not self._engine.status.takes_requests:
            raise EngineNotReady(self._engine.status.detail)
        visitor = visitor or VISITOR.get() or Visitor("", "")
        return self.queue.admit(visitor, work, self._engine.capacity, waiting, weight, is_counted)
