"""Ask the seeing model about held-out pictures, in wordings that no training text has, and print the scores.

    python models/make/evaluate_vision.py --model models/streamspace-tiny-vision --backend vllm
    python models/make/evaluate_vision.py --model models/streamspace-tiny-vision --backend transformers

The first five scores are of 500 pictures, 100 each, and have bars; the others are shown for information. What the model
unlearnt of text is asked by `evaluate.py`, with the same folder.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import looking
from chatml import Turn, prompt_text
from common import EN, ZH
from evaluate import Answer, Sampling, table, vllm_engine
from eyes import IMAGE
from looking import Look, is_right
from pictures import Scene, draw, scene
from PIL import Image
from train_vision import pair_of

SEED, MAX_TOKENS = 2026, 128
BARS = {"shape": 95.0, "colour": 95.0, "count": 95.0, "position": 90.0, "digits": 90.0}
PLAN: tuple[tuple[str, int, str, looking.Maker], ...] = (
    ("shape", 100, "shapes", looking.shape),
    ("colour", 100, "shapes", looking.colour),
    ("count", 100, "shapes", looking.count),
    ("position", 100, "shapes", looking.position),
    ("digits", 100, "number", looking.read),
    ("size", 50, "shapes", looking.size),
    ("yes or no", 50, "shapes", looking.there),
    ("words", 50, "word", looking.read),
    ("bars", 50, "bars", looking.bar),
    ("cannot tell", 50, "shapes", looking.absent),
    ("description", 50, "shapes", looking.describe),
)


@dataclass(frozen=True)
class Asked:
    """One question with its pictures."""

    score: str
    look: Look
    pictures: tuple[Image.Image, ...]

    @property
    def prompt(self) -> str:
        return prompt_text([Turn("user", IMAGE * len(self.pictures) + self.look.question)], False)


def one(rng: Random, score: str, kind: str, make: looking.Maker, language: str) -> Asked:
    """Draw held-out pictures until one fits the question."""
    while True:
        made: Scene = scene(rng, True, kind)
        look = make(rng, made, language, True)
        if look is not None and look.kind == score:
            return Asked(score, look, (draw(rng, made),))


def questions(seed: int) -> list[Asked]:
    """Make the questions; half of them are Chinese."""
    rng = Random(seed)
    asked = [
        one(rng, score, kind, make, (EN, ZH)[number % 2])
        for score, count, kind, make in PLAN
        for number in range(count)
    ]
    for number in range(50):
        pair = pair_of(rng, True)
        look = looking.two(rng, pair, (EN, ZH)[number % 2], True)
        asked.append(Asked(look.kind, look, tuple(draw(rng, s) for s in pair)))
    return asked


Backend = Callable[[Sequence[Asked], Sampling], list[Answer]]


def vllm_backend(model: Path) -> Backend:
    from vllm import SamplingParams

    llm = vllm_engine(model)

    def answer(asked: Sequence[Asked], sampling: Sampling) -> list[Answer]:
        params = SamplingParams(temperature=sampling.temperature, top_p=sampling.top_p, max_tokens=MAX_TOKENS)
        prompts: Any = [{"prompt": a.prompt, "multi_modal_data": {"image": list(a.pictures)}} for a in asked]
        outputs = [output.outputs[0] for output in llm.generate(prompts, params, use_tqdm=False)]
        return [Answer(out.text, tuple(out.token_ids), out.finish_reason == "stop") for out in outputs]

    return answer


def transformers_backend(model: Path, batch: int = 256) -> Backend:
    import torch
    from transformers import AutoModelForImageTextToText, AutoProcessor

    device = "cuda" if torch.cuda.is_available() else "cpu"
    processor: Any = AutoProcessor.from_pretrained(str(model))
    processor.tokenizer.padding_side = "left"
    network: Any = AutoModelForImageTextToText.from_pretrained(str(model), dtype=torch.bfloat16).to(device).eval()
    stops = set(network.generation_config.eos_token_id)

    def some(asked: Sequence[Asked], sampling: Sampling) -> list[Answer]:
        pictures = [list(a.pictures) for a in asked]
        given = processor(text=[a.prompt for a in asked], images=pictures, return_tensors="pt", padding=True)
        given = {name: given[name].to(device) for name in ("input_ids", "attention_mask", "pixel_values")}
        drawn = {"do_sample": True, "temperature": sampling.temperature, "top_p": sampling.top_p, "top_k": 0}
        how = drawn if sampling.temperature else {"do_sample": False, "temperature": None, "top_p": None, "top_k": None}
        rows = network.generate(**given, **how, max_new_tokens=MAX_TOKENS)[:, given["input_ids"].shape[1] :].tolist()
        answers = []
        for row in rows:
            end = next((i for i, token in enumerate(row) if token in stops), None)
            text = processor.tokenizer.decode(row[:end], skip_special_tokens=True)
            answers.append(Answer(text, tuple(row[:end]), end is not None))
        return answers

    def answer(asked: Sequence[Asked], sampling: Sampling) -> list[Answer]:
        torch.manual_seed(sampling.seed)
        return [found for at in range(0, len(asked), batch) for found in some(asked[at : at + batch], sampling)]

    return answer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--backend", choices=("vllm", "transformers"), default="vllm")
    parser.add_argument("--temperature", type=float, help="default: generation_config.json's")
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--answers", type=Path, help="write every question and answer to this file")
    parser.add_argument("--every", type=int, default=1, help="ask only one question in so many, on a slow machine")
    options = parser.parse_args()
    defaults = json.loads((options.model / "generation_config.json").read_text())
    temperature = defaults["temperature"] if options.temperature is None else options.temperature
    sampling = Sampling(temperature, defaults["top_p"])
    asked = questions(options.seed)[:: options.every]
    backend = (vllm_backend if options.backend == "vllm" else transformers_backend)(options.model)
    start = time.perf_counter()
    answers = backend(asked, sampling)
    seconds = time.perf_counter() - start
    print(f"{len(asked)} pictures through {options.backend} in {seconds:.0f} s, temperature {temperature}")
    scores: dict[str, list[bool]] = defaultdict(list)
    for a, found in zip(asked, answers, strict=True):
        scores[a.score].append(is_right(a.look, found.text))
        scores["ends by itself"].append(found.ended)
    print(table({name: (sum(values), len(values)) for name, values in scores.items()}, BARS))
    if options.answers:
        rows = [
            {"score": a.score, "right": is_right(a.look, found.text), "question": a.look.question,
             "wanted": a.look.answer, "answer": found.text}
            for a, found in zip(asked, answers, strict=True)
        ]  # fmt: skip
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        options.answers.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
