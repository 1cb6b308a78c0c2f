"""A visitor's address and name, and the operator's API keys. Pure.

The address is that of the connection's other end. Behind a proxy uvicorn replaces it by the visitor's own, which
X-Forwarded-For has; see `server`.
"""

import hashlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import Scope

from streamspace.errors import TooManyAttempts

MINUTE_S = 60.0
MOST_ATTEMPTS = 10  # wrong keys or passwords from an address in a minute
MOST_ADDRESSES = 10_000  # remembered with their wrong ones; above it, those of the oldest attempt are forgotten


@dataclass(frozen=True)
class Visitor:
    """The sender of a request: `name` is the browser's tab or the client, `address` its IP address."""

    name: str
    address: str


VISITOR: ContextVar[Visitor | None] = ContextVar("visitor", default=None)  # of the current request
ARRIVED_S: ContextVar[float | None] = ContextVar("arrived_s", default=None)  # its arrival, by the loop's clock


def client_of(scope: Scope) -> Visitor:
    """The visitor of a request without a session: named by the address, because a client may invent any name."""
    address = scope["client"][0] if scope.get("client") else ""
    return Visitor(address, address)


class Attempts:
    """Wrong keys or passwords by address: after MOST_ATTEMPTS in a minute, no other is looked at."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = {}  # of each address's last wrong ones, oldest first

    def check(self, address: str) -> None:
        """Raise TooManyAttempts for an address that has to wait."""
        times = self._times.get(address)
        if times and len(times) == MOST_ATTEMPTS and (wait_s := times[0] + MINUTE_S - self._clock()) > 0:
            raise TooManyAttempts(MOST_ATTEMPTS, wait_s)

    def failed(self, address: str) -> None:
        """Remember that one was wrong."""
        times = self._times.pop(address, deque(maxlen=MOST_ATTEMPTS))
        times.append(self._clock())
        self._times[address] = times  # at the end, as the newest
        if len(self._times) > MOST_ADDRESSES:
            del self._times[next(iter(self._times))]


class Keys:
    """The operator's API keys; a client sends one as `Authorization: Bearer <key>`."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]
        self._attempts = Attempts()

    def __bool__(self) -> bool:
        return bool(self._digests)

    def fit(self, headers: Mapping[str, str], address: str) -> bool:
        """Whether a request with these headers, from this address, has one of the keys, found in constant time.

        Raises TooManyAttempts if it has a key after too many wrong ones.
        """
        scheme, _, key = headers.get("authorization", "").partition(" ")
        if not self._digests or scheme.lower() != "bearer" or not key.strip():
            return False
        self._attempts.check(address)
        digest = _digest(key.strip())
        fits = sum(secrets.compare_digest(digest, right) for right in self._digests) > 0
        if not fits:
            self._attempts.failed(address)
        return fits


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
