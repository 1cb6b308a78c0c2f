"""A model folder with the shape of a Qwen and no weights, for vLLM's --load-format dummy: speed needs no sense.

python -m benchmarks.shape FOLDER [0.6B | 8B | sees | VL-3B]

The dimensions are those of the config.json of Qwen/Qwen3-0.6B and Qwen/Qwen3-8B; `sees` is a LLaVA of the first and of
openai/clip-vit-large-patch14-336, with 576 tokens a picture; `VL-3B` is Qwen/Qwen2.5-VL-3B-Instruct, with a token for
each 28 x 28 pixels, which needs torchvision. The tokenizer is the bundled model's, filled up to the same number of
entries with made-up words, so that whatever random weights draw becomes text of the usual length.
"""

import json
import sys
from pathlib import Path
from typing import Any

from tests.families import seeing_template

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
ROPE = {"rope_type": "default", "mrope_section": [16, 24, 24], "rope_theta": 1_000_000.0}
VL = {
    "model_type": "qwen2_5_vl_text",
    "hidden_size": 2048,
    "intermediate_size": 11_008,
    "num_hidden_layers": 36,
    "num_attention_heads": 16,
    "num_key_value_heads": 2,
    "vocab_size": 151_936,
    "max_position_embeddings": 128_000,
    "rms_norm_eps": 1e-6,
    "hidden_act": "silu",
    "tie_word_embeddings": True,
    "rope_parameters": ROPE,
}
VL_TOWER = {
    "depth": 32,
    "hidden_size": 1280,
    "intermediate_size": 3420,
    "num_heads": 16,
    "out_hidden_size": 2048,
    "patch_size": 14,
    "spatial_patch_size": 14,
    "spatial_merge_size": 2,
    "temporal_patch_size": 2,
    "window_size": 112,
    "fullatt_block_indexes": [7, 15, 23, 31],
    "tokens_per_second": 2,
    "in_chans": 3,
    "hidden_act": "silu",
}
VL_TOKENS = {
    "image_token_id": "<|image_pad|>",
    "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>",
    "vision_end_token_id": "<|vision_end|>",
}
VL_PIXELS = {
    "min_pixels": 3136,
    "max_pixels": 12_845_056,
    "patch_size": 14,
    "temporal_patch_size": 2,
    "merge_size": 2,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
}
VL_MARK = "<|vision_start|><|image_pad|><|vision_end|>"  # of a picture in a prompt
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
    elif shape == "VL-3B":
        ids = {name: config[name] for name in ("bos_token_id", "eos_token_id", "pad_token_id") if name in config}
        config = {"model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"]}
        config |= {"dtype": "bfloat16", "tie_word_embeddings": True, "text_config": {**VL, **ids}, **ids}
        config |= {"vision_config": {"model_type": "qwen2_5_vl", **VL_TOWER}}
    else:
        config |= SHAPES[shape]
    tokenizer = json.loads((bundled / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    if shape == "VL-3B":
        config |= add_tokens(tokenizer)
        write_qwens_processor(folder)
    (folder / "config.json").write_text(json.dumps(config, indent=1))
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
    if shape == "VL-3B":
        (folder / "chat_template.jinja").write_text(seeing_template(VL_MARK))
    # A safetensors file without tensors: the length of its header, and the header.
    (folder / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")


def add_tokens(tokenizer: dict[str, Any]) -> dict[str, int]:
    """Give the tokenizer the marks of pictures; returns their ids by the configuration's names."""
    number = 1 + max(*tokenizer["model"]["vocab"].values(), *(token["id"] for token in tokenizer["added_tokens"]))
    ids = dict(zip(VL_TOKENS, range(number, number + len(VL_TOKENS)), strict=True))
    plain = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    tokenizer["added_tokens"] += [{"id": ids[name], "content": text, **plain} for name, text in VL_TOKENS.items()]
    return ids


def write_qwens_processor(folder: Path) -> None:
    """The processor of Qwen2.5-VL."""
    for name, kind in (("", "image"), ("video_", "video")):
        processor = {f"{kind}_processor_type": f"Qwen2VL{kind.title()}Processor", **VL_PIXELS}
        (folder / f"{name}preprocessor_config.json").write_text(json.dumps(processor))
    (folder / "processor_config.json").write_text(json.dumps({"processor_class": "Qwen2_5_VLProcessor"}))


def write_processor(folder: Path) -> None:
    """The processor of pictures, for those of CLIP's size."""
    pixels = {"height": CLIP["image_size"], "width": CLIP["image_size"]}
    processor = json.loads((SEEING / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(json.dumps({**processor, "size": pixels, "crop_size": pixels}))
    (folder / "processor_config.json").write_text((SEEING / "processor_config.json").read_text())


if __name__ == "__main__":
    make(Path(sys.argv[1]), *sys.argv[2:])
