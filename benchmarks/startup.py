"""How long until a visitor is answered: a bare AsyncLLM script against `python app.py`, in turns, in one run.

python benchmarks/startup.py [--rounds 3] [--model FOLDER] [--page-only] [any flags of vLLM's engine]

Both use the same model and flags, and both end with a sampled token: the script with its first one, the app with the
warm-up that is part of becoming ready. Every round is a fresh process, timed from its start. One round before is not
counted: it warms the disk. With --page-only there is no script, and the app is ended as soon as its page answers.
"""

import argparse
import asyncio
import dataclasses
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "src"))


async def bare(model: str, flags_given: Sequence[str]) -> None:
    """vLLM's own way: arguments, engine, sampling, stream, shutdown. Prints a line at the first token."""
    from streamspace.config import load_config
    from streamspace.engine import set_environment

    config = load_config(["--model", model, *flags_given])
    set_environment(config)

    from streamspace import flags

    args = flags.engine_args(config, Path(model))
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind
    from vllm.v1.engine.async_llm import AsyncLLM

    engine = AsyncLLM.from_engine_args(args)
    try:
        params = SamplingParams(max_tokens=2, temperature=0.8, output_kind=RequestOutputKind.DELTA)
        async for _ in engine.generate("The future of artificial intelligence is", params, "first"):
            print("first token", flush=True)
    finally:
        engine.shutdown()


def time_bare(model: str, flags: Sequence[str]) -> float:
    """Seconds from the start of the bare script to its first token."""
    began = time.monotonic()
    with subprocess.Popen(
        [sys.executable, __file__, "--bare", "--model", model, *flags], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("first token"):
                took = time.monotonic() - began
        if process.wait() != 0:
            raise SystemExit("The bare script failed; its reason stands above.")
    return took


@contextmanager
def running_app(model: str, *options: str, **environ: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """`python app.py` without its log: its address, which may not answer yet, and its process. Ended by SIGTERM."""
    port = free_port()
    command = [sys.executable, str(ROOT / "app.py"), "--model", model, "--port", str(port), *options]
    with running(command, environ) as process:
        yield f"http://127.0.0.1:{port}", process


@contextmanager
def running(
    command: Sequence[str], environ: Mapping[str, str], log: Any = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """A program, with these variables beside those of this process. Ended by SIGTERM."""
    with subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **environ}) as process:
        try:
            yield process
        finally:
            process.terminate()


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def time_app(model: str, flags: Sequence[str], page_only: bool = False) -> tuple[float, float]:
    """Seconds from the start of `python app.py` until the page answers, and until the model is ready."""
    port = free_port()
    url, began = f"http://127.0.0.1:{port}", time.monotonic()
    command = [sys.executable, str(ROOT / "app.py"), "--model", model, "--port", str(port), *flags]
    with subprocess.Popen(command) as process:
        page_s = None
        while process.poll() is None:
            status = status_of(url)
            if status and page_s is None:
                urllib.request.urlopen(f"{url}/").read()
                page_s = time.monotonic() - began
            if status == "ready" or (page_only and status):
                ready_s = time.monotonic() - began
                process.send_signal(signal.SIGTERM)
                break
            time.sleep(0.05)
        process.wait()
    assert page_s is not None
    return page_s, ready_s


def status_of(url: str) -> str | None:
    """What the app's /health says its status is; None where nothing answers yet."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return str(json.load(answer)["status"])
    except urllib.error.HTTPError as error:
        return str(json.load(error)["status"])
    except OSError:
        return None


@dataclasses.dataclass(frozen=True)
class Round:
    bare_s: float
    page_s: float
    ready_s: float


def main() -> None:
    """Measure and print both sides and their ratio."""
    from streamspace.config import BUNDLED_MODEL

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default=str(BUNDLED_MODEL))
    parser.add_argument("--page-only", action="store_true")
    parser.add_argument("--bare", action="store_true", help=argparse.SUPPRESS)
    given, flags = parser.parse_known_args()
    if given.bare:
        asyncio.run(bare(given.model, flags))
        return
    if given.page_only:
        pages_s = [time_app(given.model, flags, page_only=True)[0] for _ in range(given.rounds + 1)][1:]
        print(f"app.py, page answers after {statistics.median(pages_s):.1f} s:", *(f"{each:.2f}" for each in pages_s))
        return
    time_bare(given.model, flags)
    rounds = []
    for number in range(given.rounds):
        rounds.append(Round(time_bare(given.model, flags), *time_app(given.model, flags)))
        print(f"round {number + 1}: {rounds[-1]}", flush=True)
    bare_s, page_s, ready_s = (statistics.median(getattr(r, f.name) for r in rounds) for f in dataclasses.fields(Round))
    print(f"\nmedian of {given.rounds} rounds on {os.cpu_count()} cores, model {Path(given.model).name}")
    print(f"bare AsyncLLM, first token   {bare_s:6.1f} s")
    print(f"app.py, page answers         {page_s:6.1f} s")
    print(f"app.py, model ready          {ready_s:6.1f} s")
    print(f"ready / bare                 {ready_s / bare_s:6.2f}")


if __name__ == "__main__":
    main()
