"""A later question about the same pictures: while the engine keeps them prepared, and after it has let go of them.

python -m benchmarks.seen_again --model models/streamspace-tiny-vision [--pictures 4] [--rounds 7] [flags of the app]

Each round is a new conversation about pictures of a megapixel. Its first question has them prepared, the second one
comes at once, and the third after the app has rested. Before each there is one without pictures, so that none is slower
because the machine has slept. Told are the medians of the time to an answer of one token.
"""

import argparse
import asyncio
import statistics
import time
from typing import Any

import aiohttp

from benchmarks.pictures import REST_S
from benchmarks.recovery import wait_for_health
from benchmarks.startup import running_app
from benchmarks.streaming import picture

MOMENTS = ("first", "kept", "let go")
AWAKE: list[dict[str, Any]] = [{"role": "user", "content": "Are you awake?"}]


async def answer_s(session: aiohttp.ClientSession, url: str, messages: list[dict[str, Any]]) -> float:
    """Seconds to an answer of one token."""
    began_s = time.monotonic()
    body = {"messages": messages, "max_tokens": 1, "temperature": 0}
    async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
        answer.raise_for_status()
        await answer.read()
    return time.monotonic() - began_s


async def measure(url: str, num_pictures: int, rounds: int) -> None:
    """Hold the conversations, and print the medians."""
    took_s: dict[str, list[float]] = {moment: [] for moment in MOMENTS}
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(300)) as session:
        await wait_for_health(session, url, 200)
        for number in range(rounds + 1):
            urls = [picture(f"{number}-{index}") for index in range(num_pictures)]
            parts = [{"type": "image_url", "image_url": {"url": each}} for each in urls]
            messages = [{"role": "user", "content": [*parts, {"type": "text", "text": "What is this?"}]}]
            for moment in MOMENTS:
                await asyncio.sleep(REST_S if moment == "let go" else 0)
                await answer_s(session, url, AWAKE)
                seconds = await answer_s(session, url, messages)
                if number:  # the first of everything is slow
                    took_s[moment].append(seconds)
                turn = [{"role": "assistant", "content": "A picture."}, {"role": "user", "content": f"And {moment}?"}]
                messages = [*messages, *turn]
    told = ", ".join(f"{moment} {1e3 * statistics.median(seconds):.0f} ms" for moment, seconds in took_s.items())
    print(f"{num_pictures} pictures of a megapixel, {rounds} conversations: {told}")


def main() -> None:
    """Start the app, ask it, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--pictures", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=7)
    given: Any
    given, given.flags = parser.parse_known_args()
    with running_app(given.model, *given.flags) as (url, _):
        asyncio.run(measure(url, given.pictures, given.rounds))


if __name__ == "__main__":
    main()
