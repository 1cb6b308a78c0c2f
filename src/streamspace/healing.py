"""When a silent engine counts as hung, and when a broken one is built again. Pure: times are arguments, in seconds."""

from dataclasses import dataclass

MOST_FAILURES = 4  # in a row; then the operator has to act
STABLE_S = 60.0  # an engine that lived so long, or answered a visitor, begins a new row of failures
FIRST_PAUSE_S = 2.0  # before the third attempt in a row; the second comes at once, and every later pause is doubled


@dataclass(frozen=True)
class Failures:
    """Failures in a row: engines that broke before they had been of use."""

    num: int = 0

    def after(self, lived_s: float, num_answers: int) -> "Failures":
        """The row after another engine broke, `lived_s` and `num_answers` after it was ready."""
        was_of_use = num_answers > 0 or lived_s >= STABLE_S
        return Failures(1 if was_of_use else self.num + 1)

    @property
    def are_too_many(self) -> bool:
        """Whether to give up."""
        return self.num >= MOST_FAILURES

    @property
    def pause_s(self) -> float:
        """How long to wait before the next attempt."""
        return FIRST_PAUSE_S * 2 ** (self.num - 2) if self.num > 1 else 0.0


class Watchdog:
    """Notices an engine that has work and makes no step for `deadline_s`, which must be longer than its longest one."""

    def __init__(self, deadline_s: float, now_s: float) -> None:
        self.deadline_s = deadline_s
        self._idle_s = now_s  # when it last had nothing to do

    def is_hung(self, now_s: float, num_unfinished: int, last_step_s: float) -> bool:
        """Whether the engine hangs, by its unfinished requests and last step of now; call it again and again."""
        if num_unfinished == 0:
            self._idle_s = now_s
        return now_s - max(self._idle_s, last_step_s) > self.deadline_s
