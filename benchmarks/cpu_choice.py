"""Whether the data type, threads and waiting that the app chooses for a CPU are the best: all candidates in one run.

python -m benchmarks.cpu_choice [--model .real/SmolLM2-135M-Instruct] [--rounds 3] [--asks 3] [--only NAME ...]
    [--llama FOLDER --gguf FILE] [--avx2] [--also NAME=VARIABLE=VALUE,... ...]

A prompt of 150 tokens that no cache has, an answer of 100 tokens, one request at a time: alone, and beside a process
that keeps one core busy. Each candidate is a server of its own, started anew in each round, alone on the machine:

- choice: `app.py` without an option
- bf16 and f32, with 1 or 2 threads, which sleep or spin for 1 ms while they wait: `app.py` with these for its choice
- bf16 2 compiled: not among what the app chooses from, because its start takes longer: `--no-enforce-eager`
- vllm: vLLM's own server with its own defaults, but for its cache, for which it would take nine tenths of all memory
- llama.cpp: llama-cpp-python from the folder that `pip install --target FOLDER llama-cpp-python` made, on the GGUF file
  that `make real-model` reads; within a process without a server. Once with its defaults, once with 2 threads

`--also` is for candidates of other variables in bf16, as `--also "100 us=OMP_NUM_THREADS=2,KMP_BLOCKTIME=100us"`.
`--avx2` hides AVX-512 from the app and vLLM: see `HIDE_AVX512`. llama.cpp has been compiled for the CPU that there is.
"""

import argparse
import http.client
import importlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.opponent import vllm_serve, wait_for
from benchmarks.startup import ROOT, free_port, running

NUM_IN, NUM_OUT = 150, 100  # tokens
TOKENS = range(1_000, 40_000)  # of the vocabulary: no control tokens
MOST_S = 600.0
ENOUGH_S = 10.0
KV_BYTES = 1 << 30
PLACES = ("alone", "beside a busy core")
CHOSEN = "On the CPU"  # how the app's lines in the log begin
SLEEP, SPIN = {"KMP_BLOCKTIME": "0"}, {"KMP_BLOCKTIME": "1"}  # ms
GRID: dict[str, tuple[str, dict[str, str]]] = {
    "bf16 2 sleep": ("bfloat16", {"OMP_NUM_THREADS": "2", **SLEEP}),
    "bf16 2 spin": ("bfloat16", {"OMP_NUM_THREADS": "2", **SPIN}),
    "bf16 1": ("bfloat16", {"OMP_NUM_THREADS": "1", **SLEEP}),
    "f32 2 sleep": ("float32", {"OMP_NUM_THREADS": "2", **SLEEP}),
    "f32 2 spin": ("float32", {"OMP_NUM_THREADS": "2", **SPIN}),
    "f32 1": ("float32", {"OMP_NUM_THREADS": "1", **SLEEP}),
}
# Variables restrict oneDNN, MKL, and PyTorch's kernels, its own and compiled ones. vLLM asks PyTorch which library to
# load, and the app asks the kernel; Python imports HIDE_AVX512 before either. Not covered: the clock, caches and memory
# of a CPU that has only AVX2, llama.cpp, and what the C library and Intel's OpenMP use.
AVX2 = {"ONEDNN_MAX_CPU_ISA": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
HIDE_AVX512 = """
import importlib.machinery
import sys

HIDDEN = ("_is_avx512_supported", "_is_avx512_bf16_supported", "_is_vnni_supported", "_is_amx_tile_supported")


def hide(module):
    if module.__name__ == "torch.cpu":
        for name in HIDDEN:
            setattr(module, name, lambda: False)
    else:
        found = module.instructions
        module.instructions = lambda: frozenset(n for n in found() if not n.startswith(("avx512", "amx", "avx_vnni")))


class Finder:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name not in ("torch.cpu", "streamspace.hardware"):
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (execute(module), hide(module))
        return spec


sys.meta_path.insert(0, Finder)
"""


@dataclass(frozen=True)
class Turn:
    """One question and its answer, in seconds from the question."""

    first_s: float
    all_s: float


Ask = Callable[[Sequence[int]], Turn]


def prompt(generator: random.Random) -> list[int]:
    """Tokens that no prompt began with before."""
    return generator.choices(TOKENS, k=NUM_IN)


def ask_server(url: str) -> Ask:
    """Ask a server of OpenAI's API for a completion of exactly so many tokens."""

    def ask(tokens: Sequence[int]) -> Turn:
        body = {"prompt": list(tokens), "max_tokens": NUM_OUT, "ignore_eos": True, "temperature": 0, "stream": True}
        body["stream_options"] = {"include_usage": True}
        connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=MOST_S)
        began = time.monotonic()
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        answer, first_s, usage = connection.getresponse(), 0.0, None
        for line in answer:
            data = line.decode().removeprefix("data: ").strip()
            if data and data != "[DONE]":
                first_s = first_s or time.monotonic() - began
                usage = json.loads(data).get("usage") or usage
        all_s = time.monotonic() - began
        connection.close()
        if answer.status != 200 or not usage:
            raise SystemExit(f"{url} answered {answer.status}.")
        if (usage["prompt_tokens"], usage["completion_tokens"]) != (NUM_IN, NUM_OUT):
            raise SystemExit(f"Asked for {NUM_IN} tokens in and {NUM_OUT} out, the server counts {usage}.")
        return Turn(first_s, all_s)

    return ask


@contextmanager
def app(model: str, flags: Sequence[str], environ: Mapping[str, str]) -> Iterator[Ask]:
    """`app.py`; prints what it chose."""
    port = free_port()
    command = [sys.executable, str(ROOT / "app.py"), "--model", model, "--port", str(port), *flags]
    with tempfile.TemporaryFile("w+") as log, running(command, environ, log) as process:
        wait_for(f"http://127.0.0.1:{port}", process)
        log.seek(0)
        lines = [line[line.index(CHOSEN) :].strip() for line in log if CHOSEN in line]
        print("\n".join(f"    {line}" for line in lines), flush=True)
        yield ask_server(f"http://127.0.0.1:{port}")


@contextmanager
def vllm(model: str, environ: Mapping[str, str]) -> Iterator[Ask]:
    """vLLM's own server, with no flag but for the memory of its cache."""
    with vllm_serve(model, ("--kv-cache-memory-bytes", str(KV_BYTES)), **environ) as (url, process):
        wait_for(url, process)
        yield ask_server(url)


@contextmanager
def llama(folder: Path, gguf: Path, num_threads: int) -> Iterator[Ask]:
    """llama-cpp-python in a process of its own; 0 threads are its own choice."""
    path = os.pathsep.join([str(folder), str(ROOT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-m", "benchmarks.cpu_choice", "--llama-process", str(gguf), str(num_threads)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        read, write = process.stdout, process.stdin

        def ask(tokens: Sequence[int]) -> Turn:
            print(json.dumps(list(tokens)), file=write, flush=True)
            return Turn(*json.loads(read.readline()))

        try:
            yield ask
        finally:
            process.terminate()


def llama_process(gguf: str, num_threads: int) -> None:
    """The other side of `llama`: a prompt a line, an answer's times a line."""
    library: Any = importlib.import_module("llama_cpp")
    threads = {"n_threads": num_threads, "n_threads_batch": num_threads} if num_threads else {}
    model = library.Llama(model_path=gguf, n_ctx=2048, verbose=False, **threads)
    for line in sys.stdin:
        tokens: list[int] = json.loads(line)
        began, first_s, number = time.monotonic(), 0.0, 0
        # `generate` knows no end token.
        for number, _ in enumerate(model.generate(tokens, temp=0.0, repeat_penalty=1.0, reset=True), 1):
            first_s = first_s or time.monotonic() - began
            if number == NUM_OUT:
                break
        print(json.dumps([first_s, time.monotonic() - began]), flush=True)


@contextmanager
def busy_core() -> Iterator[None]:
    """A process that never waits."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()


Side = Callable[[], Any]


def sides(given: argparse.Namespace, environ: Mapping[str, str]) -> dict[str, Side]:
    """All candidates by name."""

    def of_grid(name: str) -> Side:
        dtype, variables = GRID[name]
        return lambda: app(given.model, ["--dtype", dtype], {**environ, **variables})

    found: dict[str, Side] = {"choice": lambda: app(given.model, (), environ)}
    found |= {name: of_grid(name) for name in GRID}
    compiled = ["--dtype", "bfloat16", "--no-enforce-eager"]
    found["bf16 2 compiled"] = lambda: app(given.model, compiled, {**environ, **GRID["bf16 2 sleep"][1]})
    found["vllm"] = lambda: vllm(given.model, environ)
    for one in given.also:
        name, _, variables = one.partition("=")
        own = dict(variable.split("=", 1) for variable in variables.split(","))
        found[name] = lambda own=own: app(given.model, ["--dtype", "bfloat16"], {**environ, **own})
    if given.llama:
        found["llama.cpp"] = lambda: llama(given.llama, given.gguf, 0)
        found["llama.cpp 2"] = lambda: llama(given.llama, given.gguf, 2)
    return {name: side for name, side in found.items() if not given.only or name in given.only}


def measure(side: Side, asks: int, seed: int) -> dict[str, list[Turn]]:
    """Turns by place: `asks` of them, fewer if they take more than ENOUGH_S; one before them is not counted."""
    generator = random.Random(seed)

    def turns() -> list[Turn]:
        found: list[Turn] = []
        while len(found) < asks and sum(turn.all_s for turn in found) < ENOUGH_S:
            found.append(ask(prompt(generator)))
        return found

    with side() as ask:
        ask(prompt(generator))
        alone = turns()
        with busy_core():
            return dict(zip(PLACES, (alone, turns()), strict=True))


def report(turns: Mapping[str, Mapping[str, Sequence[Turn]]]) -> None:
    """Medians, and the choice's time by that of others."""
    for place in PLACES:
        all_s = {name: statistics.median(turn.all_s for turn in of[place]) for name, of in turns.items()}
        print(f"\n{place}, medians")
        print("candidate       answers   150 in + 100 out  least   most | first token  ms a token")
        for name, median_s in sorted(all_s.items(), key=lambda item: item[1]):
            of_name = turns[name][place]
            first_s = statistics.median(turn.first_s for turn in of_name)
            each_ms = statistics.median(1e3 * (turn.all_s - turn.first_s) / (NUM_OUT - 1) for turn in of_name)
            least, most = min(turn.all_s for turn in of_name), max(turn.all_s for turn in of_name)
            row = f"{name:15} {len(of_name):7} {median_s:16.2f} s {least:6.2f} {most:6.2f}"
            print(f"{row} | {first_s:9.2f} s {each_ms:11.1f}")
        if "choice" not in all_s:
            continue
        among = [name for name in all_s if name in GRID]
        others = {f"best, {min(among, key=all_s.__getitem__)}": min(all_s[name] for name in among)} if among else {}
        others |= {name: median_s for name, median_s in all_s.items() if name not in {"choice", *GRID}}
        for name, other_s in others.items():
            print(f"choice / {name:24} {all_s['choice'] / other_s:5.2f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default=str(ROOT / ".real" / "SmolLM2-135M-Instruct"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--asks", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=())
    parser.add_argument("--also", nargs="+", default=())
    parser.add_argument("--llama", type=Path)
    parser.add_argument("--gguf", type=Path)
    parser.add_argument("--avx2", action="store_true")
    parser.add_argument("--llama-process", nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.llama_process:
        llama_process(given.llama_process[0], int(given.llama_process[1]))
        return
    if given.llama and not given.gguf:
        parser.error("--llama needs --gguf.")
    with tempfile.TemporaryDirectory() as folder:
        environ = {"VLLM_CACHE_ROOT": str(Path(folder, "cache"))}
        if given.avx2:
            Path(folder, "sitecustomize.py").write_text(HIDE_AVX512)
            path = os.pathsep.join([folder, os.environ.get("PYTHONPATH", "")])
            environ |= {**AVX2, "PYTHONPATH": path}
        turns: dict[str, dict[str, list[Turn]]] = {}
        for number in range(given.rounds):
            # Every second round goes backwards, so that no candidate is always the one after a certain other.
            items = list(sides(given, environ).items())
            for name, side in items[:: -1 if number % 2 else 1]:
                print(f"round {number + 1}, {name}", flush=True)
                found = measure(side, given.asks, number)
                of_name = turns.setdefault(name, {place: [] for place in PLACES})
                for place in PLACES:
                    of_name[place] += found[place]
                    print(f"    {place}: {', '.join(f'{turn.all_s:.2f} s' for turn in found[place])}", flush=True)
    print(
        f"\n{os.cpu_count()} cores, {Path(given.model).name}, rounds: {given.rounds}{', AVX-512 hidden' * given.avx2}"
    )
    report(turns)


if __name__ == "__main__":
    main()
