"""From conversation to replies, on a scripted engine."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace

import pytest

from streamspace.chat import MOST_RESTARTS, at_once, fit, in_sequence, stream_chat, stream_completion, timed
from streamspace.errors import (
    BreaksEngine,
    EngineNotReady,
    EngineRestarting,
    EngineStopped,
    PromptTooLong,
    RequestFailed,
)
from streamspace.frames import Pacer
from streamspace.sampling import Settings
from streamspace.types import Constraint, Delta, Message, Metrics, Prompt, Reply, Status
from tests.fake import FakeEngine, apart, deltas

HELLO = (Message("user", "hello"),)


async def collect(replies: AsyncGenerator[Reply, None]) -> list[Reply]:
    """All of them, without what was measured."""
    async with aclosing(replies) as stream:
        return [replace(reply, metrics=None) async for reply in stream]


def chat(engine: FakeEngine, messages: Sequence[Message] = HELLO) -> list[Reply]:
    return asyncio.run(collect(stream_chat(engine, messages, Settings(max_tokens=10), Pacer())))


def test_the_text_accumulates_and_the_last_reply_has_the_finish_reason() -> None:
    replies = chat(FakeEngine(apart(deltas("hel|lo| wor|ld", "length"))))
    assert [reply.text for reply in replies] == ["", "hel", "hello", "hello wor", "hello world"]
    assert [reply.finish_reason for reply in replies] == [None, None, None, None, "length"]


def test_every_character_passes_untouched() -> None:
    text = (
        "def f():\n\tif a < b and c > d:\n\t    return '&amp;'\r\n\n  你好 👩‍👩‍👧 مرحبا <script>alert(1)</script>  \n"
    )
    assert chat(FakeEngine(deltas("|".join(text))))[-1].text == text


@pytest.mark.parametrize("num_frames", [2, 3])
def test_closing_early_aborts_the_request_at_once(num_frames: int) -> None:
    engine = FakeEngine([Delta("a"), Delta("b"), 100.0])

    async def leave() -> int:
        replies = stream_chat(engine, HELLO, Settings(), Pacer())
        for _ in range(num_frames):
            await anext(replies)
        await replies.aclose()
        return engine.num_closed_early

    assert asyncio.run(leave()) == 1


@pytest.mark.parametrize("num_texts", [1, 4])
def test_texts_beside_each_other_are_paced_as_one_as_long_as_all(num_texts: int) -> None:
    lengths: list[int] = []

    class Noting(Pacer):
        def interval_s(self, num_chars: int) -> float:
            lengths.append(num_chars)
            return 0.0

    engine = FakeEngine(apart(deltas("hel|lo|!", "length")))
    asyncio.run(collect(stream_chat(engine, HELLO, Settings(), Noting(), num_texts)))
    assert lengths == [3 * num_texts, 5 * num_texts]


def test_leaving_before_the_first_token_aborts_too() -> None:
    engine, pacer = FakeEngine([100.0]), Pacer()

    async def leave() -> None:
        replies = stream_chat(engine, HELLO, Settings(), pacer)
        for _ in range(2):
            assert not (await anext(replies)).text  # it was accepted; then the keep-alive of the silence
        await replies.aclose()

    asyncio.run(leave())
    assert engine.num_closed_early == 1 and pacer.num_streams == 0


def test_an_error_comes_after_the_text_before_it() -> None:
    seen: list[str] = []

    async def read() -> None:
        async for reply in stream_chat(FakeEngine([Delta("so far"), EngineStopped()]), HELLO, Settings(), Pacer()):
            seen.append(reply.text)

    with pytest.raises(EngineStopped):
        asyncio.run(read())
    assert seen == ["", "so far"]


def long_conversation() -> list[Message]:
    turns = [Message(role, "word " * 10) for _ in range(6) for role in ("user", "assistant")]
    return [Message("system", "short"), *turns, Message("user", "last question")]


def test_the_oldest_turns_are_left_out_and_counted_until_the_answer_has_room() -> None:
    engine = FakeEngine(deltas("ok"), max_model_len=70)
    reply = chat(engine, long_conversation())[-1]
    (kept,) = {tried for tried in engine.conversations if len(tried) == 14 - reply.num_left_out}
    assert (kept[0].text, kept[-1].text, kept[1].role) == ("short", "last question", "user")
    assert reply.num_left_out > 0
    assert sum(len(message.text.split()) for message in kept) + 10 <= 70


def test_a_prompt_beyond_the_context_is_trimmed_as_well() -> None:
    prompt, num_left_out = asyncio.run(fit(FakeEngine(max_model_len=30), long_conversation(), Settings(max_tokens=5)))
    assert len(prompt.token_ids) <= 25 and num_left_out == 10


@pytest.mark.parametrize("num_words", range(1, 140, 3))
def test_no_more_is_left_out_than_must_be(num_words: int) -> None:
    """Against trying one turn after another."""
    messages, engine = long_conversation(), FakeEngine(max_model_len=num_words + 10)
    prompt, num_left_out = asyncio.run(fit(engine, messages, Settings(max_tokens=10)))
    sizes = [1 + 20 * turns + 2 for turns in range(6, -1, -1)]  # from all turns to none
    fitting = [
        number for number, size in enumerate(sizes) if size + min(10, engine.max_model_len // 2) <= num_words + 10
    ]
    assert num_left_out == 2 * (fitting[0] if fitting else 6)
    assert len(prompt.token_ids) == sizes[num_left_out // 2]


class Counted(tuple[str, ...]):
    num_asked = 0

    def __len__(self) -> int:
        Counted.num_asked += 1
        return super().__len__()


def test_what_may_be_left_out_of_a_long_conversation_is_found_in_one_pass() -> None:
    turns = [Message("user" if number % 2 else "assistant", "a", images=Counted()) for number in range(1001)]
    Counted.num_asked = 0
    asyncio.run(fit(FakeEngine(deltas("a")), turns, Settings()))
    assert Counted.num_asked < 10 * len(turns)


def test_thousands_of_turns_are_not_tried_one_by_one() -> None:
    engine = FakeEngine(max_model_len=30)
    asyncio.run(fit(engine, long_conversation() * 1000, Settings(max_tokens=10)))
    assert len(engine.conversations) < 20


def test_a_single_message_that_is_too_long_is_refused_before_the_engine() -> None:
    engine = FakeEngine(deltas("never"), max_model_len=5)
    with pytest.raises(PromptTooLong, match="6 tokens, and the model's context holds 5"):
        chat(engine, [Message("user", "one two three four five six")])
    assert engine.num_started == 0


def completions(engine: FakeEngine, *texts: str) -> list[AsyncGenerator[Reply, None]]:
    return [stream_completion(engine, text, Settings(), Pacer()) for text in texts]


def test_prompts_in_sequence_run_one_after_the_other() -> None:
    engine = FakeEngine(deltas("a|b"))

    async def run() -> list[tuple[str, ...]]:
        stream = in_sequence(completions(engine, "x", "y"), Reply())
        return [tuple(reply.text for reply in replies) async for replies in stream]

    assert asyncio.run(run()) == [("a", ""), ("ab", ""), ("ab", "a"), ("ab", "ab")]


def test_prompts_at_once_share_the_time_and_end_whole() -> None:
    engine = FakeEngine(deltas("a|b"))

    async def run() -> list[list[tuple[str, str | None]]]:
        async with aclosing(at_once(completions(engine, "x", "y", "z"), Reply())) as stream:
            return [[(reply.text, reply.finish_reason) for reply in replies] async for replies in stream]

    seen = asyncio.run(run())
    assert seen[-1] == [("ab", "stop")] * 3 and engine.num_started == 3
    assert [("a", None)] * 3 in seen  # none waited for another's end


def test_closing_prompts_at_once_aborts_them_all() -> None:
    engine = FakeEngine([Delta("a"), 100.0])

    async def leave() -> None:
        stream = at_once(completions(engine, "x", "y", "z"), Reply())
        await anext(stream)
        await stream.aclose()

    asyncio.run(leave())
    assert engine.num_started == engine.num_closed_early > 0


def test_an_error_of_one_prompt_aborts_the_others() -> None:
    async def run() -> None:
        async for _ in at_once(completions(engine, "fits", "x " * 200), Reply()):
            pass

    engine = FakeEngine([Delta("a"), 100.0])
    with pytest.raises(PromptTooLong):
        asyncio.run(run())
    assert engine.num_started == engine.num_closed_early


def test_a_completion_gets_the_raw_text() -> None:
    replies = asyncio.run(collect(stream_completion(FakeEngine(deltas("on")), "go", Settings(), Pacer())))
    assert replies[-1] == Reply("on", "stop")


class BreakingEngine(FakeEngine):
    """Breaks in its first lives, each of which has a script of its own, and takes a moment to come back."""

    def __init__(self, *lives: Sequence[Delta | Exception | float]) -> None:
        super().__init__(lives[0])
        self._lives = list(lives)

    async def generate(
        self, prompt: Prompt, settings: Settings, ended: asyncio.Event | None = None
    ) -> AsyncGenerator[Delta, None]:
        if self.status.stage != "ready":
            raise EngineRestarting
        self.script = self._lives.pop(0)
        try:
            async with aclosing(super().generate(prompt, settings, ended)) as stream:
                async for delta in stream:
                    yield delta
        except EngineStopped:
            self.status = Status("restarting", "Back in a moment")
            asyncio.get_running_loop().call_later(0.7, self._come_back)
            raise

    def _come_back(self) -> None:
        self.status = Status("ready", "Ready")


def test_a_request_without_text_waits_for_the_engine_and_is_answered() -> None:
    replies = chat(BreakingEngine([0.1, EngineStopped()], deltas("hel|lo")))
    assert [reply.is_held_up for reply in replies] == [False, True, True, False, False, False]
    assert replies[-1] == Reply("hello", "stop")


def test_a_question_asked_while_the_engine_is_away_waits_too() -> None:
    engine = BreakingEngine(deltas("hello"))

    async def ask() -> list[Reply]:
        engine.status = Status("restarting", "Back in a moment")
        asyncio.get_running_loop().call_later(0.2, engine._come_back)
        return await collect(stream_completion(engine, "Hi", Settings(), Pacer()))

    assert asyncio.run(ask()) == [Reply(is_held_up=True), Reply("hello", "stop")]


BEGUN = Delta("so ", token_ids=(7, 8, 9))
MORE = Delta("far", "stop", metrics=Metrics(5, 5, 4, 1.0, 1.0, 3.0))


def test_an_answer_goes_on_where_the_engine_broke() -> None:
    engine = BreakingEngine([BEGUN, EngineStopped()], [Delta("f", token_ids=(4,)), EngineStopped()], deltas("a|r"))
    replies = chat(engine)
    assert [reply.text for reply in replies if not reply.is_held_up] == ["", "so ", "so f", "so fa", "so far"]
    assert [reply.text for reply in replies if reply.is_held_up] == ["so "] * 2 + ["so f"] * 2
    assert replies[-1].finish_reason == "stop" and len(engine.conversations) == 1
    assert [settings.max_tokens for settings in engine.settings] == [10, 7, 6]
    assert [len(prompt.token_ids) for prompt in engine.prompts] == [1, 4, 5]


def test_an_answer_that_has_gone_on_has_the_numbers_of_all_its_engines() -> None:
    begun = replace(BEGUN, metrics=Metrics(1, 0, 3, 0.5, 0.25, 2.0))
    engine = BreakingEngine([begun, EngineStopped()], [MORE])

    async def last() -> Reply:
        async with aclosing(stream_chat(engine, HELLO, Settings(max_tokens=10), Pacer())) as replies:
            return [reply async for reply in replies][-1]

    assert asyncio.run(last()).metrics == Metrics(1, 0, 7, 0.5, 0.25, 5.0)


@pytest.mark.parametrize(
    "settings", [Settings(stop=("x",)), Settings(constraint=Constraint("regex", "so far")), Settings(max_tokens=3)]
)
def test_an_answer_that_cannot_go_on_stands_as_it_is(settings: Settings) -> None:
    ids = (7, 8, 9) if settings.stop or settings.constraint else ()  # without ids it is not known where it was
    engine = BreakingEngine([replace(BEGUN, token_ids=ids), EngineStopped()], deltas("again"))
    with pytest.raises(EngineStopped):
        asyncio.run(collect(stream_chat(engine, HELLO, settings, Pacer())))
    assert engine.num_started == 1


@pytest.mark.parametrize("error", [EngineNotReady("Given up."), BreaksEngine(60), PromptTooLong(100), RequestFailed()])
def test_an_answer_that_the_next_engine_does_not_take_stands_as_it_is(error: Exception) -> None:
    engine = BreakingEngine([BEGUN, EngineStopped()], [error])
    with pytest.raises(type(error) if isinstance(error, RequestFailed | BreaksEngine) else EngineStopped):
        chat(engine)
    assert engine.num_started == 2


def test_a_request_that_breaks_the_engine_each_time_is_given_up() -> None:
    engine = BreakingEngine(*[[EngineStopped()]] * (MOST_RESTARTS + 2))
    with pytest.raises(EngineStopped):
        chat(engine)
    assert engine.num_started == MOST_RESTARTS + 1


def test_a_conversation_that_ends_in_an_answer_keeps_its_last_question() -> None:
    engine = FakeEngine(deltas(" more"), max_model_len=22)
    told = (Message("user", "a " * 9), Message("assistant", "b"), Message("user", "c"), Message("assistant", "d " * 9))
    assert chat(engine, told)[-1] == Reply(" more", "stop", num_left_out=2)
    assert engine.conversations[-1] == told[2:]
    with pytest.raises(PromptTooLong):
        chat(FakeEngine(max_model_len=5), told)


def test_the_times_begin_when_the_request_came_which_may_be_before_anybody_looked() -> None:
    async def both() -> tuple[Reply, Reply]:
        now_s = asyncio.get_running_loop().time()
        engine = FakeEngine(deltas("hello", "stop"))
        since = (now_s - 60, None)
        replies = [await collect(timed(stream_chat(engine, HELLO, Settings(), Pacer()), began_s)) for began_s in since]
        return replies[0][-1], replies[1][-1]

    earlier, now = asyncio.run(both())
    assert earlier.ttft_s and now.ttft_s
    assert earlier.elapsed_s >= earlier.ttft_s >= 60 > now.elapsed_s >= now.ttft_s
