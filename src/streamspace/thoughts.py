"""What a model wrote so far → its thought and its answer. Pure: the deltas' lengths do not matter."""

import re
from dataclasses import dataclass, replace

# gpt-oss names a channel for each part of its turn; only "final" is the answer.
_HARMONY = re.compile(
    r"<\|channel\|>(\w+)[^<]*<\|message\|>(.*?)(?=<\|(?:end|start|channel|call|return)\|>|\Z)", re.DOTALL
)
_BEGUN_TOKEN = re.compile(r"<(\|\w*\|?)?\Z")


@dataclass(frozen=True)
class Splitter:
    """Splits texts that begin with a thought between two marks, such as `<think>` and `</think>`.

    A mark may have several spellings. Marks around the answer are removed too. While more text may come, the beginning
    of a mark is held back. Blanks around the thought and line breaks before the answer are dropped.
    """

    starts: tuple[str, ...]
    ends: tuple[str, ...]
    answer_starts: tuple[str, ...] = ()
    answer_ends: tuple[str, ...] = ()
    is_assumed: bool = False  # a text without a start mark is a thought too, until its end mark
    is_open: bool = False  # the start mark may be missing, because the prompt has it already
    is_begun: bool = False  # the prompt has part of the thought

    @property
    def marks(self) -> tuple[str, ...]:
        """All marks; a visitor sees none of them."""
        return (*self.starts, *self.ends, *self.answer_starts, *self.answer_ends)

    def after(self, tail: str) -> "Splitter":
        """The splitter for the answer to a prompt that ends in `tail`, which may open or close the thought."""
        is_closed = any(end in tail for end in self.ends)
        return replace(self, is_open=tail.rstrip().endswith(self.starts) or (self.is_assumed and not is_closed))

    def __call__(self, text: str, is_whole: bool) -> tuple[str, str]:
        body = text if self.is_begun else text.lstrip()
        if start := _leading(body, self.starts):
            body = body[len(start) :].lstrip()
        elif not self.is_begun:
            if not is_whole and _may_become(body, (*self.starts, *self.answer_starts)):
                return "", ""
            if not self.is_open or _leading(body, self.answer_starts):
                return "", self._answer(text, is_whole)
        thought, end, answer = _partition(body, self.ends)
        if not end:
            return thought[: len(thought) - _begun(thought, self.ends)], ""
        return thought.rstrip(), self._answer(answer.lstrip("\r\n"), is_whole)

    def _answer(self, text: str, is_whole: bool) -> str:
        """The answer without the marks around it."""
        if not self.answer_starts:
            return text
        body = text.lstrip()
        if start := _leading(body, self.answer_starts):
            text = body[len(start) :].lstrip("\r\n")
        elif not is_whole and _may_become(body, self.answer_starts):
            return ""
        answer, end, _ = _partition(text, self.answer_ends)
        return answer if end or is_whole else answer[: len(answer) - _begun(answer, self.answer_ends)]


def split_harmony(text: str, is_whole: bool) -> tuple[str, str]:
    """As `Splitter`, for gpt-oss, whose turns are parts in channels; a text without channels is an answer."""
    if not is_whole:
        text = _BEGUN_TOKEN.sub("", text)
    parts = _HARMONY.findall(text)
    if not parts and "<|" not in text:
        return "", text
    thoughts, answers = ([body for name, body in parts if (name == "final") is final] for final in (False, True))
    return "\n\n".join(thoughts).strip(), "".join(answers)


def _leading(text: str, marks: tuple[str, ...]) -> str:
    """The mark at the beginning of the text, or ""."""
    return next((mark for mark in marks if text.startswith(mark)), "")


def _may_become(text: str, marks: tuple[str, ...]) -> bool:
    """Whether the text is the beginning of a mark."""
    return any(mark.startswith(text) for mark in marks)


def _partition(text: str, marks: tuple[str, ...]) -> tuple[str, str, str]:
    """As str.partition, at whichever of the marks comes first in the text."""
    found = [(at, mark) for mark in marks if (at := text.find(mark)) >= 0]
    _, mark = min(found, default=(0, ""))
    return text.partition(mark) if mark else (text, "", "")


def _begun(text: str, marks: tuple[str, ...]) -> int:
    """How many characters at the end of `text` are the beginning of a mark."""
    lengths = (length for mark in marks for length in range(1, len(mark)) if text.endswith(mark[:length]))
    return max(lengths, default=0)
