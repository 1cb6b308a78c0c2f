"""What the engine tells after its steps → five minutes of seconds, by a scripted clock."""

import math
import random
from itertools import pairwise

import pytest

from streamspace.stats import SECONDS, TTFT_S, Histogram, Point, Stats


class Clock:
    """Tells the time that it is given, in seconds."""

    def __init__(self) -> None:
        self.now_s = 1000.25

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def stats(clock: Clock) -> Stats:
    """Of one engine that is up for a whole second."""
    stats = Stats(clock)
    stats.begin(1)
    clock.now_s += 1
    return stats


def step(stats: Stats, num_tokens: int = 1, running: int = 1, replica: int = 0) -> None:
    stats.scheduled(replica, running, 0, 0.5, 0, 0)
    stats.produced(0, num_tokens, 0, (), ())


def tokens(stats: Stats) -> list[int | None]:
    return [point.generation_tokens_per_s if point else None for point in stats.window().points]


def test_the_steps_of_a_second_are_added_up_once_it_is_over(stats: Stats, clock: Clock) -> None:
    stats.scheduled(0, 3, 2, 0.25, 100, 40)
    stats.produced(60, 3, 1, (0.04,), (0.011, 0.012))
    stats.scheduled(0, 2, 1, 0.5, 0, 0)
    stats.produced(0, 2, 0, (), (0.6,))
    assert stats.window().points == [Point(0, 0, 0, 0, 0.0, None)]
    clock.now_s += 1
    window = stats.window()
    assert window.points[-1] == Point(2, 1, 60, 5, 0.5, 0.4)
    assert window.last.num_answers == 1
    assert window.ttft.counts == (0, 1, *[0] * 9)
    assert window.inter_token.counts == (0, 0, 0, 2, *[0] * 5, 1, 0)
    assert window.prefix_hit_rate == 0.4


def test_a_second_without_a_step_keeps_the_gauges_and_has_no_tokens(stats: Stats, clock: Clock) -> None:
    step(stats, 7, running=4)
    clock.now_s += 4
    step(stats, 9, running=1)
    clock.now_s += 1
    assert tokens(stats) == [0, 7, 0, 0, 0, 9]
    assert [point and point.num_running for point in stats.window().points] == [0, 4, 4, 4, 4, 1]


def test_nothing_is_written_down_while_there_is_neither_a_step_nor_a_reader(stats: Stats, clock: Clock) -> None:
    stats.window()
    before = len(stats._past)
    clock.now_s += 100
    assert len(stats._past) == before


def test_five_minutes_are_kept_and_what_is_older_is_forgotten(stats: Stats, clock: Clock) -> None:
    stats.produced(0, 1, 0, (0.01,), ())
    for _ in range(SECONDS):
        clock.now_s += 1
        step(stats)
    assert tokens(stats) == [1] * SECONDS
    assert stats.window().ttft.num == 1
    clock.now_s += 1
    assert len(stats.window().points) == SECONDS
    assert stats.window().ttft.num == 0


def test_a_silence_of_any_length_is_filled(stats: Stats, clock: Clock) -> None:
    step(stats, 5)
    clock.now_s += 1e6
    step(stats, 6)
    clock.now_s += 1
    window = stats.window()
    assert tokens(stats) == [0] * (SECONDS - 1) + [6]
    assert [snapshot.second for snapshot in window.snapshots] == [*range(1001001 - SECONDS, 1001002)]


def test_replicas_are_summed_and_their_caches_averaged(clock: Clock) -> None:
    stats = Stats(clock)
    stats.begin(2)
    stats.scheduled(0, 3, 1, 0.2, 10, 5)
    stats.scheduled(1, 4, 2, 0.6, 30, 5)
    stats.produced(10, 3, 0, (), ())
    stats.produced(30, 4, 0, (), ())
    clock.now_s += 1
    assert stats.window().points == [Point(7, 3, 40, 7, 0.4, 0.25)]


def test_a_restart_is_a_gap_after_which_the_counts_go_on(stats: Stats, clock: Clock) -> None:
    stats.produced(0, 5, 1, (0.01,), ())
    stats.scheduled(0, 8, 8, 1.0, 0, 0)
    clock.now_s += 1
    stats.end()
    assert stats.uptime_s is None
    step(stats, 100)  # what comes of it still
    clock.now_s += 3
    step(stats, 100)  # the next one warms up
    stats.begin(1)
    clock.now_s += 1.5
    assert stats.uptime_s == 1.5
    stats.produced(0, 2, 1, (0.01,), ())
    clock.now_s += 1
    assert tokens(stats) == [0, 5, None, None, None, 0, 2]
    window = stats.window()
    assert (window.last.num_generation_tokens, window.last.num_answers, window.last.num_running) == (7, 2, 0)
    assert window.ttft.num == 2


def test_before_the_engine_is_up_there_is_a_gap_too(clock: Clock) -> None:
    stats = Stats(clock)
    assert stats.window().points == []
    clock.now_s += 2
    assert stats.window().points == [None, None]


def test_many_times_of_a_step_fall_into_the_same_buckets_as_each_alone(stats: Stats, clock: Clock) -> None:
    draw = random.Random(1)
    steps = [
        [draw.choice((1, 1, 1, 30)) * draw.uniform(0.001, 0.1) for _ in range(draw.randrange(4))] for _ in range(99)
    ]
    for times_s in [*steps, list(TTFT_S)]:
        stats.produced(0, 0, 0, times_s, ())
    clock.now_s += 1
    every = [time_s for times_s in steps for time_s in times_s] + list(TTFT_S)
    edges = [0.0, *TTFT_S, math.inf]
    expected = [sum(low < t <= high for t in every) for low, high in pairwise(edges)]
    assert list(stats.window().ttft.counts) == expected


@pytest.mark.parametrize(
    ("counts", "share", "bound_s"),
    [
        ((0, 0, 0), 0.5, None),
        ((10, 0, 0), 0.5, 1.0),
        ((5, 5, 0), 0.5, 1.0),
        ((4, 6, 0), 0.5, 2.0),
        ((99, 0, 1), 0.99, 1.0),
        ((98, 0, 2), 0.99, math.inf),
        ((0, 3, 0), 0.0, 2.0),
    ],
)
def test_a_quantile_is_the_bound_of_its_bucket(counts: tuple[int, ...], share: float, bound_s: float | None) -> None:
    assert Histogram((1.0, 2.0), counts).quantile_s(share) == bound_s
