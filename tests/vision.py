"""A model that sees: a LLaVA of the bundled model and a random tower for pictures of 56 pixels; and pictures for it."""

import base64
import io
import json
import random
import struct
import sys
import zlib
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
from tests.families import seeing_template

SEEING_MODEL = BUNDLED_MODEL.with_name("streamspace-tiny-vision")  # which comes with StreamSpace, and was trained
SIDE, PATCH = 56, 14
TOKENS_A_PICTURE = (SIDE // PATCH) ** 2
PLACEHOLDER = "<image>"
# vLLM's own LLaVA imports torchvision, of which there is no build for CPUs on PyPI.
FLAGS = ("--model-impl", "transformers")
TEMPLATE = seeing_template(rf"{PLACEHOLDER}\n", r"<think>\n\n</think>\n\n")


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


def hostile(seed: int) -> str:
    """A picture as a stranger might send it, as a data URL; one in ten is good."""
    rng = random.Random(seed)
    file = picture(seed, rng.randrange(8, 300), rng.randrange(8, 300), rng.choice(KINDS))
    match seed % 10:
        case 0:
            pass
        case 1:
            file = file[: rng.randrange(len(file))]  # cut short, or empty
        case 2:
            for _ in range(rng.randrange(1, 50)):  # damaged
                at = rng.randrange(len(file))
                file = file[:at] + bytes([rng.randrange(256)]) + file[at + 1 :]
        case 3:
            file += rng.choice([b"PK\3\4", b"<script>alert(1)</script>", b"%PDF-1.7\n", b"\xff\xda" * 5000])
        case 4:
            file = rng.choice(OTHERS) + rng.randbytes(rng.randrange(2000))
        case 5:
            file = bomb(rng)
        case 6:
            file = picture(seed, *rng.choice([(30_000, 1), (1, 30_000), (8, 900), (4400, 4400), (1, 1), (3, 3)]))
        case 7:
            file = b"".join([PNG[:33], chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(50 << 20))), PNG[33:]])
        case 8:
            return rng.choice([data_url(file)[:-3], "data:image/png;base64,é", "data:,x", "http://127.0.0.1/", ""])
        case 9:
            return data_url(rng.randbytes(rng.choice([1, 100, 9 << 20])), "svg+xml")
    return data_url(file)


KINDS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")
OTHERS = (b"", b"%PDF-1.7\n", b"<svg/>", b"%!PS-Adobe-3.0\n", b"II*\0", b"\0\0\1\0", b"\x7fELF", b"RIFF", b"GIF89a")
PNG = picture()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, pixels: bytes = b"\0" * 100) -> bytes:
    """A PNG whose header says this size, whatever its pixels are."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def bomb(rng: random.Random) -> bytes:
    """A small file that says, or becomes, something very large."""
    jpeg, gif = picture(kind="JPEG"), picture(kind="GIF")
    at = jpeg.index(b"\xff\xc0") + 5  # where the height and the width are
    return rng.choice([
        png(60_000, 60_000), png(4000, 4000), png(64, 64, bytes(100 << 20)), png(20_000, 2),
        jpeg[:at] + b"\xff\xff\xff\xff" + jpeg[at + 4 :], jpeg[:at] + b"\x0f\xff\x0f\xff" + jpeg[at + 4 :],
        gif[:6] + b"\xff\xff\xff\xff" + gif[10:],
        b"BM" + struct.pack("<IIIIiiHHI", 54, 0, 54, 40, 1 << 30, 1 << 30, 1, 24, 0),
    ])  # fmt: skip


if __name__ == "__main__":  # python -m tests.vision FOLDER
    write_model(Path(sys.argv[1]))
