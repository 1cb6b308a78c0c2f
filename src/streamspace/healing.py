"""When a silent engine counts as hung, and when a broken one is built again. Pure: times are arguments, in seconds."""

from collections.abc import Sequence
from dataclasses import dataclass

from streamspace.suspects import Blame

MOST_FAILURES = 4  # in a row; then the operator has to act
STABLE_S = 60.0  # an engine that lived this long, or answered a visitor, begins a new row of failures
FIRST_PAUSE_S = 2.0  # before the third attempt in a row; the second comes at once, and each later pause doubles

NOBODY = Blame()


@dataclass(frozen=True)
class Failures:
    """Failures in a row: engines that broke before they were of use."""

    num: int = 0
    guilty: frozenset[str] = frozenset()  # visitors whose requests broke an engine of the row

    def after(self, lived_s: float, num_answers: int, blame: Blame = NOBODY) -> "Failures":
        """The row after another engine broke, which was ready for `lived_s` and gave `num_answers`.

        Each visitor can add one failure to a row, so that no visitor alone has the engine given up.
        """
        if num_answers > 0 or lived_s >= STABLE_S:
            return Failures(1, blame.guilty)
        is_new = not self.guilty & blame.involved
        return Failures(self.num + is_new, self.guilty | blame.guilty)

    @property
    def are_too_many(self) -> bool:
        """Whether to give up."""
        return self.num >= MOST_FAILURES

    @property
    def pause_s(self) -> float:
        """How long to wait before the next attempt."""
        return FIRST_PAUSE_S * 2 ** (self.num - 2) if self.num > 1 else 0.0


@dataclass(frozen=True)
class Replica:
    """What one replica of the engine has to do, and when it last did some of it."""

    num_unfinished: int  # requests
    last_step_s: float


class Watchdog:
    """Notices a replica that has work and makes no step for `deadline_s`, which must exceed its longest step.

    Steps are told on the event loop. So only the time counts in which the loop answers: a late loop is no hung engine.
    """

    def __init__(self, deadline_s: float, now_s: float) -> None:
        self.deadline_s = deadline_s
        self._looked_s = now_s
        self._replicas: Sequence[Replica] = ()  # at the last look
        self._silent_s: list[float] = []  # of each

    def is_hung(self, now_s: float, loop_s: float, replicas: Sequence[Replica]) -> bool:
        """Whether one of the replicas hangs; to be called regularly. The event loop last answered at `loop_s`."""
        passed_s = now_s - self._looked_s if loop_s >= self._looked_s else 0.0
        before = self._replicas or [Replica(0, self._looked_s)] * len(replicas)
        silent_s = self._silent_s or [0.0] * len(replicas)
        self._silent_s = [
            silent + passed_s if now.num_unfinished and now.last_step_s <= then.last_step_s else 0.0
            for silent, now, then in zip(silent_s, replicas, before, strict=True)
        ]
        self._looked_s, self._replicas = now_s, replicas
        return max(self._silent_s) > self.deadline_s
