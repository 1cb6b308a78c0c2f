"""How many threads compute on a CPU: all, and one while other work needs a CPU."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from streamspace.threads import (
    FIRST_STEPS,
    LEAST_PAUSE_S,
    MOST_OTHERS,
    MOST_PAUSE_S,
    MOST_RECURRING,
    MOST_WAITING,
    WINDOW_S,
    Others,
    Threads,
    Waiting,
    busiest,
    counts_waiting,
)

STEP_S = 0.03
CROWDED, QUIET = 1.2, 0.08  # of a step, waited: as measured beside a busy core and alone


class Machine:
    """Steps of an engine, with a clock of its own."""

    def __init__(self) -> None:
        self.now_s, self.waited_s, self.others = 100.0, 0.0, 0.0
        self.num, self.changes = 2, list[int]()
        self.threads = Threads(2, lambda: self.waited_s, lambda: self.others, self.use)

    def use(self, num: int) -> None:
        self.num = num
        self.changes.append(num)

    def step(self, waiting: float, step_s: float = STEP_S, num_tokens: int = 1) -> None:
        """One step, in which two threads wait for so much of it; a single one does not wait."""
        self.threads.begin(self.now_s, num_tokens)
        self.now_s += step_s
        self.waited_s += waiting * step_s if self.num > 1 else 0.0
        self.threads.end(self.now_s)

    def crowd(self) -> None:
        """Steps beside other work until one thread computes."""
        for _ in range(10):
            if self.num == 1:
                return
            self.step(CROWDED)

    def steps_to_all(self, most_s: float = 200.0) -> float:
        """Seconds of steps until all threads compute again."""
        began_s = self.now_s
        while self.num == 1 and self.now_s < began_s + most_s:
            self.step(0.0)
        return self.now_s - began_s


@pytest.fixture
def machine() -> Machine:
    """After its warm-up."""
    machine = Machine()
    for _ in range(FIRST_STEPS):
        machine.step(CROWDED)
    assert machine.changes == []
    return machine


def test_all_threads_compute_as_long_as_each_has_a_cpu(machine: Machine) -> None:
    for _ in range(1000):
        machine.step(QUIET)
    machine.step(CROWDED)  # a single one is less than a window
    for _ in range(10):
        machine.step(QUIET)
    for _ in range(1000):
        machine.step(0.9 * MOST_WAITING)
    assert machine.changes == []


def test_one_thread_computes_after_a_window_of_waiting(machine: Machine) -> None:
    machine.step(CROWDED, step_s=1.1 * WINDOW_S)
    assert machine.changes == [1]


def test_all_compute_again_when_others_leave_and_not_before(machine: Machine) -> None:
    machine.crowd()
    machine.others = 1.1 * MOST_OTHERS
    assert machine.steps_to_all() >= 200 and machine.changes == [1]
    machine.others = 0.9 * MOST_OTHERS
    assert machine.steps_to_all() <= LEAST_PAUSE_S + STEP_S and machine.changes == [1, 2]


def test_the_pauses_double_where_all_threads_are_crowded_out_each_time(machine: Machine) -> None:
    """As where others cannot be seen."""
    machine.crowd()
    pauses_s = []
    for _ in range(9):
        pauses_s.append(machine.steps_to_all())
        machine.crowd()
    doubled = [min(LEAST_PAUSE_S * 2**number, MOST_PAUSE_S) for number in range(9)]
    assert pauses_s == pytest.approx(doubled, abs=2 * STEP_S) and pauses_s[-1] > pauses_s[0]


def test_the_pause_is_short_again_after_all_threads_have_lasted(machine: Machine) -> None:
    for _ in range(4):
        machine.crowd()
        machine.steps_to_all()
    for _ in range(round(MOST_PAUSE_S / STEP_S)):
        machine.step(QUIET)
    machine.crowd()
    assert machine.steps_to_all() == pytest.approx(LEAST_PAUSE_S, abs=2 * STEP_S)


def test_sizes_that_recur_begin_with_all_threads(machine: Machine) -> None:
    """What oneDNN makes for a size while one thread computes would have one for ever."""
    machine.crowd()
    machine.others = 2.0
    for _ in range(3):
        for num_tokens in (1, 2, MOST_RECURRING, MOST_RECURRING + 1, 150):
            machine.step(CROWDED, num_tokens=num_tokens)
    assert machine.changes == [1, 2, 1, 2, 1]  # 1 was the size of the steps before


def test_time_without_requests_is_not_counted(machine: Machine) -> None:
    machine.step(QUIET)
    machine.now_s += 100.0
    machine.waited_s += 100.0
    for _ in range(10):
        machine.step(QUIET)
    assert machine.changes == []


@pytest.fixture
def one_cpu() -> Iterator[int]:
    """This thread on one CPU of those it has, which it has again afterwards."""
    allowed = os.sched_getaffinity(0)
    cpu = min(allowed)
    os.sched_setaffinity(0, {cpu})
    yield cpu
    os.sched_setaffinity(0, allowed)


def spin(seconds: float) -> None:
    end_s = time.thread_time() + seconds
    while time.thread_time() < end_s:
        pass


@pytest.fixture
def counted() -> None:
    if not counts_waiting():
        pytest.skip("this system does not count how long a thread waits")


@pytest.mark.usefixtures("counted")
def test_a_thread_that_shares_its_cpu_has_waited(one_cpu: int) -> None:
    spin(0.2)
    waiting = Waiting(1)
    before_s = waiting()
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        spin(0.5)
        other.kill()
    assert waiting() - before_s > 0.1


def test_the_threads_that_have_computed_most_are_found(tmp_path: Path) -> None:
    for name, ran in {"7": 300, "8": 2_000, "9": 1_000}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "schedstat").write_text(f"{ran} {ran // 2}000000 5\n")
    (tmp_path / "10").mkdir()  # a thread that has ended meanwhile
    assert [path.parent.name for path in busiest(2, tmp_path)] == ["8", "9"]
    waiting = Waiting(2, tmp_path)
    assert waiting() == pytest.approx(1.5)
    (tmp_path / "9" / "schedstat").write_text("2000 700000000 6\n")
    assert waiting() == pytest.approx(1.7)


def test_what_others_use_is_seen(one_cpu: int) -> None:
    others = Others(1)
    with subprocess.Popen(["taskset", "-c", str(one_cpu), sys.executable, "-c", "while True: pass"]) as other:
        time.sleep(1.0)
        used = others()
        other.kill()
    assert used > 0.5
    spin(0.5)
    assert others() < 2.0


def test_a_share_of_a_larger_machine_says_nothing_about_others() -> None:
    others = Others(len(os.sched_getaffinity(0)) + 1)
    spin(0.1)
    assert others() == 0.0


def test_a_system_that_does_not_count_is_known(tmp_path: Path) -> None:
    counts = tmp_path / "schedstat"
    assert not counts_waiting(counts)
    counts.write_text("0 0 0\n")
    assert not counts_waiting(counts)
    counts.write_text("5 0 1\n")
    assert counts_waiting(counts)
