"""What the page alone costs the server: CPU time of a turn and of a frame, by the length of the chat.

python -m benchmarks.page_cost [--visitors 32] [--rounds 3]
python -m benchmarks.page_cost --waiting 1024 [--leaving 50] [--seconds 20]   what a long queue costs

The engine is scripted; the visitors are HTTP clients in another process. A turn is what an answer of one token costs,
from the question to its end; a frame is what each further frame adds. Opening the page is a GET of / by this process.

In the queue so many wait while as many a second end and come; told are how late the event loop runs, by a task that
sleeps for a millisecond again and again, and how long one that leaves keeps it.
"""

import argparse
import json
import statistics
import threading
import time
import urllib.request
from dataclasses import replace
from typing import Any

from benchmarks.scripted import ScriptedEngine, TickingEngine, served, site
from benchmarks.streaming import history, payload, percentile
from benchmarks.visitors import Visit, Visitors, visitors
from streamspace.limits import Admission, Limits, Queue
from streamspace.process import collect_rarely
from streamspace.server import build_app
from streamspace.ui import build_demo

APART_S = 0.01  # between two visitors
SHORT, LONG = 1, 400  # tokens
OPENINGS = 50
FILL_S = 10.0  # until the queue is as long as it should be


def page_s() -> float:
    """CPU seconds of the page's thread so far; to make up the visitors' questions costs this process as much again."""
    thread = next(thread for thread in threading.enumerate() if thread.name == "page")
    assert thread.ident is not None
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident))


def cpu_s(url: str, config: Any, pool: Visitors, num_visitors: int, turns: int, tokens: int) -> tuple[float, int]:
    """CPU seconds of the page and frames seen, for that many answers."""
    visits = [
        Visit(number * APART_S, payload("page", config, history(number, turns, "?"), tokens))
        for number in range(num_visitors)
    ]
    opened = [replace(visit, payload={**visit.payload, "load": []}) for visit in visits]
    before: list[float] = []
    seen = pool.run("gradio", url, opened, lambda: before.append(page_s()))
    return page_s() - before[0], sum(len(one.frames_s) for one in seen)


def opening_s(url: str) -> float:
    """CPU seconds of this process for one opening of the page, the client's own half millisecond included."""
    request = urllib.request.Request(url, headers={"Accept-Encoding": "gzip"})
    began_s = time.process_time()
    for _ in range(OPENINGS):
        urllib.request.urlopen(request).read()
    return (time.process_time() - began_s) / OPENINGS


def measure_queue(num_waiting: int, leaving: int, seconds: float) -> None:
    """Print what a queue of this length costs the event loop while so many a second leave it."""
    engine: Any = TickingEngine(100)
    engine.capacity, admission = leaving, Admission(engine, Limits())  # an answer takes a second, so many end in one
    took_ms: list[float] = []
    seen: list[tuple[int, list[float], list[float]]] = []
    leave = Queue._leave

    def timed(*of: Any) -> None:
        began_s = time.perf_counter()
        leave(*of)
        took_ms.append(1e3 * (time.perf_counter() - began_s))

    def note() -> None:
        seen.append((admission.queue.num_waiting, engine.late_ms[:], took_ms[:]))
        engine.late_ms.clear()
        took_ms.clear()

    def begin() -> None:
        for after_s in (FILL_S, FILL_S + seconds):
            threading.Timer(after_s, note).start()

    Queue._leave = timed  # type: ignore[assignment, method-assign]
    collect_rarely()
    num_first = int(num_waiting + leaving * (1 + FILL_S))
    at_s = [FILL_S * number / num_first for number in range(num_first)]
    at_s += [FILL_S + number / leaving for number in range(int(leaving * seconds))]
    with served(build_app(engine, build_demo(engine, admission), admission)) as url, visitors(1) as pool:
        config = json.load(urllib.request.urlopen(f"{url}/config"))
        visits = [Visit(one, {**payload("page", config, history(0, 0, "?"), 100), "load": []}) for one in at_s]
        pool.run("gradio", url, visits, begin)
    before, (after, late_ms, left_ms) = seen[0][0], seen[1]
    print(f"{before} to {after} wait, {len(left_ms) / seconds:.0f} leave in a second:", end=" ")
    print(f"loop late p50 {percentile(late_ms, 0.5):.1f}, p99 {percentile(late_ms, 0.99):.1f}", end=", ")
    print(f"most {max(late_ms):.0f} ms; a departure p50 {percentile(left_ms, 0.5):.2f}", end=", ")
    print(f"p99 {percentile(left_ms, 0.99):.2f}, most {max(left_ms):.2f} ms")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waiting", type=int)
    parser.add_argument("--leaving", type=int, default=50, help="in a second")
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    if given.waiting:
        measure_queue(given.waiting, given.leaving, given.seconds)
        return
    engine: Any = ScriptedEngine(100)
    costs = {}
    collect_rarely()  # as the engine does when it is ready
    with served(site(engine)) as url, visitors(1) as pool:
        config = json.load(urllib.request.urlopen(f"{url}/config"))
        cpu_s(url, config, pool, given.visitors, 1, SHORT)  # not counted
        print(f"{1e3 * opening_s(url):.2f} ms to open the page")
        for turns in (0, 50):
            rounds = []
            for _ in range(given.rounds):
                turn_s, _ = cpu_s(url, config, pool, given.visitors, turns, SHORT)
                whole_s, num_frames = cpu_s(url, config, pool, given.visitors, turns, LONG)
                rounds.append((turn_s / given.visitors, (whole_s - turn_s) / (num_frames - given.visitors)))
            costs[turns] = [1e3 * statistics.median(one[part] for one in rounds) for part in (0, 1)]
            print(f"{2 * turns:3} earlier messages: {costs[turns][0]:.2f} ms a turn, {costs[turns][1]:.3f} ms a frame")
    print(f"a frame with 100 earlier messages / with none: {costs[50][1] / costs[0][1]:.2f}")


if __name__ == "__main__":
    main()
