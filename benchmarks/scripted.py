"""An engine without a model, for what the page alone costs: it answers at a given speed, with text that looks like one.

Like vLLM it merges what nobody fetched yet.
"""

import asyncio
import threading
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from streamspace.chat import ServedEngine
from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.limits import Admission, Limits
from streamspace.sampling import Settings
from streamspace.server import build_app
from streamspace.stats import Stats
from streamspace.types import Delta, Message, Metrics, Prompt, Status, ToolSpec
from streamspace.ui import build_demo

TICK_S = 0.001
PROSE = """The sea is wide, and *nobody* knows it whole. Its waves come from the wind, its tides from the moon:

1. The **first** reason is that water is heavy.
2. The second one, as `numpy` would put it, is `sum(forces)`.

```python
def wave(height, period):
    return height * math.sin(2 * math.pi * time.time() / period)
```

So a robot that walks along the shore counts them, writes the number down, and begins again in the morning.

"""


class ScriptedEngine:
    """Answers every question with PROSE again and again, up to max_tokens of four characters each."""

    def __init__(self, tokens_per_s: float) -> None:
        self.config = load_config((), {"MODEL_ID": str(BUNDLED_MODEL)})
        self.status = Status("ready", "Ready")
        self.defaults = Settings()
        self.max_model_len = 1_000_000
        self.capacity: int | None = None
        self.facts = self.thinks = None
        self.reads_media = False
        self.most_images = 0
        self.images_per_message = 4
        self.max_prompt_tokens = self.running = self.waiting = self.num_restarts = 0
        self.max_seconds = 3600.0
        self.is_stopping = False
        self.stats = Stats()
        self.operator_key = ""
        self._tokens_per_s = tokens_per_s

    def start(self) -> None: ...

    def retry(self) -> None: ...

    async def rest(self) -> None: ...

    def check_ready(self) -> None: ...

    async def openai(self, scope: Scope, receive: Receive, send: Send) -> None:
        await PlainTextResponse("Nothing is here.", 404)(scope, receive, send)

    async def stop(self) -> None:
        self.is_stopping = True

    async def render_chat(
        self, messages: Sequence[Message], enable_thinking: bool | None = None, tools: Sequence[ToolSpec] = ()
    ) -> Prompt:
        return Prompt((0,))

    async def render_text(self, text: str) -> Prompt:
        return Prompt((0,))

    def resumed(self, prompt: Prompt, token_ids: Sequence[int]) -> Prompt:
        return prompt

    def is_queued(self, ended: asyncio.Event) -> bool:
        return False

    async def generate(
        self, prompt: Prompt, settings: Settings, ended: asyncio.Event | None = None
    ) -> AsyncGenerator[Delta, None]:
        text = (PROSE * (4 * settings.max_tokens // len(PROSE) + 1))[: 4 * settings.max_tokens]
        begun_s, sent = time.monotonic(), 0
        while sent < len(text):
            due = min(len(text), 4 * (1 + int((time.monotonic() - begun_s) * self._tokens_per_s)))
            if due == sent:
                await asyncio.sleep(1 / self._tokens_per_s)
                continue
            metrics = Metrics(1, 0, due // 4, queued_s=0.0, prefill_s=0.01, decode_s=time.monotonic() - begun_s)
            yield Delta(text[sent:due], "length" if due == len(text) else None, metrics=metrics)
            sent = due


class TickingEngine(ScriptedEngine):
    """Notes how late its ticks are on the event loop, and what they are late by in milliseconds."""

    def __init__(self, tokens_per_s: float) -> None:
        super().__init__(tokens_per_s)
        self.late_ms: list[float] = []

    def start(self) -> None:
        self._ticking = asyncio.create_task(self._tick())

    async def _tick(self) -> None:
        while not self.is_stopping:
            due_s = time.monotonic() + TICK_S
            await asyncio.sleep(TICK_S)
            self.late_ms.append(1000 * (time.monotonic() - due_s))


def site(engine: ServedEngine) -> FastAPI:
    """The whole application on an engine."""
    admission = Admission(engine, Limits.of(engine.config))
    return build_app(engine, build_demo(engine, admission), admission)


@contextmanager
def served(app: Any) -> Iterator[str]:
    """An application in a thread of this process; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, name="page")
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    thread.join()
