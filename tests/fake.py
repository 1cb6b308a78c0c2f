"""A scripted engine, for faults and orders that must be exact; everything else is tested on the real one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.errors import BadRequest, EngineNotReady, EngineRestarting, PromptTooLong
from streamspace.frames import FRAME_S
from streamspace.sampling import Settings
from streamspace.stats import Facts, Stats
from streamspace.types import Delta, Message, Metrics, Prompt, ReadCalls, Split, Status, ToolSpec

Step = Delta | Exception | float
STEP_S = 0.001  # from one delta to the next, beside what the script has


class FakeEngine:
    """Answers with `script`: deltas are produced, errors raised, numbers slept. Words and pictures are tokens.

    It keeps what tests/test_contract.py asks of every engine: it goes on while nobody fetches, and merges.
    """

    def __init__(self, script: Sequence[Step] = (), max_model_len: int = 100) -> None:
        self.script = script
        self.status = Status("ready", "Ready")
        self.capacity: int | None = None
        self.max_prompt_tokens = 0
        self.max_seconds = 3600.0
        self.max_model_len = max_model_len
        self.thinks: bool | None = None
        self.reads_media = False
        self.most_images = 0
        self.images_per_message = 4
        self.split: Split | None = None
        self.read_calls: ReadCalls | None = None
        self.settings: list[Settings] = []
        self.prompts: list[Prompt] = []
        self.conversations: list[tuple[Message, ...]] = []
        self.num_started = 0
        self.num_closed_early = 0
        self.num_running = 0

    async def render_chat(
        self, messages: Sequence[Message], enable_thinking: bool | None = None, tools: Sequence[ToolSpec] = ()
    ) -> Prompt:
        self.conversations.append(tuple(messages))
        calls = self.read_calls if tools else None
        words = [word for message in messages for word in (message.text, *["picture"] * len(message.images))]
        return replace(await self.render_text(" ".join(words)), split=self.split, calls=calls)

    async def render_text(self, text: str) -> Prompt:
        self.check_ready()
        num_tokens = len(text.split())
        if num_tokens > self.max_model_len:
            raise PromptTooLong(self.max_model_len, num_tokens)
        return Prompt(tuple(range(num_tokens)))

    def resumed(self, prompt: Prompt, token_ids: Sequence[int]) -> Prompt:
        self.check_ready()
        whole, num_answered = (*prompt.token_ids, *token_ids), prompt.num_answered + len(token_ids)
        return replace(prompt, token_ids=whole, num_answered=num_answered)

    def is_queued(self, ended: asyncio.Event) -> bool:
        return False  # it begins with every request at once

    async def generate(
        self, prompt: Prompt, settings: Settings, ended: asyncio.Event | None = None
    ) -> AsyncGenerator[Delta, None]:
        self.check_ready()
        if not prompt.token_ids:
            raise BadRequest("The prompt is empty: there must be something to continue.")
        if len(prompt.token_ids) >= self.max_model_len:
            raise PromptTooLong(self.max_model_len)
        if settings.adapter:
            raise BadRequest(f"There is no LoRA adapter {settings.adapter[:60]!r}; there are: none.")
        self.settings.append(settings)
        self.prompts.append(prompt)
        self.num_started += 1
        self.num_running += 1
        answer = _Answer(self.script, len(prompt.token_ids), ended or asyncio.Event())
        producing = asyncio.create_task(answer.produce())
        try:
            while (delta := await answer.next_delta()) is not None:
                yield delta
        finally:
            producing.cancel()
            self.num_closed_early += not answer.is_taken
            self.num_running -= 1

    def check_ready(self) -> None:
        if self.status.stage == "restarting":
            raise EngineRestarting
        if self.status.stage != "ready":
            raise EngineNotReady(self.status.detail)


class _Answer:
    """A script on its way: its deltas come in their time, and what nobody fetches is merged with what follows."""

    def __init__(self, script: Sequence[Step], num_prompt_tokens: int, ended: asyncio.Event) -> None:
        self.is_taken = False  # to its end, which is a finish reason or an error
        self._script = script
        self._num_prompt_tokens = num_prompt_tokens
        self._ended = ended
        self._delta: Delta | None = None
        self._error: Exception | None = None
        self._is_over = False
        self._has_come = asyncio.Event()  # something that can be had
        self._times_s: list[float] = []  # of the steps with a token

    async def produce(self) -> None:
        for step in self._script:
            match step:
                case Delta():
                    await asyncio.sleep(STEP_S)
                    self._add(step)
                case Exception():
                    self._error = step
                    self._has_come.set()
                    return
                case _:
                    await asyncio.sleep(step)
        self._is_over = True
        self._has_come.set()

    def _add(self, delta: Delta) -> None:
        self._times_s.append(asyncio.get_running_loop().time())
        before = self._delta or Delta("")
        metrics = delta.metrics or self._metrics()
        text, tokens, ids = (getattr(before, name) + getattr(delta, name) for name in ("text", "tokens", "token_ids"))
        self._delta = replace(delta, text=text, tokens=tokens, token_ids=ids, metrics=metrics)
        if delta.finish_reason is not None:
            self._ended.set()
        self._has_come.set()

    def _metrics(self) -> Metrics:
        first_s, last_s = self._times_s[0], self._times_s[-1]
        return Metrics(self._num_prompt_tokens, 0, len(self._times_s), 0.0, STEP_S, last_s - first_s)

    async def next_delta(self) -> Delta | None:
        """What has come since the last call, as one delta; None when the script is over. Raises its error."""
        await self._has_come.wait()
        self._has_come.clear()
        delta, self._delta = self._delta, None
        if delta is not None:
            self.is_taken = delta.finish_reason is not None
            if self._error or self._is_over:
                self._has_come.set()
        elif self._error is not None:
            self.is_taken = True
            raise self._error
        return delta


class FakePageEngine(FakeEngine):
    """The scripted engine as the page and the server need one."""

    def __init__(self, script: Sequence[Step] = (), status: Status | None = None) -> None:
        super().__init__(script, max_model_len=1000)
        self.config = load_config((), {"MODEL_ID": str(BUNDLED_MODEL)})
        self.status = status or self.status
        self.is_stopping = False
        self.operator_key = "key"
        self.num_retries = self.num_rests = 0
        self.defaults = Settings()
        self.waiting = self.num_restarts = 0
        self.facts: Facts | None = Facts("a scripted machine", "bfloat16", self.max_model_len, 16_000, "0.0")
        self.stats = Stats()
        self.openai_app: Any = None  # an ASGI application in the place of vLLM's

    def reset(self, script: Sequence[Delta | Exception | float] = ()) -> None:
        """Become as new, with this script; nothing may be running."""
        vars(self).update(vars(FakePageEngine(script)))

    @property
    def running(self) -> int:
        return self.num_running

    @property
    def openai(self) -> Any:
        self.check_ready()
        return self.openai_app

    def start(self) -> None: ...

    def retry(self) -> None:
        self.num_retries += 1

    async def rest(self) -> None:
        self.num_rests += 1

    async def stop(self) -> None:
        self.is_stopping = True


def apart(script: Sequence[Step]) -> list[Step]:
    """The same deltas with pauses between, so that each has a frame of its own."""
    return [part for step in script for part in (step, 2 * FRAME_S)]


def deltas(text: str, finish_reason: str = "stop") -> list[Delta]:
    """`"hel|lo"` → deltas "hel" and "lo", the last with the finish reason."""
    *parts, last = text.split("|")
    return [*(Delta(part) for part in parts), Delta(last, finish_reason)]
