"""What several tests share: the running application, free ports, and waiting with a limit."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
import uvicorn

from streamspace.engine import Engine
from streamspace.server import build_app
from streamspace.ui import StreamingBlocks, build_demo

T = TypeVar("T")


@dataclass(frozen=True)
class Running:
    """The application, ready, on the real engine, in this process."""

    url: str
    engine: Engine
    demo: StreamingBlocks
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


@contextmanager
def served(engine: Any, demo: StreamingBlocks | None = None) -> Iterator[str]:
    """The application on a scripted engine; yields its address."""
    port = free_port()
    config = uvicorn.Config(build_app(engine, demo or build_demo(engine)), port=port, log_level="warning")
    config.timeout_graceful_shutdown = 1
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()), name="scripted")
    thread.start()
    try:
        wait_until(lambda: server.started, what="the server's start")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
