"""Kill the engine under load, again and again: how soon it is back, who is told, and what is left behind.

python benchmarks/recovery.py [--kills 20] [--visitors 8] [--model FOLDER] [--signal KILL|STOP] [--hang-timeout 5]
                              [--victims all|last] [vLLM's flags]

Visitors speak the page's own protocol and ask without a pause. A visitor whose answer is under way must be told within
2 s of a kill that it is interrupted or waits; every answer must end whole or with words. For the cold start the app is
started from nothing; a recovery lasts from the signal until /health is 200 again.
"""

import argparse
import asyncio
import json
import os
import signal
import statistics
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import psutil

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.startup import running_app  # noqa: E402
from benchmarks.streaming import payload  # noqa: E402

VICTIMS = {"all": slice(None), "last": slice(-1, None)}  # with several GPUs, one worker or replica
TOLD = (b"Interrupted", b"being restarted", b'"success":false')


@dataclass
class Answer:
    """One answer as its visitor saw it."""

    asked_s: float
    told_s: float | None = None  # when it was first told of a restart, an interruption or a refusal
    ended_s: float | None = None
    end: str = "without a word"


class Visitor:
    """Asks one question after another."""

    def __init__(self, session: aiohttp.ClientSession, url: str, asked: dict[str, Any]) -> None:
        self._session, self._url = session, f"{url}/gradio_api/queue"
        self._body = {"data": asked["data"], "fn_index": asked["fn_index"], "session_hash": uuid.uuid4().hex}
        self.answers: list[Answer] = []

    async def ask_for_ever(self) -> None:
        async with self._session.post(f"{self._url}/join", json=self._body) as joined:
            joined.raise_for_status()
        while True:
            params = {"session_hash": self._body["session_hash"]}
            async with self._session.get(f"{self._url}/data", params=params) as stream:
                self.answers.append(Answer(time.monotonic()))
                async for line in stream.content:
                    if b'"process_completed"' in line:
                        self._end(line)
                        async with self._session.post(f"{self._url}/join", json=self._body) as joined:
                            joined.raise_for_status()
                        self.answers.append(Answer(time.monotonic()))
                    elif self.answers[-1].told_s is None and any(word in line for word in TOLD):
                        self.answers[-1].told_s = time.monotonic()

    def _end(self, line: bytes) -> None:
        answer, message = self.answers[-1], json.loads(line.removeprefix(b"data: "))
        answer.ended_s = time.monotonic()
        if not message["success"]:
            answer.end = "refused with words" if message["output"]["error"] else "refused without a word"
        else:
            answer.end = "interrupted" if b"Interrupted" in line else "answered"
        if answer.end != "answered" and answer.told_s is None:
            answer.told_s = answer.ended_s


@dataclass(frozen=True)
class Kept:
    """What the app holds on to."""

    processes: int
    threads: int
    file_descriptors: int  # without those of its visitors' connections
    rss_mb: float
    shared_files: int  # in /dev/shm
    temporary_files: int

    @classmethod
    def of(cls, app: psutil.Process) -> "Kept":
        temporary = sum(len(files) for folder in Path("/tmp").glob("streamspace-*") for _, _, files in os.walk(folder))
        return cls(
            len(app.children(recursive=True)),
            app.num_threads(),
            app.num_fds() - sum(c.status == psutil.CONN_ESTABLISHED for c in app.net_connections("tcp")),
            app.memory_info().rss / 1e6,
            len(os.listdir("/dev/shm")),
            temporary,
        )


def engine_processes(app: psutil.Process) -> list[psutil.Process]:
    """vLLM's processes, the oldest first: they are forked from one of ours, so the app is not their parent."""
    forked = [child for child in app.children(recursive=True) if child.ppid() != app.pid]
    engine = [child for child in forked if not any("resource_tracker" in word for word in child.cmdline())]
    return sorted(engine, key=psutil.Process.create_time)


async def wait_for_health(session: aiohttp.ClientSession, url: str, status: int) -> float:
    """The time at which /health has this status; the program ends if the engine is given up."""
    while True:
        try:
            async with session.get(f"{url}/health") as answer:
                if answer.status == status:
                    return time.monotonic()
                if (told := await answer.json())["status"] == "failed":
                    raise SystemExit(told["detail"])
        except aiohttp.ClientError:
            pass  # not there yet
        await asyncio.sleep(0.02)


async def measure(given: argparse.Namespace, url: str, app: psutil.Process, began_s: float) -> None:
    """Drive the visitors and the kills, and print what came of it."""
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=aiohttp.ClientTimeout()
    ) as session:
        cold_s = await wait_for_health(session, url, 200) - began_s
        print(f"cold start {cold_s:.1f} s", flush=True)
        async with session.get(f"{url}/config") as answer:
            config = await answer.json()
        asked = payload("page", config, [{"role": "user", "content": "Tell me a long story."}], 1000)
        visitors = [Visitor(session, url, asked) for _ in range(given.visitors)]
        tasks = [asyncio.create_task(visitor.ask_for_ever()) for visitor in visitors]
        recoveries, told, before = [], [], None
        for number in range(given.kills):
            await asyncio.sleep(2 + number % 3)
            if number == 1:
                before = Kept.of(app)  # after the first, which may load what every later one uses, too
            under_way = [v.answers[-1] for v in visitors if v.answers and v.answers[-1].ended_s is None]
            killed_s = time.monotonic()
            for process in engine_processes(app)[VICTIMS[given.victims]]:
                process.send_signal(getattr(signal, f"SIG{given.signal}"))
            await wait_for_health(session, url, 503)
            recoveries.append(await wait_for_health(session, url, 200) - killed_s)
            told += [a.told_s - killed_s for a in under_way if a.told_s]
            silent = sum(a.told_s is None and a.end != "answered" for a in under_way)
            print(f"kill {number + 1}: back after {recoveries[-1]:.2f} s, {silent} not told", flush=True)
        await asyncio.sleep(2)
        after = Kept.of(app)
        if broken := [task.exception() for task in tasks if task.done()]:
            print("visitors that broke off:", broken)
        for task in tasks:
            task.cancel()
        report(given, cold_s, recoveries, told, Counter(a.end for v in visitors for a in v.answers if a.ended_s))
        print("before the second kill", before, "after the last", after, sep="\n  ")
        if before:
            print(f"RSS growth {after.rss_mb / before.rss_mb - 1:+.1%}")


def report(
    given: argparse.Namespace, cold_s: float, recoveries: list[float], told: list[float], ends: "Counter[str]"
) -> None:
    """Print the figures of the kills."""
    middle = statistics.median(recoveries)
    print(f"\n{len(recoveries)} of {given.kills} recoveries under {given.visitors} visitors, SIG{given.signal}")
    print(f"recovery median {middle:.2f} s, longest {max(recoveries):.2f} s; median / cold start {middle / cold_s:.2f}")
    print(f"told {len(told)}, the last of them {max(told, default=0):.2f} s after the kill")
    print("answers that ended:", dict(ends))


def main() -> None:
    """Start the app, measure, end it, and look for what it left."""
    from streamspace.config import BUNDLED_MODEL

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--visitors", type=int, default=8)
    parser.add_argument("--model", default=str(BUNDLED_MODEL))
    parser.add_argument("--signal", choices=["KILL", "STOP"], default="KILL")
    parser.add_argument("--hang-timeout", default="5")
    parser.add_argument("--victims", choices=VICTIMS, default="all")
    given, flags = parser.parse_known_args()
    began_s = time.monotonic()
    with running_app(given.model, "--hang-timeout", given.hang_timeout, *flags) as (url, process):
        app = psutil.Process(process.pid)
        asyncio.run(measure(given, url, app, began_s))
        children = app.children(recursive=True)
        ended_s = time.monotonic()
        process.terminate()
        process.wait()
        _, left = psutil.wait_procs(children, 10)
        print(f"SIGTERM: ended after {time.monotonic() - ended_s:.1f} s, {len(left)} processes left")


if __name__ == "__main__":
    main()
