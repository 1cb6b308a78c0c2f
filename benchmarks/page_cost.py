"""What the page alone costs the server: CPU time of a turn and of a frame, by the length of the chat.

python -m benchmarks.page_cost [--visitors 32] [--rounds 3]

The engine is scripted; the visitors are HTTP clients in another process. A turn is what an answer of one token costs,
from the question to its end; a frame is what each further frame adds. Opening the page is a GET of / by this process.
"""

import argparse
import json
import statistics
import threading
import time
import urllib.request
from dataclasses import replace
from typing import Any

from benchmarks.scripted import ScriptedEngine, served, site
from benchmarks.streaming import history, payload
from benchmarks.visitors import Visit, Visitors, visitors
from streamspace.process import collect_rarely

APART_S = 0.01  # between two visitors
SHORT, LONG = 1, 400  # tokens
OPENINGS = 50


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


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
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
