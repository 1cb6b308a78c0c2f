"""How soon the engine is free of a request whose visitor has gone, by every way of going, again and again.

python benchmarks/release.py [--times 50] [--model FOLDER]

The last moment at which the engine's own count of running and waiting requests was above 0 is taken from /health, which
is polled without a pause; the engine counts a prefill only once it is over.
"""

import argparse
import asyncio
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import aiohttp

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.recovery import wait_for_health  # noqa: E402
from benchmarks.startup import running_app  # noqa: E402
from benchmarks.streaming import payload, percentile  # noqa: E402

QUIET_S = 0.3  # without a request: then it is released
LONG_PROMPT = "tell me more of the sea " * 230  # some 1,500 of the bundled model's 2,048 tokens
WHENS = {"before the first token": LONG_PROMPT, "in mid-answer": "Tell me a long story."}


class Releases:
    """Goes away in one way after another."""

    def __init__(self, session: aiohttp.ClientSession, url: str, config: dict[str, Any]) -> None:
        self._session, self._url, self._config = session, url, config

    async def ask(self, prompt: str) -> dict[str, Any]:
        """Start an answer; returns what names it."""
        asked = payload("page", self._config, [{"role": "user", "content": prompt}], 1900 if len(prompt) < 100 else 400)
        asked["data"][asked["data"].index(0.8)] = 2.0  # at which the bundled model does not come to an end
        names = {"fn_index": asked["fn_index"], "session_hash": uuid.uuid4().hex}
        async with self._session.post(
            f"{self._url}/gradio_api/queue/join", json={**names, "data": asked["data"]}
        ) as joined:
            joined.raise_for_status()
            return {**names, **await joined.json()}

    async def go(self, way: str, when: str) -> float:
        """One request and its release; returns the seconds between."""
        names = await self.ask(WHENS[when])
        query = {"session_hash": names["session_hash"]}
        async with self._session.get(f"{self._url}/gradio_api/queue/data", params=query) as stream:
            if when == "in mid-answer":
                async for line in stream.content:
                    if b'"assistant"' in line:
                        break
            else:
                await asyncio.sleep(0.02)
            gone_s = time.monotonic()
            if way == "Stop":
                async with self._session.post(f"{self._url}/gradio_api/cancel", json=names) as cancelled:
                    cancelled.raise_for_status()
            elif way == "reset":
                stream.connection.transport.abort()
            else:
                stream.close()
            return max(0.0, await self.last_busy_s() - gone_s)

    async def last_busy_s(self) -> float:
        """When the engine last had a request, once it has had none for a while."""
        busy_s = quiet_s = time.monotonic()
        while quiet_s - busy_s < QUIET_S:
            async with self._session.get(f"{self._url}/health") as answer:
                health = await answer.json()
            quiet_s = time.monotonic()
            if health["running"] + health["waiting"]:
                busy_s = quiet_s
        return busy_s


async def measure(url: str, times: int) -> None:
    """Print a line for each way and moment."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), timeout=timeout) as session:
        await wait_for_health(session, url, 200)
        async with session.get(f"{url}/config") as answer:
            releases = Releases(session, url, await answer.json())
        for way in ("Stop", "closed", "reset"):
            for when in WHENS:
                took = [1e3 * await releases.go(way, when) for _ in range(times)]
                p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
                print(
                    f"{way:>12} {when:<24} {len(took)} of {times} released, p50 {p50:4.0f} ms, p99 {p99:4.0f} ms",
                    flush=True,
                )


def main() -> None:
    """Start the app, measure, end it."""
    from streamspace.config import BUNDLED_MODEL

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--model", default=str(BUNDLED_MODEL))
    given = parser.parse_args()
    with running_app(given.model) as (url, _):
        asyncio.run(measure(url, given.times))


if __name__ == "__main__":
    main()
