"""A model that sees: a LLaVA of the bundled model and a random tower for pictures of 56 pixels; and pictures for it."""

import base64
import io
import json
import random
from pathlib import Path

import torch
from PIL import Image
from transformers import (
    AutoTokenizer,
    CLIPImageProcessorPil,
    CLIPVisionConfig,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from streamspace.config import BUNDLED_MODEL

SIDE, PATCH = 56, 14
TOKENS_A_PICTURE = (SIDE // PATCH) ** 2
PLACEHOLDER = "<image>"
# vLLM's own LLaVA imports torchvision, of which there is no build for CPUs on PyPI.
FLAGS = ("--model-impl", "transformers")
TEMPLATE = """
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.content is string %}
        {{- message.content }}
    {%- else %}
        {%- for part in message.content %}
            {{- '<image>\\n' if part.type == 'image' else part.text }}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}
{%- endif %}
"""


def write_model(folder: Path) -> Path:
    """Write the model into the folder; its tower is random, and its text comes from the bundled model's weights."""
    torch.manual_seed(0)
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
    tokenizer.add_special_tokens({"additional_special_tokens": [PLACEHOLDER]})
    tokenizer.chat_template = TEMPLATE
    language = Qwen3ForCausalLM.from_pretrained(BUNDLED_MODEL, dtype=torch.bfloat16)
    language.resize_token_embeddings(len(tokenizer), pad_to_multiple_of=64, mean_resizing=False)
    text = json.loads((BUNDLED_MODEL / "config.json").read_text(encoding="utf-8"))
    tower = CLIPVisionConfig(
        hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=SIDE,
        patch_size=PATCH, projection_dim=64,
    )  # fmt: skip
    config = LlavaConfig(
        vision_config=tower,
        text_config=Qwen3Config(**(text | {"vocab_size": language.config.vocab_size})),
        image_token_index=tokenizer.convert_tokens_to_ids(PLACEHOLDER),
        image_seq_length=TOKENS_A_PICTURE,
        tie_word_embeddings=True,
    )
    model = LlavaForConditionalGeneration(config).bfloat16()
    model.model.language_model.load_state_dict(language.model.state_dict())
    model.tie_weights()
    model.save_pretrained(folder)
    images = CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    LlavaProcessor(
        image_processor=images, tokenizer=tokenizer, patch_size=PATCH, vision_feature_select_strategy="default",
        image_token=PLACEHOLDER, num_additional_image_tokens=1, chat_template=TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def picture(seed: int = 0, width: int = 64, height: int = 48, kind: str = "PNG") -> bytes:
    """A picture file with coloured rectangles."""
    rng = random.Random(seed)
    image = Image.new("RGB", (width, height), tuple(rng.randrange(256) for _ in range(3)))
    for _ in range(3):
        left, top = rng.randrange(width), rng.randrange(height)
        image.paste(tuple(rng.randrange(256) for _ in range(3)), (left, top, width, height))
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def data_url(file: bytes, kind: str = "png") -> str:
    """The file as the browser sends it."""
    return f"data:image/{kind};base64,{base64.b64encode(file).decode()}"
