"""The network with eyes: a CLIP tower, a projector of two layers and the text network, named as in LLaVA's files."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from chatml import ANSWER, MESSAGE, TOOLS
from network import Layout, Network, Shape, config_json, rope, write_json
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

IMAGE = "<image>"
CHAT_TEMPLATE = (
    TOOLS
    + """\
{%- for message in messages %}
    {%- set said = namespace(text='') %}
    {%- if message.content is string %}
        {%- set said.text = message.content %}
    {%- elif message.content %}
        {%- for part in message.content %}
            {%- if part.type == 'text' %}
                {%- set said.text = said.text + part.text %}
            {%- else %}
                {%- set said.text = said.text + '<image>' %}
            {%- endif %}
        {%- endfor %}
    {%- endif %}
"""
    + MESSAGE
    + ANSWER
)


@dataclass(frozen=True)
class Sight:
    """The sizes of the tower; the defaults make 3.4 million parameters, 6.8 MB in bf16."""

    size: int = 112  # pixels a side
    patch: int = 14
    hidden: int = 256
    layers: int = 4
    heads: int = 4
    intermediate: int = 1024
    epsilon: float = 1e-5

    @property
    def tokens(self) -> int:
        """Return the text tokens that a picture takes."""
        return (self.size // self.patch) ** 2


# Eight more rows than the tokenizer has words: the first is the picture's, the others keep the matrix a multiple of 8.
TEXT = Shape(vocabulary=5128)


class SelfAttention(nn.Module):
    def __init__(self, sight: Sight) -> None:
        super().__init__()
        self.heads = sight.heads
        for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
            setattr(self, name, nn.Linear(sight.hidden, sight.hidden))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.q_proj, self.k_proj, self.v_proj)
        )
        out: Tensor = self.out_proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class Perceptron(nn.Module):
    def __init__(self, sight: Sight) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sight.hidden, sight.intermediate)
        self.fc2 = nn.Linear(sight.intermediate, sight.hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc1(x)
        out: Tensor = self.fc2(x * torch.sigmoid(1.702 * x))  # CLIP's quick GELU
        return out


class TowerLayer(nn.Module):
    def __init__(self, sight: Sight) -> None:
        super().__init__()
        self.layer_norm1 = nn.LayerNorm(sight.hidden, eps=sight.epsilon)
        self.self_attn = SelfAttention(sight)
        self.layer_norm2 = nn.LayerNorm(sight.hidden, eps=sight.epsilon)
        self.mlp = Perceptron(sight)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.layer_norm1(x))
        out: Tensor = x + self.mlp(self.layer_norm2(x))
        return out


class Embeddings(nn.Module):
    def __init__(self, sight: Sight) -> None:
        super().__init__()
        self.class_embedding = nn.Parameter(torch.randn(sight.hidden) * 0.02)
        self.patch_embedding = nn.Conv2d(3, sight.hidden, sight.patch, sight.patch, bias=False)
        self.position_embedding = nn.Embedding(sight.tokens + 1, sight.hidden)
        nn.init.normal_(self.position_embedding.weight, std=0.02)

    def forward(self, pixels: Tensor) -> Tensor:
        patches = self.patch_embedding(pixels).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(len(pixels), 1, -1)
        return torch.cat((first, patches), dim=1) + self.position_embedding.weight


class Encoder(nn.Module):
    def __init__(self, sight: Sight) -> None:
        super().__init__()
        self.layers = nn.ModuleList(TowerLayer(sight) for _ in range(sight.layers))


class Tower(nn.Module):
    """CLIP's picture encoder, of which LLaVA takes the last layer without the class token and without the last norm."""

    def __init__(self, sight: Sight) -> None:
        super().__init__()
        self.embeddings = Embeddings(sight)
        self.pre_layrnorm = nn.LayerNorm(sight.hidden, eps=sight.epsilon)
        self.encoder = Encoder(sight)

    def forward(self, pixels: Tensor) -> Tensor:
        x = self.pre_layrnorm(self.embeddings(pixels))
        for layer in self.encoder.layers:
            x = layer(x)
        return x[:, 1:]


class Projector(nn.Module):
    def __init__(self, sight: Sight, text: Shape) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(sight.hidden, text.hidden)
        self.linear_2 = nn.Linear(text.hidden, text.hidden)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.linear_2(F.gelu(self.linear_1(x)))
        return out


class SeeingNetwork(nn.Module):
    """Token ids laid end to end, and the pictures among them in order, to logits and the tower's features."""

    def __init__(self, text: Shape, sight: Sight, image_id: int) -> None:
        super().__init__()
        self.sight, self.image_id = sight, image_id
        self.tower = Tower(sight)
        self.projector = Projector(sight, text)
        self.text = Network(text)

    def look(self, pictures: Tensor) -> Tensor:
        """Return the features of uint8 pictures [n, size, size, 3]: [n, patches, hidden]."""
        features: Tensor = self.tower(pictures.permute(0, 3, 1, 2).float() / 127.5 - 1)
        return features

    def forward(self, tokens: Tensor, layout: Layout, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Each picture stands for as many image tokens as it has patches."""
        features = self.look(pictures)
        seen = self.projector(features).flatten(0, 1)
        is_image = tokens == self.image_id
        order = (is_image.cumsum(0) - 1).clamp(0, len(seen) - 1)
        words = self.text.model.embed_tokens(tokens)
        x = torch.where(is_image[:, None], seen[order].to(words.dtype), words)
        rotation = rope(layout.positions, self.text.shape)
        for layer in self.text.model.layers:
            x = layer(x, rotation, layout)
        return F.linear(self.text.model.norm(x), self.text.model.embed_tokens.weight), features

    @torch.no_grad()
    def take_text(self, folder: Path) -> None:
        """Begin with the weights of a text model; new words begin as the mean of all."""
        state = load_file(folder / "model.safetensors")
        embedding = "model.embed_tokens.weight"
        rows = state.pop(embedding).float()
        missing = self.text.load_state_dict({name: value.float() for name, value in state.items()}, strict=False)
        assert missing.missing_keys == [embedding] and not missing.unexpected_keys, missing
        self.text.model.embed_tokens.weight[:] = rows.mean(0)
        self.text.model.embed_tokens.weight[: len(rows)] = rows

    def take_all(self, folder: Path) -> None:
        """Begin with the weights of a seeing model."""
        state: dict[str, Tensor] = {}
        for path in sorted(folder.glob("*.safetensors")):
            state.update(load_file(path))
        self.load_state_dict({name: state[published(name)].float() for name in self.state_dict()})


def tokenizer_with_image(source: Path) -> dict[str, Any]:
    """Return the text model's tokenizer with one more special token."""
    state: dict[str, Any] = json.loads((source / "tokenizer.json").read_text(encoding="utf-8"))
    number = max(state["model"]["vocab"].values()) + 1
    token = {"id": number, "content": IMAGE, "special": True}
    off = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    state["added_tokens"].append({**token, **off})
    return state


def llava_config(text: Shape, sight: Sight, image_id: int, eos: int, pad: int) -> dict[str, Any]:
    return {
        "architectures": ["LlavaForConditionalGeneration"],
        "model_type": "llava",
        "image_token_index": image_id,
        "image_seq_length": sight.tokens,
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
        "projector_hidden_act": "gelu",
        "multimodal_projector_bias": True,
        "tie_word_embeddings": True,
        "eos_token_id": eos,
        "pad_token_id": pad,
        "dtype": "bfloat16",
        "torch_dtype": "bfloat16",
        "text_config": config_json(text, eos, pad),
        "vision_config": {
            "model_type": "clip_vision_model",
            "hidden_size": sight.hidden,
            "intermediate_size": sight.intermediate,
            "num_hidden_layers": sight.layers,
            "num_attention_heads": sight.heads,
            "image_size": sight.size,
            "patch_size": sight.patch,
            "projection_dim": sight.hidden,
            "layer_norm_eps": sight.epsilon,
            "hidden_act": "quick_gelu",
        },
    }


def processor_configs(sight: Sight) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return preprocessor_config.json and processor_config.json; a picture is squeezed into a square, not cut."""
    side = {"height": sight.size, "width": sight.size}
    pictures = {
        "image_processor_type": "CLIPImageProcessor",
        "processor_class": "LlavaProcessor",
        "do_convert_rgb": True,
        "do_resize": True,
        "size": side,
        "resample": 3,
        "do_center_crop": True,
        "crop_size": side,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    together = {
        "processor_class": "LlavaProcessor",
        "image_token": IMAGE,
        "patch_size": sight.patch,
        "vision_feature_select_strategy": "default",
        "num_additional_image_tokens": 1,
    }
    return pictures, together


PUBLISHED = {"text.": "language_model.", "tower.": "vision_tower.vision_model.", "projector.": "multi_modal_projector."}


def published(name: str) -> str:
    """Return the name of a weight in LLaVA's checkpoints."""
    ours = next(prefix for prefix in PUBLISHED if name.startswith(prefix))
    return PUBLISHED[ours] + name.removeprefix(ours)


def weights_by_file(network: SeeingNetwork) -> dict[str, dict[str, Tensor]]:
    """Return the weights of the text and of the eyes, each for a file of its own."""
    state = {
        name: value.detach().to("cpu", torch.bfloat16).contiguous() for name, value in network.state_dict().items()
    }
    text = {published(name): value for name, value in state.items() if name.startswith("text.")}
    eyes = {published(name): value for name, value in state.items() if not name.startswith("text.")}
    # LLaVA does not use it, but its shape has it.
    hidden = network.sight.hidden
    norm = {"weight": torch.ones(hidden), "bias": torch.zeros(hidden)}
    eyes.update({f"vision_tower.vision_model.post_layernorm.{name}": v.bfloat16() for name, v in norm.items()})
    return {"model-00001-of-00002.safetensors": text, "model-00002-of-00002.safetensors": eyes}


def write_tokenizer(source: Path, folder: Path) -> None:
    """Write the tokenizer, the chat template and the sampling defaults, made from the text model's."""
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(tokenizer_with_image(source), ensure_ascii=False)
    (folder / "tokenizer.json").write_text(text, encoding="utf-8")
    settings = json.loads((source / "tokenizer_config.json").read_text(encoding="utf-8"))
    write_json(folder / "tokenizer_config.json", {**settings, "processor_class": "LlavaProcessor"})
    (folder / "chat_template.jinja").write_text(CHAT_TEMPLATE, encoding="utf-8")
    shutil.copy(source / "generation_config.json", folder / "generation_config.json")


def save(network: SeeingNetwork, folder: Path, eos: int, pad: int) -> None:
    """Write the configuration and the weights beside the tokenizer."""
    text = replace(TEXT, vocabulary=network.text.model.embed_tokens.num_embeddings)
    write_json(folder / "config.json", llava_config(text, network.sight, network.image_id, eos, pad))
    pictures, together = processor_configs(network.sight)
    write_json(folder / "preprocessor_config.json", pictures)
    write_json(folder / "processor_config.json", together)
    files = weights_by_file(network)
    for name, weights in files.items():
        save_file(weights, folder / name, metadata={"format": "pt"})
    total = sum(value.nbytes for weights in files.values() for value in weights.values())
    places = {tensor: name for name, weights in files.items() for tensor in weights}
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": places})
