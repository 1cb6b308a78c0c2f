"""What the worst bodies that the limits let in cost those who read answers beside their sender.

python -m benchmarks.bodies [--visitors 16] [--seconds 30] [--context 32768]

The engine is scripted, the visitors are HTTP clients in another process, the sender is in a third. It sends as many
large bodies a second as a Space takes from one address. Each is as large as it may be: what parses slowly, is nested
deep, has halves of characters, many runs of backticks, or many beginnings of tags. First without it, then with it.
"""

import argparse
import http.client
import itertools
import json
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from typing import Any

from benchmarks.scripted import TickingEngine, served, site
from benchmarks.streaming import history, payload, percentile
from benchmarks.visitors import Visit, Visitors, visitors
from streamspace.asgi import BodyLimit
from streamspace.limits import BODIES_A_REQUEST
from streamspace.process import collect_rarely

PER_S = BODIES_A_REQUEST * 30 / 60  # large bodies of one address on a Space
TOKENS_PER_S = 50


def bodies(config: dict[str, Any], limit: BodyLimit) -> Iterator[tuple[str, bytes]]:
    """Yield paths and bodies, each kind in turn, for ever."""
    asked = payload("page", config, history(0, 1, "?"), 100)
    event = next(d for d in config["dependencies"] if d["api_name"] == "_answer")
    chat = next(part["id"] for part in config["components"] if part["props"].get("elem_id") == "chat")
    size = limit.num_bytes - 20_000

    def page(text: str) -> bytes:
        turn = {"role": "user", "content": [{"type": "text", "text": text}]}
        values = [[turn] if i == chat else value for i, value in zip(event["inputs"], asked["data"], strict=True)]
        return json.dumps({"data": values, "fn_index": event["id"], "session_hash": "sender"}).encode()

    many = b'{"data":[' + b"[]," * (limit.num_values - 10) + b"1]}"
    deep = b'{"messages":' + b"[" * 200 + b"{}," * (limit.num_values // 2) + b"{}" + b"]" * 200 + b"}"
    kinds = [
        ("/gradio_api/queue/join", page(("`` `a ``" * size)[: size - 10] + "&amp;")),
        ("/gradio_api/queue/join", page(("<a&lt;" * size)[:size])),
        ("/gradio_api/queue/join", many),
        ("/gradio_api/queue/join", b'{"data":["' + (rb"\ud800\n" * size)[:size] + b'"]}'),
        ("/gradio_api/call/v2/chat", many),
        ("/gradio_api/mcp/", many),
        ("/v1/chat/completions", deep),
    ]
    return itertools.cycle(kinds)


def send(url: str, seconds: float, limit: BodyLimit) -> None:
    """Send bodies and print how many got which status."""
    config = json.load(urllib.request.urlopen(f"{url}/config"))
    statuses: Counter[str] = Counter()
    end_s = time.monotonic() + seconds
    for number, (path, body) in enumerate(bodies(config, limit)):
        time.sleep(max(0.0, end_s - seconds + number / PER_S - time.monotonic()))
        if time.monotonic() > end_s:
            break
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=60)
        headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
        connection.request("POST", path, body, headers)
        statuses[f"{path} {connection.getresponse().status}"] += 1
        connection.close()
    print(json.dumps(statuses))


def probe(url: str, seconds: float) -> None:
    """Ask /health ten times a second and print what each took, in milliseconds."""
    took_ms, end_s = [], time.monotonic() + seconds
    while (began_s := time.monotonic()) < end_s:
        urllib.request.urlopen(f"{url}/health").read()
        took_ms.append(1000 * (time.monotonic() - began_s))
        time.sleep(max(0.0, began_s + 0.1 - time.monotonic()))
    print(json.dumps(took_ms))


class Beside:
    """This script in another process, as `probe` or `send`, which begins when it is told to."""

    def __init__(self, role: str, url: str, given: argparse.Namespace) -> None:
        options = ["--seconds", str(given.seconds), "--context", str(given.context), "--role", role, "--url", url]
        command = [sys.executable, "-m", "benchmarks.bodies", *options]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self._process.stdout.readline()  # it has imported all

    def begin(self) -> None:
        """Tell it to."""
        assert self._process.stdin is not None
        self._process.stdin.write("begin\n")
        self._process.stdin.flush()

    def result(self) -> Any:
        """What it has seen; waits for its end."""
        return json.loads(self._process.communicate()[0])


def measure(
    engine: TickingEngine, url: str, pool: Visitors, given: argparse.Namespace, has_sender: bool
) -> list[float]:
    """The p99 of the gap between frames, of /health and of the loop's lateness, in milliseconds; prints them."""
    config = json.load(urllib.request.urlopen(f"{url}/config"))
    asked = payload("page", config, history(0, 1, "?"), int(TOKENS_PER_S * given.seconds))
    others = [Beside(role, url, given) for role in ("probe", "send" if has_sender else "none")]

    def begin() -> None:
        engine.late_ms.clear()
        for other in others:
            other.begin()

    seen = pool.run("gradio", url, [Visit(0.01 * n, asked) for n in range(given.visitors)], begin)
    late_ms = list(engine.late_ms)
    gaps_ms = [1000 * (b - a) for one in seen for a, b in itertools.pairwise(one.frames_s)]
    health_ms, sent = (other.result() for other in others)
    p99 = [percentile(values, 0.99) for values in (gaps_ms, health_ms, late_ms)]
    name, gap_ms = "with" if has_sender else "without", percentile(gaps_ms, 0.5)
    print(f"{name:8} frame gap p50 {gap_ms:.0f} p99 {p99[0]:.0f} ms, /health p99 {p99[1]:.0f} ms,", end=" ")
    print(f"loop late p99 {p99[2]:.1f} most {max(late_ms):.0f} ms; sent {sent}", flush=True)
    return p99


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visitors", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--context", type=int, default=32_768, help="tokens")
    parser.add_argument("--role", choices=("probe", "send", "none"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    given = parser.parse_args()
    roles = {
        "probe": lambda: probe(given.url, given.seconds),
        "send": lambda: send(given.url, given.seconds, BodyLimit.of(given.context)),
        "none": lambda: print("{}"),
    }
    if given.role:
        print("ready", flush=True)
        sys.stdin.readline()
        roles[given.role]()
        return
    engine = TickingEngine(TOKENS_PER_S)
    engine.max_model_len = given.context
    collect_rarely()  # as the engine does when it is ready
    with served(site(engine)) as url, visitors(1) as pool:
        without, beside_it = (measure(engine, url, pool, given, has_sender) for has_sender in (False, True))
    print(f"frame gap p99 with the sender / without: {beside_it[0] / without[0]:.2f}")


if __name__ == "__main__":
    main()
