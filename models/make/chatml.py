"""Turns and documents as the bundled model sees them: special tokens, the chat template, and documents as token ids.

`encode` marks the tokens that the model should learn to say: its own last answer, or all of a raw text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
END_OF_TEXT, IM_START, IM_END = SPECIAL_TOKENS[:3]

# How the templates end. `enable_thinking` decides about the empty block, as in Qwen3's. Unlike there, nothing said
# means no thought: a model this small answers better at once, and thinks only when it is asked to.
ANSWER = """\
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if not (enable_thinking is defined and enable_thinking) %}
        {{- '<think>\\n\\n</think>\\n\\n' }}
    {%- endif %}
{%- endif %}
"""
CHAT_TEMPLATE = (  # as Qwen3's: thoughts of earlier turns are dropped
    """\
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>\\n' }}
{%- endfor %}
"""
    + ANSWER
)


@dataclass(frozen=True)
class Turn:
    """One message of a chat."""

    role: str  # system, user or assistant
    text: str


@dataclass(frozen=True)
class Document:
    """One training text: a chat that ends with the model's answer, or raw text without turns."""

    turns: tuple[Turn, ...] = ()
    thought: str | None = None  # None: the thought is switched off
    raw: str = ""


def chat(*turns: tuple[str, str], thought: str | None = None) -> Document:
    """Make a chat from (role, text) pairs; the last one is the answer to learn."""
    return Document(tuple(Turn(role, text) for role, text in turns), thought)


def prompt_text(turns: Sequence[Turn], thinking: bool) -> str:
    """Write what the chat template writes, with the generation prompt."""
    text = "".join(f"{IM_START}{turn.role}\n{turn.text}{IM_END}\n" for turn in turns)
    return f"{text}{IM_START}assistant\n" + ("" if thinking else "<think>\n\n</think>\n\n")


def document_parts(document: Document) -> tuple[str, str]:
    """Split a document into what is given and what is to be learnt."""
    if document.raw:
        return "", document.raw + END_OF_TEXT
    prompt = prompt_text(document.turns[:-1], document.thought is not None)
    thought = "" if document.thought is None else f"<think>\n{document.thought}\n</think>\n\n"
    return prompt, f"{thought}{document.turns[-1].text}{IM_END}"


def encode(tokenizer: Tokenizer, documents: Sequence[Document]) -> list[tuple[list[int], int]]:
    """Return for each document its token ids and how many of them, at the front, are only given."""
    parts = [part for document in documents for part in document_parts(document)]
    ids = [encoding.ids for encoding in tokenizer.encode_batch(parts, add_special_tokens=False)]
    return [(given + learnt, len(given)) for given, learnt in zip(ids[::2], ids[1::2], strict=True)]
