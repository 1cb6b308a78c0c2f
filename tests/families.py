"""Models of many families: tiny, with random weights, made from their configurations; the bundled model's tokenizer.

`python -m tests.families FOLDER` writes all of them, each into a folder of its name. Those of SEEING read pictures.
"""

import json
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from streamspace.config import BUNDLED_MODEL

SHAPE = {
    "hidden_size": 256,
    "intermediate_size": 256,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 64,
    "max_position_embeddings": 1024,
}
EXPERTS = {
    "num_experts": 4,
    "num_local_experts": 4,
    "n_routed_experts": 4,
    "moe_num_experts": 4,
    "num_experts_per_tok": 2,
    "moe_k": 2,
    "n_group": 1,
    "topk_group": 1,
    "first_k_dense_replace": 1,
    "moe_intermediate_size": 128,
    "shared_expert_intermediate_size": 128,
    "n_shared_experts": 1,
    "decoder_sparse_step": 1,
    "mlp_only_layers": [],
}
# Multi-head latent attention, as DeepSeek has it.
LATENT = {
    "q_lora_rank": 64,
    "kv_lora_rank": 512,  # with the next, the one size that vLLM's kernels have
    "qk_rope_head_dim": 64,
    "qk_nope_head_dim": 64,
    "v_head_dim": 64,
    "num_key_value_heads": 4,
}
# States instead of a cache of keys and values, in all layers or in some.
STATE = {"state_size": 16, "expand": 2, "conv_kernel": 4, "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2}
# Names that transformers' configuration has no more, and vLLM still reads from the repositories' files.
CONVOLUTION = {"conv_dim": 256, "conv_dim_out": 256, "block_dim": 256, "block_ff_dim": 256}
LEFT_OUT = object()  # a value that the configuration computes itself
# Name → transformers' type of its configuration, and what differs from SHAPE.
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "Qwen2.5": ("qwen2", {}),
    "Qwen3": ("qwen3", {}),
    "Qwen3-MoE": ("qwen3_moe", EXPERTS),
    "Qwen3-Next": ("qwen3_next", {**EXPERTS, "num_hidden_layers": 4}),
    "Llama-3.2": ("llama", {}),
    "Gemma-2": ("gemma2", {"query_pre_attn_scalar": 64, "sliding_window": 256}),
    "Gemma-3": ("gemma3_text", {"query_pre_attn_scalar": 64, "sliding_window": 256}),
    "Mistral": ("mistral", {"sliding_window": None}),
    "Ministral-3": ("ministral3", {}),
    "Mixtral": ("mixtral", EXPERTS),
    "Phi-2": ("phi", {"num_key_value_heads": 4, "intermediate_size": 1024}),
    "Phi-3": ("phi3", {"pad_token_id": 0}),
    "SmolLM3": ("smollm3", {}),
    "OLMo-2": ("olmo2", {}),
    "OLMo-3": ("olmo3", {}),
    "OLMoE": ("olmoe", EXPERTS),
    "Granite": ("granite", {}),
    "Granite-MoE": ("granitemoe", EXPERTS),
    "Granite-4": ("granitemoehybrid", {**EXPERTS, **STATE, "mamba_n_heads": 8, "mamba_d_head": 64}),
    "Falcon": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2, "head_dim": LEFT_OUT}),
    "Falcon-Mamba": ("falcon_mamba", STATE),
    "Falcon-H1": ("falcon_h1", {**STATE, "mamba_n_heads": 8, "mamba_d_head": 64, "mamba_d_ssm": 512}),
    "GPT-2": ("gpt2", {}),
    "GPT-J": ("gptj", {"rotary_dim": 32}),
    "GPT-NeoX": ("gpt_neox", {}),
    "GPT-BigCode": ("gpt_bigcode", {"num_key_value_heads": LEFT_OUT}),
    "gpt-oss": ("gpt_oss", {**EXPERTS, "sliding_window": 128}),
    "OPT": ("opt", {"ffn_dim": 256, "word_embed_proj_dim": 256}),
    "BLOOM": ("bloom", {}),
    "MPT": ("mpt", {"d_model": 256, "n_heads": 4, "n_layers": 2, "max_seq_len": 1024}),
    "StableLM": ("stablelm", {}),
    "Starcoder-2": ("starcoder2", {}),
    "InternLM-3": ("internlm3", {}),
    "MiniCPM-3": ("minicpm3", LATENT),
    "GLM-4": ("glm4", {}),
    "GLM-4-MoE": ("glm4_moe", EXPERTS),
    "DeepSeek-V2-Lite": ("deepseek_v2", {**EXPERTS, **LATENT, "q_lora_rank": None}),
    "DeepSeek-V3": ("deepseek_v3", {**EXPERTS, **LATENT, "topk_method": "noaux_tc"}),
    "Cohere": ("cohere", {}),
    "Command-R7B": ("cohere2", {"sliding_window": 256}),
    "EXAONE-4": ("exaone4", {"sliding_window": 256}),
    "ERNIE-4.5": ("ernie4_5", {}),
    "Hunyuan": ("hunyuan_v1_dense", {}),
    "Seed-OSS": ("seed_oss", {}),
    "Nemotron": ("nemotron", {}),
    "Mamba": ("mamba", STATE),
    "Mamba-2": ("mamba2", {**STATE, "intermediate_size": 512, "num_heads": 8, "n_groups": 1}),
    "Jamba": ("jamba", {**EXPERTS, **STATE, "attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2}),
    "LFM2": ("lfm2", {"layer_types": ["conv", "full_attention"], "block_multiple_of": 64, **CONVOLUTION}),
}


SIDE = 56  # of a picture, in pixels: 16 patches
TOWER = {
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 14,
}
CLIP = {"model_type": "clip_vision_model", "projection_dim": 64, **TOWER}
CUT = {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}}
PIECES = {"size": {"longest_edge": 2 * SIDE}, "max_image_size": {"longest_edge": SIDE}}
PATCHES = {"patch_size": 14, "vision_feature_select_strategy": "default", "num_additional_image_tokens": 1}
GRID = {"image_grid_pinpoints": [[SIDE, 2 * SIDE], [2 * SIDE, SIDE]]}
SEEING_TEMPLATE = """
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\\n' }}
    {%- if message.content is string %}
        {{- message.content }}
    {%- else %}
        {%- for part in message.content %}
            {{- 'MARK' if part.type == 'image' else part.text }}
        {%- endfor %}
    {%- endif %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\nBEGUN' }}
{%- endif %}
"""


def seeing_template(mark: str, begun: str = "") -> str:
    """A chat template with this mark for each picture, and with this at the beginning of an answer."""
    return SEEING_TEMPLATE.replace("MARK", mark).replace("BEGUN", begun)


@dataclass(frozen=True)
class Seeing:
    """A family that reads pictures, by the names in the files of its repositories."""

    kind: str  # the type of its configuration
    text: str  # the family of its text model
    tower: Mapping[str, Any]
    processor: str
    images: str  # the processor of its pictures
    image_options: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)  # of the processor
    mark: str = "<image>"  # what the template puts for a picture
    tokens: Mapping[str, str] = field(default_factory=dict)  # special ones, by the configuration's names for their ids
    differs: Mapping[str, Any] = field(default_factory=dict)  # in the configuration
    text_differs: Mapping[str, Any] = field(default_factory=dict)  # in that of its text model
    videos: str = ""  # the processor of its videos
    parts: tuple[str, str] = ("text_config", "vision_config")  # of the configuration: the text model, the tower
    architecture: str = ""  # where vLLM alone has it, so that its weights are vLLM's dummies
    most: int = 4  # pictures in a message


IMAGE_TOKEN = {"image_token_index": "<image>"}
QWEN_TOWER = {"depth": 2, "hidden_size": 64, "out_hidden_size": 256, "num_heads": 2, "intermediate_size": 128}
QWEN_MARK = "<|vision_start|><|image_pad|><|vision_end|>"
QWEN_TOKENS = {
    "image_token_id": "<|image_pad|>", "video_token_id": "<|video_pad|>",
    "vision_start_token_id": "<|vision_start|>", "vision_end_token_id": "<|vision_end|>",
}  # fmt: skip
ROPE = {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]}}
TEXTS = {**FAMILIES, "Gemma-4": ("gemma4_text", {"sliding_window": 256, "hidden_size_per_layer_input": 0})}
SEEING = {
    "LLaVA": Seeing("llava", "Qwen3", CLIP, "LlavaProcessor", "CLIPImageProcessor", CUT, PATCHES, tokens=IMAGE_TOKEN),
    "LLaVA-NeXT": Seeing(
        "llava_next", "Mistral", CLIP, "LlavaNextProcessor", "LlavaNextImageProcessor", CUT | GRID, PATCHES,
        tokens=IMAGE_TOKEN, differs=GRID,
    ),
    "Idefics3": Seeing(
        "idefics3", "Llama-3.2", {"model_type": "idefics3_vision", **TOWER}, "Idefics3Processor",
        "Idefics3ImageProcessor", PIECES, {"image_seq_len": 4}, tokens={"image_token_id": "<image>"},
        differs={"scale_factor": 2},
    ),
    "SmolVLM": Seeing(
        "smolvlm", "Llama-3.2", {"model_type": "smolvlm_vision", **TOWER}, "SmolVLMProcessor",
        "SmolVLMImageProcessor", PIECES, {"image_seq_len": 4}, videos="SmolVLMVideoProcessor",
        tokens={"image_token_id": "<image>"}, differs={"scale_factor": 2},
    ),
    "Mistral-Small-3.1": Seeing(
        "mistral3", "Mistral", {"model_type": "pixtral", **TOWER, "head_dim": 32}, "PixtralProcessor",
        "PixtralImageProcessor", {"size": {"longest_edge": SIDE}, "patch_size": {"height": 14, "width": 14}},
        {"patch_size": 14, "spatial_merge_size": 2}, mark="[IMG]",
        tokens={"image_token_index": "[IMG]", "break": "[IMG_BREAK]", "end": "[IMG_END]"},
        differs={"spatial_merge_size": 2},
    ),
    "Qwen2.5-VL": Seeing(
        "qwen2_5_vl", "Qwen2.5", QWEN_TOWER | {"model_type": "qwen2_5_vl", "fullatt_block_indexes": [1]},
        "Qwen2_5_VLProcessor", "Qwen2VLImageProcessor", videos="Qwen2VLVideoProcessor",
        mark=QWEN_MARK, tokens=QWEN_TOKENS, text_differs=ROPE,
    ),
    "Qwen3-VL": Seeing(
        "qwen3_vl", "Qwen3", QWEN_TOWER | {"model_type": "qwen3_vl", "deepstack_visual_indexes": [0], "patch_size": 16,
        "num_position_embeddings": 64}, "Qwen3VLProcessor", "Qwen2VLImageProcessor", {"patch_size": 16},
        videos="Qwen3VLVideoProcessor", mark=QWEN_MARK, tokens=QWEN_TOKENS,
        text_differs=ROPE | {"model_type": "qwen3_vl_text"},
    ),
    "Gemma-4": Seeing(
        "gemma4", "Gemma-4", {"model_type": "gemma4_vision", **TOWER, "num_key_value_heads": 2, "head_dim": 32,
        "patch_size": 16, "default_output_length": 70}, "Gemma4Processor", "Gemma4ImageProcessor",
        options={"feature_extractor": {"feature_extractor_type": "Gemma4AudioFeatureExtractor"}},
        videos="Gemma4VideoProcessor", mark="<|image|>",
        tokens={"image_token_id": "<|image|>", "boi_token_id": "<|image>", "eoi_token_id": "<image|>",
                "audio_token_id": "<|audio|>", "boa_token_id": "<|audio>", "eoa_token_id": "<audio|>",
                "video_token_id": "<|video|>"},
    ),
    "BLIP-2": Seeing(
        "blip-2", "OPT", {"model_type": "blip_2_vision_model", **TOWER}, "Blip2Processor", "BlipImageProcessor",
        {"size": {"height": SIDE, "width": SIDE}}, {"num_query_tokens": 4}, mark="", tokens=IMAGE_TOKEN,
        differs={"num_query_tokens": 4, "qformer_config": {**TOWER, "encoder_hidden_size": TOWER["hidden_size"]}},
        most=1,
    ),
    "PaddleOCR-VL": Seeing(
        "paddleocr_vl", "ERNIE-4.5", {"model_type": "paddleocr_vl_vision", **TOWER}, "PaddleOCRVLProcessor",
        "PaddleOCRVLImageProcessor", mark="<|IMAGE_START|><|IMAGE_PLACEHOLDER|><|IMAGE_END|>",
        tokens={"image_token_id": "<|IMAGE_PLACEHOLDER|>", "video_token_id": "<|video_pad|>",
                "vision_start_token_id": "<|IMAGE_START|>", "vision_end_token_id": "<|IMAGE_END|>"},
        text_differs=ROPE | {"model_type": "paddleocr_vl_text"},
    ),
    "Ovis": Seeing(
        "ovis", "Qwen2.5", {"model_type": "aimv2_visual_tokenizer", "vocab_size": 64, "hidden_stride": 2,
        "backbone_config": {"model_type": "aimv2", **TOWER}}, "OvisProcessor", "CLIPImageProcessor", CUT,
        tokens=IMAGE_TOKEN | {"image_pad_token_id": "<|image_pad|>"}, parts=("llm_config", "visual_tokenizer_config"),
        differs={"hidden_size": SHAPE["hidden_size"]}, architecture="Ovis",
    ),
}  # fmt: skip


def write(name: str, folder: Path) -> Path:
    """Write a model of this family; returns the folder."""
    import torch
    from transformers import AutoModelForCausalLM

    kind, differs = FAMILIES[name]
    torch.manual_seed(0)
    config = _config(kind, differs)
    config.dtype = torch.bfloat16
    AutoModelForCausalLM.from_config(config).bfloat16().save_pretrained(folder)
    for path in BUNDLED_MODEL.iterdir():
        if path.name.startswith(("tokenizer", "special_tokens", "chat_template", "vocab", "merges")):
            shutil.copy(path, folder)
    return folder


def write_seeing(name: str, folder: Path) -> Path:
    """As `write`, for a family of SEEING."""
    import safetensors.torch
    import torch
    from transformers import AutoConfig, AutoModelForImageTextToText, AutoTokenizer

    family = SEEING[name]
    named = {key.removesuffix("_id").removesuffix("_index"): token for key, token in family.tokens.items()}
    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL, extra_special_tokens=named)
    tokenizer.add_tokens([*family.tokens.values()], special_tokens=True)
    tokenizer.chat_template = seeing_template(family.mark)
    tokenizer.save_pretrained(folder)
    images = {"image_processor_type": family.images, **family.image_options}
    processor = {"processor_class": family.processor, "image_processor": images, **family.options}
    _dump(folder / "processor_config.json", processor)
    if family.videos:
        _dump(folder / "video_preprocessor_config.json", {"video_processor_type": family.videos})
    text = _config(*TEXTS[family.text], vocab_size=-(-len(tokenizer) // 64) * 64)
    ids = {key: tokenizer.convert_tokens_to_ids(token) for key, token in family.tokens.items()}
    text_config, tower = family.parts
    parts: dict[str, Any] = {text_config: text.to_dict() | family.text_differs, tower: family.tower}
    if family.architecture:
        parts["architectures"] = [family.architecture]
    _dump(folder / "config.json", {"model_type": family.kind, "dtype": "bfloat16", **parts, **ids, **family.differs})
    if family.architecture:
        safetensors.torch.save_file({}, folder / "model.safetensors")
        return folder
    torch.manual_seed(0)
    config = AutoConfig.from_pretrained(folder)
    AutoModelForImageTextToText.from_config(config).bfloat16().save_pretrained(folder)
    return folder


def _dump(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _config(kind: str, differs: Mapping[str, Any], **more: Any) -> Any:
    from transformers import AutoConfig

    bundled = json.loads((BUNDLED_MODEL / "config.json").read_text("utf-8"))
    ids = {key: bundled[key] for key in ("bos_token_id", "eos_token_id", "pad_token_id") if key in bundled}
    values = {"vocab_size": bundled["vocab_size"], **ids, **SHAPE, **differs, **more}
    return AutoConfig.for_model(kind, **{key: value for key, value in values.items() if value is not LEFT_OUT})


if __name__ == "__main__":
    for each in FAMILIES:
        print(write(each, Path(sys.argv[1], each)))
    for each in SEEING:
        print(write_seeing(each, Path(sys.argv[1], each)))
