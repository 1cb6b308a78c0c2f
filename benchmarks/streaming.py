"""Streaming at engine speed: the bare engine, this page, its frames through Gradio's queue, vLLM's OpenAI server.

python -m benchmarks.streaming cpu                       the bundled model on a CPU, about 9 minutes
python -m benchmarks.streaming gpu --model FOLDER ...    any model on a GPU; vLLM's flags pass through
python -m benchmarks.streaming capacity --max-num-seqs 32  as many visitors as places, then twice as many
python -m benchmarks.streaming parallel ...              fewer loads, to compare one GPU with several
python -m benchmarks.streaming burst --gpu-memory-utilization 0.4 ...  all at once, also with chats that no cache has,
                                                         and beside `vllm serve`, in processes of its own
python -m benchmarks.streaming pictures --model FOLDER ...  a model that sees, with a megapixel in each question

One run, one engine, one machine; visitors are real HTTP clients in processes of their own (benchmarks/visitors.py), the
sides are in benchmarks/sides.py. Prints a table and writes all of it as JSON (--out FOLDER), which benchmarks/plot.py
draws.
"""

import argparse
import base64
import io
import json
import os
import random
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.opponent import cpu_flags, vllm_serve, wait_for
from benchmarks.visitors import LEAD_S, Seen, Visit, Visitors, visitors
from streamspace.config import BUNDLED_MODEL
from streamspace.hardware import has_gpu

ROOT = Path(__file__).parents[1]
GRADIO = ("page", "gradio_paced", "per_token")  # which a browser's protocol reads
OPENAI = ("openai", "serve")  # which an OpenAI client reads
IN_ONE = ("raw", *GRADIO, "openai")  # in one process, on one engine
SIDES = (*IN_ONE, "serve")
FAST = ("raw", "page", "gradio_paced", "openai")  # one yield a token would take minutes


@dataclass(frozen=True)
class Cell:
    """One load, put on each of its sides in turn, `rounds` times."""

    users: int
    turns: int  # earlier ones in each chat
    tokens: int  # of each answer
    arrival: str = "burst"  # or "poisson": over about `SPREAD_S` seconds
    sides: Sequence[str] = IN_ONE
    rounds: int = 1
    is_cold: bool = False  # whether no prefix cache has the earlier turns
    pictures: int = 0  # with each question, that nobody has sent before


SPREAD_S = 4.0
PLANS = {
    "cpu": (
        Cell(1, 20, 256, rounds=3),
        Cell(16, 20, 256, rounds=3),
        Cell(64, 20, 256, rounds=3),
        Cell(16, 0, 256),
        Cell(64, 0, 256),
        Cell(16, 20, 256, "poisson", FAST),
    ),
    "capacity": (
        Cell(32, 0, 256, sides=("page",), rounds=3),
        Cell(64, 0, 256, sides=("page",), rounds=3),
    ),
    "gpu": (
        Cell(1, 20, 1024, sides=FAST, rounds=7),
        Cell(64, 20, 1024, sides=FAST, rounds=2),
        Cell(256, 20, 1024, sides=FAST, rounds=2),
        Cell(64, 20, 256, "poisson", FAST, rounds=2),
        Cell(1, 20, 256),
        Cell(64, 20, 256),
        Cell(256, 20, 256),
        Cell(1, 0, 256),
        Cell(64, 0, 256),
        Cell(256, 0, 256),
        Cell(256, 20, 256, "poisson", FAST),
        Cell(512, 20, 1024, sides=FAST),
    ),
    "burst": tuple(
        Cell(users, turns, 256, sides=("raw", "page", "openai", "serve"), rounds=3, is_cold=is_cold)
        for users, turns, is_cold in (
            (1, 20, True),
            (64, 0, False),
            (256, 0, False),
            (512, 0, False),
            (64, 20, True),
            (256, 20, True),
            (64, 20, False),
        )
    ),
    # A model that sees; the bare engine of these benchmarks takes text alone.
    "pictures": tuple(
        Cell(users, 0, 256, sides=("page", "openai", "serve"), rounds=3, is_cold=True, pictures=number)
        for users, number in ((64, 1), (64, 0), (1, 1))
    ),
    # One engine on one GPU, and on several: --tensor-parallel-size 2, --data-parallel-size 2. Of the
    # 8B shape, the last is more than the KV cache of one GPU holds at once.
    "parallel": (
        *(Cell(users, 0, 256, sides=("raw", "page"), rounds=2) for users in (64, 256, 512)),
        Cell(512, 20, 1024, sides=("raw", "page")),
    ),
}


class Server:
    """The process with all sides."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        started = self._answer()
        self.urls: dict[str, str] = started["urls"]
        self.versions: dict[str, str] = started["versions"]
        self._configs: dict[str, Any] = {}

    def ask(self, command: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline():
            if line.startswith(("{", "[")):  # whatever else vLLM may print
                return json.loads(line)
        raise SystemExit("The server ended; its reason stands above.")

    def config(self, side: str) -> Any:
        """What Gradio tells a browser of the page."""
        if side not in self._configs:
            self._configs[side] = json.load(urllib.request.urlopen(f"{self.urls[side]}/config"))
        return self._configs[side]


@contextmanager
def server(arguments: Sequence[str]) -> Iterator[Server]:
    """All sides, from a load of the model to the end of the block."""
    command = [sys.executable, "-m", "benchmarks.sides", *arguments]
    path = os.pathsep.join([str(ROOT), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])])
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": path}
    )
    try:
        yield Server(process)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait(30)


@contextmanager
def opponent(is_asked: bool, arguments: Sequence[str], running: Server) -> Iterator[None]:
    """`vllm serve` beside the other sides, if it is asked, with the same flags; ready when the block begins."""
    if not is_asked:
        yield
        return
    split = argparse.ArgumentParser()
    split.add_argument("--model", default=str(BUNDLED_MODEL))
    given, flags = split.parse_known_args(arguments)
    with vllm_serve(given.model, [*flags, *([] if has_gpu(os.environ) else cpu_flags())]) as (url, process):
        wait_for(url, process)
        running.urls["serve"] = url
        yield


def history(number: int, turns: int, salt: str, is_cold: bool = False) -> list[dict[str, str]]:
    """A visitor's chat, about 45 tokens a turn, and a new question at its end that nobody asked before.

    The earlier turns are those of each run, unless they are to be cold.
    """
    told = []
    visitor = f"{salt}-{number}" if is_cold else number
    for turn in range(turns):
        told.append({"role": "user", "content": f"Visitor {visitor}, question {turn}: what is the sea like today?"})
        told.append({"role": "assistant", "content": "The sea is calm, and the wind comes from the west."})
    return [*told, {"role": "user", "content": f"{salt}: tell me a story about a robot and the sea."}]


def picture(salt: str, side: int = 1000) -> str:
    """A picture of a megapixel as a browser sends it, about as large as a photograph; the salt makes it another."""
    draw = random.Random(salt)
    coarse = Image.frombytes("RGB", (side // 8, side // 8), draw.randbytes(3 * (side // 8) ** 2))
    file = io.BytesIO()
    coarse.resize((side, side)).save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def payload(
    side: str, config: Any, chat: list[dict[str, str]], tokens: int, pictures: Sequence[str] = ()
) -> dict[str, Any]:
    """What a client of this side sends for this chat, with these pictures in its last message."""
    if side == "raw":
        return {"history": chat, "num_tokens": tokens}
    if side in OPENAI:
        wanted = {"max_tokens": tokens, "temperature": 0.8, "top_p": 1.0, "ignore_eos": True, "stream": True}
        parts = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
        last = {"role": "user", "content": [*parts, {"type": "text", "text": chat[-1]["content"]}]}
        return {"messages": [*chat[:-1], last] if pictures else chat, **wanted}
    by_id = {component["id"]: component["props"] for component in config["components"]}
    event = next(d for d in config["dependencies"] if d["api_name"] in ("_answer", "respond"))
    shown = [{**turn, "content": [{"type": "text", "text": turn["content"]}]} for turn in chat[:-1]]
    given = {
        "chat": shown,
        "message": chat[-1]["content"],
        "Attached": {
            "ids": [f"{n}" for n in range(len(pictures))],
            "urls": {f"{n}": u for n, u in enumerate(pictures)},
        },
        "max_tokens": tokens,
        "temperature": 0.8,
        "top_p": 1.0,
        "seed": None,
    }
    labels = [by_id[i].get("elem_id") or by_id[i].get("label") or "" for i in event["inputs"]]
    names = ["Attached" if '"Attached"' in label else label for label in labels]  # its own is to be translated
    data = [given.get(name, by_id[i].get("value")) for name, i in zip(names, event["inputs"], strict=True)]
    outputs = [by_id[i].get("elem_id") for i in event["outputs"]]
    output = outputs.index("live" if "live" in outputs else "chat")
    load = [
        [d["id"], [by_id[i].get("value") for i in d["inputs"]]]
        for d in config["dependencies"]
        if d["backend_fn"] and d["api_name"] in ("follow", "engine_ready")
    ]
    return {"fn_index": event["id"], "data": data, "output": output, "load": load}


@dataclass(frozen=True)
class Result:
    """One side under one load. Times in milliseconds, percentiles over all answers."""

    cell: dict[str, Any]
    side: str
    tokens_per_s: float  # delivered, from the first question to the last text
    ttft_p50: float
    ttft_p99: float
    gap_p50: float  # between two frames of an answer
    gap_p99: float
    frames: float  # an answer
    bytes: float  # an answer, down
    cpu_s_per_1000: float  # CPU seconds of the server's process (without the engine's) for 1,000 tokens


def percentile(values: Sequence[float], share: float) -> float:
    """The value that this share of all does not exceed; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else 0.0


def measure(cell: Cell, side: str, salt: str, running: Server, pool: Visitors) -> Result:
    """Put one load on one side."""
    draw = random.Random(salt)
    gap_s = SPREAD_S / cell.users if cell.arrival == "poisson" else 0.0
    at_s, visits = 0.0, []
    config = running.config(side) if side in GRADIO else None
    for number in range(cell.users):
        chat = history(number, cell.turns, salt, cell.is_cold)
        pictures = [picture(f"{salt}-{number}-{index}") for index in range(cell.pictures)]
        visits.append(Visit(at_s, payload(side, config, chat, cell.tokens, pictures)))
        at_s += draw.expovariate(1 / gap_s) if gap_s else 0.0
    cpu_s: list[float] = []

    def look() -> None:
        cpu_s.append(running.ask({})["cpu_s"])

    if side == "raw":
        given = [{"at_s": visit.at_s, **visit.payload} for visit in visits]
        time.sleep(LEAD_S)  # as the other sides: a GPU that has rested is slower at first
        look()
        seen = [Seen(**one) for one in running.ask({"raw": given})]
    else:
        seen = pool.run("openai" if side in OPENAI else "gradio", running.urls[side], visits, look)
    look()
    return result(cell, side, seen, cpu_s[1] - cpu_s[0])


def result(cell: Cell, side: str, seen: Sequence[Seen], cpu_s: float) -> Result:
    """What the visitors saw, in numbers."""
    num_tokens = cell.users * cell.tokens
    took_s = max(one.frames_s[-1] for one in seen) - min(one.asked_s for one in seen)
    ttft = [1e3 * (one.frames_s[0] - one.asked_s) for one in seen]
    gaps = [1e3 * (b - a) for one in seen for a, b in zip(one.frames_s, one.frames_s[1:], strict=False)]
    gaps = [] if side == "raw" else gaps
    return Result(
        cell={name: value for name, value in asdict(cell).items() if name not in ("sides", "rounds")},
        side=side,
        tokens_per_s=num_tokens / took_s,
        ttft_p50=percentile(ttft, 0.5), ttft_p99=percentile(ttft, 0.99),
        gap_p50=percentile(gaps, 0.5), gap_p99=percentile(gaps, 0.99),
        frames=statistics.mean(len(one.frames_s) for one in seen) if side != "raw" else cell.tokens,
        bytes=statistics.mean(one.num_bytes for one in seen),
        cpu_s_per_1000=1000 * cpu_s / num_tokens,
    )  # fmt: skip


def median(rounds: Sequence[Result]) -> Result:
    """The medians of several rounds of one side."""
    numbers = {
        name: statistics.median(getattr(one, name) for one in rounds)
        for name, value in asdict(rounds[0]).items()
        if isinstance(value, float | int)
    }
    return Result(cell=rounds[0].cell, side=rounds[0].side, **numbers)


def table(results: Sequence[Result]) -> str:
    """All results as text, a line each, with their ratios to the bare engine and to vLLM's server."""
    columns = (
        "users turns tokens arrival side         tokens/s  /raw  /openai  /serve | TTFT p50    p99 |"
        " frame gap p50    p99 | frames  kB/answer  CPU s/1000"
    )
    lines = [columns]
    for one in results:
        cell = one.cell
        peers = {other.side: other.tokens_per_s for other in results if other.cell == cell}
        ratios = [one.tokens_per_s / peers[side] if side in peers else 0 for side in ("raw", *OPENAI)]
        arrival = "cold" if cell["is_cold"] else cell["arrival"]
        lines.append(
            f"{cell['users']:5} {cell['turns']:5} {cell['tokens']:6} {arrival:7} {one.side:12}"
            f"{one.tokens_per_s:9,.0f} {ratios[0]:5.2f} {ratios[1]:8.2f} {ratios[2]:7.2f} |"
            f"{one.ttft_p50:9.0f} {one.ttft_p99:6.0f} |{one.gap_p50:14.0f} {one.gap_p99:6.0f} |"
            f"{one.frames:7.0f} {one.bytes / 1e3:10.1f} {one.cpu_s_per_1000:11.3f}"
        )
    return "\n".join(lines)


def main() -> None:
    """Measure, print and write one plan."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("plan", choices=PLANS)
    parser.add_argument(
        "--processes", type=int, help="for the visitors; 6 for gpu, burst, parallel and pictures, else 1"
    )
    parser.add_argument("--cells", type=int, nargs="+", help="only these of the plan, by number from 0")
    parser.add_argument("--sides", nargs="+", choices=SIDES, help="only these sides")
    parser.add_argument("--rounds", type=int, help="instead of what the plan says")
    parser.add_argument("--out", type=Path, default=Path("."), help="folder for streaming-PLAN.json")
    given, engine_arguments = parser.parse_known_args()
    plan = PLANS[given.plan]
    cells = [plan[number] for number in given.cells or range(len(plan))]
    num_processes = given.processes or (6 if given.plan in ("gpu", "burst", "parallel", "pictures") else 1)
    results: list[Result] = []
    written = given.out / f"streaming-{given.plan}.json"
    sides = [side for side in given.sides or SIDES if any(side in cell.sides for cell in cells)]
    with (
        server(engine_arguments) as running,
        opponent("serve" in sides, engine_arguments, running),
        visitors(num_processes) as pool,
    ):
        print(f"{time.strftime('%Y-%m-%d')} {running.versions}", flush=True)
        for side in sides:  # not counted: the first of everything is slow
            users, pictures = (max(getattr(cell, name) for cell in cells) for name in ("users", "pictures"))
            measure(Cell(min(16, users), 1, 16, pictures=pictures), side, f"warm-{side}", running, pool)
        for number, cell in enumerate(cells):
            # The earlier turns were answered by this engine, so they lie in its prefix cache, if there is room.
            if not cell.is_cold:
                measure(replace(cell, tokens=1), "raw", f"{number}-before", running, pool)
            rounds = [
                [measure(cell, side, f"{number}-{turn}-{side}", running, pool) for side in sides if side in cell.sides]
                for turn in range(given.rounds or cell.rounds)
            ]
            results += [median(of_one_side) for of_one_side in zip(*rounds, strict=True)]
            print(table(results[-len(rounds[0]) :]), flush=True)
            document = {"versions": running.versions, "date": time.strftime("%Y-%m-%d"), "command": sys.argv[1:]}
            written.write_text(json.dumps({**document, "results": [asdict(one) for one in results]}, indent=1))
    print(f"\n{table(results)}\nwritten: {written.name}")


if __name__ == "__main__":
    main()
