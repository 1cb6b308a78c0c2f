"""How soon the second start answers, with what the first one kept: the app beside `vllm serve`, by turns, in one run.

python -m benchmarks.second_start --model FOLDER [--rounds 3] [--caches FOLDER] [--with "FLAGS"] [vLLM's flags]

`--with` adds a side: the app with these flags, too. Each side keeps its caches in a folder of its own below `--caches`;
where that is missing, a cold start comes first. A start lasts from the start of the process until a chat completion of
one token is answered. In each round of the app the engine is killed, too, and healing lasts from there until such a
completion is answered again.
"""

import argparse
import json
import shlex
import statistics
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.opponent import vllm_serve
from benchmarks.recovery import engine_processes
from benchmarks.startup import running_app

MOST_S = 600.0
POLL_S = 0.05
Side = Callable[[], AbstractContextManager[tuple[str, "subprocess.Popen[bytes]"]]]


def answers(url: str, body: bytes | None = None) -> bool:
    """Whether this address answers with 200."""
    headers = {"Content-Type": "application/json"}
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers), timeout=60) as answer:
            return bool(answer.status == 200)
    except (urllib.error.HTTPError, OSError):
        return False


def wait_s(began_s: float, is_there: Callable[[], bool]) -> float:
    """Seconds from `began_s` until it is there."""
    while not is_there():
        if time.monotonic() - began_s > MOST_S:
            raise SystemExit("Nothing answered in time.")
        time.sleep(POLL_S)
    return time.monotonic() - began_s


@dataclass(frozen=True)
class Start:
    """One start, in seconds."""

    page_s: float  # until anything answers
    answer_s: float
    healed_s: float = 0.0


def start(side: Side, is_killed: bool) -> Start:
    """Start, wait for an answer, kill the engine if asked to, end."""
    began_s = time.monotonic()
    with side() as (url, process):
        body = json.dumps({"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}).encode()

        def is_answered() -> bool:
            return answers(f"{url}/health") and answers(f"{url}/v1/chat/completions", body)

        page_s = wait_s(began_s, lambda: answers(f"{url}/v1/models") or answers(f"{url}/config"))
        answer_s = wait_s(began_s, is_answered)
        healed_s = 0.0
        if is_killed:
            killed_s = time.monotonic()
            for victim in engine_processes(psutil.Process(process.pid)):
                victim.kill()
            wait_s(killed_s, lambda: not answers(f"{url}/health"))
            healed_s = wait_s(killed_s, is_answered)
        process.terminate()
        process.wait(60)
    return Start(page_s, answer_s, healed_s)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--caches", type=Path)
    parser.add_argument("--with", dest="others", default="", help="flags of a third side, as one word")
    given, flags = parser.parse_known_args()
    with tempfile.TemporaryDirectory() as passing:
        caches: Path = given.caches or Path(passing)
        sides: dict[str, Side] = {
            "serve": lambda: vllm_serve(given.model, flags, VLLM_CACHE_ROOT=str(caches / "serve")),
            "app": lambda: running_app(given.model, *flags, VLLM_CACHE_ROOT=str(caches / "app")),
        }
        if others := shlex.split(given.others):
            sides["other"] = lambda: running_app(given.model, *flags, *others, VLLM_CACHE_ROOT=str(caches / "other"))
        for name, side in sides.items():
            if not (caches / name).exists():
                (caches / name).mkdir(parents=True)
                print(f"{name:5} cold  {start(side, False)}", flush=True)
        rounds: dict[str, list[Start]] = {name: [] for name in sides}
        for _ in range(given.rounds):
            for name, side in sides.items():
                rounds[name].append(start(side, name == "app"))
                print(f"{name:5} again {rounds[name][-1]}", flush=True)
    answer_s = {name: statistics.median(one.answer_s for one in rounds[name]) for name in sides}
    print(f"page {statistics.median(one.page_s for one in rounds['app']):.1f} s,", end=" ")
    print(f"healed {statistics.median(one.healed_s for one in rounds['app']):.1f} s", end=", ")
    print(", ".join(f"{name} {time_s:.1f} s ({time_s / answer_s['serve']:.2f})" for name, time_s in answer_s.items()))


if __name__ == "__main__":
    main()
