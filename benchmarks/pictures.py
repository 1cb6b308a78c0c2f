"""Strangers' pictures: bombs, cut and damaged files, polyglots, other types, 30,000 x 1, to /v1 and to /chat by turns.

python -m benchmarks.pictures --model models/streamspace-tiny-vision [--number 1000] [any flags of the app]

The first tenth is the warm-up. Then it says how many were answered and refused, and with what; a status of 500 or above
is an error of the server. The memory is that of the app and its engine, before and after.
"""

import argparse
import asyncio
import json
import time
from collections import Counter
from typing import Any

import aiohttp
import psutil

from benchmarks.recovery import engine_processes, wait_for_health
from benchmarks.startup import running_app
from tests.vision import hostile

AT_ONCE = 4
REST_S = 15.0  # until the app has given back what it kept and what is free, which it does every 10 s
QUESTION = "What is this?"


async def by_openai(session: aiohttp.ClientSession, url: str, picture: str) -> tuple[int, str]:
    """The status of /v1, and its refusal."""
    content = [{"type": "image_url", "image_url": {"url": picture}}, {"type": "text", "text": QUESTION}]
    body = {"messages": [{"role": "user", "content": content}], "max_tokens": 4}
    async with session.post(f"{url}/v1/chat/completions", json=body) as answer:
        told = await answer.json()
        return answer.status, told.get("error", {}).get("message", "")


async def by_chat(session: aiohttp.ClientSession, url: str, picture: str) -> tuple[int, str]:
    """200 and nothing for an answer of /chat, 400 and the sentence for a refusal; 500 for anything else."""
    body = {"message": QUESTION, "images": [picture], "max_tokens": 4}
    async with session.post(f"{url}/gradio_api/call/v2/chat", json=body) as begun:
        told = await begun.json()
        if begun.status != 200:
            return begun.status, str(told.get("error"))
    async with session.get(f"{url}/gradio_api/call/chat/{told['event_id']}") as answer:
        kind, _, said = (await answer.text()).rstrip().rpartition("event: ")[2].partition("\ndata: ")
    if kind == "complete":
        return 200, ""
    sentence = (json.loads(said or "null") or {}).get("error", "")
    return (400 if "picture" in sentence else 500), sentence


async def measure(url: str, app: psutil.Process, number: int) -> None:
    """Send them, and print what came back."""
    seen: Counter[tuple[int, str]] = Counter()

    def memory() -> list[float]:
        return [process.memory_info().rss / 1e6 for process in (app, *engine_processes(app))]

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(300)) as session:
        await wait_for_health(session, url, 200)
        engines, places = engine_processes(app), asyncio.Semaphore(AT_ONCE)

        async def one(seed: int) -> None:
            async with places:
                ask = by_chat if seed // 10 % 2 else by_openai
                status, words = await ask(session, url, await asyncio.to_thread(hostile, seed))
                seen[status, words.rpartition(": ")[2][:70]] += 1

        await asyncio.gather(*(one(seed) for seed in range(number // 10)))
        await asyncio.sleep(REST_S)
        in_mb, began_s = [memory()], time.monotonic()
        for tenth in range(1, 10):
            await asyncio.gather(*(one(seed) for seed in range(tenth * number // 10, (tenth + 1) * number // 10)))
            in_mb.append(memory())
        took_s = time.monotonic() - began_s
        await asyncio.sleep(REST_S)
        in_mb.append(memory())
        await wait_for_health(session, url, 200)
    for (status, words), times in seen.most_common():
        print(f"{times:6} {status} {words}")
    errors = sum(times for (status, _), times in seen.items() if status >= 500)
    is_same = engines == engine_processes(app)
    print(f"{number} pictures in {took_s:.0f} s, {errors} errors of the server, the same engine: {is_same}")
    for name, each in zip(("the app", "its engine"), zip(*in_mb, strict=True), strict=True):
        print(f"memory of {name} after each tenth, and after a rest: {' '.join(f'{mb:.0f}' for mb in each)} MB")
    before_mb, after_mb = sum(in_mb[0]), sum(in_mb[-1])
    print(f"memory {before_mb:.0f} -> {after_mb:.0f} MB, ratio {after_mb / before_mb:.3f}")


def main() -> None:
    """Start the app, send the pictures, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--number", type=int, default=1000)
    given: Any
    given, given.flags = parser.parse_known_args()
    with running_app(given.model, *given.flags) as (url, process):
        asyncio.run(measure(url, psutil.Process(process.pid), given.number))


if __name__ == "__main__":
    main()
