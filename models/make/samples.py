"""Print, as Markdown for the model card, what the model writes through vLLM: three raw prompts and twenty questions.

    python models/make/samples.py --model models/streamspace-tiny

The raw prompts are those of vLLM's streaming example, at temperature 0.8, top_p 0.95, seed 42 and 100 tokens; the
questions come from twenty_questions.txt and are asked with generation_config.json's sampling and seed 42.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

from chatml import Turn, prompt_text
from evaluate import MAX_TOKENS, Backend, Sampling, vllm_backend

PROMPTS = ("The future of artificial intelligence is", "In a galaxy far, far away", "The key to happiness is")


def print_continuations(answer: Backend) -> None:
    for prompt in PROMPTS:
        (found,) = answer([prompt], Sampling(0.8, 0.95, 42), 100)
        end = "its own end" if found.ended else "cut at the limit"
        print(f"> **{prompt}**{found.text}\n\n({len(found.ids)} tokens, {end})\n")


def print_answers(answer: Backend, sampling: Sampling) -> None:
    lines = (Path(__file__).parent / "twenty_questions.txt").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate((line for line in lines if not line.startswith("#")), 1):
        turns: list[Turn] = []
        for question in line.split(" / "):
            turns.append(Turn("user", question))
            (found,) = answer([prompt_text(turns, thinking=False)], sampling, MAX_TOKENS)
            turns.append(Turn("assistant", found.text))
        said = "\n\n".join(f"**{turn.text}**" if turn.role == "user" else turn.text for turn in turns)
        print(f"{number}. " + said.replace("\n", "\n   ") + "\n")


def print_speed(answer: Backend) -> None:
    """Measure one stream: the prompt is short, so nearly all of the time is decoding."""
    start = time.perf_counter()
    tokens = sum(len(answer([prompt], Sampling(0.8, 0.95, 42), 100)[0].ids) for prompt in PROMPTS * 3)
    print(f"One stream: {tokens / (time.perf_counter() - start):.0f} tokens/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    options = parser.parse_args()
    defaults = json.loads((options.model / "generation_config.json").read_text())
    answer = vllm_backend(options.model)
    print_continuations(answer)
    print_answers(answer, Sampling(defaults["temperature"], defaults["top_p"]))
    print_speed(answer)


if __name__ == "__main__":
    main()
