"""What the engine did in each second of the last five minutes, from the counts that it gives after each step. Pure.

A step costs a few additions. A second is stored when the next step comes after it, or when a reader asks for the
window. So the first reader gets five minutes, and no timer runs while nobody reads.
"""

import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

SECONDS = 300  # remembered
# Upper bounds of the histograms' buckets, in seconds; one more bucket is above the last bound.
TTFT_S = (0.025, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0)
INTER_TOKEN_S = (0.0025, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1.0)


@dataclass(frozen=True)
class Facts:
    """What an engine is, once it is built."""

    hardware: str
    dtype: str  # of weights and computation
    max_model_len: int  # tokens: prompt and answer together
    kv_cache_tokens: int  # of all sequences together, at most; 0 if vLLM does not say
    vllm_version: str
    tool_parser: str = ""  # vLLM's name of how the model writes tool calls; "" if it has no tools


@dataclass(frozen=True)
class Snapshot:
    """The engine at the end of a second; the counts run from the start of the app, over restarts."""

    second: int
    is_up: bool = False
    num_running: int = 0
    num_waiting: int = 0
    kv_cache_usage: float = 0.0  # 0 to 1
    num_prompt_tokens: int = 0
    num_generation_tokens: int = 0
    num_prefix_queries: int = 0  # tokens that were looked up in the prefix cache
    num_prefix_hits: int = 0  # tokens that were found there
    num_answers: int = 0  # that have ended
    ttft: tuple[int, ...] = (0,) * (len(TTFT_S) + 1)  # answers in each bucket
    inter_token: tuple[int, ...] = (0,) * (len(INTER_TOKEN_S) + 1)  # tokens in each bucket


@dataclass(frozen=True)
class Point:
    """One second in which the engine was up."""

    num_running: int
    num_waiting: int
    prompt_tokens_per_s: int
    generation_tokens_per_s: int
    kv_cache_usage: float  # 0 to 1
    prefix_hit_rate: float | None  # 0 to 1; None if nothing was looked up


@dataclass(frozen=True)
class Histogram:
    """How often a time fell into each bucket; `counts` has one more than `bounds_s`, for times above the last bound."""

    bounds_s: tuple[float, ...]
    counts: tuple[int, ...]

    @property
    def num(self) -> int:
        """How many times were taken."""
        return sum(self.counts)

    def quantile_s(self, share: float) -> float | None:
        """The bound below which `share` (0 to 1) of the times are, inf above the last one; None without times."""
        left = share * self.num
        for bound_s, count in zip((*self.bounds_s, float("inf")), self.counts, strict=True):
            left -= count
            if count and left <= 1e-9:
                return bound_s
        return None


@dataclass(frozen=True)
class Window:
    """Up to SECONDS whole seconds, the oldest first; before the first of `snapshots`, the base, nothing is known."""

    snapshots: tuple[Snapshot, ...]

    @property
    def last(self) -> Snapshot:
        """The newest."""
        return self.snapshots[-1]

    @property
    def points(self) -> list[Point | None]:
        """A point for each second but the base; None for a second in which the engine was down."""
        return [_point(before, after) for before, after in pairwise(self.snapshots)]

    @property
    def ttft(self) -> Histogram:
        """Seconds from a request to its first token."""
        return Histogram(TTFT_S, _difference(self.snapshots[0].ttft, self.last.ttft))

    @property
    def inter_token(self) -> Histogram:
        """Seconds between two tokens of an answer."""
        return Histogram(INTER_TOKEN_S, _difference(self.snapshots[0].inter_token, self.last.inter_token))

    @property
    def prefix_hit_rate(self) -> float | None:
        """0 to 1, of all tokens that were looked up; None if there were none."""
        return _hit_rate(self.snapshots[0], self.last)


class Stats:
    """Takes the counts of all data-parallel replicas, over all restarts. For one event loop alone.

    Between `end` and `begin` the engine is down: counts of a dying engine, or of one that warms up, are ignored.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._second = int(clock())  # the current one
        self._past = deque([Snapshot(self._second - 1)], maxlen=SECONDS + 1)
        self._replicas: list[tuple[int, int, float]] = []  # running, waiting and KV-cache use of each; empty: down
        self._up_s = 0.0
        self._tokens = [0, 0]  # of prompts, of answers
        self._prefix = [0, 0]  # queries, hits
        self._num_answers = 0
        self._ttft = list(self._past[0].ttft)
        self._inter_token = list(self._past[0].inter_token)

    @property
    def uptime_s(self) -> float | None:
        """Seconds since the engine was ready; None while it is down."""
        return self._clock() - self._up_s if self._replicas else None

    def begin(self, num_replicas: int) -> None:
        """The engine is ready."""
        self._roll()
        self._up_s = self._clock()
        self._replicas = [(0, 0, 0.0)] * num_replicas

    def end(self) -> None:
        """The engine is gone."""
        self._roll()
        self._replicas = []

    def scheduled(
        self, replica: int, num_running: int, num_waiting: int, kv_cache_usage: float, num_queries: int, num_hits: int
    ) -> None:
        """Take one replica's scheduler state after a step; `num_queries` and `num_hits` are tokens of this step."""
        if not self._replicas:
            return
        self._roll()
        self._replicas[replica] = num_running, num_waiting, kv_cache_usage
        self._prefix[0] += num_queries
        self._prefix[1] += num_hits

    def produced(
        self,
        num_prompt_tokens: int,
        num_generation_tokens: int,
        num_answers: int,
        ttfts_s: Sequence[float],
        inter_token_s: Sequence[float],
    ) -> None:
        """Take the results of one step of one replica, with one time for each request."""
        if not self._replicas:
            return
        self._roll()
        self._tokens[0] += num_prompt_tokens
        self._tokens[1] += num_generation_tokens
        self._num_answers += num_answers
        _count(self._ttft, TTFT_S, ttfts_s)
        _count(self._inter_token, INTER_TOKEN_S, inter_token_s)

    def window(self) -> Window:
        """The last five minutes, or less after the start, without the current second."""
        self._roll()
        return Window(tuple(self._past))

    def _roll(self) -> None:
        """Store the seconds that are over: all counts since the last call belong to the first of them."""
        now = int(self._clock())
        if now == self._second:
            return
        over = self._snapshot()
        for second in range(max(self._second, now - SECONDS - 1), now):
            self._past.append(replace(over, second=second))
        self._second = now

    def _snapshot(self) -> Snapshot:
        replicas = self._replicas
        return Snapshot(
            second=self._second,
            is_up=bool(replicas),
            num_running=sum(running for running, _, _ in replicas),
            num_waiting=sum(waiting for _, waiting, _ in replicas),
            kv_cache_usage=sum(usage for _, _, usage in replicas) / len(replicas) if replicas else 0.0,
            num_prompt_tokens=self._tokens[0],
            num_generation_tokens=self._tokens[1],
            num_prefix_queries=self._prefix[0],
            num_prefix_hits=self._prefix[1],
            num_answers=self._num_answers,
            ttft=tuple(self._ttft),
            inter_token=tuple(self._inter_token),
        )


def _count(counts: list[int], bounds_s: Sequence[float], times_s: Sequence[float]) -> None:
    """Add each time to its bucket. The times of one step are nearly equal: mostly all are in one bucket."""
    if not times_s:
        return
    low, high = bisect_left(bounds_s, min(times_s)), bisect_left(bounds_s, max(times_s))
    if low == high:
        counts[low] += len(times_s)
        return
    for time_s in times_s:
        counts[bisect_left(bounds_s, time_s)] += 1


def _point(before: Snapshot, after: Snapshot) -> Point | None:
    if not after.is_up:
        return None
    return Point(
        num_running=after.num_running,
        num_waiting=after.num_waiting,
        prompt_tokens_per_s=after.num_prompt_tokens - before.num_prompt_tokens,
        generation_tokens_per_s=after.num_generation_tokens - before.num_generation_tokens,
        kv_cache_usage=after.kv_cache_usage,
        prefix_hit_rate=_hit_rate(before, after),
    )


def _hit_rate(before: Snapshot, after: Snapshot) -> float | None:
    num_queries = after.num_prefix_queries - before.num_prefix_queries
    return (after.num_prefix_hits - before.num_prefix_hits) / num_queries if num_queries else None


def _difference(before: Sequence[int], after: Sequence[int]) -> tuple[int, ...]:
    return tuple(late - early for early, late in zip(before, after, strict=True))
