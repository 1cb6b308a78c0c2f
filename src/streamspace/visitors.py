"""A visitor's address and name, and the operator's API keys. Pure.

The address is that of the connection's other end. Behind a proxy uvicorn replaces it by the visitor's own, which
X-Forwarded-For has; see `server`.
"""

import hashlib
import ipaddress
import secrets
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass

from starlette.types import Scope

MOST_CHARS = 64  # of what a proxy calls an address and is none


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


class Keys:
    """The operator's API keys; a client sends one as `Authorization: Bearer <key>`."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._digests = [_digest(key) for key in keys]

    def __bool__(self) -> bool:
        return bool(self._digests)

    def fit(self, headers: Mapping[str, str]) -> bool:
        """Whether a request with these headers has one of the keys, found in constant time."""
        scheme, _, key = headers.get("authorization", "").partition(" ")
        digest = _digest(key.strip()) if scheme.lower() == "bearer" else b""
        return sum(secrets.compare_digest(digest, right) for right in self._digests) > 0


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "replace")).digest()
