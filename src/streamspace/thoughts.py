"""What a model wrote so far → its thought and its answer. Pure, and the same however the text came in parts."""

import re
from dataclasses import dataclass, replace

# How gpt-oss writes: each part of a turn names its channel; only "final" is the answer.
_HARMONY = re.compile(
    r"<\|channel\|>(\w+)[^<]*<\|message\|>(.*?)(?=<\|(?:end|start|channel|call|return)\|>|\Z)", re.DOTALL
)
_BEGUN_TOKEN = re.compile(r"<(\|\w*\|?)?\Z")


@dataclass(frozen=True)
class Splitter:
    """Splits texts that begin with a thought between two marks, such as `<think>` and `</think>`.

    There may be several words for a mark, and marks around the answer, too, which are taken away. What could become a
    mark is held back while more may come. Blanks around the thought and line breaks before the answer are in neither.
    """

    starts: tuple[str, ...]
    ends: tuple[str, ...]
    answer_starts: tuple[str, ...] = ()
    answer_ends: tuple[str, ...] = ()
    is_assumed: bool = False  # a text is a thought until its end, with a start or without
    is_open: bool = False  # the mark of the start may be missing, because the prompt has it already
    is_begun: bool = False  # the prompt has part of the thought

    @property
    def marks(self) -> tuple[str, ...]:
        """All marks, none of which a visitor sees."""
        return (*self.starts, *self.ends, *self.answer_starts, *self.answer_ends)

    def after(self, tail: str) -> "Splitter":
        """The same for an answer to a prompt that ends in `tail`, where a template may open or close the thought."""
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
    """The same for gpt-oss, whose turns are parts in channels; a text without any is an answer."""
    if not is_whole:
        text = _BEGUN_TOKEN.sub("", text)
    parts = _HARMONY.findall(text)
    if not parts and "<|" not in text:
        return "", text
    thoughts, answers = ([body for name, body in parts if (name == "final") is final] for final in (False, True))
    return "\n\n".join(thoughts).strip(), "".join(answers)


def _leading(text: str, marks: tuple[str, ...]) -> str:
    """The mark that the text begins with, or nothing."""
    return next((mark for mark in marks if text.startswith(mark)), "")


def _may_become(text: str, marks: tuple[str, ...]) -> bool:
    """Whether more text could make it begin with a mark."""
    return any(mark.startswith(text) for mark in marks)


def _partition(text: str, marks: tuple[str, ...]) -> tuple[str, str, str]:
    """What stands before the first of the marks in the text, the mark, and the rest; as str.partition."""
    found = [(at, mark) for mark in marks if (at := text.find(mark)) >= 0]
    if not found:
        return text, "", ""
    at, mark = min(found)
    return text[:at], mark, text[at + len(mark) :]


def _begun(text: str, marks: tuple[str, ...]) -> int:
    """How many characters at the end of `text` are the beginning of a mark."""
    lengths = (length for mark in marks for length in range(1, len(mark)) if text.endswith(mark[:length]))
    return max(lengths, default=0)
