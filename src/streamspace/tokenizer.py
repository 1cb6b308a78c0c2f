"""What a model's tokenizer knows beyond text and token ids: its control tokens, and the text of a single token."""

import math
from typing import Any

from vllm.outputs import CompletionOutput

from streamspace.thoughts import Splitter
from streamspace.types import Split, Token
from streamspace.vllm_internals import IS_MISTRAL, find

# GPT-2's byte-level BPE writes a printable byte as itself and the others as U+0100, U+0101, ...; BYTES inverts that.
PRINTABLE = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
OTHERS = (byte for byte in range(0x100) if byte not in PRINTABLE)
BYTES = {**{chr(byte): byte for byte in PRINTABLE}, **{chr(0x100 + n): byte for n, byte in enumerate(OTHERS)}}


def tokens_of(output: CompletionOutput, tokenizer: Any) -> tuple[Token, ...]:
    """The tokens of an output; vLLM gives logprobs for the one that it took and for the likeliest ones."""
    tokens = []
    for token_id, logprobs in zip(output.token_ids, output.logprobs or (), strict=False):
        likely = {
            other: (token_text(tokenizer, other, logprob.decoded_token), math.exp(logprob.logprob))
            for other, logprob in (logprobs or {}).items()
        }
        text, probability = likely.pop(token_id)
        others = [other for other in likely.values() if other[1] > 0]  # 0: the constraint forbids it
        tokens.append(Token(text, probability, tuple(sorted(others, key=lambda other: -other[1]))))
    return tuple(tokens)


def token_text(tokenizer: Any, token_id: int, decoded: str | None) -> str:
    """A token as text, bytes as numbers: vLLM decodes a token that is part of a character to nothing, or to U+FFFD."""
    if decoded and "\ufffd" not in decoded:
        return decoded
    # mistral-common takes only a list, and gives bytes only if special tokens are skipped.
    (raw,) = tokenizer.convert_ids_to_tokens([token_id], skip_special_tokens=True) or (decoded,)
    if isinstance(raw, str) and all(char in BYTES for char in raw):
        raw = bytes(BYTES[char] for char in raw)
    return raw.decode(errors="backslashreplace") if isinstance(raw, bytes) else str(raw)


def control_tokens(tokenizer: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The tokens that would steer the model if a message had them: the special tokens, and the template's marks.

    Marks are tokens that the template writes although the tokenizer counts them as text, such as `<think>`, or all
    tokens that begin a turn for DeepSeek. Other added tokens, such as runs of spaces and HTML tags, are plain text.
    mistral-common reads every text as plain text, so it has none.
    """
    if find(IS_MISTRAL)(tokenizer):
        return (), ()
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
    marks = {token.content for token in added if token.content.strip() and token.content in template_of(tokenizer)}
    return tuple(sorted(special)), tuple(sorted(marks - special))


def start_tokens(tokenizer: Any, thoughts: Split | None) -> tuple[int, ...]:
    """The tokens that begin a thought; as text, mistral-common would read the mark as letters."""
    if not isinstance(thoughts, Splitter):
        return ()
    mark = thoughts.starts[0]
    token_id = tokenizer.get_vocab().get(mark)
    tokens = tokenizer.encode(mark, add_special_tokens=False) if token_id is None else [token_id]
    return (*tokens, *tokenizer.encode("\n", add_special_tokens=False))


def template_of(tokenizer: Any) -> str:
    """The text of the model's chat template; empty without one."""
    return str(getattr(tokenizer, "chat_template", None) or "")
