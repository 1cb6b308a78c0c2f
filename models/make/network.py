"""The network: Qwen3's shape in plain PyTorch, under Hugging Face's names, so that its state dict is the checkpoint.

It trains on several documents laid end to end; attention stays inside each document.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from inspect import signature
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """The sizes of the network; the defaults make 4.5 million parameters, 9.0 MB in bf16."""

    vocabulary: int = 5120
    hidden: int = 192
    layers: int = 8
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    intermediate: int = 512
    context: int = 2048
    rope_theta: float = 10_000.0
    epsilon: float = 1e-6


@dataclass(frozen=True)
class Layout:
    """Where the documents of one packed row of tokens begin and end."""

    positions: Tensor  # [tokens], from 0 in each document
    starts: Tensor  # [documents + 1], int32, padded at the end with the number of tokens
    longest: int


class Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        query, key = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        self.q_proj = nn.Linear(shape.hidden, query, bias=False)
        self.k_proj = nn.Linear(shape.hidden, key, bias=False)
        self.v_proj = nn.Linear(shape.hidden, key, bias=False)
        self.o_proj = nn.Linear(query, shape.hidden, bias=False)
        self.q_norm = nn.RMSNorm(shape.head_dim, eps=shape.epsilon)
        self.k_norm = nn.RMSNorm(shape.head_dim, eps=shape.epsilon)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], layout: Layout) -> Tensor:
        tokens, dim = x.shape[0], self.shape.head_dim
        q = rotate(self.q_norm(self.q_proj(x).view(tokens, -1, dim)), rotation)
        k = rotate(self.k_norm(self.k_proj(x).view(tokens, -1, dim)), rotation)
        v = self.v_proj(x).view(tokens, -1, dim)
        groups = self.shape.heads // self.shape.kv_heads
        k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        return self.o_proj(attend(q, k, v.to(q.dtype), layout).reshape(tokens, -1))


class MLP(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.up_proj = nn.Linear(shape.hidden, shape.intermediate, bias=False)
        self.down_proj = nn.Linear(shape.intermediate, shape.hidden, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))
        return out


class Layer(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(shape.hidden, eps=shape.epsilon)
        self.self_attn = Attention(shape)
        self.post_attention_layernorm = nn.RMSNorm(shape.hidden, eps=shape.epsilon)
        self.mlp = MLP(shape)

    def forward(self, x: Tensor, rotation: tuple[Tensor, Tensor], layout: Layout) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x), rotation, layout)
        out: Tensor = x + self.mlp(self.post_attention_layernorm(x))
        return out


class Decoder(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(shape.vocabulary, shape.hidden)
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.hidden, eps=shape.epsilon)


class Network(nn.Module):
    """Token ids, laid end to end, to logits; the embedding is also the output matrix."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.model = Decoder(shape)
        for name, parameter in self.named_parameters():
            if parameter.ndim == 2:
                scale = 0.02 if "embed" in name else parameter.shape[1] ** -0.5
                nn.init.normal_(parameter, std=scale)

    def forward(self, tokens: Tensor, layout: Layout) -> Tensor:
        rotation = rope(layout.positions, self.shape)
        x = self.model.embed_tokens(tokens)
        for layer in self.model.layers:
            x = layer(x, rotation, layout)
        return F.linear(self.model.norm(x), self.model.embed_tokens.weight)


def rope(positions: Tensor, shape: Shape) -> tuple[Tensor, Tensor]:
    half = torch.arange(0, shape.head_dim, 2, device=positions.device, dtype=torch.float32) / shape.head_dim
    angle = positions[:, None].float() * shape.rope_theta**-half
    angle = torch.cat((angle, angle), dim=-1)[:, None, :]  # [tokens, 1, head_dim]
    return angle.cos(), angle.sin()


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    cos, sin = rotation
    first, second = x.chunk(2, dim=-1)
    return (x * cos + torch.cat((-second, first), dim=-1) * sin).to(torch.bfloat16 if x.is_cuda else x.dtype)


@cache
def packed_attention() -> Callable[..., Tensor]:
    """Return PyTorch's attention for packed documents, set to causal."""
    from torch.nn.attention.varlen import varlen_attn

    # PyTorch 2.10 says it with a flag, later versions with a window: everything before, nothing after.
    is_flag = "is_causal" in signature(varlen_attn).parameters
    return partial(varlen_attn, **({"is_causal": True} if is_flag else {"window_size": (-1, 0)}))


def attend(q: Tensor, k: Tensor, v: Tensor, layout: Layout) -> Tensor:
    """Causal attention inside each document; q, k, v are [tokens, heads, head_dim]."""
    if q.is_cuda:
        out: Tensor = packed_attention()(q, k, v, layout.starts, layout.starts, layout.longest, layout.longest)
        return out
    # The slow way, for trials without a GPU: one large mask.
    document = torch.searchsorted(layout.starts, torch.arange(len(q), device=q.device), right=True)
    mask = (document[:, None] == document[None, :]).tril()
    q, k, v = (t.transpose(0, 1).unsqueeze(0) for t in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask).squeeze(0).transpose(0, 1)


def config_json(shape: Shape, eos: int, pad: int) -> dict[str, Any]:
    """Return the config.json that vLLM and transformers read."""
    return {
        "architectures": ["Qwen3ForCausalLM"],
        "model_type": "qwen3",
        "vocab_size": shape.vocabulary,
        "hidden_size": shape.hidden,
        "intermediate_size": shape.intermediate,
        "num_hidden_layers": shape.layers,
        "num_attention_heads": shape.heads,
        "num_key_value_heads": shape.kv_heads,
        "head_dim": shape.head_dim,
        "max_position_embeddings": shape.context,
        "rope_theta": shape.rope_theta,
        "rope_parameters": {"rope_type": "default", "rope_theta": shape.rope_theta},
        "rms_norm_eps": shape.epsilon,
        "hidden_act": "silu",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "use_sliding_window": False,
        "bos_token_id": None,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "torch_dtype": "bfloat16",
        "dtype": "bfloat16",
        "use_cache": True,
    }


def write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def save(network: Network, folder: Path, eos: int, pad: int) -> None:
    """Write config.json, generation_config.json and model.safetensors; each appears whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = {
        name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in network.state_dict().items()
    }
    generation = {"do_sample": True, "temperature": 0.6, "top_p": 0.9, "eos_token_id": [eos, pad], "pad_token_id": pad}
    save_file(weights, folder / "model.safetensors.part", metadata={"format": "pt"})
    write_json(folder / "config.json.part", config_json(network.shape, eos, pad))
    write_json(folder / "generation_config.json.part", generation)
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        (folder / f"{name}.part").rename(folder / name)
