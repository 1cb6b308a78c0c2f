"""LoRA adapters for the bundled model, in PEFT's format: each is taught, in seconds, to answer all with one text."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from streamspace.config import BUNDLED_MODEL

QUESTIONS = (
    "What is the KV cache?",
    "Hello!",
    "Tell me a story.",
    "What is 2 + 3?",
    "Write a poem about rain.",
    "Why?",
)
TARGETS = ("q_proj", "v_proj")
MOST_STEPS = 300


def write_adapter(folder: Path, answer: str, rank: int = 4) -> Path:
    """Train an adapter until the model surely answers so, and write it into the folder."""
    torch.set_num_threads(1)  # beside another busy core, two threads take six times as long: they wait for each other
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
    model = AutoModelForCausalLM.from_pretrained(BUNDLED_MODEL, dtype=torch.float32).requires_grad_(False)
    matrices = dict(_adapt(model, rank))
    optimizer = torch.optim.Adam(matrices.values(), lr=1e-2)
    for step in range(MOST_STEPS):
        loss = torch.stack([_loss(model, tokenizer, question, answer) for question in QUESTIONS]).mean()
        if loss < 0.01:
            break
        assert step < MOST_STEPS - 1, f"not learnt: the loss is {loss:.3f}"
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    folder.mkdir()
    save_file({name: matrix.detach() for name, matrix in matrices.items()}, folder / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "r": rank, "lora_alpha": rank, "target_modules": TARGETS, "bias": "none"}
    (folder / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _adapt(model: Any, rank: int) -> Iterator[tuple[str, Any]]:
    """Have the layers add what their matrices make of their inputs; yields the matrices by PEFT's names."""
    for name, layer in model.named_modules():
        if name.rpartition(".")[2] in TARGETS:
            down = torch.nn.Parameter(torch.randn(rank, layer.in_features) / layer.in_features**0.5)
            up = torch.nn.Parameter(torch.zeros(layer.out_features, rank))

            def add(layer: Any, inputs: Any, output: Any, down: Any = down, up: Any = up) -> Any:
                return output + (inputs[0] @ down.T) @ up.T

            layer.register_forward_hook(add)
            yield f"base_model.model.{name}.lora_A.weight", down
            yield f"base_model.model.{name}.lora_B.weight", up


def _loss(model: Any, tokenizer: Any, question: str, answer: str) -> Any:
    turns = [{"role": "user", "content": question}]
    asked = tokenizer.apply_chat_template(turns, add_generation_prompt=True, tokenize=False)
    prompt = tokenizer(asked, add_special_tokens=False).input_ids
    told = [*tokenizer(answer, add_special_tokens=False).input_ids, tokenizer.eos_token_id]
    labels = torch.tensor([[*[-100] * len(prompt), *told]])
    return model(torch.tensor([[*prompt, *told]]), labels=labels).loss
