"""Which requests are refused after the engine's death, and which are tried again, in which order."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from streamspace.errors import BreaksEngine, EngineStopped
from streamspace.suspects import REFUSED_S, Blame, Suspects


class Engines:
    """One engine after another, which die of the contents in `deadly`, at the first token or ten later."""

    def __init__(self, deadly: str = "", is_late: bool = False) -> None:
        self.now_s = 0.0
        self.suspects = Suspects(lambda: self.now_s)
        self.deadly, self.is_late = deadly.split(), is_late
        self.num_deaths = 0
        self.blames: list[Blame] = []
        self.events: list[str] = []
        self.death = asyncio.Event()

    async def _answer(self, content: str, visitor: str, num_tokens: int) -> None:
        death = self.death
        async with self.suspects.watch(content, visitor, lambda: death is self.death and not death.is_set()) as request:
            try:
                self.events.append(f"begin {content}")
                for number in range(num_tokens):
                    await asyncio.sleep(0)
                    if content in self.deadly and number == 10 * self.is_late:
                        death.set()
                    if death.is_set():
                        raise EngineStopped
                    self.suspects.begun(request)
                self.events.append(f"end {content}")
            except EngineStopped:
                request.is_broken = True
                raise

    async def ask(self, content: str, visitor: str = "", num_tokens: int = 20) -> str:
        """As the page does: wait for the next engine while there is one."""
        while True:
            try:
                await self._answer(content, visitor or content, num_tokens)
                return "answered"
            except EngineStopped:
                await self.bury()
            except BreaksEngine:
                return "refused"

    async def bury(self, by_itself: bool = True) -> None:
        for _ in range(5):  # all streams of the dead engine end
            await asyncio.sleep(0)
        if self.death.is_set():
            self.num_deaths += 1
            self.blames.append(self.suspects.died(by_itself))
            self.death = asyncio.Event()


def run(work: Callable[[], Awaitable[Any]]) -> Any:
    async def soon() -> Any:
        return await asyncio.wait_for(work(), 10)

    return asyncio.run(soon())


def test_what_was_in_flight_alone_is_refused_and_its_like_for_a_while() -> None:
    engines = Engines("bad")

    async def ask() -> list[str]:
        answers = [await engines.ask("bad"), await engines.ask("bad", "another visitor"), await engines.ask("good")]
        engines.now_s = REFUSED_S + 1
        engines.deadly = []
        return [*answers, await engines.ask("bad")]

    assert run(ask) == ["refused", "refused", "answered", "answered"]
    assert engines.blames == [Blame(frozenset({"bad"}), frozenset({"bad"}))]


@pytest.mark.parametrize("is_late", [False, True])
def test_beside_others_it_breaks_two_engines_and_all_others_are_answered(is_late: bool) -> None:
    engines, others = Engines("bad", is_late), [f"good {n}" for n in range(16)]

    async def ask() -> list[str]:
        return await asyncio.gather(engines.ask("bad"), *map(engines.ask, others))

    assert run(ask) == ["refused", *["answered"] * 16]
    assert engines.num_deaths == 2
    first, second = engines.blames
    assert not first.guilty and first.involved == {"bad", *others}
    assert second.guilty == {"bad"}


def test_suspects_are_tried_one_at_a_time_until_they_are_answered() -> None:
    engines = Engines("bad")

    async def ask() -> None:
        await asyncio.gather(*map(engines.ask, ["bad", *"abc"]))

    run(ask)
    assert engines.events[:6] == [*(f"begin {name}" for name in ["bad", *"abc"]), "begin bad", "begin a"]
    pairs = list(zip(engines.events[-6::2], engines.events[-5::2], strict=True))
    assert sorted(pairs) == [(f"begin {name}", f"end {name}") for name in "abc"]
    engines.events.clear()
    run(ask)  # but for the one that is refused now, they are no suspects any more: they begin together
    assert engines.events[:3] == [f"begin {name}" for name in "abc"]


def test_an_engine_that_was_killed_from_outside_gives_a_lone_request_another_try() -> None:
    engines = Engines()

    async def ask() -> tuple[str, list[Blame]]:
        task = asyncio.create_task(engines.ask("good", num_tokens=1000))
        await asyncio.sleep(0)
        engines.death.set()
        blame = engines.suspects.died(by_itself=False)  # before the streams have ended
        engines.death, dead = asyncio.Event(), engines.death
        assert dead.is_set()
        return await task, [blame]

    answer, blames = run(ask)
    assert answer == "answered" and blames == [Blame(frozenset(), frozenset({"good"}))]


def test_a_reader_that_leaves_while_its_request_waits_for_its_turn_holds_up_nobody() -> None:
    engines = Engines("bad")

    async def ask() -> str:
        engines.suspects.died()
        await asyncio.gather(engines.ask("bad"), engines.ask("a"), engines.ask("b"))
        engines.suspects._suspected |= {"a": 1.0, "b": 1.0, "c": 1.0}
        async with engines.suspects.watch("a", "", lambda: True):
            leaving, staying = (asyncio.create_task(engines.ask(name)) for name in "bc")
            await asyncio.sleep(0)
            leaving.cancel()
        return await staying

    assert run(ask) == "answered"


def test_an_engine_that_is_ended_for_another_reason_makes_no_suspects() -> None:
    engines = Engines()

    async def ask() -> Blame:
        task = asyncio.create_task(engines.ask("good", num_tokens=1000))
        await asyncio.sleep(0)
        spared = engines.suspects.spare()
        engines.death.set()
        await task
        return spared

    assert run(ask) == Blame() and engines.blames == [Blame()]


def test_requests_that_ended_before_the_death_are_not_looked_into() -> None:
    engines = Engines()

    async def ask() -> Blame:
        await engines.ask("good")
        return engines.suspects.died()

    assert run(ask) == Blame()
