"""A visitor's conversation → messages for the engine. Pure: no chat template, no tokenizer."""

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import pairwise

from streamspace.types import Message


def clean(text: str) -> str:
    """Text that any tokenizer takes: lone surrogates become U+FFFD, as in UTF-8 decoders."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


JOINER = "\u2060"  # a word joiner: it has no width, and is in no special token


def as_words(text: str, tokens: Collection[str]) -> str:
    """The same text without these tokens: a word joiner is put after the first character of each.

    A tokenizer reads a special token wherever it stands, so a text with `<|im_end|>` would end its message and begin
    another. Tokens of one character stay, because nothing can be put into them.
    """
    pattern = _starts(tuple(tokens))
    return pattern.sub(rf"\g<0>{JOINER}", text) if pattern else text


@lru_cache(maxsize=8)
def _starts(tokens: tuple[str, ...]) -> re.Pattern[str] | None:
    """Match the first character of each token where its rest follows, also inside another token."""
    rests: dict[str, list[str]] = {}
    for token in tokens:
        if len(token) > 1:
            rests.setdefault(token[0], []).append(re.escape(token[1:]))
    starts = [rf"{re.escape(first)}(?={'|'.join(others)})" for first, others in rests.items()]
    return re.compile("|".join(starts)) if starts else None


def conversation(system_prompt: str, turns: Sequence[Message]) -> tuple[Message, ...]:
    """The messages of one request: the system prompt, if there is one, and the turns, oldest first.

    Thoughts are left out, except a last one without an answer, which the model continues.
    """
    head = (Message("system", clean(system_prompt)),) if system_prompt.strip() else ()
    messages = [Message(turn.role, clean(turn.text), images=turn.images) for turn in turns]
    if turns and not turns[-1].text:
        messages[-1] = replace(messages[-1], thought=clean(turns[-1].thought))
    return (*head, *messages)


def since_summary(turns: Sequence[Message]) -> Sequence[Message]:
    """The turns from the last one on that sums up those before it; all of them without one."""
    pairs = enumerate(pairwise(turns))
    begins = [n for n, (asked, answer) in pairs if asked.sums_up and answer.role == "assistant" and answer.text]
    return turns[begins[-1] :] if begins else turns


def for_strict_templates(messages: Sequence[Message]) -> tuple[tuple[Message, ...], ...]:
    """The same conversation with roles that alternate, for templates that want this: with a system prompt, without."""
    without_system = [replace(message, role="user") if message.role == "system" else message for message in messages]
    return _alternating(messages), _alternating(without_system)


def _alternating(messages: Sequence[Message]) -> tuple[Message, ...]:
    """Join neighbours of one role, such as questions without answers; before a first answer stands an empty question.

    A last thought without an answer stays as it is.
    """
    merged: list[Message] = []
    for message in messages:
        if message.role == "assistant" and (not merged or merged[-1].role == "system"):
            merged.append(Message("user", ""))
        if merged and merged[-1].role == message.role != "tool" and not message.thought:
            text, images = f"{merged[-1].text}\n\n{message.text}", merged[-1].images + message.images
            merged[-1] = replace(merged[-1], text=text, images=images)
        else:
            merged.append(message)
    return tuple(merged)


def without_oldest(messages: Sequence[Message]) -> Sequence[tuple[int, int]]:
    """The ranges of messages that may be left out, as (begin, end): none, the oldest turn, the two oldest and so on.

    The system prompt and the last question stay, and so does the beginning of an answer to it.
    """
    begin = 1 if messages and messages[0].role == "system" else 0
    later = (n for n in range(begin + 1, len(messages)) if messages[n].role == "user")
    return [(begin, end) for end in (begin, *later)]
