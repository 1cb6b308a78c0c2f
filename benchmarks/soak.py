"""Visitors come and go for half an hour, read, stop, close and stay away, while the engine is killed now and then.

python benchmarks/soak.py [--minutes 30] [--visitors 64] [--kill-every 300] [--model FOLDER]

Prints what their requests came to, the app's memory over time, and the time to the first token at the beginning and at
the end. An error without words, a server error, or a request that still runs when all have gone is a failure.
"""

import argparse
import asyncio
import json
import random
import sys
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import aiohttp
import psutil

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.recovery import engine_processes, wait_for_health  # noqa: E402
from benchmarks.startup import running_app  # noqa: E402
from benchmarks.streaming import payload, percentile  # noqa: E402

WAYS = {"reads": 6, "stops": 2, "closes": 2, "stays away": 1}
SHARE = 6  # the first and the last sixth of the time are compared


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
        data = [
            value if i != self._asked["max_tokens"] else chance.randint(16, 300)
            for i, value in enumerate(self._asked["data"])
        ]
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


async def soak(given: argparse.Namespace, url: str, app: psutil.Process) -> None:
    """Let it all happen, and print what came of it."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await wait_for_health(session, url, 200)
        async with session.get(f"{url}/config") as answer:
            asked = payload("page", await answer.json(), [{"role": "user", "content": "Tell me a long story."}], 77)
        asked["max_tokens"] = asked["data"].index(77)
        seen = Soak(session, url, asked)
        begin_s, seconds = time.monotonic(), 60 * given.minutes
        visitors = [
            asyncio.create_task(seen.visit(begin_s + seconds, random.Random(number)))
            for number in range(given.visitors)
        ]
        memory, kills = [], 0
        while (passed_s := time.monotonic() - begin_s) < seconds:
            memory.append((passed_s, app.memory_info().rss / 1e6))
            if passed_s > given.kill_every * (kills + 1) and passed_s < seconds * (1 - 1 / SHARE):
                kills += 1
                for process in engine_processes(app):
                    process.kill()
            await asyncio.sleep(1)
        await asyncio.gather(*visitors)
        await wait_for_health(session, url, 200)
        await asyncio.sleep(12)  # those that stayed away are given up after 10 s
        async with session.get(f"{url}/health") as answer:
            health = await answer.json()
    print(f"{given.minutes:g} minutes, {given.visitors} visitors, {kills} kills: {dict(sorted(seen.ends.items()))}")
    print(f"unexplained errors: {len(seen.unexplained)}", *seen.unexplained[:5], sep="\n  ")
    print("afterwards:", health)
    settled = next(mb for at_s, mb in memory if at_s > seconds / SHARE)
    at_end = memory[-1][1]
    print(f"RSS {settled:.0f} MB after the first sixth, {at_end:.0f} MB at the end: {at_end / settled - 1:+.1%}")
    early = [took for at_s, took in seen.first_tokens if at_s < begin_s + seconds / SHARE]
    late = [took for at_s, took in seen.first_tokens if at_s > begin_s + seconds * (1 - 1 / SHARE)]
    first, last = percentile(early, 0.99), percentile(late, 0.99)
    print(
        f"TTFT p99 {1e3 * first:.0f} ms in the first sixth, {1e3 * last:.0f} ms in the last: ratio {last / first:.2f}"
    )


def main() -> None:
    """Start the app, soak it, end it."""
    from streamspace.config import BUNDLED_MODEL

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--visitors", type=int, default=64)
    parser.add_argument("--kill-every", type=float, default=300)
    parser.add_argument("--model", default=str(BUNDLED_MODEL))
    given = parser.parse_args()
    with running_app(given.model) as (url, process):
        asyncio.run(soak(given, url, psutil.Process(process.pid)))


if __name__ == "__main__":
    main()
