"""One message from prompt to reply: fit the conversation into the context, stream, pace and accumulate the answer.

The engine is known only as a protocol, and neither vLLM nor Gradio is imported.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Protocol, TypeVar

from starlette.types import ASGIApp

from streamspace import limits
from streamspace.config import Config
from streamspace.constraint import verdict
from streamspace.errors import (
    BreaksEngine,
    ChatError,
    EngineRestarting,
    EngineStopped,
    PromptTooLong,
    RequestFailed,
    TemplateRefused,
    TooManyPromptTokens,
)
from streamspace.frames import BEAT_S, Pacer, frames
from streamspace.pictures import check_pictures
from streamspace.prompt import clean, for_strict_templates, without_oldest
from streamspace.sampling import Settings
from streamspace.stats import Facts, Stats
from streamspace.types import Call, Delta, Message, Metrics, Prompt, Reply, Status, Token, ToolSpec

T = TypeVar("T")

# Restarts that a request without text waits through. Other requests may break the engine meanwhile; one that does so
# itself is refused after two.
MOST_RESTARTS = 5


class Engine(Protocol):
    """What this module needs of an engine; `streamspace.engine.Engine` is one."""

    @property
    def status(self) -> Status: ...
    @property
    def max_model_len(self) -> int | None: ...
    @property
    def max_prompt_tokens(self) -> int: ...
    @property
    def most_images(self) -> int: ...  # pictures that one conversation may have; 0 where the model sees none
    @property
    def images_per_message(self) -> int: ...
    @property
    def max_seconds(self) -> float: ...
    async def render_chat(
        self, messages: Sequence[Message], enable_thinking: bool | None = None, tools: Sequence[ToolSpec] = ()
    ) -> Prompt: ...
    async def render_text(self, text: str) -> Prompt: ...
    def resumed(self, prompt: Prompt, token_ids: Sequence[int]) -> Prompt: ...
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
    def reads_media(self) -> bool: ...
    @property
    def thinks(self) -> bool | None: ...
    @property
    def running(self) -> int: ...
    @property
    def waiting(self) -> int: ...
    @property
    def num_restarts(self) -> int: ...
    @property
    def operator_key(self) -> str: ...
    @property
    def is_stopping(self) -> bool: ...
    @property
    def openai(self) -> ASGIApp: ...
    async def rest(self) -> None: ...
    def check_ready(self) -> None: ...
    def start(self) -> None: ...
    def retry(self) -> None: ...
    async def stop(self) -> None: ...


def stream_chat(
    engine: Engine, messages: Sequence[Message], settings: Settings, pacer: Pacer, num_texts: int = 1
) -> AsyncGenerator[Reply, None]:
    """Yield the answer to a conversation so far, once a frame; the last one has a finish reason.

    A conversation that ends in an answer gets more of that answer. The first Reply, still without text, says that the
    conversation fits and goes to the engine. Where the context is too small, the oldest turns are left out, and every
    Reply says how many messages that were. The request waits while the engine is being restarted, and then the answer
    goes on where it was. The browser draws `num_texts` texts beside each other with each frame. Closing this aborts the
    request.

    Raises:
        BlindModel, TooManyPictures, BadPicture, PictureTooLarge: at once, as `check_pictures`.
        EngineNotReady, PromptTooLong, BadRequest: before any text.
        EngineStopped, RequestFailed, BreaksEngine: at any time; the text that came stands.
    """

    if engine.status.takes_requests:  # before, it is not known what the model sees
        check_pictures(messages, min(engine.images_per_message, engine.most_images))

    async def prepare() -> _Answer:
        prompt, num_left_out = await fit(engine, messages, settings)
        return _Answer(engine, prompt, settings, pacer, num_left_out, num_texts)

    return _replies(engine, prepare, pacer, says_accepted=True)


def stream_completion(engine: Engine, text: str, settings: Settings, pacer: Pacer) -> AsyncGenerator[Reply, None]:
    """Yield the continuation of a raw text so far, once a frame; otherwise as `stream_chat`."""

    async def prepare() -> _Answer:
        prompt = await engine.render_text(clean(text))
        _check_length(engine, prompt)
        return _Answer(engine, prompt, settings, pacer)

    return _replies(engine, prepare, pacer, says_accepted=False)


async def in_sequence(streams: Sequence[AsyncGenerator[T, None]], start: T) -> AsyncGenerator[tuple[T, ...], None]:
    """Run streams one after another and yield the last item of each so far, at first `start`; raise what they raise."""
    latest = [start] * len(streams)
    for number, stream in enumerate(streams):
        async with aclosing(stream):
            async for latest[number] in stream:
                yield tuple(latest)


async def at_once(streams: Sequence[AsyncGenerator[T, None]], start: T) -> AsyncGenerator[tuple[T, ...], None]:
    """Run streams together, otherwise as `in_sequence`. Closing this closes all; so does an error of one."""
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
    """Yield the replies with their times, in seconds since `began_s` of the loop's clock, by default since the start.

    Closing this closes them.
    """
    time_s = asyncio.get_running_loop().time
    began_s = time_s() if began_s is None else began_s
    queued_s, thought_s, ttft_s = 0.0, 0.0, None
    async with aclosing(replies):
        async for reply in replies:
            elapsed_s = time_s() - began_s
            if reply.place:
                queued_s = elapsed_s
            if ttft_s is None and _is_written(reply):
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
    choices = _choices(messages, engine.most_images)

    async def rendered(number: int) -> tuple[Prompt, int] | None:
        """The prompt of one choice and how many messages it leaves out; None without room, but the last must do."""
        begin, end = choices[number]
        is_last = number == len(choices) - 1
        try:
            prompt = await _render(engine, (*messages[:begin], *messages[end:]), settings)
        except PromptTooLong:
            if is_last:
                raise
            return None
        if is_last:
            _check_length(engine, prompt)
        return (prompt, end - begin) if is_last or _has_room(engine, prompt, settings.max_tokens) else None

    if found := await rendered(0):
        return found
    # Binary search: rendering thousands of turns one by one would block the renderer, shared by all, for minutes.
    low, high = 1, len(choices) - 1
    while low < high:
        half = (low + high) // 2
        if fewer := await rendered(half):
            found, high = fewer, half
        else:
            low = half + 1
    found = found or await rendered(low)
    assert found is not None  # the last choice was taken or raised
    return found


def _choices(messages: Sequence[Message], most_images: int) -> list[tuple[int, int]]:
    """Which turns to leave out, as from and to; with more pictures there is never room."""
    until = [0, *accumulate(len(message.images) for message in messages)]  # pictures before each message
    return [
        (begin, end) for begin, end in without_oldest(messages)
        if until[-1] - (until[end] - until[begin]) <= most_images
    ]  # fmt: skip


async def _render(engine: Engine, messages: Sequence[Message], settings: Settings) -> Prompt:
    """The prompt of a conversation as it is; if the template refuses that, of the next nearest that it takes.

    Raises:
        TemplateRefused: it takes none; the reason is that for the conversation as it is.
        PromptTooLong, NoChatTemplate, BadRequest: as `Engine.render_chat`.
    """
    try:
        return await engine.render_chat(messages, settings.enable_thinking, settings.tools)
    except TemplateRefused:
        for others in for_strict_templates(messages):
            with suppress(TemplateRefused):
                return await engine.render_chat(others, settings.enable_thinking, settings.tools)
        raise


def _has_room(engine: Engine, prompt: Prompt, max_tokens: int) -> bool:
    most, num_tokens = engine.max_model_len, len(prompt.token_ids)
    is_allowed = not engine.max_prompt_tokens or num_tokens <= engine.max_prompt_tokens
    return is_allowed and (most is None or num_tokens + min(max_tokens, most // 2) <= most)


def _check_length(engine: Engine, prompt: Prompt) -> None:
    if 0 < engine.max_prompt_tokens < len(prompt.token_ids):
        raise TooManyPromptTokens(len(prompt.token_ids), engine.max_prompt_tokens)


@dataclass
class _Answer:
    """One answer under way: the engine's deltas, read into the Reply so far."""

    engine: Engine
    prompt: Prompt
    settings: Settings
    pacer: Pacer
    num_left_out: int = 0
    num_texts: int = 1

    def __post_init__(self) -> None:
        self._ended = asyncio.Event()
        self._time_s = asyncio.get_running_loop().time
        self._grown_s = self._time_s()  # when the last delta came
        self._end_s = self._grown_s + self.engine.max_seconds
        self._text = ""  # all that the model wrote, thoughts included
        self._tokens: list[Token] = []
        self._token_ids: list[int] = []
        self._before: Metrics | None = None  # of the requests of engines that have died
        self.reply = Reply(num_left_out=self.num_left_out, num_prompt_tokens=len(self.prompt.token_ids))

    @property
    def can_resume(self) -> bool:
        """Whether another engine can go on with the text so far.

        A stop string may have begun in text that is held back, and a constraint begins with an answer.
        """
        has_tokens = self._token_ids or self.prompt.num_answered
        return bool(has_tokens) and not self.settings.stop and self.settings.constraint is None

    def resume(self) -> None:
        """Let the next request go on after the text so far; raises EngineNotReady."""
        self.prompt = self.engine.resumed(self.prompt, self._token_ids)
        self._token_ids.clear()
        self._ended = asyncio.Event()
        now_s = self._time_s()
        self._end_s += now_s - self._grown_s  # nobody wrote meanwhile
        self._grown_s = now_s
        self._before = self.reply.metrics

    def frames(self) -> AsyncGenerator[Delta | None, None]:
        """Begin the request in the engine: yield a delta a frame, and None after a silence, for `read`."""
        left = max(1, self.settings.max_tokens - self.prompt.num_answered)
        deltas = self.engine.generate(self.prompt, replace(self.settings, max_tokens=left), self._ended)
        return frames(deltas, self._interval_s, self.pacer.woke, self._ended)

    def _interval_s(self) -> float:
        return self.pacer.interval_s(self.num_texts * len(self._text))

    async def read(self, delta: Delta | None) -> Reply:
        """The Reply with one more delta; after a silence it may be the same, but yielding it shows who has left."""
        if delta is not None:
            self._add(delta)
        elif not self._text:
            self.reply = replace(self.reply, is_queued=self.engine.is_queued(self._ended))
        if self.reply.finish_reason is None and self._time_s() > self._end_s:
            self.reply = replace(self.reply, finish_reason="time")
        if self.reply.finish_reason is not None:
            self.reply = replace(self.reply, tokens=tuple(self._tokens))  # once: they are many, and no frame shows them
            if constraint := self.settings.constraint:
                self.reply = replace(self.reply, verdict=await asyncio.to_thread(verdict, constraint, self.reply))
        return self.reply

    def _add(self, delta: Delta) -> None:
        self._text += delta.text
        self._tokens += delta.tokens
        self._token_ids += delta.token_ids
        self._grown_s = self._time_s()
        split, is_whole = self.prompt.split, delta.finish_reason is not None
        thought, text = split(self._text, is_whole) if split else ("", self._text)
        calls: tuple[Call, ...] = ()
        if read := self.prompt.calls:
            text, calls = read(text, is_whole)
        metrics = delta.metrics
        if metrics and self._before:
            metrics = self._before.gone_on(self.prompt.num_answered, metrics)
        self.reply = Reply(
            text,
            delta.finish_reason,
            self.num_left_out,
            thought=thought,
            stop=delta.stop,
            metrics=metrics,
            calls=calls,
        )


async def _replies(
    engine: Engine, prepare: Callable[[], Awaitable[_Answer]], pacer: Pacer, says_accepted: bool
) -> AsyncGenerator[Reply, None]:
    """Yield one answer; if the engine breaks, begin again or go on, MOST_RESTARTS times at most."""
    answer: _Answer | None = None  # with text, of an engine that has died
    for num_left in reversed(range(MOST_RESTARTS + 1)):
        while engine.status.stage == "restarting":
            yield replace(answer.reply if answer else Reply(), is_held_up=True)
            await asyncio.sleep(BEAT_S)
        goes_on = answer is not None
        try:
            if answer:
                answer.resume()
            else:
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
        except ChatError as error:
            if answer and not _is_written(answer.reply):
                answer = None
            has_died = isinstance(error, EngineRestarting | EngineStopped)
            if has_died and num_left and (answer is None or answer.can_resume):
                continue
            if goes_on and not isinstance(error, RequestFailed | BreaksEngine):
                raise EngineStopped from error  # why it cannot go on; the text that came stands
            raise


def _is_written(reply: Reply) -> bool:
    return bool(reply.text or reply.thought)
