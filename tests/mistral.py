"""A model of Mistral's kind: its own tokenizer, read by mistral-common, and random weights."""

import json
from pathlib import Path

import mistral_common
import torch
from mistral_common.tokens.tokenizers.base import SpecialTokens
from transformers import MistralConfig, MistralForCausalLM

SPECIAL = [token.value for token in SpecialTokens]
# Of text, the first of those that come with mistral-common: 256 bytes and the commonest pieces. With 2,048 in
# all, oneDNN does not ask for AMX's tiles (`streamspace.amx`).
NUM_TOKENS = 2048 - len(SPECIAL)


def write_tokenizer(folder: Path) -> Path:
    """Write a tokenizer with Mistral's marks of a thought into the folder."""
    data = Path(mistral_common.__file__).parent / "data" / "tekken_240911.json"
    tekken = json.loads(data.read_text(encoding="utf-8"))
    tekken["config"] |= {
        "version": "v13",
        "num_vocab_tokens": NUM_TOKENS,
        "default_vocab_size": len(SPECIAL) + NUM_TOKENS,
        "default_num_special_tokens": len(SPECIAL),
    }
    tekken["vocab"] = tekken["vocab"][:NUM_TOKENS]
    tekken["special_tokens"] = [
        {"rank": rank, "token_str": token, "is_control": True} for rank, token in enumerate(SPECIAL)
    ]
    del tekken["image"]
    (folder / "tekken.json").write_text(json.dumps(tekken), encoding="utf-8")
    return folder


def write_model(folder: Path) -> Path:
    """Write a model with random weights into the folder."""
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=NUM_TOKENS + len(SPECIAL),
        hidden_size=256,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=None,
        max_position_embeddings=1024,
        dtype="bfloat16",
    )
    MistralForCausalLM(config).bfloat16().save_pretrained(folder)
    return write_tokenizer(folder)
