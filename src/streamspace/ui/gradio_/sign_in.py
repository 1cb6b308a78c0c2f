"""Sign-in with Hugging Face, on a Space that has `hf_oauth: true`: Gradio's own routes do it, by a cookie."""

import html
import time

from fastapi import FastAPI, Request
from starlette.responses import HTMLResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from streamspace.translation import language_of, say_in
from streamspace.ui.assets import template
from streamspace.ui.gradio_.internals import add_oauth_routes


def sign_in(app: ASGIApp, title: str) -> ASGIApp:
    """A middleware: at / visitors who have not signed in get the page for it."""

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        answer = app
        if scope["type"] == "http" and scope["path"] == "/" and account(request := Request(scope)) is None:
            language = language_of(request.headers.get("accept-language", ""))
            say = say_in(language)
            words, button = say("Sign in to chat; a new tab opens for it."), say("Sign in with Hugging Face")
            texts = {"language": language, "title": html.escape(title), "words": words, "button": button}
            page = template("sign_in.html").substitute(texts)
            answer = HTMLResponse(page, headers={"Cache-Control": "no-store"})
        await answer(scope, receive, send)

    return serve


def account(request: Request) -> str | None:
    """The name of the signed-in account, until Hugging Face's token expires; else None."""
    known = request.session.get("oauth_info") or {}
    is_over = known.get("expires_at", 0) < time.time()
    return None if is_over else known.get("userinfo", {}).get("preferred_username")


def add_sign_in(app: FastAPI, title: str) -> None:
    """Add the routes /login/huggingface, /login/callback and /logout, the session, and the page of `sign_in`.

    Call it before the page is mounted, which takes every other path. A Space sets OAUTH_CLIENT_ID and the others in the
    environment, where Gradio reads them when it is imported.
    """
    app.add_middleware(sign_in, title=title)
    add_oauth_routes(app)  # their session is around ours
