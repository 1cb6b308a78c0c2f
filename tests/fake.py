"""A scripted engine, for faults and orders that must be exact; everything else is tested on the real one."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from typing import Any

from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.errors import EngineNotReady, EngineRestarting, PromptTooLong
from streamspace.sampling import Settings
from streamspace.stats import Facts, Stats
from streamspace.types import Delta, Message, Prompt, Split, Status


class FakeEngine:
    """Answers with `script`: deltas are yielded, errors raised, numbers slept. A token is a word."""

    def __init__(self, script: Sequence[Delta | Exception | float] = (), max_model_len: int = 100) -> None:
        self.script = script
        self.status = Status("ready", "Ready")
        self.capacity: int | None = None
        self.max_prompt_tokens = 0
        self.max_seconds = 3600.0
        self.max_model_len = max_model_len
        self.thinks: bool | None = None
        self.split: Split | None = None
        self.waits = False
        self.settings: list[Settings] = []
        self.conversations: list[tuple[Message, ...]] = []
        self.num_started = 0
        self.num_closed_early = 0
        self.num_running = 0

    async def render_chat(self, messages: Sequence[Message], enable_thinking: bool | None = None) -> Prompt:
        self.conversations.append(tuple(messages))
        return replace(await self.render_text(" ".join(message.text for message in messages)), split=self.split)

    async def render_text(self, text: str) -> Prompt:
        num_tokens = len(text.split())
        if num_tokens > self.max_model_len:
            raise PromptTooLong(self.max_model_len, num_tokens)
        return Prompt(tuple(range(num_tokens)))

    def is_queued(self, ended: asyncio.Event) -> bool:
        return self.waits

    async def generate(
        self, prompt: Prompt, settings: Settings, ended: asyncio.Event | None = None
    ) -> AsyncGenerator[Delta, None]:
        self.settings.append(settings)
        self.num_started += 1
        self.num_running += 1
        finished = False
        try:
            for step in self.script:
                if isinstance(step, Exception):
                    finished = True
                    raise step
                if isinstance(step, Delta):
                    finished = step.finish_reason is not None
                    yield step
                else:
                    await asyncio.sleep(step)
        finally:
            self.num_closed_early += not finished
            self.num_running -= 1


class FakePageEngine(FakeEngine):
    """The scripted engine as the page and the server need one."""

    def __init__(self, script: Sequence[Delta | Exception | float] = (), status: Status | None = None) -> None:
        super().__init__(script, max_model_len=1000)
        self.config = load_config((), {"MODEL_ID": str(BUNDLED_MODEL)})
        self.status = status or self.status
        self.is_stopping = False
        self.retry_key = "key"
        self.num_retries = 0
        self.defaults = Settings()
        self.running = self.waiting = self.num_restarts = 0
        self.facts: Facts | None = Facts("a scripted machine", "bfloat16", self.max_model_len, 16_000, "0.0")
        self.stats = Stats()
        self.openai_app: Any = None  # an ASGI application in the place of vLLM's

    def reset(self, script: Sequence[Delta | Exception | float] = ()) -> None:
        """Become as new, with this script; nothing may be running."""
        vars(self).update(vars(FakePageEngine(script)))

    @property
    def openai(self) -> Any:
        if self.status.stage == "restarting":
            raise EngineRestarting
        if self.status.stage != "ready":
            raise EngineNotReady(self.status.detail)
        return self.openai_app

    def start(self) -> None: ...

    def retry(self) -> None:
        self.num_retries += 1

    async def stop(self) -> None:
        self.is_stopping = True


def deltas(text: str, finish_reason: str = "stop") -> list[Delta]:
    """`"hel|lo"` → deltas "hel" and "lo", the last with the finish reason."""
    *parts, last = text.split("|")
    return [*(Delta(part) for part in parts), Delta(last, finish_reason)]
