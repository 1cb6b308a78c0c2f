"""What /v1 delivers beside `vllm serve`: tokens/s to users who all ask at once, both servers in turn.

python -m benchmarks.openai_api [--users 64] [--turns 20] [--tokens 256] [--rounds 5] [--model FOLDER] [vLLM's flags]

Both run all the time, each in processes of its own, with the same flags, and only one is asked at a time. On one GPU
give each less than half of its memory: --gpu-memory-utilization 0.4.
"""

import argparse
import os
import statistics

from benchmarks.opponent import cpu_flags, vllm_serve, wait_for
from benchmarks.startup import running_app
from benchmarks.streaming import Cell, Result, history, payload, result
from benchmarks.visitors import Visit, Visitors, visitors
from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.engine import set_environment
from streamspace.hardware import has_gpu


def run(cell: Cell, url: str, pool: Visitors, salt: str) -> Result:
    """One round of one server."""
    chats = (history(number, cell.turns, salt) for number in range(cell.users))
    seen = pool.run("openai", url, [Visit(0.0, payload("openai", None, chat, cell.tokens)) for chat in chats])
    return result(cell, "openai", seen, 0.0)


def main() -> None:
    """Start both, ask them in turn, print each round and the ratio of the medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=64)
    parser.add_argument("--turns", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default=str(BUNDLED_MODEL))
    given, flags = parser.parse_known_args()
    set_environment(load_config(("--model", given.model)))  # for both
    theirs = [*flags, *([] if has_gpu(os.environ) else cpu_flags())]
    cell = Cell(given.users, given.turns, given.tokens)
    with running_app(given.model, *flags) as ours, vllm_serve(given.model, theirs) as vllm, visitors(2) as pool:
        servers = {"vllm serve": vllm[0], "/v1 here": ours[0]}
        for url, process in (vllm, ours):
            wait_for(url, process)
            run(cell, url, pool, f"warm-up of {url}")
        rates: dict[str, list[float]] = {name: [] for name in servers}
        for number in range(given.rounds):
            # Each begins as often as the other.
            for name, url in list(servers.items())[:: 1 if number % 2 else -1]:
                one = run(cell, url, pool, f"round {number}")
                rates[name].append(one.tokens_per_s)
                print(
                    f"round {number + 1} {name:10} {one.tokens_per_s:9,.0f} tokens/s, TTFT p50 {one.ttft_p50:6.0f} ms, "
                    f"p99 {one.ttft_p99:6.0f} ms, frames {one.frames:5.0f}",
                    flush=True,
                )
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"{given.users} users, {given.turns} turns, {given.tokens} tokens: /v1 here is ", end="")
    print(f"{medians['/v1 here'] / medians['vllm serve']:.3f} of vllm serve (medians of {given.rounds} rounds)")


if __name__ == "__main__":
    main()
