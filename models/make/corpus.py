"""Write the training text: a seeded mixture of all generators, as documents or as files of token ids.

    python models/make/corpus.py --folder models/streamspace-tiny --out /tmp/corpus --documents 3000000

Every file part_*.npz holds `ids` (uint16, documents end to end), `lengths` and `given`: how many tokens at the front of
each document are the question, which the model need not learn to say. Combinations that belong to the evaluation are
never drawn (`common.is_held_out`); and a chat that asks what the evaluation asks is left out.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random

import basics
import memory
import numpy as np
import personas
import prose
import serving
import snippets
import stories
import sums
import talk
import tools
import world
from chatml import Document, encode
from common import EN, ZH, Item, use_wide_names
from evaluate import EVALUATION_SEED, LOG_SEED, questions
from tokenizers import Tokenizer

Maker = Callable[[Random, str], Document]


def of(make: Callable[[Random, str], Item]) -> Maker:
    return lambda rng, language: make(rng, language).document


def with_history(rng: Random, language: str) -> Document:
    """An exchange after one to three others on different things, so that the last question counts."""
    last_makers = (talk.make, serving.make, serving.make, sums.make, world.unknown, stories.make)
    last = rng.choice(last_makers)(rng, language).document
    makers = (talk.make, serving.make, sums.make)
    before = [makers[rng.randrange(3)](rng, language).document.turns for _ in range(rng.randint(1, 3))]
    return Document((*(turn for turns in before for turn in turns), *last.turns), last.thought)


# Share of documents. Sums are short and need much repetition; the notions are many.
MIXTURE: tuple[tuple[float, Maker], ...] = (
    (24, of(serving.make)),
    (4, of(serving.brief)),
    (3, of(serving.in_other_language)),
    (3, serving.compare),
    (2, serving.points),
    (1.5, serving.tabulate),
    (2, serving.which),
    (3, serving.follow_up),
    (3, serving.overview),
    (1.5, serving.raw),
    (11, of(talk.make)),
    (16, of(sums.make)),
    (9, of(memory.make)),
    (2, memory.noting),
    (7, of(personas.make)),
    (2, of(personas.as_somebody)),
    (2, of(personas.plain)),
    (5, of(stories.make)),
    (1, stories.raw),
    (3, world.listing),
    (1.5, world.capital),
    (5, of(world.unknown)),
    (8, basics.make),
    (3, snippets.make),
    (6, prose.raw),
    (5, with_history),
    (20, tools.make),
    (7, tools.left_alone),
)
CHINESE_SHARE = 0.45
# For questions that need no thought, when thinking is on.
THOUGHTS = {
    EN: ("I can answer this directly.", "I follow what was asked and keep it short.",
         "Nothing to work out here; I just answer.", "I do as I am told."),
    ZH: ("这个可以直接回答。", "按要求回答，简短一些。", "不用多想，直接说。", "照要求做就好。"),
}  # fmt: skip
PARTS = 32  # each with its own seed, so that the text does not depend on the number of processes


def endless(rng: Random) -> Iterator[Document]:
    weights = [weight for weight, _ in MIXTURE]
    makers = [maker for _, maker in MIXTURE]
    while True:
        make = rng.choices(makers, weights)[0]
        language = ZH if rng.random() < CHINESE_SHARE else EN
        document = make(rng, language)
        if document.turns and document.thought is None and rng.random() < 0.08:
            document = replace(document, thought=rng.choice(THOUGHTS[language]))
        yield document


def documents(seed: int, count: int) -> Iterator[Document]:
    return islice(endless(Random(seed)), count)


def asked(document: Document) -> str:
    return "|".join((*document.tools, *(turn.text for turn in document.turns[:-1]))).lower()


def evaluation_questions() -> set[str]:
    """Return what the evaluation and the training log ask, to be kept out of the training text."""
    return {asked(item.document) for seed in (EVALUATION_SEED, LOG_SEED) for _, item in questions(seed, 1.0)}


def write_part(folder: Path, out: Path, part: int, seed: int, count: int, wide_names: bool) -> tuple[int, int]:
    """Write one file; return its tokens and its distinct documents."""
    use_wide_names(wide_names)
    forbidden = evaluation_questions()
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids: list[np.ndarray] = []
    lengths: list[int] = []
    given: list[int] = []
    made = documents(seed * 1000 + part, count)
    while chunk := list(islice(made, 2000)):
        # Two generators can come upon the same words: such a chat is left out, whatever its side of the split.
        chunk = [document for document in chunk if asked(document) not in forbidden or document.raw]
        for tokens, front in encode(tokenizer, chunk):
            ids.append(np.array(tokens, dtype=np.uint16))
            lengths.append(len(tokens))
            given.append(front)
    sizes, fronts = np.array(lengths, np.int32), np.array(given, np.int32)
    np.savez(out / f"part_{part:03}.npz", ids=np.concatenate(ids), lengths=sizes, given=fronts)
    return sum(lengths), len({hash(tokens.tobytes()) for tokens in ids})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True, help="of the tokenizer")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=3_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--wide-names", action="store_true", help="names of every kind: see the model card")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    parts = PARTS
    jobs = [
        (options.folder, options.out, part, options.seed, options.documents // parts, options.wide_names)
        for part in range(parts)
    ]
    with multiprocessing.Pool(options.processes) as pool:
        totals = pool.starmap(write_part, jobs, chunksize=1)
    total = Counter(tokens=sum(t for t, _ in totals), distinct_documents=sum(d for _, d in totals))
    distinct = total["distinct_documents"]
    print(f"{total['tokens']:,} tokens in {options.documents:,} documents, about {distinct:,} distinct")


if __name__ == "__main__":
    main()
