"""How many threads compute an engine's steps on a CPU: all, or one while other work needs a CPU.

Threads that spin while they wait for each other are quicker than one as long as each has a CPU. Where other work takes
one away, each of their hundreds of waits for each other is a wait for the scheduler. Linux counts how long a thread was
ready to run and had no CPU (Documentation/scheduler/sched-stats.rst).
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

VARY = "STREAMSPACE_THREADS"  # the variable that has the worker vary their number, if it is "vary"
TASKS = Path("/proc/self/task")
COUNTS = "schedstat"  # a thread's nanoseconds with a CPU, those of waiting for one, and how often it got one
WINDOW_S = 0.1  # of steps, before anything is made of it
# Of a window, all threads' added up. Two threads alone waited 0.05 to 0.3 of it, beside a busy core 1.0 to 1.5.
MOST_WAITING = 0.6
MOST_OTHERS = 0.5  # CPUs that others may use before all threads are tried again
LEAST_PAUSE_S, MOST_PAUSE_S = 1.0, 60.0  # with one thread, before that is looked at
FIRST_STEPS = 8  # those of the warm-up, beside which the app still imports
# For steps of so many tokens, oneDNN keeps how many threads the first had: what was made with two
# computes with one, too, but not the other way round. So the few sizes that recur begin with all threads.
MOST_RECURRING = 16


class Threads:
    """Between `begin` and `end` of a step all threads compute, or one.

    `waited_s` gives how long the threads have waited for a CPU since they began, `others` how many CPUs others have
    used since it was last asked; `use` sets the number of threads. Where `others` cannot know, as behind a container's
    share of CPU time, all threads are tried again after a pause, and after twice the pause if that was for nothing.
    """

    def __init__(
        self, most: int, waited_s: Callable[[], float], others: Callable[[], float], use: Callable[[int], object]
    ) -> None:
        self._most, self._waited_s, self._others, self._use = most, waited_s, others, use
        self._has_all = True
        self._since_s, self._until_s, self._pause_s = 0.0, 0.0, LEAST_PAUSE_S
        self._began_s, self._before_s = 0.0, 0.0
        self._window_s, self._waiting_s = 0.0, 0.0
        self._num_steps = 0
        self._sizes = set[int]()  # of steps, up to MOST_RECURRING, that all threads have computed
        self._is_first = False  # a step of such a size, which all threads compute though one would

    def begin(self, now_s: float, num_tokens: int) -> None:
        """Before a step of so many tokens."""
        if not self._has_all and now_s >= self._until_s:
            if self._others() > MOST_OTHERS:
                self._until_s = now_s + self._pause_s
            else:
                self._has_all, self._since_s = True, now_s
                self._use(self._most)
        is_new = num_tokens <= MOST_RECURRING and num_tokens not in self._sizes
        self._is_first = is_new and not self._has_all
        if self._is_first:
            self._use(self._most)
        if is_new:
            self._sizes.add(num_tokens)
        if self._has_all:
            self._began_s, self._before_s = now_s, self._waited_s()

    def end(self, now_s: float) -> None:
        """After a step."""
        self._num_steps += 1
        if self._is_first:
            self._use(1)
        if not self._has_all or self._num_steps <= FIRST_STEPS:
            return
        self._window_s += now_s - self._began_s
        self._waiting_s += self._waited_s() - self._before_s
        if self._window_s < WINDOW_S:
            return
        is_crowded = self._waiting_s > MOST_WAITING * self._window_s
        self._window_s = self._waiting_s = 0.0
        if is_crowded:
            was_for_nothing = now_s - self._since_s < self._pause_s
            self._pause_s = min(2 * self._pause_s, MOST_PAUSE_S) if was_for_nothing else LEAST_PAUSE_S
            self._has_all, self._until_s = False, now_s + self._pause_s
            self._others()
            self._use(1)


def counts_waiting(counts: Path = Path("/proc/self/schedstat")) -> bool:
    """Whether this system counts how long a thread waits for a CPU; where it does not, all counts are 0."""
    try:
        return int(counts.read_text().split()[0]) > 0
    except (OSError, ValueError):
        return False


def busiest(number: int, tasks: Path = TASKS) -> Sequence[Path]:
    """The counts of the threads of this process that have computed most."""
    found: dict[Path, int] = {}
    for task in tasks.iterdir():
        with suppress(OSError):  # it has ended
            found[task / COUNTS] = int((task / COUNTS).read_text().split()[0])
    return sorted(found, key=found.__getitem__, reverse=True)[:number]


class Waiting:
    """How long the busiest threads of this process have waited for a CPU, in seconds. Asking costs microseconds."""

    def __init__(self, number: int, tasks: Path = TASKS) -> None:
        self._files = [os.open(path, os.O_RDONLY) for path in busiest(number, tasks)]

    def __call__(self) -> float:
        return sum(int(os.pread(file, 100, 0).split()[1]) for file in self._files) / 1e9


class Others:
    """How many CPUs other processes have used since it was last asked, of those that this one may use.

    0 where the system does not count, and where there are more than `most` of them: they are a larger machine's, of
    which a container has a share.
    """

    def __init__(self, most: int) -> None:
        self._cpus = os.sched_getaffinity(0)
        self._is_known = len(self._cpus) == most
        self._last = self._counts()

    def __call__(self) -> float:
        last, self._last = self._last, self._counts()
        now_s, idle_s, own_s = (now - before for now, before in zip(self._last, last, strict=True))
        if not self._is_known or not self._last[1] or now_s <= 0:
            return 0.0
        return (len(self._cpus) * now_s - idle_s - own_s) / now_s

    def _counts(self) -> tuple[float, float, float]:
        times = psutil.cpu_times(percpu=True)
        idle_s = sum(each.idle + each.iowait for number, each in enumerate(times) if number in self._cpus)
        return time.monotonic(), idle_s, time.process_time()
