"""Who asks: a visitor's address and name, and the operator's API keys. Pure.

The address is that of the connection's other end. Behind a proxy uvicorn puts the visitor's own in its place, by
X-Forwarded-For; see `server`.
"""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import Scope


@dataclass(frozen=True)
class Visitor:
    """Whoever asks: `name` is the tab of a browser or the client, `address` where the request comes from."""

    name: str
    address: str


VISITOR: ContextVar[Visitor | None] = ContextVar("visitor", default=None)  # of the request that is handled now
ARRIVED_S: ContextVar[float | None] = ContextVar("arrived_s", default=None)  # when it arrived, by the loop's clock


def client_of(scope: Scope) -> Visitor:
    """The visitor behind a request that names no session: its address alone, for a client may invent any name."""
    address = scope["client"][0] if scope.get("client") else ""
    return Visitor(address, address)


class Keys:
    """The operator's API keys, of which a client sends one as `Authorization: Bearer <key>`."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def fit(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers has one of them; the time that it takes says nothing of them."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        digest = _digest(key.strip()) if scheme.lower() == "bearer" else b""
        return sum(secrets.compare_digest(digest, right) for right in self._digests) > 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
