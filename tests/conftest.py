"""One real engine and one real browser for the whole run.

`running` serves the whole application in this process, so that a test can drive the page and watch the engine.
"""

import asyncio
import shutil
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.engine import Engine
from streamspace.sampling import Settings
from streamspace.server import Server, build_app
from streamspace.ui import build_demo
from tests.support import Running, Start, admission_of, free_port, programs, wait_until

READY_S = 180.0
CHROMIUM_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    engine = Engine(load_config(environ={"MODEL_ID": str(BUNDLED_MODEL)}))
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


@pytest.fixture
def start() -> Iterator[Start]:
    with programs() as run:
        yield run


@pytest.fixture
def endless(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers end at max_tokens alone, so that there is time to leave in the middle of one."""
    from streamspace import llm

    sampling_params = llm.sampling_params

    def without_end(settings: Settings) -> Any:
        params = sampling_params(settings)
        params.ignore_eos = True
        return params

    monkeypatch.setattr(llm, "sampling_params", without_end)


@pytest.fixture(scope="module")  # not longer: while it is there, this thread's asyncio.run refuses to work
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def new_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Opens pages of their own visitors; afterwards fails on any error that a page's script raised."""
    contexts, errors = [], []

    def open_page(url: str, **options: Any) -> Page:
        contexts.append(browser.new_context(**options))
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(url)
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not errors
