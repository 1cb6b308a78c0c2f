"""Ask the model held-out questions, score the answers, and print the scores beside their bars.

    python models/make/evaluate.py --model models/streamspace-tiny --backend vllm
    python models/make/evaluate.py --model models/streamspace-tiny --backend transformers --share 0.2

Names, sums, calls, notions with their phrasings, stories and personas are combinations that the training text leaves
out. `--backend vllm` needs vLLM (the CPU build will do), `transformers` runs on a GPU or a CPU; `--answers` keeps all
answers.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

import memory
import personas
import serving
import stories
import sums
import talk
import tools
import world
from chatml import document_parts
from common import EN, ZH, Item, use_wide_names

if TYPE_CHECKING:
    from vllm import LLM

MAX_TOKENS = 256
EVALUATION_SEED, LOG_SEED = 2026, 7
HAN = re.compile(r"[\u4e00-\u9fff]")
CODE = re.compile(r"```.*?(```|$)|<tool_call>.*?(</tool_call>|$)", re.S)


@dataclass(frozen=True)
class Sampling:
    """How tokens are drawn; temperature 0 takes the likeliest."""

    temperature: float
    top_p: float
    seed: int = 42


@dataclass(frozen=True)
class Answer:
    """What the model wrote."""

    text: str
    ids: tuple[int, ...]
    ended: bool  # by itself, before the limit


class Backend(Protocol):
    def __call__(self, prompts: Sequence[str], sampling: Sampling, max_tokens: int) -> list[Answer]: ...


def questions(seed: int, share: float) -> list[tuple[str, Item]]:
    """Make the held-out questions, each with the name of its score."""
    rng = Random(seed)
    plan: list[tuple[str, int, Callable[[Random, str], Item]]] = [
        ("sums", 400, lambda r, lang: sums.make(r, lang, held_out=True, thinking=False)),
        ("sums with a thought", 100, lambda r, lang: sums.make(r, lang, held_out=True, thinking=True)),
        ("memory", 300, lambda r, lang: memory.make(r, lang, held_out=True)),
        ("notions", 150, lambda r, lang: serving.make(r, lang, held_out=True)),
        ("notions", 150, lambda r, lang: serving.make(r, lang, unseen=True)),
        ("personas and form", 200, lambda r, lang: personas.make(r, lang, held_out=True)),
        ("personas and form", 50, lambda r, lang: serving.brief(r, lang, held_out=True)),
        ("other language", 50, lambda r, lang: serving.in_other_language(r, lang, held_out=True)),
        ("stories", 100, lambda r, lang: stories.make(r, lang, held_out=True)),
        ("small talk", 150, lambda r, lang: talk.make(r, lang, held_out=True)),
        ("calls a tool", 100, lambda r, lang: tools.asked_to_call(r, lang, unseen=False)),
        ("calls, unseen words", 100, lambda r, lang: tools.asked_to_call(r, lang, unseen=True)),
        ("tells the result", 100, lambda r, lang: tools.asked_to_tell(r, lang)),
        ("needs no tool", 100, lambda r, lang: tools.asked_without_need(r, lang)),
        ("does not know", 50, lambda r, lang: world.unknown(r, lang, held_out=True)),
    ]
    made: list[tuple[str, Item]] = []
    for name, count, make in plan:
        for number in range(max(2, round(count * share))):
            made.append((name, make(rng, (EN, ZH)[number % 2])))
    return made


def answer_text(text: str) -> str:
    """Leave out the thought."""
    return text.split("</think>")[-1].strip()


def language_matches(text: str, language: str) -> bool:
    """Judge the language of an answer by its letters; numbers, names and code alone say nothing."""
    plain = CODE.sub("", text)
    han, words = len(HAN.findall(plain)), len(re.findall(r"[A-Za-z]{2,}", plain))
    if han + words < 3:
        return True
    return han > words if language == ZH else han == 0 or words > han


def is_right(item: Item, text: str) -> bool:
    if item.number is not None:
        found = re.findall(r"-?\d+", text.replace(" - ", " minus "))
        return bool(found) and int(found[-1]) == item.number
    low = text.lower()
    if item.any_of and not any(part.lower() in low for part in item.any_of):
        return False
    if item.kind == "sentence" and len(re.findall(r"[.!?](?:\s|$)|[。！？]", text)) != 1:
        return False
    if item.kind == "number only" and text != item.any_of[0]:
        return False
    if item.kind == "start" and not text.startswith(item.must[0]):
        return False
    if item.kind == "end" and not text.endswith(item.must[0]):
        return False
    if item.kind == "system language" and not language_matches(text, item.language):
        return False
    return all(part.lower() in low for part in item.must)


def loops(ids: Sequence[int]) -> bool:
    """Say whether some run of four tokens occurs more than four times."""
    runs = Counter(zip(ids, ids[1:], ids[2:], ids[3:], strict=False))
    return bool(runs) and max(runs.values()) > 4


BARS = {
    "sums": 95.0, "sums with a thought": 95.0, "memory": 95.0, "notions": 95.0, "personas and form": 90.0,
    "calls a tool": 95.0, "tells the result": 95.0, "needs no tool": 95.0,
    "language": 98.0, "ends by itself": 99.0, "no loop": 99.0,
}  # fmt: skip


def score(asked: Sequence[tuple[str, Item]], answers: Sequence[Answer]) -> dict[str, tuple[int, int]]:
    """Count right answers and answers for each score."""
    right: dict[str, list[bool]] = defaultdict(list)
    for (name, item), answer in zip(asked, answers, strict=True):
        text = answer_text(answer.text)
        right[name].append(is_right(item, text))
        right["language"].append(language_matches(text, item.language))
        right["ends by itself"].append(answer.ended)
        right["no loop"].append(not loops(answer.ids))
    return {name: (sum(values), len(values)) for name, values in right.items()}


def table(scores: dict[str, tuple[int, int]], bars: dict[str, float] = BARS) -> str:
    rows = [f"{'score':<22}{'right':>7}{'of':>6}{'%':>8}{'bar':>7}"]
    for name, (right, total) in scores.items():
        percent, bar = 100 * right / total, bars.get(name)
        verdict = "" if bar is None else ("  met" if percent >= bar else "  MISSED")
        rows.append(
            f"{name:<22}{right:>7}{total:>6}{percent:>8.1f}{'' if bar is None else format(bar, '.0f'):>7}{verdict}"
        )
    return "\n".join(rows)


def vllm_engine(model: Path) -> LLM:
    """Make vLLM's offline engine, for many requests at once."""
    import os
    from importlib.util import find_spec

    # The engine in this process and one worker: the quickest start, and enough for a batch.
    os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
    os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    from vllm import LLM

    one_process = "vllm.v1.executor.uniproc_executor.UniProcExecutor"
    # vLLM's own LLaVA cannot be imported without torchvision; transformers' can.
    eyes = "vision_config" in json.loads((model / "config.json").read_text())
    implementation = "transformers" if eyes and find_spec("torchvision") is None else "auto"
    return LLM(str(model), model_impl=implementation, seed=42, max_model_len=2048, enforce_eager=True,
               distributed_executor_backend=one_process)  # fmt: skip


def vllm_backend(model: Path) -> Backend:
    """Answer through vLLM's offline engine."""
    from vllm import SamplingParams

    llm = vllm_engine(model)

    def answer(prompts: Sequence[str], sampling: Sampling, max_tokens: int) -> list[Answer]:
        # vLLM 0.29 on a CPU fails when a request with its own seed is prefilled in pieces ("CPU Generator does not use
        # offset"), which a large batch does; there the engine's own seed has to do.
        seed = sampling.seed if len(prompts) == 1 else None
        params = SamplingParams(
            temperature=sampling.temperature, top_p=sampling.top_p, seed=seed, max_tokens=max_tokens
        )
        outputs = [output.outputs[0] for output in llm.generate(list(prompts), params, use_tqdm=False)]
        return [Answer(out.text, tuple(out.token_ids), out.finish_reason == "stop") for out in outputs]

    return answer


def transformers_backend(model: Path, batch: int = 512) -> Backend:
    """Answer through transformers, in padded batches."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForImageTextToText, PreTrainedTokenizerFast

    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(model), padding_side="left")
    eyes = "vision_config" in json.loads((model / "config.json").read_text())
    kind = AutoModelForImageTextToText if eyes else AutoModelForCausalLM
    network: Any = kind.from_pretrained(str(model), dtype=torch.bfloat16).to(device).eval()
    stops = set(network.generation_config.eos_token_id)

    def one_batch(prompts: Sequence[str], sampling: Sampling, max_tokens: int) -> list[Answer]:
        given = tokenizer(list(prompts), return_tensors="pt", padding=True, return_token_type_ids=False).to(device)
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        how = drawn if sampling.temperature else {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        rows = network.generate(**given, **how, max_new_tokens=max_tokens)[:, given["input_ids"].shape[1] :].tolist()
        answers = []
        for row in rows:
            end = next((i for i, token in enumerate(row) if token in stops), None)
            answers.append(
                Answer(tokenizer.decode(row[:end], skip_special_tokens=True), tuple(row[:end]), end is not None)
            )
        return answers

    def answer(prompts: Sequence[str], sampling: Sampling, max_tokens: int) -> list[Answer]:
        torch.manual_seed(sampling.seed)
        by_length = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        found: dict[int, Answer] = {}
        for start in range(0, len(by_length), batch):
            chosen = by_length[start : start + batch]
            found.update(zip(chosen, one_batch([prompts[i] for i in chosen], sampling, max_tokens), strict=True))
        return [found[i] for i in range(len(prompts))]

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--backend", choices=("vllm", "transformers"), default="vllm")
    parser.add_argument("--share", type=float, default=1.0, help="of the 2,100 questions")
    parser.add_argument("--temperature", type=float, help="default: generation_config.json's")
    parser.add_argument("--top-p", type=float)
    parser.add_argument("--seed", type=int, default=EVALUATION_SEED)
    parser.add_argument(
        "--answers", type=Path, help="write every question and answer to this file, one JSON object a line"
    )
    parser.add_argument("--wide-names", action="store_true", help="ask with names of every kind")
    options = parser.parse_args()
    defaults = json.loads((options.model / "generation_config.json").read_text())
    temperature = defaults["temperature"] if options.temperature is None else options.temperature
    sampling = Sampling(temperature, options.top_p or defaults["top_p"])
    use_wide_names(options.wide_names)
    asked = questions(options.seed, options.share)
    backend = (vllm_backend if options.backend == "vllm" else transformers_backend)(options.model)
    start = time.perf_counter()
    answers = backend([document_parts(item.document)[0] for _, item in asked], sampling, MAX_TOKENS)
    seconds = time.perf_counter() - start
    how = f"temperature {sampling.temperature}, top_p {sampling.top_p}"
    print(f"{len(asked)} questions through {options.backend} in {seconds:.0f} s, {how}")
    print(table(score(asked, answers)))
    if options.answers:
        rows = [
            {"score": name, "kind": item.kind, "right": is_right(item, answer_text(answer.text)),
                "prompt": document_parts(item.document)[0],
             "wanted": item.document.turns[-1].text, "answer": answer.text, "ended": answer.ended}
            for (name, item), answer in zip(asked, answers, strict=True)
        ]  # fmt: skip
        options.answers.write_text(
            "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
