"""The page's HTML. Gradio makes it anew for each visitor, which takes as long as a hundred frames of an answer.

It is the same for all who come by one address and need no login, until the engine is ready. So it is made once for
each address, and kept compressed.
"""

import asyncio
import gzip
from dataclasses import dataclass

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamspace.asgi import etag_of, has_it
from streamspace.ui.gradio_.streams import StreamingBlocks

MOST_ADDRESSES = 16  # kept at a time; a visitor may write any into the header Host
ADDRESS = ("host", "x-forwarded-host", "x-forwarded-proto", "x-gradio-server")  # by which Gradio finds its own


@dataclass(frozen=True)
class _Page:
    """The HTML for one address."""

    zipped: bytes
    headers: dict[str, str]

    @classmethod
    def of(cls, html: bytes, headers: Headers) -> "_Page":
        """The app's answer: its HTML, and its headers, the page's policy among them."""
        own = {name: value for name, value in headers.items() if name != "content-length"}
        own |= {"cache-control": "no-cache", "vary": "Accept-Encoding", "etag": f"W/{etag_of(html)}"}
        return cls(gzip.compress(html, 6, mtime=0), own)

    def response(self, asked: Headers) -> Response:
        if has_it(asked, self.headers["etag"]):
            return Response(status_code=304, headers=self.headers)
        if "gzip" in asked.get("accept-encoding", ""):
            return Response(self.zipped, headers={**self.headers, "content-encoding": "gzip"})
        return Response(gzip.decompress(self.zipped), headers=self.headers)


class FrontPage:
    """A middleware around the app of `demo`: answers GET and HEAD of / by itself, if nobody has to log in.

    The query is for the page's scripts alone. Gradio would look there for what this page lacks, and fail.
    """

    def __init__(self, app: ASGIApp, demo: StreamingBlocks, has_login: bool) -> None:
        self._app, self._demo, self._has_login = app, demo, has_login
        self._pages: dict[object, _Page] = {}
        self._making = asyncio.Lock()  # a crowd waits for one rendering

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or have the app do it."""
        if scope["type"] != "http" or scope["path"] != "/" or scope["method"] not in ("GET", "HEAD"):
            return await self._app(scope, receive, send)
        scope = {**scope, "query_string": b""}
        if self._has_login:
            return await self._app(scope, receive, send)
        asked = Headers(scope=scope)
        state = (self._demo.num_changes, self._demo.share)
        key = (*state, scope["scheme"], scope.get("root_path"), *map(asked.get, ADDRESS))
        page = self._pages.get(key)
        if page is None:
            async with self._making:
                page = self._pages.get(key) or await self._make(key, scope, receive)
        if page is None:  # whatever is wrong is told by the app
            return await self._app(scope, receive, send)
        await page.response(asked)(scope, receive, send)

    async def _make(self, key: object, scope: Scope, receive: Receive) -> _Page | None:
        """Have the app make the page, and keep it; None if it has none for all."""
        parts: list[bytes] = []
        begun: dict[str, object] = {}

        async def take(message: Message) -> None:
            begun.update(message if message["type"] == "http.response.start" else {})
            parts.append(message.get("body", b""))

        await self._app({**scope, "method": "GET"}, receive, take)
        headers = Headers(raw=begun.get("headers", []))  # type: ignore[arg-type]
        if begun.get("status") != 200 or "set-cookie" in headers:  # what is one visitor's own is not kept
            return None
        page = await asyncio.to_thread(_Page.of, b"".join(parts), headers)
        while len(self._pages) >= MOST_ADDRESSES:
            del self._pages[next(iter(self._pages))]
        self._pages[key] = page
        return page
