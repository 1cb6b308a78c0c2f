"""Whether the numbers under an answer are what a client's own clock says: TTFT, seconds and tokens/s.

python benchmarks/line.py [--times 20] [--tokens 90] [--model FOLDER]

One visitor asks again and again; an answer that ends sooner is not counted, and the bundled model's are short. The
clock begins when the question is sent; the first text and the last message of the answer are taken when they arrive.
The line's numbers are read from what the page is sent.
"""

import argparse
import asyncio
import re
import statistics
import sys
import time
import uuid
from pathlib import Path

import aiohttp

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.recovery import wait_for_health  # noqa: E402
from benchmarks.startup import running_app  # noqa: E402
from benchmarks.streaming import payload  # noqa: E402

LINE = re.compile(r"([\d,]+) tokens in ([\d.]+) (ms|s) · ([\d,]+) tokens/s · TTFT ([\d.]+) (ms|s)")


async def answer(session: aiohttp.ClientSession, url: str, tokens: int) -> dict[str, tuple[float, float]] | None:
    """One answer: what is measured → what the line says, what the clock says; in ms and tokens/s.

    None if the model came to an end before it had that many tokens.
    """
    async with session.get(f"{url}/config") as response:
        config = await response.json()
    asked = payload("page", config, [{"role": "user", "content": f"{uuid.uuid4()}: tell me a story."}], tokens)
    asked["data"][asked["data"].index(0.8)] = 2.0  # at which the bundled model does not come to an end
    names = {"fn_index": asked["fn_index"], "session_hash": uuid.uuid4().hex}
    sent_s = time.monotonic()
    async with session.post(f"{url}/gradio_api/queue/join", json={**names, "data": asked["data"]}) as joined:
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
        return None
    return {
        "TTFT (ms)": (_ms(ttft, ttft_unit), 1000 * (first_s - sent_s)),
        "whole answer (ms)": (_ms(total, total_unit), 1000 * (last_s - sent_s)),
        "tokens/s": (float(rate.replace(",", "")), (tokens - 1) / (last_s - first_s)),
    }


def _ms(number: str, unit: str) -> float:
    return float(number) * (1 if unit == "ms" else 1000)


async def measure(url: str, times: int, tokens: int) -> None:
    """Print the medians of both, and the median of their ratio."""
    async with aiohttp.ClientSession(read_bufsize=1 << 22) as session:
        await wait_for_health(session, url, 200)
        answers: list[dict[str, tuple[float, float]]] = []
        while len(answers) < times:
            if one := await answer(session, url, tokens):
                answers.append(one)
    for name in answers[0]:
        line, clock = zip(*(one[name] for one in answers), strict=True)
        ratio = statistics.median(said / seen for said, seen in zip(line, clock, strict=True))
        print(f"{name:18} line {statistics.median(line):8.1f}   clock {statistics.median(clock):8.1f}   {ratio:.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=90)
    parser.add_argument("--model", default=str(ROOT / "models" / "streamspace-tiny"))
    given = parser.parse_args()
    with running_app(given.model) as (url, _):
        asyncio.run(measure(url, given.times, given.tokens))


if __name__ == "__main__":
    main()
