"""How a model marks its thoughts: by vLLM's reasoning parser of the operator's choice, or by what its template says.

The parsers are vLLM's. What is split is always all that the model wrote so far, so that it does not matter in which
parts the text comes; vLLM's own way, a delta at a time, gives a line break or a mark to the one side or the other by
chance of where a delta ends.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from vllm.reasoning import ReasoningParser, ReasoningParserManager

from streamspace.errors import ConfigError
from streamspace.messages import Split
from streamspace.thoughts import Splitter, split_harmony

TAIL = 8  # tokens at the end of a prompt in which a template opens or closes the thought


@dataclass(frozen=True)
class Marks:
    """Thoughts stand between two marks, at the beginning of an answer."""

    start: str
    end: str
    is_assumed: bool  # the operator's parser takes a text for a thought until its end, with a start or without

    def split(self, tail: str) -> Split:
        """How to read an answer to a prompt that ends in `tail`."""
        tail = tail.rstrip()
        return Splitter(self.start, self.end, tail.endswith(self.start) or (self.is_assumed and self.end not in tail))


@dataclass(frozen=True)
class Whole:
    """Thoughts are found by a function of all that was written."""

    read: Split

    def split(self, tail: str) -> Split:
        """As `Marks.split`; the prompt makes no difference."""
        return self.read


def check_parser(name: str, has_plugin: bool) -> None:
    """Raises ConfigError if vLLM has no such reasoning parser; a plugin may bring it."""
    known = ReasoningParserManager.list_registered()
    if name and not has_plugin and name not in known:
        raise ConfigError(f"--reasoning-parser is {name!r}; there are {', '.join(known)}.")


def thoughts_of(model_config: Any, parser_name: str, tokenizer: Any) -> Marks | Whole | None:
    """How this model marks its thoughts; None if it has none.

    Raises:
        ConfigError: the parser does not suit the model's tokenizer.
    """
    if parser_name == "openai_gptoss" or (not parser_name and model_config.hf_config.model_type == "gpt_oss"):
        return Whole(split_harmony)
    if parser_name:
        return of_parser(_parser(parser_name, tokenizer))
    template, vocabulary = str(getattr(tokenizer, "chat_template", None) or ""), tokenizer.get_vocab()
    has_marks = all(mark in template and mark in vocabulary for mark in ("<think>", "</think>"))
    return Marks("<think>", "</think>", is_assumed=False) if has_marks else None


def of_parser(parser: ReasoningParser) -> Marks | Whole:
    """How one of vLLM's parsers tells thoughts from answers."""
    parser = getattr(parser, "_parser", parser)  # deepseek_v3 and its like choose between two others
    start, end = parser.reasoning_start_str, parser.reasoning_end_str
    if start and end:
        return Marks(start, end, is_assumed=True)

    def read(text: str, is_whole: bool) -> tuple[str, str]:
        thought, answer = parser.extract_reasoning(text, _REQUEST)
        return (thought or "").strip(), (answer or "").lstrip("\r\n")

    return Whole(read)


def keeps_special(thoughts: Marks | Whole | None, special: Sequence[str]) -> bool:
    """Whether vLLM must leave special tokens in the text for the thoughts to be found."""
    if isinstance(thoughts, Marks):
        return thoughts.start in special or thoughts.end in special
    return thoughts is not None and thoughts.read is split_harmony


def _parser(name: str, tokenizer: Any) -> ReasoningParser:
    try:
        return ReasoningParserManager.get_reasoning_parser(name)(tokenizer)
    except (ImportError, KeyError, RuntimeError, ValueError) as error:
        raise ConfigError(f"--reasoning-parser {name} does not suit this model: {error}") from None


_REQUEST: Any = None  # the parsers that read a whole text make no use of the request
