"""Plain frozen data that goes from room to room, and the check that lets a visitor's numbers in."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from streamspace.errors import BadRequest

Role = Literal["system", "user", "assistant"]
Stage = Literal["downloading", "loading", "ready", "restarting", "failed"]
ConstraintKind = Literal["json", "regex", "choice"]
Split = Callable[[str, bool], tuple[str, str]]  # what the model wrote, and whether that is all → thought, answer


# The prompts of vLLM's own streaming example, examples/deployment/async_llm_streaming.py; its sampling is `Settings()`.
EXAMPLE_PROMPTS = (
    "The future of artificial intelligence is",
    "In a galaxy far, far away",
    "The key to happiness is",
)


@dataclass(frozen=True)
class Message:
    """One turn of a conversation; a thought is the model's own, before its text, and not for later prompts."""

    role: Role
    text: str
    thought: str = ""
    thought_s: float = 0.0


@dataclass(frozen=True)
class Constraint:
    """What an answer has to be: valid against a JSON schema, a match of a regex, or one of the texts in a JSON list.

    Made by `constraint.check_constraint` alone.
    """

    kind: ConstraintKind
    value: str


@dataclass(frozen=True)
class Settings:
    """A visitor's sampling parameters, under vLLM's names; the defaults are those of vLLM's streaming example."""

    max_tokens: int = 100
    temperature: float = 0.8  # 0 is greedy
    top_p: float = 0.95
    top_k: int = 0  # 0 considers all tokens
    min_p: float = 0.0
    repetition_penalty: float = 1.0  # 1 is none
    seed: int | None = 42  # None draws a new one for each answer
    stop: tuple[str, ...] = ()  # the answer ends before the first of them
    enable_thinking: bool | None = None  # for the chat template, if it has this switch; None is as the template has it
    constraint: Constraint | None = None
    adapter: str | None = None  # the LoRA adapter's name; None is the model itself
    logprobs: int | None = None  # how many of the likeliest tokens to tell beside each of the answer's; 20 at most


@dataclass(frozen=True)
class Prompt:
    """What the engine gets: token ids, already through the chat template; and how to read what it gives."""

    token_ids: tuple[int, ...]
    split: Split | None = None  # None: the model writes no thoughts


@dataclass(frozen=True)
class Metrics:
    """What the engine measured of one answer so far, by its own clocks."""

    num_prompt_tokens: int
    num_cached_tokens: int  # of the prompt, which the prefix cache had
    num_tokens: int  # of the answer, thoughts included
    queued_s: float  # in the engine's queue
    prefill_s: float  # from there to the first token
    decode_s: float  # from the first token to the last

    @property
    def tokens_per_s(self) -> float | None:
        """How fast the answer came after its first token; None before there are two tokens."""
        return (self.num_tokens - 1) / self.decode_s if self.num_tokens > 1 and self.decode_s > 0 else None


@dataclass(frozen=True)
class Token:
    """One token of an answer, with its probability by the model among what is allowed, before temperature."""

    text: str  # bytes that are no whole character are told as numbers
    probability: float
    runners_up: tuple[tuple[str, float], ...] = ()  # other tokens and their probabilities, the likeliest first


@dataclass(frozen=True)
class Delta:
    """What the engine gives: the text that is new, and on the last one why it ended."""

    text: str
    finish_reason: str | None = None  # "stop", "length" or "abort", as vLLM has it
    stop: str | None = None  # which of the stop strings ended it
    metrics: Metrics | None = None  # None: the operator has turned vLLM's statistics off
    tokens: tuple[Token, ...] = ()  # those that are new, if the settings ask for logprobs


@dataclass(frozen=True)
class Reply:
    """An answer so far; `finish_reason` is as in Delta, "interrupted" (the engine broke) or "time"."""

    text: str = ""
    finish_reason: str | None = None
    num_left_out: int = 0  # oldest messages of the conversation that the context had no room for
    place: int = 0  # in the queue, the next one being 1; 0 if it does not wait there
    is_held_up: bool = False  # the engine is being restarted, and the request waits for it
    thought: str = ""
    thought_s: float = 0.0  # how long it took, so far
    num_prompt_tokens: int = 0  # once they are known and until `metrics` tells them
    is_queued: bool = False  # it waits in the engine's own queue
    queued_s: float = 0.0  # in our queue
    ttft_s: float | None = None  # from the request's arrival to its first text, all waiting included
    elapsed_s: float = 0.0  # from the request's arrival
    stop: str | None = None  # which of the stop strings ended it
    metrics: Metrics | None = None
    verdict: str = ""  # of an answer that has ended: whether it is what its constraint wants
    tokens: tuple[Token, ...] = ()  # of an answer that has ended, if the settings ask for logprobs


@dataclass(frozen=True)
class Status:
    """What the engine is doing, in the words that a visitor sees.

    `done` and `total` are bytes while downloading, else steps of the way to ready.
    """

    stage: Stage
    detail: str
    done: int = 0
    total: int = 0

    @property
    def takes_requests(self) -> bool:
        """Whether to ask for an answer makes sense: it is given now, or once the engine is back."""
        return self.stage in ("ready", "restarting")


@dataclass(frozen=True)
class Range:
    """The values that a number may have, both ends among them."""

    least: float
    most: float


RANGES = {
    "max_tokens": Range(1, 1_000_000),  # narrowed by `check_settings`
    "temperature": Range(0, 2),
    "top_p": Range(0.01, 1),
    "top_k": Range(0, 1000),
    "min_p": Range(0, 1),
    "repetition_penalty": Range(0.1, 2),
    "seed": Range(0, 2**63 - 1),
}
WHOLE = ("max_tokens", "top_k", "seed")
MOST_STOPS = 16


def check_settings(given: Mapping[str, Any], fallback: Settings, max_tokens: int) -> Settings:
    """A visitor's values as Settings; what is missing or None comes from `fallback`, whose own max_tokens is cut.

    Whole numbers come out as int, for a float in one of vLLM's integer fields hangs the engine for everybody.

    Raises:
        BadRequest: a name that is no sampling parameter of ours, or a value of the wrong type or out of range; the
            sentence names it, the value and what is allowed. `max_tokens` is the most that an answer may have.
    """
    known = {f.name for f in fields(Settings)} - {"constraint", "logprobs"}  # which are not given by these names
    if unknown := [name for name in given if name not in known]:
        raise BadRequest(f"There is no sampling parameter {unknown[0]!r}; there are {', '.join(sorted(known))}.")
    ranges = {**RANGES, "max_tokens": Range(1, max_tokens)}
    fallback = replace(fallback, max_tokens=min(fallback.max_tokens, max_tokens))
    checked: dict[str, Any] = {
        name: _OTHERS[name](value) if name in _OTHERS else check_number(name, value, ranges[name], name in WHOLE)
        for name, value in given.items()
        if value is not None
    }
    return replace(fallback, **checked)


def check_number(name: str, value: Any, allowed: Range, whole: bool) -> float:
    """A number from JSON, `whole` ones as int.

    Raises:
        BadRequest: it is none, or out of range.
    """
    kind = "a whole number" if whole else "a number"
    is_whole = isinstance(value, int) and not isinstance(value, bool)  # of any size, which isfinite does not take
    is_number = is_whole or (isinstance(value, float) and math.isfinite(value))
    if not is_number or (whole and value != int(value)) or not allowed.least <= value <= allowed.most:
        raise BadRequest(
            f"{name} is {_short(value)}; allowed is {kind} from {allowed.least:g} to {_plain(allowed.most)}."
        )
    return int(value) if whole else float(value)


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list | tuple) or not all(isinstance(stop, str) for stop in stops):
        raise BadRequest(f"stop is {_short(value)}; allowed is a list of strings.")
    stops = tuple(stop for stop in stops if stop)
    if len(stops) > MOST_STOPS:
        raise BadRequest(f"stop has {len(stops)} strings; allowed are {MOST_STOPS}.")
    return stops


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadRequest(f"enable_thinking is {_short(value)}; allowed is true or false.")
    return value


def _adapter(value: Any) -> str | None:
    if not isinstance(value, str):
        raise BadRequest(f"adapter is {_short(value)}; allowed is the name of one, or nothing.")
    return value or None


_OTHERS: dict[str, Callable[[Any], Any]] = {  # than numbers
    "stop": _stops, "enable_thinking": _switch, "adapter": _adapter,
}  # fmt: skip


def _short(value: Any) -> str:
    try:
        text = repr(value)
    except RecursionError:
        return f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:57] + "..."


def _plain(number: float) -> str:
    return f"{number:g}" if number < 1e6 else str(int(number))
