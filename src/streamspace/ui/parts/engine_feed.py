"""The numbers of the Engine tab, once a second: computed once for all readers, and not at all while nobody reads.

They are server-sent events outside Gradio's queue, the same bytes for all: numbers and units, which need no language.
Like /status they are open to everybody, because they say nothing about any visitor.
"""

import asyncio
import math
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean
from typing import Any

import orjson
from fastapi import FastAPI
from starlette.responses import StreamingResponse

from streamspace import __version__
from streamspace.chat import ServedEngine
from streamspace.limits import Queue
from streamspace.stats import INTER_TOKEN_S, TTFT_S, Histogram, Point, Window

MARGIN_S = 0.005  # after the end of a second: a loop may wake its sleepers a little early
UNKNOWN = "–"


@dataclass(frozen=True)
class Plot:
    """One quantity, second by second."""

    key: str
    label: str
    value: Callable[[Point], float | None]
    is_share: bool = False  # of 1, shown in percent

    def text(self, value: float | None, decimals: int = 0) -> str:
        """The value as it is shown, with `decimals` unless it is a share."""
        if value is None:
            return UNKNOWN
        return f"{value:.1%}" if self.is_share else f"{value:,.{decimals}f}"


PLOTS = (
    Plot("running", "Running requests", lambda point: point.num_running),
    Plot("out", "Tokens out per second", lambda point: point.generation_tokens_per_s),
    Plot("kv", "KV cache in use", lambda point: point.kv_cache_usage, is_share=True),
    Plot("waiting", "Waiting requests", lambda point: point.num_waiting),
    Plot("in", "Tokens in per second", lambda point: point.prompt_tokens_per_s),
    Plot("hits", "Prefix cache hits", lambda point: point.prefix_hit_rate, is_share=True),
)
HISTOGRAMS = (
    ("ttft", "Time to first token (TTFT), ms", TTFT_S),
    ("itl", "Inter-token latency (ITL), ms", INTER_TOKEN_S),
)
FACTS = {
    "hardware": "Hardware",
    "dtype": "Data type",
    "version": "Version",
    "context": "Context, tokens",
    "cache": "KV cache, tokens",
    "tools": "Tool calls at /v1",
    "uptime": "Up for",
    "restarts": "Restarts",
    "answers": "Answers so far",
    "total": "Tokens in / out",
    "busy": "Answers at once",
    "queue": "Queue",
}


class EngineFeed:
    """GET /engine: server-sent events, one a second.

    A stream ends when its reader goes or the app shuts down.
    """

    def __init__(self, engine: ServedEngine, queue: Queue) -> None:
        self._engine = engine
        self._queue = queue
        self._now: Second | None = None
        self._news = asyncio.Event()  # replaced each second
        self._num_readers = 0
        self._watching: asyncio.Task[None] | None = None

    def install(self, app: FastAPI) -> None:
        """Add the route."""

        @app.get("/engine")
        async def engine() -> StreamingResponse:
            headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
            return StreamingResponse(self.events(), media_type="text/event-stream", headers=headers)

    async def events(self) -> AsyncGenerator[bytes, None]:
        """Yield the events for one reader: all seconds, then each new one; after a gap all seconds again."""
        if self._now is None or not self._num_readers:
            self._now = Second(self._engine, self._queue)
        self._num_readers += 1
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        sent = None
        try:
            while not self._engine.is_stopping:
                news, now = self._news, self._now
                yield now.step if sent == now.number - 1 else now.whole
                sent = now.number
                await news.wait()
        finally:
            self._num_readers -= 1

    async def _watch(self) -> None:
        """Wake all readers at the end of each second, until there are none."""
        while self._num_readers:
            await asyncio.sleep(1 - time.monotonic() % 1 + MARGIN_S)
            self._now = Second(self._engine, self._queue)
            self._news.set()
            self._news = asyncio.Event()


class Second:
    """The two events of one second, as bytes; `number` is the newest second that is over."""

    def __init__(self, engine: ServedEngine, queue: Queue) -> None:
        window = engine.stats.window()
        self._points = window.points
        self._event = event_of(engine, queue, window)
        self.number = window.last.second

    @cached_property
    def step(self) -> bytes:
        """The numbers, and the newest second for the plots."""
        return self._bytes(points=rows(self._points[-1:]), whole=False)

    @cached_property
    def whole(self) -> bytes:
        """The numbers, and all seconds for the plots."""
        return self._bytes(points=rows(self._points), whole=True)

    def _bytes(self, **plots: Any) -> bytes:
        return b"data: " + orjson.dumps({**self._event, **plots}) + b"\n\n"


def facts_text(engine: ServedEngine, queue: Queue, window: Window) -> dict[str, str]:
    """The text of each of FACTS."""
    facts, last, most, uptime_s = engine.facts, window.last, engine.config.queue_length, engine.stats.uptime_s
    text = dict.fromkeys(FACTS, UNKNOWN)
    if facts is not None:
        text |= {"hardware": facts.hardware, "dtype": facts.dtype}
        text |= {"context": f"{facts.max_model_len:,}", "cache": f"{facts.kv_cache_tokens:,}"}
        text["tools"] = facts.tool_parser or UNKNOWN
        text["version"] = f"vLLM {facts.vllm_version}, StreamSpace {__version__}"
    return text | {
        "uptime": UNKNOWN if uptime_s is None else duration(uptime_s),
        "restarts": f"{engine.num_restarts:,}",
        "total": f"{last.num_prompt_tokens:,} / {last.num_generation_tokens:,}",
        "answers": f"{last.num_answers:,}",
        "busy": f"{queue.num_running:,} / {UNKNOWN if engine.capacity is None else format(engine.capacity, ',')}",
        "queue": f"{queue.num_waiting:,} / {format(most, ',') if most else '∞'}",
    }


def event_of(engine: ServedEngine, queue: Queue, window: Window) -> dict[str, Any]:
    """An event without its points: `text` by data-key, `tops` of the plots' scales, `bars`: the histograms' counts."""
    text, tops = facts_text(engine, queue, window), []
    points = window.points
    for plot in PLOTS:
        values = [value for point in points if point and (value := plot.value(point)) is not None]
        most = max(values, default=None)
        tops.append(1.0 if plot.is_share else round_up(most or 0))
        text[plot.key] = plot.text(plot.value(points[-1]) if points and points[-1] else None)
        text[f"{plot.key}.mean"] = plot.text(fmean(values) if values else None, decimals=1)
        text[f"{plot.key}.most"] = plot.text(most)
        text[f"{plot.key}.top"] = f"{tops[-1]:.0%}" if plot.is_share else plot.text(tops[-1])
    text["hits"] = text["hits.mean"] = PLOTS[-1].text(window.prefix_hit_rate)  # most seconds have no look-up
    histograms = {"ttft": window.ttft, "itl": window.inter_token}
    text |= {f"{key}.said": spread(histogram) for key, histogram in histograms.items()}
    return {"text": text, "tops": tops, "bars": {key: shape.counts for key, shape in histograms.items()}}


def rows(points: Sequence[Point | None]) -> list[list[float | None] | None]:
    """Each second's values, in the order of PLOTS; None is a gap."""
    return [[_rounded(plot.value(point)) for plot in PLOTS] if point else None for point in points]


def round_up(most: float) -> int:
    """The end of a scale for numbers up to `most`: 1, 2 or 5 times a power of ten, so that it seldom changes."""
    power = 1
    while power * 10 < most:
        power *= 10
    return next(power * factor for factor in (1, 2, 5, 10) if power * factor >= most)


def duration(seconds: float) -> str:
    """The time in its two largest units."""
    minutes, hours = divmod(int(seconds) // 60, 60)[::-1]
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {int(seconds) % 60} s"


def spread(histogram: Histogram) -> str:
    """A histogram's quantiles and its number of values."""
    texts = []
    for percent in (50, 90, 99):
        bound_s = histogram.quantile_s(percent / 100)
        if bound_s is None:
            return UNKNOWN
        within = f"> {time_text(histogram.bounds_s[-1])}" if math.isinf(bound_s) else f"≤ {time_text(bound_s)}"
        texts.append(f"p{percent} {within}")
    return ", ".join([*texts, f"n = {histogram.num:,}"])


def time_text(seconds: float) -> str:
    """In seconds from 1 s on, below in milliseconds."""
    return f"{seconds:g} s" if seconds >= 1 else f"{seconds * 1000:g} ms"


def _rounded(value: float | None) -> float | None:
    return value if value is None or isinstance(value, int) else round(value, 4)
