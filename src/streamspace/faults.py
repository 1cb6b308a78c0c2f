"""Tracebacks in the log: one in EVERY_S for each place, so that nobody can fill the disk with them."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from streamspace.errors import RequestFailed, StreamSpaceError

EVERY_S = 10.0


@dataclass
class _Place:
    due_s: float = 0.0
    num_left_out: int = 0


_places: dict[tuple[str, str], _Place] = {}


def log_fault(log: logging.Logger, words: str, *values: object) -> None:
    """Log the exception that is being handled, with its traceback, unless the same `words` were logged just before.

    The next one that is logged says how many were left out.
    """
    place = _places.setdefault((log.name, words), _Place())
    if time.monotonic() < place.due_s:
        place.num_left_out += 1
        return
    more = f" (and {place.num_left_out} times more since the last traceback)" if place.num_left_out else ""
    log.exception(words + "%s", *values, more)
    place.due_s, place.num_left_out = time.monotonic() + EVERY_S, 0


@contextmanager
def told_as_failed(log: logging.Logger, words: str) -> Iterator[None]:
    """Raise whatever has no sentence of its own, as vLLM's errors, as RequestFailed; the log has it."""
    try:
        yield
    except StreamSpaceError:
        raise
    except Exception:
        log_fault(log, words)
        raise RequestFailed from None
