"""How a model marks its thoughts: from the operator's choice of vLLM's reasoning parsers, or from its chat template.

We always split the whole text so far, so the result does not depend on where a delta ends. vLLM itself splits each
delta, which puts a line break or a mark on one side or the other by chance.
"""

from collections.abc import Sequence
from typing import Any

from vllm.reasoning import ReasoningParserManager

from streamspace.errors import ConfigError
from streamspace.thoughts import Splitter, split_harmony
from streamspace.tokenizer import template_of
from streamspace.types import Split

TAIL = 8  # tokens at the end of a prompt, where a template opens or closes the thought
_REQUEST: Any = None  # the parsers that read a whole text do not use the request
_THINK = ("<think>",), ("</think>",)
_COHERE = ("<|START_THINKING|>",), ("<|END_THINKING|>",)
_HERE = ("Here is", "Here's")
_THOUGHT, _RESPONSE = (tuple(f"{here} my {part}:" for here in _HERE) for part in ("thought process", "response"))

# The marks of the parsers that do not have all of them as attributes, read from vLLM's source.
FORMATS: dict[str, Split] = {
    "cohere_command3": Splitter(*_COHERE, ("<|START_RESPONSE|>",), ("<|END_RESPONSE|>",)),
    "cohere_command4": Splitter(
        *_COHERE, ("<|START_TEXT|>", "<|START_RESPONSE|>"), ("<|END_TEXT|>", "<|END_RESPONSE|>"), is_assumed=True
    ),
    "gemma4": Splitter(("<|channel>thought",), ("<channel|>",)),
    "granite": Splitter(_THOUGHT, _RESPONSE),
    "hunyuan_a13b": Splitter(*_THINK, ("<answer>",), ("\n</answer>",)),
    "inkling": Splitter(
        ("<|content_thinking|>", "<|message_model|><|content_thinking|>"),
        ("<|end_message|>",),
        ("<|message_model|><|content_text|>", "<|content_text|>"),
        ("<|end_message|>",),
    ),
    "kimi_k3": Splitter(
        ("<|open|>think<|sep|>",),
        ("<|close|>think<|sep|>",),
        ("<|open|>response<|sep|>",),
        ("<|close|>response<|sep|>",),
        is_assumed=True,
    ),
    "minimax_m2_append_think": Splitter(*_THINK, is_assumed=True),
    "openai_gptoss": split_harmony,
}
# Some parsers do nothing without these; whether the template opens a thought, we see at the prompt's end.
_WITH_THOUGHTS = {"thinking": True, "enable_thinking": True}


def check_parser(name: str, has_plugin: bool) -> None:
    """Raises ConfigError if vLLM has no such reasoning parser; not with a plugin, which may add it."""
    known = ReasoningParserManager.list_registered()
    if name and not has_plugin and name not in known:
        raise ConfigError(f"--reasoning-parser is {name!r}; there are {', '.join(known)}.")


def thoughts_of(model_config: Any, parser_name: str, tokenizer: Any) -> Split | None:
    """How this model marks its thoughts, None if it has none; raises ConfigError if the parser does not suit it."""
    if not parser_name and model_config.hf_config.model_type == "gpt_oss":
        return split_harmony
    if parser_name:
        try:
            return of_parser(parser_name, tokenizer)
        except (ImportError, KeyError, RuntimeError, ValueError) as error:
            raise ConfigError(f"--reasoning-parser {parser_name} does not suit this model: {error}") from None
    template, vocabulary = template_of(tokenizer), tokenizer.get_vocab()
    has_marks = all(mark in template and mark in vocabulary for (mark,) in _THINK)
    return Splitter(*_THINK) if has_marks else None


def of_parser(name: str, tokenizer: Any) -> Split:
    """How one of vLLM's parsers tells thoughts from answers; raises vLLM's error if it does not suit the tokenizer."""
    parser = ReasoningParserManager.get_reasoning_parser(name)(tokenizer, chat_template_kwargs=_WITH_THOUGHTS)
    if name in FORMATS:
        return FORMATS[name]
    start, end = parser.reasoning_start_str, parser.reasoning_end_str
    if start and end:
        # To most parsers a text without marks is a thought, to some it is an answer.
        is_assumed = any(parser.extract_reasoning(text, _REQUEST)[0] for text in ("a", f"a{end}a"))
        return Splitter((start,), (end,), is_assumed=is_assumed)

    def read(text: str, is_whole: bool) -> tuple[str, str]:
        thought, answer = parser.extract_reasoning(text, _REQUEST)
        return (thought or "").strip(), (answer or "").lstrip("\r\n")

    return read


def keeps_special(thoughts: Split | None, special: Sequence[str]) -> bool:
    """Whether vLLM must leave special tokens in the text, because they mark the thoughts."""
    if isinstance(thoughts, Splitter):
        return any(token and token in mark for token in special for mark in thoughts.marks)
    return thoughts is split_harmony
