"""Which of Gradio's many routes the mounted page has: those that a page of text needs.

The others store uploads of any size, serve any file of the temporary folder that all Gradio apps of a machine share,
fetch URLs for anybody, and start the page's events in a second way. /run starts nothing here, but keeps a copy of the
page's components, 345 kB, for each name of a session that it is asked with.
"""

import gradio as gr

from streamspace.ui.gradio_.internals import API as API_PATH
from streamspace.ui.gradio_.internals import app_of

PAGE = (
    "/ /config /theme.css /static/{path:path} /assets/{path:path} /svelte/{path:path} /favicon.ico /robots.txt "
    "/manifest.json /login /logout"
).split()
API = (
    "/mcp /info /openapi.json /app_id /user /login_check /theme.css /heartbeat/{session_hash} /queue/join /queue/data "
    "/queue/status /cancel /reset /call/{api_name} /call/{api_name}/{event_id} /call/v2/{api_name} "
    "/call/v2/{api_name}/{event_id}"
).split()


def keep_routes(demo: gr.Blocks) -> None:
    """Leave the mounted `demo` the routes of PAGE and API only; all others give 404."""
    wanted = {*PAGE, *(API_PATH + path for path in API)}
    routes = app_of(demo).router.routes
    routes[:] = [route for route in routes if (getattr(route, "path", "").rstrip("/") or "/") in wanted]
