"""Which files of a repository vLLM needs, for a model and for a LoRA adapter. Pure."""

import fnmatch
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

TEXT_PATTERNS = ("*.json", "*.jinja", "*.txt", "*.model", "tokenizer.model*", "*.tiktoken")
OTHER_RUNTIMES = ("original/*", "metal/*", "onnx/*", "openvino/*", "coreml/*", "gguf/*", ".*")
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin", "adapter_model.pt")
TRAINING_STATE = ("training_args.bin", "optimizer.*", "scheduler.*", "scaler.*", "rng_state*")


def needed_files(names: Iterable[str], *, trust_remote_code: bool = False) -> list[str]:
    """Choose the files of a repository that vLLM needs; empty when there is nothing that it can load.

    One copy of the weights is chosen: like vLLM, the first format in the top folder. But Hugging Face's safetensors go
    before Mistral's `consolidated*`, because they need no second configuration and tokenizer format.
    """
    names = list(names)
    weights = _weights(names)
    patterns = (*TEXT_PATTERNS, "*.py") if trust_remote_code else TEXT_PATTERNS
    texts = [name for name in names if _matches(name, patterns) and not _matches(name, OTHER_RUNTIMES)]
    return sorted({*texts, *weights}) if weights else []


def adapter_files(names: Iterable[str]) -> list[str]:
    """Choose the files of a LoRA adapter that vLLM needs, the first format that is there; empty without one."""
    names = set(names)
    formats = [name for name in ADAPTER_WEIGHTS if name in names]
    return [ADAPTER_CONFIG, formats[0]] if formats and ADAPTER_CONFIG in names else []


def _weights(names: Iterable[str]) -> list[str]:
    top = [name for name in names if "/" not in name and not _matches(name, TRAINING_STATE)]
    consolidated = fnmatch.filter(top, "consolidated*.safetensors")
    safetensors = [name for name in fnmatch.filter(top, "*.safetensors") if name not in consolidated]
    mistral = consolidated if "params.json" in top else []
    if "config.json" not in top:
        return mistral
    return safetensors or mistral or fnmatch.filter(top, "*.bin") or fnmatch.filter(top, "*.pt")


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True)
class Kind:
    """What is fetched: a choice of a repository's files, and the sentence for a repository or folder without them."""

    choose: Callable[[Iterable[str]], list[str]]
    missing: str


MODEL = Kind(
    needed_files,
    "There is no model that vLLM can load in '{model}': it must hold config.json (or params.json) and weights "
    "(*.safetensors, *.bin or *.pt); choose the original model and not, say, its GGUF or adapter repository.",
)
MODEL_WITH_CODE = Kind(partial(needed_files, trust_remote_code=True), MODEL.missing)
ADAPTER = Kind(
    adapter_files,
    "There is no LoRA adapter in '{model}': it must hold adapter_config.json and adapter_model.safetensors "
    "(or .bin or .pt).",
)


def kind_of_model(with_code: bool) -> Kind:
    """What is fetched of a model, with the Python files of its repository or without."""
    return MODEL_WITH_CODE if with_code else MODEL
