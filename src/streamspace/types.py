"""Frozen data that goes from module to module. Pure."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from streamspace.translation import Sentence

Role = Literal["system", "user", "assistant", "tool"]
Stage = Literal["downloading", "loading", "ready", "restarting", "failed"]
ConstraintKind = Literal["json", "regex", "choice"]
Split = Callable[[str, bool], tuple[str, str]]  # what the model wrote, and whether that is all → thought, answer


@dataclass(frozen=True)
class ToolSpec:
    """A tool that the model may call."""

    name: str
    description: str
    schema: dict[str, Any]  # of the arguments


@dataclass(frozen=True)
class Call:
    """A call of a tool that the model has written."""

    name: str
    arguments: str  # JSON
    id: str


@dataclass(frozen=True)
class Step:
    """What came before an answer: a call and its result, None while it runs; or text that was written before calls."""

    call: Call | None
    text: str | None = None
    thought: str = ""
    thought_s: float = 0.0
    seconds: float = 0.0  # that the tool took
    is_error: bool = False


@dataclass(frozen=True)
class Message:
    """One message of a conversation; the model's thought comes before its text and is left out of later prompts."""

    role: Role
    text: str
    thought: str = ""
    thought_s: float = 0.0
    images: tuple[str, ...] = field(default=(), repr=False)  # pictures before the text, as data URLs of base64
    calls: tuple[Call, ...] = ()  # of tools, after the text of an answer
    call_id: str = ""  # which call the text of a tool answers
    folds: tuple[tuple[str, str, float], ...] = ()  # what is shown before the answer: title, text, seconds
    sums_up: bool = False  # asks for a summary, which stands for all that was before


ReadCalls = Callable[[str, bool], tuple[str, tuple[Call, ...]]]  # an answer, and whether that is all → its text, calls


@dataclass(frozen=True)
class Constraint:
    """What an answer must match: a schema, a regex or a JSON list of choices; made by `constraint.check_constraint`."""

    kind: ConstraintKind
    value: str


@dataclass(frozen=True)
class Prompt:
    """What the engine gets: token ids, with the chat template applied; and how to read what the model writes."""

    token_ids: tuple[int, ...]
    split: Split | None = None  # None: the model writes no thoughts
    pictures: Any = field(default=None, compare=False, repr=False)  # vLLM's own prompt, if there are any
    calls: ReadCalls | None = None  # None: the model may call no tools
    num_answered: int = 0  # how many of the last token ids are the answer so far, of an engine that has died


@dataclass(frozen=True)
class Metrics:
    """What the engine measured of one answer so far, by its own clocks."""

    num_prompt_tokens: int
    num_cached_tokens: int  # tokens of the prompt that were in the prefix cache
    num_tokens: int  # of the answer, thoughts included
    queued_s: float  # in the engine's queue
    prefill_s: float  # from there to the first token
    decode_s: float  # from the first token to the last

    @property
    def tokens_per_s(self) -> float | None:
        """Rate of the answer after its first token; None before there are two tokens."""
        return (self.num_tokens - 1) / self.decode_s if self.num_tokens > 1 and self.decode_s > 0 else None

    def gone_on(self, num_before: int, rest: "Metrics") -> "Metrics":
        """Those of an answer whose first `num_before` tokens these are of, and the rest those of another request."""
        return replace(self, num_tokens=num_before + rest.num_tokens, decode_s=self.decode_s + rest.decode_s)


@dataclass(frozen=True)
class Token:
    """One token of an answer, with the model's probability for it among the allowed tokens, before temperature."""

    text: str  # bytes that are no whole character are written as numbers
    probability: float
    runners_up: tuple[tuple[str, float], ...] = ()  # other tokens and their probabilities, the likeliest first


@dataclass(frozen=True)
class Delta:
    """What the engine gives: the new text, and with the last delta why the answer ended."""

    text: str
    finish_reason: str | None = None  # "stop", "length" or "abort", as vLLM has it
    stop: str | None = None  # which of the stop strings ended it
    metrics: Metrics | None = None  # None: the operator has turned vLLM's statistics off
    tokens: tuple[Token, ...] = ()  # the new ones, if the settings ask for logprobs
    token_ids: tuple[int, ...] = ()  # the new ones


@dataclass(frozen=True)
class Reply:
    """An answer so far; `finish_reason` is as in Delta, "interrupted" (by an error) or "time"."""

    text: str = ""
    finish_reason: str | None = None
    num_left_out: int = 0  # the oldest messages, which the context had no room for
    place: int = 0  # in the queue, 1 is next; 0 if it does not wait there
    is_held_up: bool = False  # the engine is being restarted, and the request waits for it
    thought: str = ""
    thought_s: float = 0.0  # how long it took, so far
    num_prompt_tokens: int = 0  # once it is known, and until `metrics` has it
    is_queued: bool = False  # it waits in the engine's own queue
    queued_s: float = 0.0  # in our queue
    ttft_s: float | None = None  # from the request's arrival to its first text, all waiting included
    elapsed_s: float = 0.0  # from the request's arrival
    stop: str | None = None  # which of the stop strings ended it
    metrics: Metrics | None = None
    verdict: str = ""  # after the end: whether the answer matches its constraint
    tokens: tuple[Token, ...] = ()  # after the end, if the settings ask for logprobs
    calls: tuple[Call, ...] = ()  # after the end: tools that the model calls
    steps: tuple[Step, ...] = ()  # the calls before this answer
    failure: str = ""  # what interrupted it, where that was not the end of the engine


@dataclass(frozen=True)
class Status:
    """What the engine is doing; visitors see `detail`, which is a Sentence where it has a translation.

    `done` and `total` are bytes while downloading, else steps on the way to ready. `usual_s` is how many seconds the
    last starts took, 0 if that is not known.
    """

    stage: Stage
    detail: str
    done: int = 0
    total: int = 0
    usual_s: int = 0

    @property
    def takes_requests(self) -> bool:
        """Whether a request makes sense: it is answered now, or after the restart."""
        return self.stage in ("ready", "restarting")

    @property
    def sentence(self) -> str:
        """The state in words and numbers."""
        if not self.usual_s or self.stage not in ("downloading", "loading"):
            return self._sentence
        template = "{state} A start usually takes about {seconds} s."
        return Sentence(template, state=self._sentence, seconds=self.usual_s)

    @property
    def _sentence(self) -> str:
        if self.stage == "downloading" and self.total:
            percent, done, total = 100 * self.done // self.total, size(self.done, 1), size(self.total, 1)
            template = "{detail}: {done} of {total} ({percent}%)"
            return Sentence(template, detail=self.detail, done=done, total=total, percent=percent)
        if self.stage not in ("downloading", "loading", "restarting"):
            return self.detail
        if not self.total:
            return Sentence("{detail} …", detail=self.detail)
        template = "{detail} (step {number} of {total}) …"
        return Sentence(template, detail=self.detail, number=self.done + 1, total=self.total)


def size(num_bytes: int, digits: int) -> str:
    """A size in MB with so many digits after the point, or in GB with one digit more."""
    return f"{num_bytes / 1e9:.{digits + 1}f} GB" if num_bytes >= 1e9 else f"{num_bytes / 1e6:.{digits}f} MB"
