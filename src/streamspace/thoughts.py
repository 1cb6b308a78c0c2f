"""What a model wrote so far → its thought and its answer. Pure, and the same however the text came in parts."""

import re
from dataclasses import dataclass

# How gpt-oss writes: each part of a turn names its channel; only "final" is the answer.
_HARMONY = re.compile(
    r"<\|channel\|>(\w+)[^<]*<\|message\|>(.*?)(?=<\|(?:end|start|channel|call|return)\|>|\Z)", re.DOTALL
)
_BEGUN_TOKEN = re.compile(r"<(\|\w*\|?)?\Z")


@dataclass(frozen=True)
class Splitter:
    """Splits texts that begin with a thought between two marks, such as `<think>` and `</think>`.

    What could become a mark is held back while more may come. Blanks around the thought and line breaks before the
    answer belong to neither.
    """

    start: str
    end: str
    is_open: bool = False  # the mark of the start may be missing, because the prompt has it already
    is_begun: bool = False  # the prompt has part of the thought

    def __call__(self, text: str, is_whole: bool) -> tuple[str, str]:
        body = text if self.is_begun else text.lstrip()
        if body.startswith(self.start):
            body = body[len(self.start) :].lstrip()
        elif not self.is_begun:
            if not is_whole and self.start.startswith(body):
                return "", ""
            if not self.is_open:
                return "", text
        thought, is_closed, answer = body.partition(self.end)
        if is_closed:
            return thought.rstrip(), answer.lstrip("\r\n")
        return thought[: len(thought) - _begun(thought, self.end)], ""


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
