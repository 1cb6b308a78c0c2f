"""One message from prompt to reply: the conversation is fitted into the context, streamed, paced and accumulated.

It knows the engine only as a protocol, and neither vLLM nor Gradio.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Protocol, TypeVar

from starlette.types import ASGIApp

from streamspace import limits
from streamspace.config import Config
from streamspace.constraint import verdict
from streamspace.errors import EngineRestarting, EngineStopped, PromptTooLong, TooManyPromptTokens
from streamspace.frames import BEAT_S, Pacer, frames
from streamspace.prompt import clean, without_oldest
from streamspace.sampling import Settings
from streamspace.stats import Facts, Stats
from streamspace.types import Delta, Message, Prompt, Reply, Split, Status, Token

T = TypeVar("T")

MOST_RESTARTS = (
    2  # that a request without text waits through; no more, for it may be the request that breaks the engine
)


class Engine(Protocol):
    """What this module needs of an engine; `streamspace.engine.Engine` is one."""

    @property
    def status(self) -> Status: ...

    @property
    def max_model_len(self) -> int | None: ...

    @property
    def max_prompt_tokens(self) -> int: ...

    @property
    def max_seconds(self) -> float: ...

    async def render_chat(self, messages: Sequence[Message], enable_thinking: bool | None = None) -> Prompt: ...

    async def render_text(self, text: str) -> Prompt: ...

    def generate(
        self, prompt: Prompt, settings: Settings, ended: asyncio.Event | None = None
    ) -> AsyncGenerator[Delta, None]: ...

    def is_queued(self, ended: asyncio.Event) -> bool: ...


class ServedEngine(Engine, limits.Engine, Protocol):
    """What the page and the server need of an engine besides; `streamspace.engine.Engine` says what each is."""

    @property
    def config(self) -> Config: ...

    @property
    def stats(self) -> Stats: ...

    @property
    def facts(self) -> Facts | None: ...

    @property
    def defaults(self) -> Settings: ...

    @property
    def thinks(self) -> bool | None: ...

    @property
    def running(self) -> int: ...

    @property
    def waiting(self) -> int: ...

    @property
    def num_restarts(self) -> int: ...

    @property
    def retry_key(self) -> str: ...

    @property
    def is_stopping(self) -> bool: ...

    @property
    def openai(self) -> ASGIApp: ...

    def check_ready(self) -> None: ...

    def start(self) -> None: ...

    def retry(self) -> None: ...

    async def stop(self) -> None: ...


def stream_chat(
    engine: Engine, messages: Sequence[Message], settings: Settings, pacer: Pacer
) -> AsyncGenerator[Reply, None]:
    """Yield the answer to a conversation so far, once a frame; the last one has a finish reason.

    A conversation that ends in an answer gets more of that answer. The first Reply, still without text, says that the
    conversation fits and goes to the engine. Where the context is too small, the oldest turns are left out, and every
    Reply says how many messages that were. While the engine is being restarted the request waits for it, unless text
    of it came before. Closing this aborts the request in the engine.

    Raises:
        EngineNotReady, PromptTooLong, BadRequest: before any text.
        EngineStopped, RequestFailed: at any time; the text that came stands.
    """

    async def prepare() -> _Answer:
        prompt, num_left_out = await fit(engine, messages, settings)
        return _Answer(engine, prompt, settings, pacer, num_left_out)

    return _replies(engine, prepare, pacer, says_accepted=True)


def stream_completion(engine: Engine, text: str, settings: Settings, pacer: Pacer) -> AsyncGenerator[Reply, None]:
    """Yield the continuation of a raw text so far, once a frame; otherwise as `stream_chat`."""

    async def prepare() -> _Answer:
        prompt = await engine.render_text(clean(text))
        _check_length(engine, prompt)
        return _Answer(engine, prompt, settings, pacer)

    return _replies(engine, prepare, pacer, says_accepted=False)


async def in_sequence(streams: Sequence[AsyncGenerator[T, None]], start: T) -> AsyncGenerator[tuple[T, ...], None]:
    """Run streams one after another, yielding the last of each so far, which is `start` before it began.

    Raises what they raise.
    """
    latest = [start] * len(streams)
    for number, stream in enumerate(streams):
        async with aclosing(stream):
            async for latest[number] in stream:
                yield tuple(latest)


async def at_once(streams: Sequence[AsyncGenerator[T, None]], start: T) -> AsyncGenerator[tuple[T, ...], None]:
    """Run streams together, yielding the last of each so far each time that one goes on; otherwise as `in_sequence`.

    Closing this closes all of them; so does an error of one, which is raised here.
    """
    latest = [start] * len(streams)
    grown = asyncio.Event()

    async def follow(number: int, stream: AsyncGenerator[T, None]) -> None:
        async with aclosing(stream):
            async for latest[number] in stream:
                grown.set()

    tasks = [asyncio.create_task(follow(number, stream)) for number, stream in enumerate(streams)]
    for task in tasks:
        task.add_done_callback(lambda _: grown.set())
    try:
        while not all(task.done() for task in tasks):
            await grown.wait()
            grown.clear()
            for task in tasks:
                if task.done():
                    task.result()  # raises what it raised
            yield tuple(latest)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Stopwatch:
    """Times one answer by the loop's clock, from `began_s`, or else from when it is made."""

    def __init__(self, began_s: float | None = None) -> None:
        self._time_s = asyncio.get_running_loop().time
        self._began_s = self._time_s() if began_s is None else began_s
        self._queued_s = 0.0
        self._ttft_s: float | None = None
        self._thought_s = 0.0

    def timed(self, reply: Reply) -> Reply:
        """A reply that has just come, with its times."""
        elapsed_s = self._time_s() - self._began_s
        if reply.place:
            self._queued_s = elapsed_s
        if self._ttft_s is None and _is_written(reply):
            self._ttft_s = elapsed_s
        if self._ttft_s is not None and reply.thought and not reply.text:
            self._thought_s = elapsed_s - self._ttft_s
        return replace(
            reply, queued_s=self._queued_s, ttft_s=self._ttft_s, thought_s=self._thought_s, elapsed_s=elapsed_s
        )


async def timed(replies: AsyncGenerator[Reply, None], began_s: float | None = None) -> AsyncGenerator[Reply, None]:
    """The same replies with their times, as a Stopwatch gives them. Closing this closes them."""
    stopwatch = Stopwatch(began_s)
    async with aclosing(replies):
        async for reply in replies:
            yield stopwatch.timed(reply)


async def fit(engine: Engine, messages: Sequence[Message], settings: Settings) -> tuple[Prompt, int]:
    """Render a conversation so that max_tokens have room after it, or half the context if they are more.

    Whole turns are left out from the oldest on; the system prompt and the last message stay.

    Returns:
        The prompt, and how many messages were left out.

    Raises:
        PromptTooLong: the last message does not fit even alone.
        TooManyPromptTokens: it has more than the operator allows.
    """
    choices = without_oldest(messages)

    async def rendered(number: int) -> tuple[Prompt, int] | None:
        """The prompt by one of the choices, if there is room after it; the last one has to do."""
        begin, end = choices[number]
        is_last = number == len(choices) - 1
        try:
            prompt = await engine.render_chat((*messages[:begin], *messages[end:]), settings.enable_thinking)
        except PromptTooLong:
            if is_last:
                raise
            return None
        if is_last:
            _check_length(engine, prompt)
        return (prompt, end - begin) if is_last or _has_room(engine, prompt, settings.max_tokens) else None

    if found := await rendered(0):
        return found
    # By halves: to try thousands of turns one by one keeps the renderer, which serves everybody, for minutes.
    low, high = 1, len(choices) - 1
    while low < high:
        half = (low + high) // 2
        if fewer := await rendered(half):
            found, high = fewer, half
        else:
            low = half + 1
    found = found or await rendered(low)
    assert found is not None  # the last of the choices had to do
    return found


def _has_room(engine: Engine, prompt: Prompt, max_tokens: int) -> bool:
    most, num_tokens = engine.max_model_len, len(prompt.token_ids)
    is_allowed = not engine.max_prompt_tokens or num_tokens <= engine.max_prompt_tokens
    return is_allowed and (most is None or num_tokens + min(max_tokens, most // 2) <= most)


def _check_length(engine: Engine, prompt: Prompt) -> None:
    if 0 < engine.max_prompt_tokens < len(prompt.token_ids):
        raise TooManyPromptTokens(len(prompt.token_ids), engine.max_prompt_tokens)


class _Answer:
    """One answer under way: the engine's deltas, read into the Reply so far."""

    def __init__(self, engine: Engine, prompt: Prompt, settings: Settings, pacer: Pacer, num_left_out: int = 0) -> None:
        self._engine = engine
        self._prompt = prompt
        self._settings = settings
        self._pacer = pacer
        self._num_left_out = num_left_out
        self._ended = asyncio.Event()
        self._end_s = asyncio.get_running_loop().time() + engine.max_seconds
        self._text = ""  # all that the model wrote, thoughts included
        self._tokens: list[Token] = []
        self.reply = Reply(num_left_out=num_left_out, num_prompt_tokens=len(prompt.token_ids))

    def frames(self) -> AsyncGenerator[Delta | None, None]:
        """Begin the request in the engine: a delta a frame, and None after a silence, for `read`."""
        deltas = self._engine.generate(self._prompt, self._settings, self._ended)
        return frames(deltas, lambda: self._pacer.interval_s(len(self._text)), self._pacer.woke, self._ended)

    async def read(self, delta: Delta | None) -> Reply:
        """The Reply with one more delta; after a silence it may be the same, yet a reader who left is then noticed."""
        if delta is not None:
            self._add(delta)
        elif not self._text:
            self.reply = replace(self.reply, is_queued=self._engine.is_queued(self._ended))
        if self.reply.finish_reason is None and asyncio.get_running_loop().time() > self._end_s:
            self.reply = replace(self.reply, finish_reason="time")
        if self.reply.finish_reason is not None:
            self.reply = replace(self.reply, tokens=tuple(self._tokens))  # once: they are many, and no frame shows them
            if constraint := self._settings.constraint:
                self.reply = replace(self.reply, verdict=await asyncio.to_thread(verdict, constraint, self.reply))
        return self.reply

    def _add(self, delta: Delta) -> None:
        self._text += delta.text
        self._tokens += delta.tokens
        reply = _read(self._text, delta, self._prompt.split)
        self.reply = replace(reply, num_left_out=self._num_left_out) if self._num_left_out else reply


async def _replies(
    engine: Engine, prepare: Callable[[], Awaitable[_Answer]], pacer: Pacer, says_accepted: bool
) -> AsyncGenerator[Reply, None]:
    """Yield one answer; begin it anew, MOST_RESTARTS times at most, if the engine breaks before any text."""
    for num_left in reversed(range(MOST_RESTARTS + 1)):
        while engine.status.stage == "restarting":
            yield Reply(is_held_up=True)
            await asyncio.sleep(BEAT_S)
        reply = Reply()
        try:
            answer = await prepare()
            if says_accepted:
                yield answer.reply
            with pacer.stream():
                async with aclosing(answer.frames()) as deltas:
                    async for delta in deltas:
                        yield (reply := await answer.read(delta))
                        if reply.finish_reason is not None:
                            return
            return
        except (EngineRestarting, EngineStopped):
            if _is_written(reply) or not num_left:
                raise


def _read(written: str, delta: Delta, split: Split | None) -> Reply:
    """All that the model wrote, `delta` being the last of it, as thought and answer."""
    thought, text = split(written, delta.finish_reason is not None) if split else ("", written)
    return Reply(text, delta.finish_reason, thought=thought, stop=delta.stop, metrics=delta.metrics)


def _is_written(reply: Reply) -> bool:
    return bool(reply.text or reply.thought)
