"""What the Engine tab costs the server, by the number of viewers; the numbers come from a busy scripted engine.

python -m benchmarks.engine_tab [--viewers 100] [--seconds 20]

The viewers read server-sent events in another process. What the engine's steps cost is measured apart, for it is there
with nobody looking, too.
"""

import argparse
import asyncio
import multiprocessing
import random
import threading
import time
import urllib.parse
from contextlib import suppress
from multiprocessing.synchronize import Event
from typing import Any

from benchmarks.scripted import ScriptedEngine, served, site
from streamspace.process import collect_rarely
from streamspace.stats import SECONDS, Facts, Stats

NUM_RUNNING = 256  # requests in each step
NUM_STEPS = 20_000  # for the cost of one


def step(stats: Stats, draw: random.Random) -> None:
    """One step of an engine with NUM_RUNNING requests."""
    stats.scheduled(0, NUM_RUNNING, 3, draw.random(), 400, 200)
    stats.produced(400, NUM_RUNNING, 1, [0.08], [0.02 * draw.uniform(0.9, 1.1)] * NUM_RUNNING)


def five_minutes() -> Stats:
    """Stats of an engine that has been busy for as long as they remember."""
    past_s = [time.monotonic() - SECONDS]
    stats, draw = Stats(lambda: past_s[0] if past_s else time.monotonic()), random.Random(1)
    stats.begin(1)
    for _ in range(SECONDS):
        step(stats, draw)
        past_s[0] += 1
    past_s.clear()
    return stats


def busy(stats: Stats, stopping: threading.Event) -> None:
    """A step every 0.1 s, so that the numbers change each second."""
    draw = random.Random(1)
    while not stopping.wait(0.1):
        step(stats, draw)


async def read(host: str, port: int, num_events: Any) -> None:
    """One viewer, until cancelled; counts the events that it gets."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(f"GET /engine HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    while data := await reader.read(1 << 16):
        num_events.value += data.count(b"data: ")


def view(url: str, num_viewers: int, num_events: Any, stopping: Event) -> None:
    """So many viewers, in a process of their own."""

    async def everybody() -> None:
        address = urllib.parse.urlsplit(url)
        host, port = str(address.hostname), address.port or 80
        viewers = [asyncio.create_task(read(host, port, num_events)) for _ in range(num_viewers)]
        await asyncio.to_thread(stopping.wait)
        for viewer in viewers:
            viewer.cancel()
        with suppress(asyncio.CancelledError):
            await asyncio.gather(*viewers)

    asyncio.run(everybody())


def cpu_share(url: str, num_viewers: int, seconds: float) -> tuple[float, float]:
    """CPU seconds of this process per second, once all viewers are there; and the events that they get per second."""
    spawn = multiprocessing.get_context("spawn")
    num_events, stopping = spawn.Value("q", lock=False), spawn.Event()
    viewers = spawn.Process(target=view, args=(url, num_viewers, num_events, stopping))
    viewers.start()
    while num_events.value < num_viewers:
        time.sleep(0.1)
    begun_s, cpu_s, before = time.monotonic(), time.process_time(), num_events.value
    time.sleep(seconds)
    took_s = time.monotonic() - begun_s
    share, rate = (time.process_time() - cpu_s) / took_s, (num_events.value - before) / took_s
    stopping.set()
    viewers.join()
    return share, rate


def step_us() -> float:
    """Microseconds that one step costs."""
    stats, times = Stats(), [0.02] * NUM_RUNNING
    stats.begin(1)
    begun_s = time.process_time()
    for _ in range(NUM_STEPS):
        stats.scheduled(0, NUM_RUNNING, 3, 0.5, 400, 200)
        stats.produced(400, NUM_RUNNING, 1, (), times)
    return 1e6 * (time.process_time() - begun_s) / NUM_STEPS


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--viewers", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=20)
    given = parser.parse_args()
    print(f"a step with {NUM_RUNNING} requests: {step_us():.1f} µs")
    engine: Any = ScriptedEngine(100)
    engine.facts = Facts("a scripted machine", "bfloat16", 1_000_000, 1_000_000, "0")
    engine.stats = five_minutes()
    collect_rarely()  # as the engine does when it is ready
    stopping = threading.Event()
    threading.Thread(target=busy, args=(engine.stats, stopping), daemon=True).start()
    with served(site(engine)) as url:
        shares = {number: cpu_share(url, number, given.seconds) for number in (0, 1, given.viewers)}
    stopping.set()
    for number, (share, rate) in shares.items():
        print(f"{number:4} viewers, {rate:5.1f} events/s: {share:.2%} of a core, {share - shares[0][0]:+.2%}")


if __name__ == "__main__":
    main()
