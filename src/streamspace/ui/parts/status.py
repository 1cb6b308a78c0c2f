"""The engine's state on every open page: pushed when it changes, looked at once for all readers while there are any."""

import asyncio
import html
import json
from collections.abc import AsyncGenerator
from contextlib import suppress

from fastapi import FastAPI, Request
from starlette.responses import StreamingResponse

from streamspace.chat import ServedEngine
from streamspace.translation import Say, language_of, say_in
from streamspace.types import Status

LOOK_S = 0.2  # how often the state is looked at
HEARTBEAT_S = 15.0  # the longest silence: proxies cut dead connections


def status_html(status: Status) -> str:
    """The engine's state as a bar with words and numbers, read out by screen readers when it changes."""
    return f'<div class="state {status.stage}" role="status">{_inner(status)}</div>'


def _inner(status: Status, say: Say = str) -> str:
    words = html.escape(say(status.sentence))
    if status.stage not in ("downloading", "loading", "restarting"):
        return f"<p>{words}</p>"
    share = status.done / status.total if status.total else 0.0
    return f'<p>{words}</p><progress value="{share:.3f}" aria-label="{words}"></progress>'


class StatusFeed:
    """GET /status: server-sent events, one for the present state and one for each change.

    A stream ends when its reader goes or the app shuts down.
    """

    def __init__(self, engine: ServedEngine) -> None:
        self._engine = engine
        self._news = asyncio.Event()  # replaced at each change
        self._num_readers = 0
        self._watching: asyncio.Task[None] | None = None

    def install(self, app: FastAPI) -> None:
        """Add the route."""

        @app.get("/status")
        async def status(request: Request) -> StreamingResponse:
            say = say_in(language_of(request.headers.get("accept-language", "")))
            headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return StreamingResponse(self.events(say), media_type="text/event-stream", headers=headers)

    async def events(self, say: Say = str) -> AsyncGenerator[str, None]:
        """Yield the events for one reader."""
        self._num_readers += 1
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        sent: Status | None = None
        model = self._engine.config.model_name
        try:
            while not self._engine.is_stopping:
                news, status = self._news, self._engine.status
                event = json.dumps({"stage": status.stage, "model": model, "html": _inner(status, say)})
                yield ": nothing new\n\n" if status == sent else f"data: {event}\n\n"
                sent = status
                with suppress(TimeoutError):
                    async with asyncio.timeout(HEARTBEAT_S):
                        await news.wait()
        finally:
            self._num_readers -= 1

    async def _watch(self) -> None:
        """Wake all readers at each change, until there are none."""
        known = self._engine.status
        while self._num_readers:
            await asyncio.sleep(LOOK_S)
            if (status := self._engine.status) != known or self._engine.is_stopping:
                known = status
                self._news.set()
                self._news = asyncio.Event()
