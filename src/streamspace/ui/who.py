"""Who asks, for whichever handler runs, and the door through which each of them goes to the engine."""

import hashlib
import secrets
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeVar

from gradio.context import LocalContext

from streamspace.engine import Engine
from streamspace.limits import Gate, Visitor

T = TypeVar("T")

ASKING: ContextVar[Visitor | None] = ContextVar("asking", default=None)  # by Streams and McpDoor
ARRIVED_S: ContextVar[float | None] = ContextVar("arrived_s", default=None)  # by Streams; of the event loop's clock


class Keys:
    """The operator's API keys, of which a client sends one as `Authorization: Bearer <key>`."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def fit(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers has one of them; the time that it takes tells nothing."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        given = _digest(key.strip()) if scheme.lower() == "bearer" else b""
        return sum(secrets.compare_digest(given, right) for right in self._digests) > 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()


@dataclass(frozen=True)
class Door:
    """The operator's limits, for whoever asks now."""

    engine: Engine
    gate: Gate
    is_behind_proxy: bool

    def admit(
        self, work: AsyncGenerator[T, None], waiting: Callable[[int], T], weight: int = 1
    ) -> AsyncGenerator[T, None]:
        """What `work` yields, once it is this visitor's turn; see `Gate.admit`, which raises."""
        return self.gate.admit(visitor(self.is_behind_proxy), work, self.engine.capacity, waiting, weight)


def visitor(is_behind_proxy: bool) -> Visitor:
    """The visitor whose request is being handled.

    A Space's proxy stands before every visitor: the last address of X-Forwarded-For is the one that it saw; those
    before it are the visitor's own words. Without a proxy the whole header is.
    """
    if asking := ASKING.get():
        return asking
    request: Any = LocalContext.request.get(None)
    if isinstance(request, list):
        request = request[0]
    peer = address(request.headers, request.client.host if request.client else "", is_behind_proxy) if request else ""
    return Visitor(peer, peer)  # by address alone: such a client may name its session anew for each request


def address(headers: Mapping[str, str], peer: str, is_behind_proxy: bool) -> str:
    """Where a request comes from, by its headers and the address at the other end of the connection."""
    forwarded = headers.get("x-forwarded-for", "") if is_behind_proxy else ""
    return forwarded.rpartition(",")[2].strip() or peer
