"""A model folder with the shape of a Qwen3 and no weights, for vLLM's --load-format dummy: speed needs no sense.

python -m benchmarks.shape FOLDER [0.6B | 8B | sees]

The dimensions are those of the config.json of Qwen/Qwen3-0.6B and Qwen/Qwen3-8B; `sees` is a LLaVA of the first and of
openai/clip-vit-large-patch14-336, with 576 tokens a picture. The tokenizer is the bundled model's, filled up to the
same number of entries with made-up words, so that whatever random weights draw becomes text of the usual length.
"""

import json
import sys
from pathlib import Path

BUNDLED = Path(__file__).parents[1] / "models" / "streamspace-tiny"
SEEING = BUNDLED.with_name("streamspace-tiny-vision")
SHARED = {"vocab_size": 151_936, "num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 40_960}
SHAPES = {
    "0.6B": {
        **SHARED, "hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16
    },
    "8B": {
        **SHARED, "hidden_size": 4096, "intermediate_size": 12_288, "num_hidden_layers": 36, "num_attention_heads": 32,
        "tie_word_embeddings": False,
    },
}  # fmt: skip
CLIP = {
    "hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
    "image_size": 336, "patch_size": 14, "projection_dim": 768,
}  # fmt: skip
ONSETS, VOWELS = "b c d f g h j k l m n p r s t v w z".split(), "aeiou"


def words(count: int) -> list[str]:
    """That many different made-up words of three to five letters, each with the space before it."""
    syllables = [onset + vowel for onset in ONSETS for vowel in VOWELS]
    made = (f"Ġ{a}{b}{c}" for c in ["", *"nrslt", *syllables] for a in syllables for b in syllables)
    return [word for _, word in zip(range(count), made, strict=False)]


def make(folder: Path, shape: str = "0.6B") -> None:
    """Write the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    bundled = SEEING if shape == "sees" else BUNDLED
    config = json.loads((bundled / "config.json").read_text())
    if shape == "sees":
        config["text_config"] |= SHAPES["0.6B"]
        config |= {"vision_config": {**config["vision_config"], **CLIP}, "image_seq_length": 576}
        write_processor(folder)
    else:
        config |= SHAPES[shape]
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    tokenizer = json.loads((bundled / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    vocabulary |= {token["content"]: token["id"] for token in tokenizer["added_tokens"]}
    number = max(vocabulary.values()) + 1
    for word in (word for word in words(2 * SHARED["vocab_size"]) if word not in vocabulary):
        if number == SHARED["vocab_size"]:
            break
        vocabulary[word] = number
        number += 1
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False))
    for name in ("tokenizer_config.json", "chat_template.jinja"):
        (folder / name).write_text((bundled / name).read_text())
    # A safetensors file without tensors: the length of its header, and the header.
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")


def write_processor(folder: Path) -> None:
    """The processor of pictures, for those of CLIP's size."""
    pixels = {"height": CLIP["image_size"], "width": CLIP["image_size"]}
    processor = json.loads((SEEING / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**processor, "size": pixels, "crop_size": pixels}))
    (folder / "processor_config.json").write_text((SEEING / "processor_config.json").read_text())


if __name__ == "__main__":
    make(Path(sys.argv[1]), *sys.argv[2:])
