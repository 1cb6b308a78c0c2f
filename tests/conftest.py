"""One real engine, one page on a scripted engine and one real browser for the whole run, or for each of its workers.

`running` serves the whole application in this process, so that a test can drive the page and watch the engine, and
`seeing` does so with a model that sees; `site` serves it on the scripted engine.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Browser, sync_playwright

from streamspace.config import BUNDLED_MODEL
from streamspace.sampling import Settings
from tests.fake import FakePageEngine
from tests.page import NewPage
from tests.support import AT_ONCE_S, Running, Start, programs, run_application, wait_until
from tests.visiting import CHROMIUM_FLAGS, Visitors, chromium
from tests.wire import Site, Tab, served_site


@pytest.fixture(scope="session")
def running() -> Iterator[Running]:
    with run_application(MODEL_ID=str(BUNDLED_MODEL)) as application:
        yield application


@pytest.fixture(scope="session")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """The whole application on a real engine with a model that sees, whose tower is random: see tests/vision.py."""
    from tests import vision

    folder = vision.write_model(tmp_path_factory.mktemp("model") / "tiny-llava")
    with run_application(*vision.FLAGS, MODEL_ID=str(folder)) as application:
        yield application


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
    wait_until(lambda: not site.engine.num_running, AT_ONCE_S, "the end of all runs")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
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
        if "seeing" in fixtures:
            item.add_marker(pytest.mark.xdist_group("vision"))
        elif "running" in fixtures:
            item.add_marker(pytest.mark.xdist_group("engine"))
        elif "browser" in fixtures or "the_site" in fixtures:
            item.add_marker(pytest.mark.xdist_group("browser"))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Fail where pytest-xdist takes no groups, for two workers would each start an engine."""
    for item in session.items if hasattr(session.config, "workerinput") else ():
        if item.get_closest_marker("xdist_group") and "@" not in item.nodeid:
            raise pytest.UsageError(f"{item.nodeid} lost its group: pytest and pytest-xdist do not fit together.")


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
