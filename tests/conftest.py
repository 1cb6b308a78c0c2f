"""One real engine, one page on a scripted engine and one real browser for the whole run, or for each of its workers.

`running` serves the whole application in this process, so that a test can drive the page and watch the engine; `site`
serves it on the scripted engine.
"""

import asyncio
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from streamspace.config import BUNDLED_MODEL, load_config
from streamspace.engine import Engine
from streamspace.sampling import Settings
from streamspace.server import Server, build_app
from streamspace.ui import build_demo
from tests.fake import FakePageEngine
from tests.page import NewPage
from tests.support import Running, Start, admission_of, free_port, programs, wait_until
from tests.visiting import Visitors
from tests.wire import Site, Tab, served_site

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


@pytest.fixture(scope="session")
def the_site() -> Iterator[Site]:
    with served_site(FakePageEngine()) as site:
        yield site


@pytest.fixture
def site(the_site: Site) -> Site:
    """The page on a scripted engine that says "an answer" until the test has it say something else."""
    the_site.reset()
    return the_site


@pytest.fixture
def tab(site: Site) -> Iterator[Tab]:
    """A session at that page, with room for long texts; in the end nothing of it runs any more."""
    site.engine.max_model_len = 100_000
    yield Tab(site)
    wait_until(lambda: not site.engine.num_running, 2, "the end of all runs")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=CHROMIUM_FLAGS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visitors(browser: Browser) -> Visitors:
    return Visitors(browser)


@pytest.fixture
def new_page(visitors: Visitors) -> Iterator[NewPage]:
    """Opens pages of their own visitors; afterwards fails on any error that a page's script raised."""
    with visitors.open() as open_page:
        yield open_page


@pytest.hookimpl(tryfirst=True)  # pytest-xdist reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give all tests of the one engine to one of several workers, and all of the one scripted page.

    Modules that name a group of their own keep it.
    """
    for item in items:
        fixtures: list[str] = getattr(item, "fixturenames", [])
        if item.get_closest_marker("xdist_group"):
            continue
        if "running" in fixtures:
            item.add_marker(pytest.mark.xdist_group("engine"))
        elif "browser" in fixtures or "the_site" in fixtures:
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    with free_of_playwrights_loop(item):
        yield


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    with free_of_playwrights_loop(item):
        yield


@contextmanager
def free_of_playwrights_loop(item: pytest.Item) -> Iterator[None]:
    """Let a test without a page call asyncio.run: the loop of an open browser counts as running in this thread."""
    loop = asyncio._get_running_loop()
    if loop is None or "browser" in getattr(item, "fixturenames", ()):
        yield
        return
    asyncio._set_running_loop(None)
    try:
        yield
    finally:
        asyncio._set_running_loop(loop)
