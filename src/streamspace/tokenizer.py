"""What a model's tokenizer knows beyond text and token ids: its control tokens, and what a single token stands for."""

import math
from typing import Any

from vllm.outputs import CompletionOutput

from streamspace.thoughts import Splitter
from streamspace.types import Split, Token
from streamspace.vllm_internals import IS_MISTRAL, find

# GPT-2's byte-level BPE writes a printable byte as itself and the others as U+0100, U+0101, ...; this inverts it.
PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
OTHERS = (byte for byte in range(0x100) if byte not in PRINTABLE)
BYTES = {**{chr(byte): byte for byte in PRINTABLE}, **{chr(0x100 + n): byte for n, byte in enumerate(OTHERS)}}


def tokens_of(output: CompletionOutput, tokenizer: Any) -> tuple[Token, ...]:
    """The tokens of an output with their logprobs, which vLLM gives for the likeliest ones and the one it took."""
    tokens = []
    for token_id, logprobs in zip(output.token_ids, output.logprobs or (), strict=False):
        likely = {
            other: (token_text(tokenizer, other, logprob.decoded_token), math.exp(logprob.logprob))
            for other, logprob in (logprobs or {}).items()
        }
        text, probability = likely.pop(token_id)
        others = [other for other in likely.values() if other[1] > 0]  # what the constraint forbids has none
        tokens.append(Token(text, probability, tuple(sorted(others, key=lambda other: -other[1]))))
    return tuple(tokens)


def token_text(tokenizer: Any, token_id: int, decoded: str | None) -> str:
    """A token as text; vLLM decodes one that is a part of a character to nothing, or to U+FFFD."""
    if decoded and "\ufffd" not in decoded:
        return decoded
    # mistral-common takes nothing but a list, and gives bytes to those alone who want no special tokens.
    (raw,) = tokenizer.convert_ids_to_tokens([token_id], skip_special_tokens=True) or (decoded,)
    if isinstance(raw, str) and all(char in BYTES for char in raw):
        raw = bytes(BYTES[char] for char in raw)
    return raw.decode(errors="backslashreplace") if isinstance(raw, bytes) else str(raw)


def control_tokens(tokenizer: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What steers the model where it stands in a prompt: the special tokens, and the marks of the chat template.

    Marks are tokens that the template writes although the tokenizer counts them as text: `<think>`, or all that begins
    a turn for DeepSeek. Other such tokens, runs of spaces and HTML tags among them, are words as any other. There are
    none for mistral-common, which reads every text as words.
    """
    if find(IS_MISTRAL)(tokenizer):
        return (), ()
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
    marks = {token.content for token in added if token.content.strip() and token.content in template_of(tokenizer)}
    return tuple(sorted(special)), tuple(sorted(marks - special))


def start_tokens(tokenizer: Any, thoughts: Split | None) -> tuple[int, ...]:
    """The tokens with which a model begins such thoughts; mistral-common would read a mark in a text as letters."""
    if not isinstance(thoughts, Splitter):
        return ()
    mark = thoughts.starts[0]
    token_id = tokenizer.get_vocab().get(mark)
    tokens = tokenizer.encode(mark, add_special_tokens=False) if token_id is None else [token_id]
    return (*tokens, *tokenizer.encode("\n", add_special_tokens=False))


def template_of(tokenizer: Any) -> str:
    """The text of the model's chat template; empty without one."""
    return str(getattr(tokenizer, "chat_template", None) or "")
