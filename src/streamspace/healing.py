"""When a silent engine counts as hung, and when a broken one is built again. Pure: times are arguments, in seconds."""

from dataclasses import dataclass

MOST_FAILURES = 4  # in a row; then the operator has to act
STABLE_S = 60.0  # an engine that lived this long, or answered a visitor, begins a new row of failures
FIRST_PAUSE_S = 2.0  # before the third attempt in a row; the second comes at once, and each later pause doubles


@dataclass(frozen=True)
class Failures:
    """Failures in a row: engines that broke before they were of use."""

    num: int = 0

    def after(self, lived_s: float, num_answers: int) -> "Failures":
        """The row after another engine broke, which was ready for `lived_s` and gave `num_answers`."""
        return Failures(1 if num_answers > 0 or lived_s >= STABLE_S else self.num + 1)

    @property
    def are_too_many(self) -> bool:
        """Whether to give up."""
        return self.num >= MOST_FAILURES

    @property
    def pause_s(self) -> float:
        """How long to wait before the next attempt."""
        return FIRST_PAUSE_S * 2 ** (self.num - 2) if self.num > 1 else 0.0


class Watchdog:
    """Notices an engine that has work and makes no step for `deadline_s`, which must exceed its longest step."""

    def __init__(self, deadline_s: float, now_s: float) -> None:
        self.deadline_s = deadline_s
        self._idle_s = now_s  # when the engine last had nothing to do

    def is_hung(self, now_s: float, num_unfinished: int, last_step_s: float) -> bool:
        """Whether the engine hangs, by its unfinished requests and its last step; to be called regularly."""
        if num_unfinished == 0:
            self._idle_s = now_s
        return now_s - max(self._idle_s, last_step_s) > self.deadline_s
