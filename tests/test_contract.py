"""What every engine keeps, the real one and the scripted one alike: else a test on a script would prove nothing."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import pytest

from benchmarks.scripted import ScriptedEngine
from streamspace.chat import ServedEngine
from streamspace.errors import BadRequest, EngineNotReady, EngineRestarting, PromptTooLong
from streamspace.sampling import Settings
from streamspace.types import Delta, Message, Prompt, Status
from tests.fake import FakePageEngine, Step
from tests.support import Running, wait_until

GREEDY = Settings(max_tokens=40, temperature=0.0, seed=None)
SCRIPT: list[Step] = [step for number in range(39) for step in (Delta(f"{number} "), 0.01)]


BENCHMARKED: ServedEngine = ScriptedEngine(tokens_per_s=100)  # mypy compares the two


@dataclass(frozen=True)
class Case:
    """An engine, how to run a coroutine on its loop, to put it into another state, and to have it write longer."""

    engine: ServedEngine
    run: Callable[[Coroutine[Any, Any, Any]], Any]
    set_status: Callable[[Status], None]
    lengthen: Callable[[], None]

    def ask(self, ended: asyncio.Event | None = None, max_tokens: int = 40) -> AsyncGenerator[Delta, None]:
        """An answer of so many tokens."""

        async def answer() -> AsyncGenerator[Delta, None]:
            prompt = await self.engine.render_text("Once upon a time")
            settings = replace(GREEDY, max_tokens=max_tokens)
            async with aclosing(self.engine.generate(prompt, settings, ended)) as deltas:
                async for delta in deltas:
                    yield delta

        return answer()

    async def read(self) -> list[Delta]:
        """All deltas of an answer, each as soon as it is there."""
        return [delta async for delta in self.ask()]

    @property
    def is_idle(self) -> bool:
        return self.engine.running + self.engine.waiting == 0


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.xdist_group("engine")), "scripted"])
def case(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Case:
    if request.param == "scripted":
        scripted = FakePageEngine([*SCRIPT, Delta("end", "length")])
        return Case(
            scripted,
            asyncio.run,
            lambda status: setattr(scripted, "status", status),
            lambda: setattr(scripted, "script", SCRIPT * 50),
        )
    request.getfixturevalue("endless")
    running: Running = request.getfixturevalue("running")
    wait_until(lambda: running.is_idle, what="an idle engine")
    return Case(
        running.engine,
        running.run,
        lambda status: monkeypatch.setattr(running.engine, "_status", status),
        lambda: None,  # it writes as much as it may
    )


def test_the_last_delta_alone_has_a_finish_reason(case: Case) -> None:
    deltas = case.run(case.read())
    assert [delta.finish_reason for delta in deltas] == [None] * (len(deltas) - 1) + ["length"]
    assert len(deltas) > 1 and all(delta.text for delta in deltas[:-1])


def test_what_nobody_fetches_is_merged_and_nothing_is_lost(case: Case) -> None:
    async def late() -> list[Delta]:
        ended = asyncio.Event()
        async with aclosing(case.ask(ended)) as deltas:
            first = await anext(deltas)
            await asyncio.wait_for(ended.wait(), 20)
            return [first, *[delta async for delta in deltas]]

    deltas, whole = case.run(late()), case.run(case.read())
    assert len(deltas) == 2 and deltas[1].finish_reason == "length"
    assert "".join(delta.text for delta in deltas) == "".join(delta.text for delta in whole)


def test_the_end_is_announced_when_it_can_be_had_and_not_before(case: Case) -> None:
    async def follow() -> list[tuple[bool, str | None]]:
        ended = asyncio.Event()
        return [(ended.is_set(), delta.finish_reason) async for delta in case.ask(ended)]

    seen = case.run(follow())
    assert seen[0] == (False, None) and seen[-1] == (True, "length")


def test_the_end_is_announced_to_one_who_fetches_nothing(case: Case) -> None:
    async def wait() -> None:
        ended = asyncio.Event()
        async with aclosing(case.ask(ended)) as deltas:
            await anext(deltas)
            await asyncio.wait_for(ended.wait(), 20)

    case.run(wait())
    wait_until(lambda: case.is_idle, 5, "the release")


def test_each_delta_says_what_was_measured_so_far(case: Case) -> None:
    deltas = case.run(case.read())
    measured = [delta.metrics for delta in deltas if delta.metrics]
    assert len(measured) == len(deltas)
    counts = [metrics.num_tokens for metrics in measured]
    assert counts == sorted(counts) and 0 < counts[0] < counts[-1] == 40
    num_prompt_tokens = len(case.run(case.engine.render_text("Once upon a time")).token_ids)
    assert {metrics.num_prompt_tokens for metrics in measured} == {num_prompt_tokens}
    last = measured[-1]
    assert min(last.queued_s, last.num_cached_tokens) >= 0 and min(last.prefill_s, last.decode_s) > 0
    assert last.tokens_per_s and last.tokens_per_s > 1


def test_closing_frees_the_request_and_that_alone(case: Case) -> None:
    async def running(number: int) -> bool:
        """Whether so many requests are under way, within 5 s."""
        for _ in range(500):
            if case.engine.running == number:
                return True
            await asyncio.sleep(0.01)
        return False

    async def leave() -> bool:
        left, kept = case.ask(max_tokens=1900), case.ask(max_tokens=1900)
        await asyncio.gather(anext(left), anext(kept))
        assert await running(2)
        await left.aclose()
        assert await running(1)
        goes_on = (await anext(kept)).finish_reason is None
        await kept.aclose()
        return goes_on and await running(0)

    case.lengthen()
    assert case.run(leave())


def test_a_prompt_that_does_not_fit_is_refused_with_the_contexts_size(case: Case) -> None:
    most = case.engine.max_model_len
    assert most is not None
    full = Prompt((1,) * most)
    with pytest.raises(PromptTooLong, match=str(most)):
        case.run(anext(case.engine.generate(full, GREEDY)))  # which leaves no room for an answer
    for rendering in (
        case.engine.render_text("word " * 3 * most),
        case.engine.render_chat([Message("user", "word " * 3 * most)]),
    ):
        with pytest.raises(PromptTooLong, match=str(most)):
            case.run(rendering)
    assert case.is_idle


def test_an_empty_prompt_is_refused(case: Case) -> None:
    with pytest.raises(BadRequest, match="The prompt is empty"):
        case.run(anext(case.engine.generate(Prompt(()), GREEDY)))


def test_an_adapter_that_is_not_there_is_refused(case: Case) -> None:
    asked = case.engine.generate(Prompt((1,)), Settings(adapter="nobody"))
    with pytest.raises(BadRequest, match="There is no LoRA adapter 'nobody'; there are: none"):
        case.run(anext(asked))


def test_what_is_answered_does_not_wait_in_the_queue(case: Case) -> None:
    async def follow() -> list[bool]:
        ended, stranger = asyncio.Event(), asyncio.Event()
        async with aclosing(case.ask(ended)) as deltas:
            await anext(deltas)
            now = [case.engine.is_queued(ended), case.engine.is_queued(stranger)]
        return [*now, case.engine.is_queued(ended)]

    assert case.run(follow()) == [False] * 3


def test_a_conversation_has_more_tokens_than_its_last_message(case: Case) -> None:
    turns = [Message("user", "one two"), Message("assistant", "three"), Message("user", "four")]
    whole, last = (len(case.run(case.engine.render_chat(part)).token_ids) for part in (turns, turns[-1:]))
    assert whole > last > 0


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (Status("loading", "Loading the weights"), EngineNotReady),
        (Status("failed", "It broke too often."), EngineNotReady),
        (Status("restarting", "Back in a moment"), EngineRestarting),
    ],
)
def test_an_engine_that_is_away_says_which_way(case: Case, status: Status, error: type[Exception]) -> None:
    case.set_status(status)
    words = status.detail if error is EngineNotReady else None

    async def first_delta() -> Delta:
        return await anext(case.engine.generate(Prompt((1,)), GREEDY))

    for call in (case.engine.render_text("Hi"), first_delta()):
        with pytest.raises(error, match=words):
            case.run(call)
    with pytest.raises(error, match=words):
        _ = case.engine.openai
