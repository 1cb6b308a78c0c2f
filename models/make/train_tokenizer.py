"""Train the byte-level BPE tokenizer on the generated corpus and write the tokenizer's files.

    python models/make/train_tokenizer.py --folder models/streamspace-tiny --documents 60000

Digits and Chinese characters stay single, which helps arithmetic and copying of names; any text round-trips.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from pathlib import Path

import regex as re
from chatml import CHAT_TEMPLATE, END_OF_TEXT, IM_END, SPECIAL_TOKENS, document_parts
from network import Shape, write_json
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

# A Chinese character; a digit; a word with the space before it; signs; line ends; other white space.
PIECES = r"\p{Han}|\p{N}| ?[^\s\p{Han}\p{N}\p{P}\p{S}]+| ?[\p{P}\p{S}]+|[\r\n]+|[^\S\r\n]+(?=\S)|\s+"


def train(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(PIECES), behavior="isolated")
    to_bytes = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, to_bytes])  # type: ignore[assignment]
    tokenizer.decoder = decoders.ByteLevel()  # type: ignore[assignment]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(SPECIAL_TOKENS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return with_visible_thoughts(tokenizer)


def with_visible_thoughts(tokenizer: Tokenizer) -> Tokenizer:
    """Keep the marks of a thought in decoded text, as Qwen3 does: who reads the stream splits it there."""
    state = json.loads(tokenizer.to_str())
    for token in state["added_tokens"]:
        token["special"] = "think" not in token["content"]
    return Tokenizer.from_str(json.dumps(state))


def tokenizer_config(context: int) -> dict[str, object]:
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": context,
        "bos_token": None,
        "eos_token": IM_END,
        "pad_token": END_OF_TEXT,
        "clean_up_tokenization_spaces": False,
        "add_bos_token": False,
        "add_prefix_space": False,
    }


def save(tokenizer: Tokenizer, folder: Path, context: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json.part"))
    write_json(folder / "tokenizer_config.json.part", tokenizer_config(context))
    (folder / "chat_template.jinja.part").write_text(CHAT_TEMPLATE, encoding="utf-8")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (folder / f"{name}.part").rename(folder / name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--documents", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    from corpus import documents

    texts = [part for document in documents(options.seed, options.documents) for part in document_parts(document)]
    # Every Chinese character of the corpus becomes one token, rare or not.
    characters = sorted(set(re.findall(r"\p{Han}", "".join(texts))))
    save(
        train([*texts, *(character * 1000 for character in characters)], Shape.vocabulary),
        options.folder,
        Shape.context,
    )


if __name__ == "__main__":
    main()
