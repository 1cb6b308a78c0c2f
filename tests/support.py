"""What several tests share: the running application, free ports, and waiting with a limit."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import psutil
import pytest
import uvicorn
from fastapi import FastAPI
from prometheus_client import REGISTRY

from streamspace.config import Config, load_config
from streamspace.connections import listen
from streamspace.engine import Engine
from streamspace.limits import Admission, Limits
from streamspace.server import Server, build_app
from streamspace.types import Status
from streamspace.ui import StreamingBlocks, build_demo, mount

T = TypeVar("T")
READY_S = 180.0  # for a real engine
AT_ONCE_S = 8.0  # what a busy machine may take for it; a deadline would be there after 10 s at the earliest
# Run in a page: from then on, `shift` is the sum of its layout shifts that no input caused.
SHIFTS = """() => {
  window.shift = 0;
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
  }).observe({ type: 'layout-shift' });
}"""
ROOT = Path(__file__).parents[1]
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith(("VLLM_", "GRADIO_", "HF_"))}
WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
PORTS = iter(random.sample(range(10_000 + 4_000 * WORKER, 14_000 + 4_000 * WORKER), 4_000))
Start = Callable[..., subprocess.Popen[str]]


@dataclass(frozen=True)
class Running:
    """The application, ready, on the real engine, in this process."""

    url: str
    engine: Engine
    demo: StreamingBlocks
    loop: asyncio.AbstractEventLoop

    @property
    def is_idle(self) -> bool:
        """Whether the engine works on no request and none waits."""
        return self.engine.running + self.engine.waiting == 0

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the engine's own event loop."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(120)


@cache
def admission_of(engine: Any) -> Admission:
    """The one admission to an engine, for the page and the server that are made of it."""
    return Admission(engine, Limits.of(engine.config))


@contextmanager
def metrics_kept() -> Iterator[None]:
    """Give the registry back the series that it had: a new engine of vLLM throws out those of any other."""
    before = [*REGISTRY._collector_to_names]
    try:
        yield
    finally:
        for collector in {*REGISTRY._collector_to_names} - {*before}:
            REGISTRY.unregister(collector)
        for collector in before:
            if collector not in REGISTRY._collector_to_names:
                REGISTRY.register(collector)


@contextmanager
def run_application(*arguments: str, **environ: str) -> Iterator[Running]:
    """The whole application with these flags and variables, in this process, once its engine is ready.

    It imports nothing again and its engine is forked from the same process, so it costs a fifth of a start of `app.py`.
    """
    with metrics_kept():
        yield from _run_application(load_config(arguments, environ))


def _run_application(config: Config) -> Iterator[Running]:
    engine = Engine(config)
    demo = build_demo(engine, admission_of(engine))
    port = free_port()
    server = Server(build_app(engine, demo, admission_of(engine)), engine, grace_s=1)
    server.config.port = port
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=lambda: loop.run_until_complete(server.serve()), name="server")
    thread.start()
    try:
        wait_until(lambda: engine.status.stage in ("ready", "failed"), READY_S, "loading")
        assert engine.status.stage == "ready", engine.status.detail
        yield Running(f"http://127.0.0.1:{port}", engine, demo, loop)
    finally:
        server.should_exit = True
        thread.join()
        loop.close()


def wait_until(condition: Callable[[], T], seconds: float = 60.0, what: str = "it") -> T:
    """The condition's first true value; fails the test when none came in time."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"{what} did not happen within {seconds:g} s")
        time.sleep(0.02)
    return value


def free_port() -> int:
    """A port that nothing listens on or gets: below those that the system hands out, and this worker's own."""
    for port in PORTS:
        with suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise RuntimeError("all the ports of this worker have been used")


@contextmanager
def serve_beside(running: Running, auth: tuple[str, str]) -> Iterator[str]:
    """The page once more, with a login, on the engine and the event loop of the running application."""
    app = mount(FastAPI(), build_demo(running.engine, admission_of(running.engine)), running.engine, auth)
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning", timeout_graceful_shutdown=1))
    serving = asyncio.run_coroutine_threadsafe(server.serve(), running.loop)
    try:
        wait_until(lambda: server.started, what="the server's start")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        serving.result(20)


@contextmanager
def served(engine: Any, demo: StreamingBlocks | None = None, port: int | None = None) -> Iterator[str]:
    """The application on a scripted engine; yields its address."""
    port = port or free_port()
    admission = admission_of(engine)
    server = Server(build_app(engine, demo or build_demo(engine, admission), admission), engine, grace_s=1)
    with listen("127.0.0.1", port) as listener:
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), name="scripted")
        thread.start()
        try:
            wait_until(lambda: server.started, what="the server's start")
            yield f"http://127.0.0.1:{port}"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def programs() -> Iterator[Start]:
    """Starts a program of ours, which writes to pipes or to `log`; whatever of it is left at the end is killed."""
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: str, log: Any = subprocess.PIPE, **environ: str) -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, *arguments],
                cwd=ROOT,
                env={**ENVIRON, "PYTHONPATH": "src", "PYTHONUNBUFFERED": "1", **environ},
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,  # a process group of its own, as a terminal gives it one
            )
        )
        return started[-1]

    try:
        yield run
    finally:  # also where a test fails in the middle of it
        for process in started:
            family = psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # all at once: the app would start a killed engine again
            for child in family:  # of another group, as a server of tools is
                with suppress(psutil.NoSuchProcess):
                    child.kill()
            process.communicate()


def ask_from_node(entrypoint: str, url: str, **asked: Any) -> dict[str, Any]:
    """What tests/node/ask.mjs prints; nothing from one who leaves. `scripts/setup node` installs what it needs."""
    script = ROOT / "tests" / "node" / "ask.mjs"
    command = ["node", str(script), entrypoint, url, json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=ENVIRON, check=False)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout or "{}")
    return told


def final_status(engine: Engine, seconds: float = 120) -> Status:
    """The state in which an engine's start ends."""

    async def load() -> Status:
        engine.start()
        while engine.status.stage in ("downloading", "loading"):
            await asyncio.sleep(0.02)
        status = engine.status
        await engine.stop()
        return status

    return asyncio.run(asyncio.wait_for(load(), seconds))
