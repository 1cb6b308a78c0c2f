"""What several tests share: the running application, free ports, and waiting with a limit."""

import asyncio
import socket
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest

from streamspace.engine import Engine

T = TypeVar("T")


@dataclass(frozen=True)
class Running:
    """The application, ready, on the real engine, in this process."""

    url: str
    engine: Engine
    loop: asyncio.AbstractEventLoop

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the engine's own event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)


def wait_until(condition: Callable[[], T], seconds: float = 20.0, what: str = "it") -> T:
    """The condition's first true value; fails the test when none came in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.02)
    return value


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
