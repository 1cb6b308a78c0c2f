"""Whether others are answered beside a visitor whose requests kill the engine.

python -m benchmarks.killer [--minutes 3] [--every 5] [--readers 16]

The fault is put into the engine's process: it breaks of a request with one value of top-k (tests/fault.py). Readers ask
one question after another on the page; the killer asks for that value at /v1. Prints how often the engine broke, what
the killer was answered, and how the readers' answers ended.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from pathlib import Path

import aiohttp

from benchmarks.recovery import Visitor, wait_for_health
from benchmarks.startup import running_app
from benchmarks.streaming import payload
from streamspace.config import BUNDLED_MODEL
from tests.fault import BREAKS, DEADLY_TOP_K

NUM_TOKENS = 200  # of a reader's answer
KILLER = "192.0.2.1"  # the address; the app takes this machine for a proxy


async def kill(session: aiohttp.ClientSession, url: str) -> str:
    """Send what breaks the engine; the status and the sentence."""
    body = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 4, "top_k": DEADLY_TOP_K}
    async with session.post(f"{url}/v1/chat/completions", json=body, headers={"X-Forwarded-For": KILLER}) as answer:
        told = await answer.json()
        return f"{answer.status} {told.get('error', {}).get('message', '')[:60]}"


async def measure(given: argparse.Namespace, url: str, breaks: Path) -> None:
    """Let them ask, and print what came of it."""
    timeout, connector = aiohttp.ClientTimeout(total=None), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=timeout, connector=connector, read_bufsize=1 << 22) as session:
        await wait_for_health(session, url, 200)
        async with session.get(f"{url}/config") as answer:
            asked = payload("page", await answer.json(), [{"role": "user", "content": "Tell me a story."}], NUM_TOKENS)
        readers = [Visitor(session, url, asked) for _ in range(given.readers)]
        reading = [asyncio.create_task(reader.ask_for_ever()) for reader in readers]
        killing, until_s = [], time.monotonic() + 60 * given.minutes
        while time.monotonic() < until_s:
            await asyncio.sleep(given.every)
            killing.append(asyncio.create_task(kill(session, url)))
        statuses = Counter(await asyncio.gather(*killing))
        for task in reading:
            task.cancel()
        ends = Counter(answer.end for reader in readers for answer in reader.answers if answer.ended_s)
        print(f"{len(killing)} requests of the killer, {breaks.read_text().count('broken')} deaths: {dict(statuses)}")
        print(f"answers of {given.readers} readers: {dict(ends)}")


def main() -> None:
    """Start the app, measure, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=3)
    parser.add_argument("--every", type=float, default=5, help="seconds")
    parser.add_argument("--readers", type=int, default=16)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        breaks = Path(folder, "breaks")
        breaks.touch()
        flags, environ = ("--worker-extension-cls", "tests.fault.Extension"), {BREAKS: str(breaks)}
        with running_app(str(BUNDLED_MODEL), *flags, **environ, PYTHONPATH=str(Path(__file__).parents[1])) as (url, _):
            asyncio.run(measure(given, url, breaks))


if __name__ == "__main__":
    main()
