"""Whether a crowd that asks for nothing, or under invented names, keeps others from being answered.

python benchmarks/crowd.py [--readers 16] [--idle 2000] [--half-open 500] [--sessions 1000] [--model FOLDER]

Readers stream from the app with one answer allowed for a visitor. Beside them come connections that say nothing, others
that stop in the middle of a header, and then one address that asks in as many sessions as it can invent. Prints how
soon a newcomer has the page and the first words, the gaps between the readers' frames before and beside the crowd, and
how many answers the one address had at once.
"""

import argparse
import asyncio
import json
import sys
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.recovery import wait_for_health  # noqa: E402
from benchmarks.startup import running_app  # noqa: E402
from benchmarks.streaming import payload, percentile  # noqa: E402

STORY = "Tell me a long story."
MEASURED_S = 15.0  # of each phase
NUM_TOKENS = 1000  # of an answer
AT_ONCE = 20  # requests of the one address that invents sessions
CROWD = "192.0.2.1"  # which that is; the app takes this machine for a proxy


class Page:
    """The app as its visitors see it."""

    def __init__(self, session: aiohttp.ClientSession, url: str, config: dict[str, Any]) -> None:
        self._session, self.url, self._config = session, url, config
        self._asked = payload("page", config, [{"role": "user", "content": STORY}], NUM_TOKENS)
        self.gaps: list[float] = []  # in seconds, between the frames of readers, since it was last emptied
        self.num_lost = 0  # answers that did not end as they should

    async def ask(self, address: str) -> str | None:
        """Start an answer; returns its session, or None if it was refused at once."""
        asked = self._asked
        body = {"fn_index": asked["fn_index"], "data": asked["data"], "session_hash": uuid.uuid4().hex}
        headers = {"X-Forwarded-For": address}
        async with self._session.post(f"{self.url}/gradio_api/queue/join", json=body, headers=headers) as joined:
            return body["session_hash"] if joined.status == 200 else None

    async def read(self, address: str) -> AsyncIterator[dict[str, Any]]:
        """Ask, and yield each message."""
        session = await self.ask(address)
        query = {"session_hash": session or ""}
        async with self._session.get(f"{self.url}/gradio_api/queue/data", params=query) as stream:
            async for line in stream.content:
                if line.startswith(b"data: "):
                    yield json.loads(line.removeprefix(b"data: "))

    async def visit(self, address: str) -> None:
        """Be answered again and again, and note the gaps."""
        while True:
            last_s, is_whole = 0.0, False
            async for message in self.read(address):
                if message["msg"] == "process_generating":
                    now_s = time.monotonic()
                    if last_s:
                        self.gaps.append(now_s - last_s)
                    last_s = now_s
                elif message["msg"] == "process_completed":
                    is_whole = message["success"]
                    break
            self.num_lost += not is_whole

    async def newcomer(self) -> str:
        """How soon one more visitor, on new connections, has the page and the first words."""
        began_s = time.monotonic()
        async with aiohttp.ClientSession(read_bufsize=1 << 22) as session:
            async with session.get(self.url) as page:
                await page.read()
            page_s = time.monotonic() - began_s
            async for message in Page(session, self.url, self._config).read("198.51.100.1"):
                if '"assistant"' in json.dumps(message):
                    break
        return f"a newcomer has the page after {page_s:.2f} s, the first words after {time.monotonic() - began_s:.2f} s"

    async def invent(self, sessions: int) -> int:
        """Ask in so many sessions, some at once as a script would; returns how many were refused at once."""
        at_once = asyncio.Semaphore(AT_ONCE)

        async def ask() -> bool:
            async with at_once:
                return await self.ask(CROWD) is None

        return sum(await asyncio.gather(*(ask() for _ in range(sessions))))

    async def most_running(self, others: int) -> int:
        """The most requests of the crowd that /health told during a phase."""
        most, until_s = 0, time.monotonic() + MEASURED_S
        while time.monotonic() < until_s:
            async with self._session.get(f"{self.url}/health") as answer:
                health = await answer.json()
            most = max(most, health["running"] + health["waiting"] - others)
            await asyncio.sleep(0.05)
        return most

    def tell(self, phase: str) -> None:
        """Print the gaps of a phase."""
        gaps, self.gaps = [1e3 * gap for gap in self.gaps], []
        p50, p99 = percentile(gaps, 0.5), percentile(gaps, 0.99)
        print(f"{phase:>24}: gaps p50 {p50:.0f} ms, p99 {p99:.0f} ms; {self.num_lost} answers lost", flush=True)


@asynccontextmanager
async def connections(url: str, number: int, said: bytes) -> AsyncIterator[None]:
    """So many connections that say this and no more."""
    address = urlsplit(url)
    opened = []
    for _ in range(number):
        opened.append(await asyncio.open_connection(address.hostname, address.port))
        opened[-1][1].write(said)
    try:
        yield
    finally:
        for _, writer in opened:
            writer.close()


async def measure(url: str, readers: int, idle: int, half_open: int, sessions: int) -> None:
    """Print a line for each phase."""
    timeout = aiohttp.ClientTimeout(total=None)
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, read_bufsize=1 << 22) as session:
        await wait_for_health(session, url, 200)
        async with session.get(f"{url}/config") as answer:
            page = Page(session, url, await answer.json())
        visits = [asyncio.create_task(page.visit(f"203.0.113.{number}")) for number in range(readers)]
        await asyncio.sleep(MEASURED_S / 3)
        page.gaps = []
        await asyncio.sleep(MEASURED_S)
        page.tell("without a crowd")
        async with connections(url, idle, b""), connections(url, half_open, b"GET / HTTP/1.1\r\nHost: x\r\n"):
            page.gaps = []
            print(await page.newcomer(), flush=True)
            await asyncio.sleep(MEASURED_S)
            page.tell(f"{idle} idle, {half_open} half-open")
        inventing = asyncio.create_task(page.invent(sessions))
        most, refused = await page.most_running(readers), await inventing
        page.tell(f"{sessions} sessions")
        print(f"one address had at most {most} answers at once; {refused} of {sessions} sessions were refused")
        for visit in visits:
            visit.cancel()
            with suppress(asyncio.CancelledError):
                await visit


def main() -> None:
    """Start the app, measure, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readers", type=int, default=16)
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--half-open", type=int, default=500)
    parser.add_argument("--sessions", type=int, default=1000)
    parser.add_argument("--model")
    given = parser.parse_args()
    from streamspace.config import BUNDLED_MODEL

    with running_app(given.model or str(BUNDLED_MODEL), "--answers-per-visitor", "1") as (url, _):
        asyncio.run(measure(url, given.readers, given.idle, given.half_open, given.sessions))


if __name__ == "__main__":
    main()
