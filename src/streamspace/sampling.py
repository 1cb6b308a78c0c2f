"""A visitor's sampling parameters: their table, and the check of their values. Pure.

docs/architecture.md says how to add one.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from streamspace.checks import Range, check_number, short
from streamspace.errors import BadRequest
from streamspace.types import Constraint, ToolSpec

# The prompts of vLLM's own streaming example, examples/deployment/async_llm_streaming.py; its sampling is `Settings()`.
EXAMPLE_PROMPTS = ("The future of artificial intelligence is", "In a galaxy far, far away", "The key to happiness is")
MOST_STOPS = 16
MOST_STOP_CHARS = 256  # each is looked for in every new piece of text


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
    enable_thinking: bool | None = None  # a switch of some chat templates; None is the template's default
    constraint: Constraint | None = None
    adapter: str | None = None  # the LoRA adapter's name; None is the model itself
    tools: tuple[ToolSpec, ...] = ()  # which the model may call
    logprobs: int | None = None  # how many of the likeliest tokens come with each token of the answer; 20 at most


def _stops(value: Any) -> tuple[str, ...]:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list | tuple) or not all(isinstance(stop, str) for stop in stops):
        raise BadRequest("stop is {value}; allowed is a list of strings.", value=short(value))
    stops = tuple(stop for stop in stops if stop)
    if len(stops) > MOST_STOPS:
        raise BadRequest("stop has {number} strings; allowed are {most}.", number=len(stops), most=MOST_STOPS)
    check_stops(stops)
    return stops


def check_stops(stops: Iterable[Any]) -> None:
    """Raise BadRequest for a stop string that is too long."""
    if long := [stop for stop in stops if isinstance(stop, str) and len(stop) > MOST_STOP_CHARS]:
        template = "A stop string has {number} characters; allowed are {most}."
        raise BadRequest(template, number=len(long[0]), most=MOST_STOP_CHARS)


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise BadRequest("enable_thinking is {value}; allowed is true or false.", value=short(value))
    return value


def _adapter(value: Any) -> str | None:
    if not isinstance(value, str):
        raise BadRequest("adapter is {value}; allowed is the name of one, or nothing.", value=short(value))
    return value or None


@dataclass(frozen=True)
class Parameter:
    """One sampling parameter, for the page, the endpoints and the check."""

    json_type: Any  # `int` is a whole number
    info: str  # what it does, for the page and the endpoints' documentation; without a full stop
    example: Any = None  # a value that works everywhere, if there is one
    range: Range | None = None  # of a number
    step: float = 1  # of its slider
    check: Callable[[Any], Any] | None = None  # None for a number; JSON → value of Settings, or raises BadRequest

    @property
    def is_whole(self) -> bool:
        """Whether it is a whole number."""
        return self.json_type is int

    @property
    def is_list(self) -> bool:
        """Whether it is a list of strings."""
        return bool(self.json_type == list[str])

    @property
    def description(self) -> str:
        """The explanation as a sentence, with the range of a number that is not whole."""
        ends = f" ({self.range.least:g} to {self.range.most:g})" if self.range and not self.is_whole else ""
        return f"{self.info}{ends}."


# In the order of the page and the endpoints. A new one goes to the end: clients may send values by position.
PARAMETERS: dict[str, Parameter] = {
    # An upper bound: `check_settings` cuts it to what the operator allows.
    "max_tokens": Parameter(int, "Most tokens that the answer may have", 100, Range(1, 2**31 - 1)),
    "temperature": Parameter(
        float, "0 always takes the likeliest token; higher is more varied", 0.7, Range(0, 2), 0.05
    ),
    "top_p": Parameter(
        float, "Only the likeliest tokens that together reach this probability", 0.95, Range(0.01, 1), 0.01
    ),
    "top_k": Parameter(int, "Only this many of the likeliest tokens; 0 is all", 40, Range(0, 1000)),
    "min_p": Parameter(float, "Only tokens at least this likely, compared with the likeliest", 0.05, Range(0, 1), 0.01),
    "repetition_penalty": Parameter(
        float, "Above 1 discourages tokens that were there already", 1.1, Range(0.1, 2), 0.05
    ),
    "seed": Parameter(int, "The same seed gives the same answer; none draws a new one", 42, Range(0, 2**63 - 1)),
    "stop": Parameter(list[str], "Ends the answer before any of these strings, 16 at most", ["\n\n"], check=_stops),
    "enable_thinking": Parameter(
        bool, "Whether a model that can think does so before it answers", False, check=_switch
    ),
    "adapter": Parameter(
        str, "The LoRA adapter through which the model answers; none is the model itself", check=_adapter
    ),
}


def check_settings(values: Mapping[str, Any], fallback: Settings, max_tokens: int) -> Settings:
    """A visitor's values as Settings; a missing value or None comes from `fallback`, brought into its range.

    More tokens than `max_tokens`, the most allowed, become that many.

    Whole numbers come out as int, because a float in one of vLLM's integer fields hangs the engine for everybody.

    Raises:
        BadRequest: an unknown name, or a value of the wrong type or out of range; the sentence names it, the value and
            what is allowed.
    """
    if unknown := [name for name in values if name not in PARAMETERS]:
        known = ", ".join(sorted(PARAMETERS))
        raise BadRequest("There is no sampling parameter {name!r}; there are {known}.", name=unknown[0], known=known)
    fallback = replace(fallback, **in_range(vars(fallback), max_tokens))
    given = {name: value for name, value in values.items() if value is not None}
    return replace(fallback, **{name: _checked(name, value, max_tokens) for name, value in given.items()})


def _checked(name: str, value: Any, max_tokens: int) -> Any:
    parameter = PARAMETERS[name]
    if parameter.check:
        return parameter.check(value)
    assert parameter.range is not None
    number = check_number(name, value, parameter.range, parameter.is_whole)
    return min(number, max_tokens) if name == "max_tokens" else number


def in_range(recommended: Mapping[str, Any], max_tokens: int) -> dict[str, Any]:
    """The numbers among these values, each brought into its range: a model may recommend any."""
    found = {}
    for name, value in recommended.items():
        if name in PARAMETERS and PARAMETERS[name].range and isinstance(value, int | float):
            allowed = range_of(name, max_tokens)
            number = min(max(value, allowed.least), allowed.most)
            found[name] = int(number) if PARAMETERS[name].is_whole else number
    return found


def range_of(name: str, max_tokens: int) -> Range:
    """The range of a number; `max_tokens` is the most that an answer may have."""
    parameter = PARAMETERS[name]
    assert parameter.range is not None  # every number has one
    return Range(1, max_tokens) if name == "max_tokens" else parameter.range
