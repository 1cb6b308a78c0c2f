"""What a model wrote so far → its thought and its answer. Pure, and the same however the text came in parts."""

import re

from streamspace.messages import Split

# How gpt-oss writes: each part of a turn names its channel; only "final" is the answer.
_HARMONY = re.compile(
    r"<\|channel\|>(\w+)[^<]*<\|message\|>(.*?)(?=<\|(?:end|start|channel|call|return)\|>|\Z)", re.DOTALL
)
_BEGUN_TOKEN = re.compile(r"<(\|\w*\|?)?\Z")


def splitter(start: str, end: str, is_open: bool = False, is_begun: bool = False) -> Split:
    """Splits texts that begin with a thought between two marks, such as `<think>` and `</think>`.

    `is_open` says that the mark may be missing, because the prompt has it already; `is_begun`, that the prompt has part
    of the thought. What could become a mark is held back while more may come. Blanks around the thought and line breaks
    before the answer belong to neither.
    """

    def split(text: str, is_whole: bool) -> tuple[str, str]:
        body = text if is_begun else text.lstrip()
        if body.startswith(start):
            body = body[len(start) :].lstrip()
        elif is_begun:
            pass
        elif not is_whole and start.startswith(body):
            return "", ""
        elif not is_open:
            return "", text
        thought, is_closed, answer = body.partition(end)
        if is_closed:
            return thought.rstrip(), answer.lstrip("\r\n")
        return thought[: len(thought) - _begun(thought, end)], ""

    return split


def split_harmony(text: str, is_whole: bool) -> tuple[str, str]:
    """The same for gpt-oss, whose turns are parts in channels; a text without any is an answer."""
    if not is_whole:
        text = _BEGUN_TOKEN.sub("", text)
    parts = _HARMONY.findall(text)
    if not parts and "<|" not in text:
        return "", text
    thoughts, answers = ([body for name, body in parts if (name == "final") is final] for final in (False, True))
    return "\n\n".join(thoughts).strip(), "".join(answers)


def _begun(text: str, mark: str) -> int:
    """How many characters at the end of `text` are the beginning of `mark`."""
    return next((length for length in range(len(mark) - 1, 0, -1) if text.endswith(mark[:length])), 0)
