"""Which of Gradio's many routes the mounted page has: those that a page of text needs.

The others store uploads of any size, serve any file of the temporary folder that all Gradio apps of a machine share,
fetch URLs for anybody, and start the page's events in a second way.
"""

import gradio as gr
from fastapi.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from streamspace.metrics import REFUSALS
from streamspace.ui.gradio_.internals import API as API_PATH
from streamspace.ui.gradio_.internals import app_of

MOST_BODY_BYTES = 16 << 20  # of one request; it is read whole into memory, and a long conversation is below 1 MiB

PAGE = (
    "/ /config /theme.css /static/{path:path} /assets/{path:path} /svelte/{path:path} /favicon.ico /robots.txt "
    "/manifest.json /login /logout"
).split()
API = (
    "/mcp /info /openapi.json /app_id /user /login_check /theme.css /heartbeat/{session_hash} /queue/join /queue/data "
    "/queue/status /cancel /reset /run/{api_name} /call/{api_name} /call/{api_name}/{event_id} /call/v2/{api_name} "
    "/call/v2/{api_name}/{event_id}"
).split()


def keep_routes(demo: gr.Blocks) -> None:
    """Leave the mounted `demo` the routes of PAGE and API only; all others give 404."""
    wanted = {*PAGE, *(API_PATH + path for path in API)}
    routes = app_of(demo).router.routes
    routes[:] = [route for route in routes if (getattr(route, "path", "").rstrip("/") or "/") in wanted]


def body_limit(app: ASGIApp) -> ASGIApp:
    """A middleware that refuses a body above MOST_BODY_BYTES, or without Content-Length, before any of it is read."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        answer = app
        if b"transfer-encoding" in headers:
            answer = JSONResponse({"detail": "The body must come with its length (Content-Length)."}, 411)
        elif (num_bytes := int(headers.get(b"content-length", 0))) > MOST_BODY_BYTES:
            answer = JSONResponse({"detail": f"The body has {num_bytes} bytes; allowed are {MOST_BODY_BYTES}."}, 413)
            REFUSALS.labels("body_size").inc()
        await answer(scope, receive, send)

    return serve
