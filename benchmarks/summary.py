"""Whether the numbers under an answer are what a client's own clock says: TTFT, seconds and tokens/s.

python benchmarks/summary.py [--times 20] [--tokens 256] [--turns 0 20] [--model FOLDER] [vLLM's flags]

One visitor asks again and again, in chats with so many earlier turns; without --model the bundled model, which is kept
from ending its answers. The clock begins when the question is sent; the first text and the last message of the answer
are taken when they arrive. The client is Python's own, with blocking sockets: the milliseconds of an asynchronous one
would be in the clock as well. The numbers of the summary are read from what the page is sent.
"""

import argparse
import json
import re
import statistics
import sys
import time
import urllib.request
import uuid
from contextlib import closing, nullcontext
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.release import endless_model  # noqa: E402
from benchmarks.startup import running_app, status_of  # noqa: E402
from benchmarks.streaming import history, payload  # noqa: E402

LINE = re.compile(r"([\d,]+) tokens in ([\d.]+) (ms|s) · ([\d,]+) tokens/s · TTFT ([\d.]+) (ms|s)")
JSON = {"Content-Type": "application/json"}


def answer(url: str, turns: int, tokens: int) -> dict[str, tuple[float, float]]:
    """One answer: what is measured → what the line says, what the clock says; in ms and tokens/s."""
    config = json.load(urllib.request.urlopen(f"{url}/config"))
    asked = payload("page", config, history(0, turns, str(uuid.uuid4())), tokens)
    session = uuid.uuid4().hex
    body = json.dumps({"fn_index": asked["fn_index"], "data": asked["data"], "session_hash": session}).encode()
    with closing(HTTPConnection(url.removeprefix("http://"))) as connection:
        connection.connect()
        sent_s = time.monotonic()
        connection.request("POST", "/gradio_api/queue/join", body, JSON)
        connection.getresponse().read()
        connection.request("GET", f"/gradio_api/queue/data?session_hash={session}")
        first_s, last_s, told = _read(connection.getresponse())
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


def _read(stream: HTTPResponse) -> tuple[float, float, str]:
    """When the first text and the last message came, and that message."""
    first_s = 0.0
    while message := stream.readline():
        if not first_s and b'"assistant"' in message:
            first_s = time.monotonic()
        if b"process_completed" in message:
            return first_s, time.monotonic(), message.decode()
    raise SystemExit("The answer's stream ended before the answer.")


def _ms(number: str, unit: str) -> float:
    return float(number) * (1 if unit == "ms" else 1000)


def wait_until_ready(url: str) -> None:
    """Returns once the model answers; the program ends if it never will."""
    while (status := status_of(url)) != "ready":
        if status == "failed":
            raise SystemExit(f"The engine did not start; {url}/health says why.")
        time.sleep(0.1)


def measure(url: str, times: int, turns: int, tokens: int) -> None:
    """Print the medians of both, and the median of their ratio."""
    print(f"{turns} earlier turns", flush=True)
    answer(url, turns, tokens)  # not counted: the first of everything is slow
    answers = [answer(url, turns, tokens) for _ in range(times)]
    for name in answers[0]:
        line, clock = zip(*(one[name] for one in answers), strict=True)
        ratio = statistics.median(said / seen for said, seen in zip(line, clock, strict=True))
        print(f"{name:18} line {statistics.median(line):8.1f}   clock {statistics.median(clock):8.1f}   {ratio:.3f}")


def main() -> None:
    """Start the app, measure, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--turns", type=int, nargs="+", default=[0, 20])
    parser.add_argument("--model")
    given, flags = parser.parse_known_args()
    with nullcontext(given.model) if given.model else endless_model() as model, running_app(model, *flags) as (url, _):
        wait_until_ready(url)
        for turns in given.turns:
            measure(url, given.times, turns, given.tokens)


if __name__ == "__main__":
    main()
