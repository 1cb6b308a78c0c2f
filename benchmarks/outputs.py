"""What vLLM's output processor spends on a token: with an output of each, and with outputs on demand.

python -m benchmarks.outputs [--users 512] [--tokens 128] [--rounds 5]

Two things are taken away by turns, each with both: outputs that nobody asked for (`vllm_internals.on_demand`), and the
environment variables that vLLM looks up for each token (`vllm_internals.keep_variables`). The engine's process is left
out: its messages are made up here. Every reader fetches an output after each FRAME tokens.
"""

import argparse
import statistics
import time
from contextlib import ExitStack
from itertools import cycle, islice

from transformers import AutoTokenizer
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest
from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector
from vllm.v1.metrics.stats import IterationStats

from benchmarks.scripted import PROSE
from streamspace import vllm_internals
from streamspace.config import BUNDLED_MODEL

FRAME = 30  # tokens
CHUNK = 128  # requests, as vLLM takes them


def us_per_token(users: int, tokens: int, is_on_demand: bool) -> float:
    """Microseconds of this thread for each token of that many answers at once."""
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
    words = list(tokenizer(PROSE)["input_ids"])
    processor = OutputProcessor(tokenizer, log_stats=True)
    queues = []
    for number in range(users):
        params = SamplingParams(max_tokens=tokens + 1, output_kind=RequestOutputKind.DELTA)
        request = EngineCoreRequest(
            f"{number}", [1, 2, 3], None, params, None, 0.0, None, None, None, external_req_id=f"{number}"
        )
        queues.append(RequestOutputCollector(params.output_kind, request.request_id))
        processor.add_request(request, None, None, 0, queues[-1])
    spent_s = 0.0
    with ExitStack() as until_end:
        for number in range(users) if is_on_demand else ():
            until_end.enter_context(vllm_internals.on_demand(processor, f"{number}"))
        for step, word in enumerate(islice(cycle(words), tokens), 1):
            sent = [EngineCoreOutput(f"{number}", [word]) for number in range(users)]
            began_s = time.perf_counter()
            stats = IterationStats()
            for first in range(0, users, CHUNK):
                processor.process_outputs(sent[first : first + CHUNK], time.monotonic(), stats)
            if step % FRAME == 0:
                for queue in queues:
                    assert queue.get_nowait() is not None
            spent_s += time.perf_counter() - began_s
    return 1e6 * spent_s / (users * tokens)


def main() -> None:
    """Measure by turns and print medians."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--users", type=int, default=512)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    ways = [(keeps, is_on_demand) for keeps in (False, True) for is_on_demand in (False, True)]
    rounds: dict[tuple[bool, bool], list[float]] = {way: [] for way in ways}
    for number in range(given.rounds + 1):  # the first is not counted
        for keeps, is_on_demand in ways:
            (vllm_internals.keep_variables if keeps else vllm_internals.forget_variables)()
            spent = us_per_token(given.users, given.tokens, is_on_demand)
            rounds[keeps, is_on_demand] += [spent] if number else []
    usual = statistics.median(rounds[False, False])
    for (keeps, is_on_demand), all_us in rounds.items():
        name = f"{'outputs on demand' if is_on_demand else 'an output a token'}, {'variables kept' if keeps else ''}"
        median = statistics.median(all_us)
        spread = f"({min(all_us):.2f} to {max(all_us):.2f})"
        print(f"{name.rstrip(' ,'):35} {median:5.2f} us a token, {median / usual:.2f}  {spread}")


if __name__ == "__main__":
    main()
