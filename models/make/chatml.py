"""Turns and documents as the bundled model sees them: special tokens, the chat template, and documents as token ids.

`encode` marks the tokens that the model should learn to say: its own last answer, or all of a raw text.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Tokenizer

SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")
END_OF_TEXT, IM_START, IM_END = SPECIAL_TOKENS[:3]

# Tools stand in a line each, after the operator's words. That is shorter than JSON schemas, of which a model this small
# would have to read hundreds of tokens.
TOOLS_HEAD = "# Tools\n"
TOOLS_END = 'To call one: <tool_call>\n{"name": ..., "arguments": {...}}\n</tool_call>'
# How the templates begin: `listed` holds the tools.
TOOLS = """\
{%- set listed = namespace(text='') %}
{%- if tools %}
    {%- set listed.text = '# Tools\\n' %}
    {%- for tool in tools %}
        {%- set taken = (tool.function.parameters or {}).properties or {} %}
        {%- set line = tool.function.name + '(' + taken | join(', ') + '): ' + (tool.function.description or '') %}
        {%- set listed.text = listed.text + line + '\\n' %}
    {%- endfor %}
    {%- set listed.text = listed.text + 'To call one: <tool_call>\\n{"name": ..., "arguments": {...}}\\n</tool_call>' %}
    {%- if not messages or messages[0].role != 'system' %}
        {{- '<|im_start|>system\\n' + listed.text + '<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
"""
# How a message begins and ends, whose words are `said.text`. Thoughts of earlier turns are dropped, as in Qwen3's.
MESSAGE = """\
    {%- if message.role == 'assistant' and '</think>' in said.text %}
        {%- set said.text = said.text.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '<|im_start|>' + message.role + '\\n' + said.text }}
    {%- if loop.first and message.role == 'system' and listed.text %}
        {{- '\\n\\n' + listed.text }}
    {%- endif %}
    {%- for call in message.tool_calls or () %}
        {%- set given = call.function.arguments %}
        {{- '\\n' if said.text or not loop.first }}
        {{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
        {{- (given if given is string else given | tojson) + '}\\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endfor %}
"""
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
CHAT_TEMPLATE = (
    TOOLS
    + """\
{%- for message in messages %}
    {%- set said = namespace(text=message.content if message.content is string else '') %}
"""
    + MESSAGE
    + ANSWER
)


@dataclass(frozen=True)
class Turn:
    """One message of a chat."""

    role: str  # system, user, assistant or tool
    text: str


@dataclass(frozen=True)
class Document:
    """One training text: a chat that ends with the model's answer, or raw text without turns."""

    turns: tuple[Turn, ...] = ()
    thought: str | None = None  # None: the thought is switched off
    raw: str = ""
    tools: tuple[str, ...] = ()  # a line for each


def chat(*turns: tuple[str, str], thought: str | None = None) -> Document:
    """Make a chat from (role, text) pairs; the last one is the answer to learn."""
    return Document(tuple(Turn(role, text) for role, text in turns), thought)


def call_text(name: str, arguments: dict[str, str]) -> str:
    """Write a call as the model writes it, in the form of Hermes and Qwen."""
    return f'<tool_call>\n{{"name": "{name}", "arguments": {json.dumps(arguments, ensure_ascii=False)}}}\n</tool_call>'


def with_tools(turns: Sequence[Turn], tools: Sequence[str]) -> Sequence[Turn]:
    """Put the tools behind the system turn's words."""
    if not tools:
        return turns
    is_first = bool(turns) and turns[0].role == "system"
    words = f"{turns[0].text}\n\n" if is_first else ""
    text = words + TOOLS_HEAD + "".join(f"{line}\n" for line in tools) + TOOLS_END
    return [Turn("system", text), *turns[is_first:]]


def prompt_text(turns: Sequence[Turn], thinking: bool, tools: Sequence[str] = ()) -> str:
    """Write what the chat template writes, with the generation prompt."""
    turns = with_tools(turns, tools)
    text = "".join(f"{IM_START}{turn.role}\n{turn.text}{IM_END}\n" for turn in turns)
    return f"{text}{IM_START}assistant\n" + ("" if thinking else "<think>\n\n</think>\n\n")


def document_parts(document: Document) -> tuple[str, str]:
    """Split a document into what is given and what is to be learnt."""
    if document.raw:
        return "", document.raw + END_OF_TEXT
    prompt = prompt_text(document.turns[:-1], document.thought is not None, document.tools)
    thought = "" if document.thought is None else f"<think>\n{document.thought}\n</think>\n\n"
    return prompt, f"{thought}{document.turns[-1].text}{IM_END}"


def encode(tokenizer: Tokenizer, documents: Sequence[Document]) -> list[tuple[list[int], int]]:
    """Return for each document its token ids and how many of them, at the front, are only given."""
    parts = [part for document in documents for part in document_parts(document)]
    ids = [encoding.ids for encoding in tokenizer.encode_batch(parts, add_special_tokens=False)]
    return [(given + learnt, len(given)) for given, learnt in zip(ids[::2], ids[1::2], strict=True)]
