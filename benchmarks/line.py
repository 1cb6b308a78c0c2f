"""Whether the numbers under an answer are what a client's own clock says: TTFT, seconds and tokens/s.

python benchmarks/line.py [--times 20] [--tokens 256] [--turns 0] [--model FOLDER] [vLLM's flags]

One visitor asks again and again, without --model the bundled model, which is kept from ending its answers. The clock
begins when the question is sent; the first text and the last message of the answer are taken when they arrive. The
line's numbers are read from what the page is sent.
"""

import argparse
import asyncio
import json
import re
import statistics
import sys
import time
import uuid
from contextlib import nullcontext
from pathlib import Path

import aiohttp

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.recovery import wait_for_health  # noqa: E402
from benchmarks.release import endless_model  # noqa: E402
from benchmarks.startup import running_app  # noqa: E402
from benchmarks.streaming import history, payload  # noqa: E402

LINE = re.compile(r"([\d,]+) tokens in ([\d.]+) (ms|s) · ([\d,]+) tokens/s · TTFT ([\d.]+) (ms|s)")


async def answer(session: aiohttp.ClientSession, url: str, turns: int, tokens: int) -> dict[str, tuple[float, float]]:
    """One answer: what is measured → what the line says, what the clock says; in ms and tokens/s."""
    async with session.get(f"{url}/config") as response:
        config = await response.json()
    asked = payload("page", config, history(0, turns, str(uuid.uuid4())), tokens)
    names = {"fn_index": asked["fn_index"], "session_hash": uuid.uuid4().hex}
    body = json.dumps({**names, "data": asked["data"]}).encode()
    sent_s = time.monotonic()
    async with session.post(f"{url}/gradio_api/queue/join", data=body) as joined:
        joined.raise_for_status()
    first_s, told = 0.0, ""
    async with session.get(f"{url}/gradio_api/queue/data", params={"session_hash": names["session_hash"]}) as stream:
        async for message in stream.content:
            if not first_s and b'"assistant"' in message:
                first_s = time.monotonic()
            if b"process_completed" in message:
                last_s, told = time.monotonic(), message.decode()
                break
    found = LINE.search(told)
    assert found is not None, told
    num_tokens, total, total_unit, rate, ttft, ttft_unit = found.groups()
    if int(num_tokens) < tokens:
        raise SystemExit(f"The model ended after {num_tokens} of {tokens} tokens: measure with fewer.")
    return {
        "TTFT (ms)": (_ms(ttft, ttft_unit), 1000 * (first_s - sent_s)),
        "whole answer (ms)": (_ms(total, total_unit), 1000 * (last_s - sent_s)),
        "tokens/s": (float(rate.replace(",", "")), (tokens - 1) / (last_s - first_s)),
    }


def _ms(number: str, unit: str) -> float:
    return float(number) * (1 if unit == "ms" else 1000)


async def measure(url: str, times: int, turns: int, tokens: int) -> None:
    """Print the medians of both, and the median of their ratio."""
    async with aiohttp.ClientSession(read_bufsize=1 << 22) as session:
        await wait_for_health(session, url, 200)
        await answer(session, url, turns, tokens)  # not counted: the first of everything is slow
        answers = [await answer(session, url, turns, tokens) for _ in range(times)]
    for name in answers[0]:
        line, clock = zip(*(one[name] for one in answers), strict=True)
        ratio = statistics.median(said / seen for said, seen in zip(line, clock, strict=True))
        print(f"{name:18} line {statistics.median(line):8.1f}   clock {statistics.median(clock):8.1f}   {ratio:.3f}")


def main() -> None:
    """Start the app, measure, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--turns", type=int, default=0)
    parser.add_argument("--model")
    given, flags = parser.parse_known_args()
    with nullcontext(given.model) if given.model else endless_model() as model, running_app(model, *flags) as (url, _):
        asyncio.run(measure(url, given.times, given.turns, given.tokens))


if __name__ == "__main__":
    main()
