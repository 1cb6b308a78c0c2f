"""A visitor's sampling parameters, and the check that lets them in. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from streamspace.checks import Range, check_number, short
from streamspace.errors import BadRequest
from streamspace.types import Constraint

# The prompts of vLLM's own streaming example, examples/deployment/async_llm_streaming.py; its sampling is `Settings()`.
EXAMPLE_PROMPTS = (
    "The future of artificial intelligence is",
    "In a galaxy far, far away",
    "The key to happiness is",
)


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
        raise BadRequest(
            "There is no sampling parameter {name!r}; there are {known}.",
            name=unknown[0],
            known=", ".join(sorted(known)),
        )
    ranges = {**RANGES, "max_tokens": Range(1, max_tokens)}
    fallback = replace(fallback, max_tokens=min(fallback.max_tokens, max_tokens))
    checked: dict[str, Any] = {
        name: _OTHERS[name](value) if name in _OTHERS else check_number(name, value, ranges[name], name in WHOLE)
        for name, value in given.items()
        if value is not None
    }
    return replace(fallback, **checked)


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list | tuple) or not all(isinstance(stop, str) for stop in stops):
        raise BadRequest("stop is {value}; allowed is a list of strings.", value=short(value))
    stops = tuple(stop for stop in stops if stop)
    if len(stops) > MOST_STOPS:
        raise BadRequest("stop has {number} strings; allowed are {most}.", number=len(stops), most=MOST_STOPS)
    return stops


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadRequest("enable_thinking is {value}; allowed is true or false.", value=short(value))
    return value


def _adapter(value: Any) -> str | None:
    if not isinstance(value, str):
        raise BadRequest("adapter is {value}; allowed is the name of one, or nothing.", value=short(value))
    return value or None


_OTHERS: dict[str, Callable[[Any], Any]] = {  # than numbers
    "stop": _stops, "enable_thinking": _switch, "adapter": _adapter,
}  # fmt: skip
