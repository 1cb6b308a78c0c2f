"""Which requests may have broken the engine: those that were in flight when it died.

The next engine gets these one at a time. What it dies of again, or what was in flight alone, is refused for a while,
for it would break every engine. So a request that breaks the engine does so twice at most, and all others go on.

Pure asyncio; for one event loop alone. `content` stands for all that a request asks for, `visitor` for who asks.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from streamspace.errors import BreaksEngine, EngineStopped

REFUSED_S = 600.0
TRIAL_S = 1.0  # after the first token: what breaks an engine mostly does so at once, and other suspects wait meanwhile


@dataclass(eq=False)
class Request:
    """A request in flight."""

    content: str
    visitor: str
    is_on_trial: bool = False  # it was in flight at a death, and has the turn of which there is one
    turn_end: asyncio.TimerHandle | None = None
    is_broken: bool = False  # it ended because the engine did
    is_counted: bool = False  # the death that it was in flight at has been looked into


@dataclass(frozen=True)
class Blame:
    """Whose requests a death may be laid at."""

    guilty: frozenset[str] = frozenset()  # visitors whose requests are refused from now on
    involved: frozenset[str] = frozenset()  # visitors with a request in flight, the guilty included


class Suspects:
    """The requests that were in flight at deaths of the engine, over all restarts."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_flight: set[Request] = set()
        self._broken: set[Request] = set()  # no longer in flight, but at the death that is not looked into yet
        self._suspected: dict[str, float] = {}  # contents, and until when
        self._refused: dict[str, float] = {}
        self._trial = asyncio.Lock()  # held by the one suspect on trial

    @asynccontextmanager
    async def watch(self, content: str, visitor: str, is_alive: Callable[[], bool]) -> AsyncIterator[Request]:
        """Hold a request in flight for as long as the block runs; a suspect waits for its turn before.

        The block sets `is_broken` if it ends because the engine does, and calls `begun` at the first token.

        Raises:
            BreaksEngine: the engine died of the like of it.
            EngineStopped: the engine died while the request waited for its turn.
        """
        self.check(content)
        request = Request(content, visitor)
        if content in self._suspected:
            await self._trial.acquire()
            request.is_on_trial = True
        try:
            self.check(content)
            if not is_alive():
                raise EngineStopped
            self._in_flight.add(request)
            yield request
            if not request.is_counted:
                self._suspected.pop(content, None)  # it has ended and the engine lives
        finally:
            self._in_flight.discard(request)
            if request.is_broken and not request.is_counted:
                self._broken.add(replace(request, turn_end=None))
            self._end_trial(request)

    def begun(self, request: Request) -> None:
        """The engine has made a token of it: TRIAL_S later the next suspect may be tried."""
        if request.is_on_trial and request.turn_end is None:
            request.turn_end = asyncio.get_running_loop().call_later(TRIAL_S, self._end_trial, request)

    def _end_trial(self, request: Request) -> None:
        if request.turn_end:
            request.turn_end.cancel()
        if request.is_on_trial:
            request.is_on_trial = False
            self._trial.release()

    def died(self, by_itself: bool = True) -> Blame:
        """Look into a death; `by_itself` unless the engine was killed from outside, which one request cannot do."""
        there = self._count()
        guilty = self._guilty(there, by_itself)
        until_s = self._clock() + REFUSED_S
        known = {content: end_s for content, end_s in self._suspected.items() if end_s > self._clock()}
        self._suspected = known | {request.content: until_s for request in there}
        self._refused = {content: end_s for content, end_s in self._refused.items() if end_s > self._clock()}
        self._refused |= dict.fromkeys(guilty, until_s)
        visitors = frozenset(request.visitor for request in there)
        return Blame(frozenset(request.visitor for request in there if request.content in guilty), visitors)

    def spare(self) -> Blame:
        """The engine is ended for another reason: nobody's request is suspected."""
        self._count()
        return Blame()

    def _count(self) -> set[Request]:
        """The requests that were in flight when the engine died; each only once."""
        there, self._broken = self._in_flight | self._broken, set()
        there = {request for request in there if not request.is_counted}
        for request in there:
            request.is_counted = True
        return there

    def _guilty(self, there: set[Request], by_itself: bool) -> set[str]:
        contents = {request.content for request in there}
        if len(contents) == 1 and by_itself:
            return contents
        # Suspects that had got through their trial may have been there by chance.
        return {request.content for request in there if request.is_on_trial} or contents & self._suspected.keys()

    def check(self, content: str) -> None:
        """Raises BreaksEngine if the engine died of the like of it."""
        left_s = self._refused.get(content, 0.0) - self._clock()
        if left_s > 0:
            raise BreaksEngine(left_s)
