"""Visitors come and go for half an hour, read, stop, close and stay away, while the engine is killed now and then.

python benchmarks/soak.py [--minutes 30] [--visitors 64] [--kill-every 300] [--no-attackers] [--model FOLDER]

Attackers are among them, one of each kind of benchmarks/attackers.py. Prints what all requests came to, the app's
memory over time and by its parts (benchmarks/memory.py), its file descriptors and all that its objects hold before and
after, and the time to the first token at the beginning and at the end. An error without words, a server error, a
request that still runs when all have gone, or a collection that has grown is a failure.

The first sixth of the time is the warm-up, in which what is bounded is filled. The memory of the last sixth is compared
with that of the second, by their medians: what one large body takes for a moment is no growth.
"""

import argparse
import asyncio
import json
import random
import re
import signal
import sys
import tempfile
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import aiohttp
import psutil

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.attackers import STORY, Attackers  # noqa: E402
from benchmarks.recovery import engine_processes, wait_for_health  # noqa: E402
from benchmarks.startup import free_port, running  # noqa: E402
from benchmarks.streaming import payload, percentile  # noqa: E402

WAYS = {"reads": 6, "stops": 2, "closes": 2, "stays away": 1}
SHARE = 6  # the first and the last sixth of the time are compared
KEPT_S = 75.0  # after the end: what a call came to is kept for a minute, and so is who asked
# Starts app.py. At SIGUSR1 it writes to FILE how much the collections of all objects of Gradio, vLLM and ours hold, and
# where its memory is: as it is, after a full garbage collection, and after what is free was given back. At SIGUSR2 it
# writes the memory as it is.
LAUNCHER = """
import collections, gc, json, os, runpy, signal, sys
from benchmarks.memory import give_back, memory

def holds(value):
    return len(value) if isinstance(value, (dict, list, set, collections.deque)) else 0

def write(told):
    with open(os.environ["FILE"] + ".new", "w") as file:
        json.dump(told, file)
    os.rename(os.environ["FILE"] + ".new", os.environ["FILE"])

def tell_memory(*_):
    write({"memory": {"": memory()}})

def tell(*_):
    parts = {"as it is": memory()}
    gc.unfreeze()
    gc.collect()
    sizes = collections.Counter()
    for one in gc.get_objects():
        kind = type(one)
        if str(kind.__module__).partition(".")[0] in ("gradio", "streamspace", "vllm") and hasattr(one, "__dict__"):
            sizes[kind.__qualname__] += 1
            for name, value in dict(vars(one)).items():
                sizes[f"{kind.__qualname__}.{name}"] += holds(value)
    gc.freeze()
    parts["collected"] = memory()
    give_back_ms = 1000 * give_back()
    parts["given back"] = memory()
    write({"sizes": sizes, "memory": parts, "give_back_ms": give_back_ms})

signal.signal(signal.SIGUSR1, tell)
signal.signal(signal.SIGUSR2, tell_memory)
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


class Soak:
    """What all visitors together have seen."""

    def __init__(self, session: aiohttp.ClientSession, url: str, asked: dict[str, Any]) -> None:
        self._session, self._url, self._asked = session, f"{url}/gradio_api", asked
        self.ends: Counter[str] = Counter()
        self.unexplained: list[str] = []
        self.first_tokens: list[tuple[float, float]] = []  # (when asked, seconds)

    async def visit(self, until_s: float, chance: random.Random) -> None:
        """One visitor, who comes back as another after each question."""
        while time.monotonic() < until_s:
            await asyncio.sleep(chance.uniform(0, 3))
            way = chance.choices([*WAYS], [*WAYS.values()])[0]
            try:
                self.ends[f"{way}: {await self._ask(way, chance)}"] += 1
            except (aiohttp.ClientError, OSError) as error:
                self.unexplained.append(f"{way}: {error!r}")

    async def _ask(self, way: str, chance: random.Random) -> str:
        session = uuid.uuid4().hex
        names = {"fn_index": self._asked["fn_index"], "session_hash": session}
        # Each asks something of its own: what is in flight at two kills is taken for what breaks the engine.
        data = [f"{value} ({session})" if value == STORY else value for value in self._asked["data"]]
        data[self._asked["max_tokens"]] = chance.randint(16, 300)
        asked_s = time.monotonic()
        async with self._session.post(f"{self._url}/queue/join", json={**names, "data": data}) as joined:
            if joined.status == 503:
                return "refused with words"
            joined.raise_for_status()
            event_id = (await joined.json())["event_id"]
        if way == "stays away":
            return "gone"
        leaves_s = asked_s + chance.uniform(0, 2) if way != "reads" else float("inf")
        async with self._session.get(f"{self._url}/queue/data", params={"session_hash": session}) as stream:
            has_begun = False
            async for line in stream.content:
                if not has_begun and b'"assistant"' in line:
                    has_begun = True
                    self.first_tokens.append((asked_s, time.monotonic() - asked_s))
                if b'"process_completed"' in line:
                    return self._end(json.loads(line.removeprefix(b"data: ")))
                if time.monotonic() > leaves_s:
                    leaves_s = float("inf")
                    if way == "closes":
                        stream.connection.transport.abort()
                        return "gone"
                    cancel = {**names, "event_id": event_id}
                    async with self._session.post(f"{self._url}/cancel", json=cancel) as cancelled:
                        cancelled.raise_for_status()
        self.unexplained.append(f"{way}: the stream ended without an end")
        return "without an end"

    def _end(self, message: dict[str, Any]) -> str:
        if message["success"]:
            return "interrupted" if "Interrupted" in json.dumps(message) else "ended"
        if not message["output"].get("error"):
            self.unexplained.append(json.dumps(message)[:200])
        return "refused with words"


@dataclass(frozen=True)
class Held:
    """What the app holds on to while nobody asks."""

    file_descriptors: int  # without those of connections, which a client's pool keeps
    sizes: dict[str, int]  # the collections of its objects
    memory: dict[str, dict[str, float]]
    give_back_ms: float

    @classmethod
    async def by(cls, app: psutil.Process, file: Path) -> "Held":
        told = await answer_to(signal.SIGUSR1, app, file)
        connected = sum(c.status == psutil.CONN_ESTABLISHED for c in app.net_connections("tcp"))
        return cls(app.num_fds() - connected, **told)

    def tell_growth_since(self, before: "Held") -> None:
        """Print it."""
        print(f"file descriptors {before.file_descriptors} before, {self.file_descriptors} afterwards")
        grown = {name: (before.sizes.get(name, 0), size) for name, size in self.sizes.items()}
        print("larger afterwards:", {name: pair for name, pair in grown.items() if pair[1] > pair[0]} or "nothing")
        tell_parts(
            {f"{when}, {n}": p for when, at in (("before", before), ("after", self)) for n, p in at.memory.items()}
        )
        print(f"to give back what is free took {self.give_back_ms:.0f} ms")


async def answer_to(number: signal.Signals, app: psutil.Process, file: Path) -> dict[str, Any]:
    """What the app tells at a signal."""
    file.unlink(missing_ok=True)
    app.send_signal(number)
    while not file.exists():
        await asyncio.sleep(0.1)
    told: dict[str, Any] = json.loads(file.read_text())
    return told


def tell_parts(columns: dict[str, dict[str, float]]) -> None:
    """Print the parts of the memory, a line for each, and the times in columns."""
    print("MB:", " | ".join(columns))
    for part in dict.fromkeys(part for column in columns.values() for part in column):
        print(f"{part:>40}", *(f"{column.get(part, 0):7.1f}" for column in columns.values()))


async def soak(given: argparse.Namespace, url: str, app: psutil.Process, told: Path) -> None:
    """Let it all happen, and print what came of it."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=timeout, read_bufsize=1 << 20
    ) as session:
        await wait_for_health(session, url, 200)
        async with session.get(f"{url}/config") as answer:
            config = await answer.json()
        asked = payload("page", config, [{"role": "user", "content": STORY}], 77)
        attackers = Attackers(session, url, config, dict(asked))
        asked["max_tokens"] = asked["data"].index(77)
        seen = Soak(session, url, asked)
        await asyncio.gather(*(seen.visit(time.monotonic() + 5, random.Random(0)) for _ in range(2)))
        await asyncio.sleep(KEPT_S)
        before = await Held.by(app, told)
        begin_s, seconds = time.monotonic(), 60 * given.minutes
        visitors = [
            asyncio.create_task(seen.visit(begin_s + seconds, random.Random(number)))
            for number in range(given.visitors)
        ]
        if given.attackers:
            visitors.append(asyncio.create_task(attackers.attack(begin_s + seconds)))
        memory, parts, kills = [], {}, 0
        while (passed_s := time.monotonic() - begin_s) < seconds:
            memory.append((passed_s, app.memory_info().rss / 1e6))
            if passed_s > seconds / SHARE * (len(parts) + 1) - 2:  # just before the end of each sixth
                parts[f"{passed_s:.0f} s"] = (await answer_to(signal.SIGUSR2, app, told))["memory"][""]
            if passed_s > given.kill_every * (kills + 1) and passed_s < seconds * (1 - 1 / SHARE):
                kills += 1
                for process in engine_processes(app):
                    process.kill()
            await asyncio.sleep(1)
        await asyncio.gather(*visitors)
        await wait_for_health(session, url, 200)
        await asyncio.sleep(KEPT_S)
        async with session.get(f"{url}/health") as answer:
            health = await answer.json()
    print(f"{given.minutes:g} minutes, {given.visitors} visitors, {kills} kills: {dict(sorted(seen.ends.items()))}")
    print(f"attackers: {dict(sorted(attackers.ends.items()))}; server errors: {attackers.faults}")
    print(f"unexplained errors: {len(seen.unexplained)}", *seen.unexplained[:5], sep="\n  ")
    print("afterwards:", health)
    (await Held.by(app, told)).tell_growth_since(before)
    tell_parts(parts)
    sixths = [[mb for at_s, mb in memory if n <= at_s * SHARE / seconds < n + 1] for n in range(SHARE)]
    print("RSS by sixths, least, median and most:", *(f"{min(s):.0f} {median(s):.0f} {max(s):.0f};" for s in sixths))
    settled, at_end = median(sixths[1]), median(sixths[-1])
    print(f"RSS {settled:.0f} MB in the second sixth, {at_end:.0f} MB in the last: {at_end / settled - 1:+.1%}")
    early = [took for at_s, took in seen.first_tokens if at_s < begin_s + seconds / SHARE]
    late = [took for at_s, took in seen.first_tokens if at_s > begin_s + seconds * (1 - 1 / SHARE)]
    first, last = percentile(early, 0.99), percentile(late, 0.99)
    print(
        f"TTFT p99 {1e3 * first:.0f} ms in the first sixth, {1e3 * last:.0f} ms in the last: ratio {last / first:.2f}"
    )


PREFIX = re.compile(r"(?m)^(?:\(\w+ pid=\d+\) )?(?:[A-Z]+ \d\d-\d\d [\d:]+ \[[^\]\n]*\] ?)?")
TRACEBACK = re.compile(r"(?m)^Traceback \(most recent call last\):\n(?: .*\n|\n)*(.{0,120})")


def tell_log(log: str) -> None:
    """Print the errors at the ends of the tracebacks in the app's log, and how often each came."""
    errors = Counter(TRACEBACK.findall(PREFIX.sub("", log)))
    print(f"{errors.total()} tracebacks in the log:", *errors.items(), sep="\n  ")


def main() -> None:
    """Start the app, soak it, end it."""
    from streamspace.config import BUNDLED_MODEL

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--visitors", type=int, default=64)
    parser.add_argument("--kill-every", type=float, default=300)
    parser.add_argument("--no-attackers", dest="attackers", action="store_false")
    parser.add_argument("--model", default=str(BUNDLED_MODEL))
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, open(Path(folder, "log"), "w+") as log:
        told, port = Path(folder, "sizes"), free_port()
        command = [sys.executable, "-c", LAUNCHER, str(ROOT / "app.py"), "--model", given.model, "--port", str(port)]
        with running(command, {"FILE": str(told), "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"}, log) as process:
            asyncio.run(soak(given, f"http://127.0.0.1:{port}", psutil.Process(process.pid), told))
        tell_log(Path(log.name).read_text(errors="replace"))


if __name__ == "__main__":
    main()
