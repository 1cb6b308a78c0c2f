"""Visitors of a page, each in a browser context that is used again: it costs seconds until a new one shows a page."""

import shutil
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, WebError

from tests.page import NewPage

STORES = "indexeddb,local_storage,cache_storage,service_workers"  # and not the HTTP cache

CHROMIUM_FLAGS = (
    "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking "
    "--disable-component-update --disable-sync"
).split()
PATIENCE_MS = 90_000  # for a click beside a busy engine on a slow machine


def chromium() -> str | None:
    """The browser's program: the shell without a window if it is there, because it shows a page in half the time."""
    return shutil.which("chromium-headless-shell") or shutil.which("chromium")


class Visitors:
    """Contexts by their options; to a page each is somebody who was never there before."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._idle: defaultdict[str, list[BrowserContext]] = defaultdict(list)

    @contextmanager
    def open(self) -> Iterator[NewPage]:
        """Yield what opens the page of another visitor; in the end fail on any error that a page's script raised."""
        taken: list[tuple[str, BrowserContext]] = []
        origins: set[str] = set()
        errors: list[str] = []

        def note(error: WebError) -> None:
            errors.append(str(error.error))

        def open_page(url: str, viewport: Any = None, color_scheme: Any = None, **options: Any) -> Page:
            key = repr(sorted(options.items()))
            context = self._idle[key].pop() if self._idle[key] else self._browser.new_context(**options)
            context.set_default_timeout(PATIENCE_MS)
            context.on("weberror", note)
            taken.append((key, context))
            page = context.new_page()
            if viewport:
                page.set_viewport_size(viewport)
            if color_scheme:
                page.emulate_media(color_scheme=color_scheme)
            origins.add(origin_of(url))
            page.goto(url)
            return page

        yield open_page
        for key, context in taken:
            origins |= {origin_of(page.url) for page in context.pages}
            context.remove_listener("weberror", note)
            forget(context, origins)
            self._idle[key].append(context)
        assert not errors


def origin_of(url: str) -> str:
    return "{0.scheme}://{0.netloc}".format(urlsplit(url))


def forget(context: BrowserContext, origins: set[str]) -> None:
    """Close all pages, and clear what the browser keeps of a visitor; its HTTP cache stays."""
    for page in context.pages:
        page.unroute_all(behavior="ignoreErrors")  # a route that still waits would fail on the closed page
        page.close()
    context.clear_cookies()
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    for origin in origins:
        if origin.startswith("http"):
            devtools.send("Storage.clearDataForOrigin", {"origin": origin, "storageTypes": STORES})
    page.close()
