"""A visitor's address and name, and the operator's API keys. Pure.

The address is that of the connection's other end. Behind a proxy uvicorn replaces it by the visitor's own, which
X-Forwarded-For has; see `server`.
"""

import hashlib
import ipaddress
import secrets
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import Scope

from streamspace.errors import TooManyAttempts, TooOften

MOST_CHARS = 64  # of what a proxy calls an address and is none
MINUTE_S = 60.0
MOST_ATTEMPTS = 10  # wrong keys or passwords from an address in a minute
MOST_ADDRESSES = 10_000  # remembered by each LastMinute


@dataclass(frozen=True)
class Visitor:
    """The sender of a request: `name` is the browser's tab or the client, `address` its IP address or IPv6 network."""

    name: str
    address: str


VISITOR: ContextVar[Visitor | None] = ContextVar("visitor", default=None)  # of the current request
ARRIVED_S: ContextVar[float | None] = ContextVar("arrived_s", default=None)  # its arrival, by the loop's clock


def client_of(scope: Scope) -> Visitor:
    """The visitor of a request without a session: named by the address, because a client may invent any name."""
    address = known_as(scope["client"][0]) if scope.get("client") else ""
    return Visitor(address, address)


def known_as(address: str) -> str:
    """The address by which a visitor is counted: of IPv6 the network of 64 bits, all of which one visitor has."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])  # without the zone
    except ValueError:
        return address[:MOST_CHARS]
    if ip.version == 4:
        return str(ip)
    return str(ip.ipv4_mapped or ipaddress.ip_network((int(ip) >> 64 << 64, 64)))


class LastMinute:
    """What each of at most MOST_ADDRESSES keys, mostly addresses, did in the last minute."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._times: dict[str, deque[float]] = {}  # oldest first; the key of the newest is the last one

    def wait_s(self, key: str, most: int) -> float:
        """How long until it has done less than `most` in a minute; 0 is not at all."""
        times = self._pruned(self._times.get(key, deque()))
        return times[-most] + MINUTE_S - self._clock() if len(times) >= most else 0.0

    def take(self, key: str, most: int, refusal: Callable[[float], TooOften]) -> None:
        """Remember one, but raise `refusal(seconds)` if it has to wait for so many."""
        if wait_s := self.wait_s(key, most):
            raise refusal(wait_s)
        self.add(key)

    def add(self, key: str) -> None:
        """Remember one; forget keys that did nothing for a minute, or are too many, the longest silent ones first."""
        times = self._times.pop(key, deque())
        times.append(self._clock())
        self._times[key] = times
        oldest = next(iter(self._times))
        while len(self._times) > MOST_ADDRESSES or not self._pruned(self._times[oldest]):
            del self._times[oldest]
            oldest = next(iter(self._times))

    def _pruned(self, times: "deque[float]") -> "deque[float]":
        while times and times[0] <= self._clock() - MINUTE_S:
            times.popleft()
        return times


class Attempts:
    """Wrong keys or passwords by address: after MOST_ATTEMPTS in a minute, no other is looked at."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._wrong = LastMinute(clock)

    def check(self, address: str) -> None:
        """Raise TooManyAttempts for an address that has to wait."""
        if wait_s := self._wrong.wait_s(address, MOST_ATTEMPTS):
            raise TooManyAttempts(MOST_ATTEMPTS, wait_s)

    def failed(self, address: str) -> None:
        """Remember that one was wrong."""
        self._wrong.add(address)


class Keys:
    """The operator's API keys; a client sends one as `Authorization: Bearer <key>`, or as Anthropic's do: X-Api-Key."""

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
        if not headers.get("authorization"):
            scheme, key = "bearer", headers.get("x-api-key", "")
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
