"""One message from prompt to shown reply: the conversation is fitted into the context, streamed, paced and accumulated.

It knows the engine only as a protocol, and neither vLLM nor Gradio.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
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

MOST_RESTARTS = 2  # that a request without any text waits for: one that itself breaks the engine must not go on


class Engine(Protocol):
    """What this room needs of an engine; `streamspace.engine.Engine` is one."""

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

    def start(self) -> None: ...

    def retry(self) -> None: ...

    async def stop(self) -> None: ...


async def stream_chat(
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

    async def attempt() -> AsyncGenerator[Reply, None]:
        prompt, num_left_out = await fit(engine, messages, settings)
        yield Reply(num_left_out=num_left_out, num_prompt_tokens=len(prompt.token_ids))
        async with aclosing(_stream(engine, prompt, settings, pacer)) as replies:
            async for reply in replies:
                yield replace(reply, num_left_out=num_left_out) if num_left_out else reply

    async with aclosing(patiently(engine, attempt, _is_written, Reply(is_held_up=True))) as replies:
        async for reply in replies:
            yield reply


async def stream_completion(engine: Engine, text: str, settings: Settings, pacer: Pacer) -> AsyncGenerator[Reply, None]:
    """Yield the continuation of a raw text so far, once a frame; otherwise as `stream_chat`."""

    async def attempt() -> AsyncGenerator[Reply, None]:
        prompt = await engine.render_text(clean(text))
        _check_length(engine, prompt)
        async with aclosing(_stream(engine, prompt, settings, pacer)) as replies:
            async for reply in replies:
                if settings.constraint and reply.finish_reason:
                    reply = replace(reply, verdict=await asyncio.to_thread(verdict, settings.constraint, reply))
                yield reply

    async with aclosing(patiently(engine, attempt, _is_written, Reply(is_held_up=True))) as replies:
        async for reply in replies:
            yield reply


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


async def timed(replies: AsyncGenerator[Reply, None], began_s: float | None = None) -> AsyncGenerator[Reply, None]:
    """The same replies with the times since `began_s` by the loop's clock, or since this was first asked for one.

    Closing this closes them.
    """
    time_s = asyncio.get_running_loop().time
    began_s = time_s() if began_s is None else began_s
    queued_s, ttft_s, thought_s = 0.0, None, 0.0
    async with aclosing(replies):
        async for reply in replies:
            elapsed_s = time_s() - began_s
            if reply.place:
                queued_s = elapsed_s
            if ttft_s is None and (reply.text or reply.thought):
                ttft_s = elapsed_s
            if ttft_s is not None and reply.thought and not reply.text:
                thought_s = elapsed_s - ttft_s
            yield replace(reply, queued_s=queued_s, ttft_s=ttft_s, thought_s=thought_s, elapsed_s=elapsed_s)


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


async def patiently(
    engine: Engine, attempt: Callable[[], AsyncGenerator[T, None]], has_begun: Callable[[T], bool], held_up: T
) -> AsyncGenerator[T, None]:
    """Yield what an attempt at an answer yields; begin anew if the engine breaks before the answer `has_begun`.

    Until the engine is back `held_up` is yielded every BEAT_S. Raises what the attempt does: EngineRestarting or
    EngineStopped once the answer has begun, or after MOST_RESTARTS.
    """
    for num_left in reversed(range(MOST_RESTARTS + 1)):
        is_begun = False
        try:
            async with aclosing(attempt()) as items:
                async for item in items:
                    is_begun = has_begun(item)
                    yield item
            return
        except (EngineRestarting, EngineStopped):
            if is_begun or not num_left:
                raise
        while engine.status.stage == "restarting":
            yield held_up
            await asyncio.sleep(BEAT_S)


def _is_written(reply: Reply) -> bool:
    return bool(reply.text or reply.thought)


async def _stream(engine: Engine, prompt: Prompt, settings: Settings, pacer: Pacer) -> AsyncGenerator[Reply, None]:
    written, ended = "", asyncio.Event()
    tokens: list[Token] = []
    reply = Reply(num_prompt_tokens=len(prompt.token_ids))
    deltas = engine.generate(prompt, settings, ended)
    end_s = asyncio.get_running_loop().time() + engine.max_seconds
    paced = frames(deltas, lambda: pacer.interval_s(len(written)), pacer.woke, ended)
    with pacer.stream():
        async with aclosing(paced) as merged:
            async for delta in merged:
                if delta is not None:
                    written += delta.text
                    tokens += delta.tokens
                    reply = _read(written, delta, prompt.split)
                elif not written:
                    reply = replace(reply, is_queued=engine.is_queued(ended))
                if reply.finish_reason is None and asyncio.get_running_loop().time() > end_s:
                    reply = replace(reply, finish_reason="time")
                if tokens and reply.finish_reason is not None:
                    reply = replace(reply, tokens=tuple(tokens))  # once: they are many, and no frame shows them
                yield reply  # unchanged after a silence, so that a reader who has gone is noticed
                if reply.finish_reason is not None:
                    return


def _read(written: str, delta: Delta, split: Split | None) -> Reply:
    """All that the model wrote, `delta` being the last of it, as thought and answer."""
    thought, text = split(written, delta.finish_reason is not None) if split else ("", written)
    return Reply(text, delta.finish_reason, thought=thought, stop=delta.stop, metrics=delta.metrics)
