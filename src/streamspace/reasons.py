"""Why an engine did not start, in one sentence: vLLM's words → what to change, and whether trying again can help. Pure.

Failures that operators meet often get a sentence of ours, which ends in a flag that helps. All others are quoted.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from streamspace.config import MOST_WORDS, Config, without_folders
from streamspace.forkserver import WHILE_LOADING

PROCESS_FAILED = "Engine core initialization failed"  # vLLM's error when the engine's process has written its own
# Exceptions of code that would do the same again; others, such as RuntimeError, may be the machine's.
FINAL = re.compile(r"(Value|Type|Key|Index|Attribute|NotImplemented|Assertion|Import|ModuleNotFound|Validation)Error\b")
# PyTorch's words for tensors that do not fit each other, which no further attempt changes.
MISFIT = re.compile(r"RuntimeError: .*\b(sizes?|shapes?|dimensions?)\b", re.DOTALL)
# What is over when another program, the GPU or the disk has recovered, though it is met while files are read.
PASSING = re.compile(r"OutOfMemory|MemoryError|AcceleratorError|CUDA|HIP|NCCL|allocat|\[Errno|os error")


@dataclass(frozen=True)
class Reason:
    """Why an engine did not start."""

    sentence: str  # for everybody
    may_heal: bool  # whether another attempt may go better


def reason(error: BaseException, last_words: str, config: Config, has_gpu: bool) -> Reason:
    """The reason behind an exception of vLLM's start; `last_words` are the engine's process's own, as "type: text"."""
    words = (isinstance(error, OSError) and error.strerror) or str(error)  # an OSError's own text names the file
    in_process = PROCESS_FAILED in words
    # An OSError without a number is not the system's: transformers raises it for files that it cannot use.
    may_heal = isinstance(error, RuntimeError) or (isinstance(error, OSError) and error.errno is not None)
    if in_process:
        words, may_heal = last_words, not _is_final(last_words)
    if sentence := _known(words, has_gpu):
        return Reason(f"vLLM could not start {config.model_name}: {sentence}", False)
    whose = _whose(words) if in_process else ""
    quotation = words.removeprefix(WHILE_LOADING) if in_process else words.strip() or type(error).__name__
    return Reason(f"vLLM could not start {config.model_name}{whose}{quoted(quotation, config)}.", may_heal)


def _is_final(words: str) -> bool:
    """Whether the engine's process would end with these words again."""
    if words.startswith(WHILE_LOADING) or MISFIT.match(words):
        return not PASSING.search(words)
    return bool(FINAL.match(words))


def _whose(words: str) -> str:
    """What has failed in the engine's process."""
    if not words.startswith(WHILE_LOADING) or PASSING.search(words):
        return ": its process failed"
    if words.startswith(f"{WHILE_LOADING}SafetensorError"):
        return ": a file of its weights is broken"
    return ": its weights are not those that its config.json describes"


def quoted(words: str, config: Config) -> str:
    """The end of a sentence about a failure: vLLM's words for it, and where to look for more."""
    words = first_sentences(without_folders(_cause(words).replace(config.model, config.model_name), most=0))
    return f": {words} (the log has more)" if words else " (the log may say why)"


def first_sentences(words: str) -> str:
    """The whole sentences at the beginning that have room in MOST_WORDS characters, or the words of a longer one."""
    if len(words) <= MOST_WORDS:
        return words.rstrip(".")
    ends = [match.start() for match in re.finditer(r"[.!?](?=\s+[^a-z\s])", words[: MOST_WORDS + 1])]
    return words[: ends[-1]] if ends else f"{words[:MOST_WORDS].rpartition(' ')[0] or words[:MOST_WORDS]}…"


def _cause(words: str) -> str:
    """The first paragraph of vLLM's words; pydantic's errors have theirs in the second or third line."""
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    if lines and re.search(r"\d+ validation errors? for ", lines[0]):
        text = next((line for line in lines[1:] if " " in line), lines[0])
        return re.split(r" \[type=", text.removeprefix("Value error, ").removeprefix("Assertion failed, "))[0]
    return lines[0] if lines else ""


def _known(words: str, has_gpu: bool) -> str:
    """Our own sentence for a failure that operators meet often, or nothing."""
    text = " ".join(words.split())
    return next((say(found, has_gpu) for pattern, say in KNOWN if (found := re.search(pattern, text))), "")


def _too_long(found: re.Match[str], has_gpu: bool) -> str:
    wanted, needed, free, fits = found.groups()
    advice = f"set --max-model-len {fits}" if fits else "set a smaller --max-model-len"
    more = "raise --gpu-memory-utilization" if has_gpu else "give it more by --kv-cache-memory-bytes"
    return (
        f"a context of {wanted} tokens needs {needed} GiB of KV cache, and there are {free} GiB: {advice}, or leave it "
        f"out for the longest that fits, or {more}."
    )


def _beyond_the_model(found: re.Match[str], has_gpu: bool) -> str:
    wanted, most = found[1], found[2].partition(".")[0]
    return f"--max-model-len {wanted} is more than the {most} tokens of the model's context: set at most {most}."


def _no_room(found: re.Match[str], has_gpu: bool) -> str:
    advice = (
        "raise --gpu-memory-utilization, take a smaller or quantised model, or spread it with --tensor-parallel-size."
        if has_gpu
        else "end other programs, take a smaller model, or a machine with more memory."
    )
    return f"after the model's weights no memory is left for the KV cache: {advice}"


def _own_code(found: re.Match[str], has_gpu: bool) -> str:
    return "it needs Python code of its own repository: if you trust that, set --trust-remote-code."


def _no_tensors(found: re.Match[str], has_gpu: bool) -> str:
    return (
        "its weights are a pickle that is broken, or that holds more than tensors and could run any program: take a "
        "repository with safetensors."
    )


def _too_much(found: re.Match[str], has_gpu: bool) -> str:
    free, wanted = found.groups()
    return f"its KV cache is to have {wanted} GiB, and {free} GiB are free: set --kv-cache-memory-bytes to less."


KNOWN: tuple[tuple[str, Callable[[re.Match[str], bool], str]], ...] = (
    (
        r"max seq len \((\d+)\), \(?([\d.]+) GiB KV cache is needed.*? memory \(([\d.]+) GiB\)"
        r"(?:.*?estimated maximum model length is (\d+))?",
        _too_long,
    ),
    (r"max_model_len \((\d+)\) is greater than the derived max_model_len \(\w+=([\d.]+)", _beyond_the_model),
    (r"Cannot auto-fit max_model_len|No available memory for the cache blocks", _no_room),
    (
        r"Available memory on node \d+ \(([\d.]+)/.*? than requested memory for kv \(([\d.]+)(?:/[\d.]+)? GiB\)",
        _too_much,
    ),
    (r"UnpicklingError: ", _no_tensors),
    (r"contains custom code which must be executed|trust_remote_code=True", _own_code),
)
