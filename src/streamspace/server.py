"""The web application on one event loop: the engine, the page at /, `/health`, `/metrics`, the OpenAI API at /v1."""

import logging
import os
import re
import secrets
import socket
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Request, Response
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from streamspace import metrics
from streamspace.chat import ServedEngine
from streamspace.config import Config
from streamspace.errors import ConfigError, TooManyAttempts
from streamspace.limits import Admission
from streamspace.openai_server import OpenAIServer
from streamspace.ui import StreamingBlocks, mount, open_share_link
from streamspace.visitors import Attempts, client_of

log = logging.getLogger(__name__)

PRIVATE = "127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7"
RETRY = '<!doctype html><title>StreamSpace</title><form method="post"><button>Build the engine again</button></form>'
OFFER = re.compile(rb"(?i)\r\nupgrade:[ \t]*h2c[ \t]*(?=\r\n)")
SWITCH_S = 0.0005  # until a thread that works on a large body lets the event loop go on; Python's own is 5 ms
GRACE_S = 2  # for open connections when the server stops
GONE_S = 20  # a connection is cut when its other end has been silent for so long


def build_app(engine: ServedEngine, demo: StreamingBlocks, admission: Admission) -> FastAPI:
    """The whole application; its lifespan starts the engine without waiting for it, and stops it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        sys.setswitchinterval(SWITCH_S)
        engine.start()
        try:
            yield
        finally:
            await engine.stop()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    async def health(response: Response) -> dict[str, str | int]:
        """200 with the engine's counts while the model answers, otherwise 503 with the reason."""
        status, name = engine.status, engine.config.model_name
        if status.stage == "ready":
            return {"status": "ready", "model": name, "running": engine.running, "waiting": engine.waiting}
        response.status_code = 503
        return {"status": status.stage, "detail": status.detail}

    exposition = metrics.Exposition()

    @app.get("/metrics")
    def scrape() -> Response:  # not async, so it runs in a thread: it takes some milliseconds
        """For Prometheus: vLLM's series while there is an engine, and ours. Without login: it has only numbers."""
        return Response(exposition.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

    attempts = Attempts()

    @app.api_route("/retry", methods=["GET", "POST"])
    async def retry(request: Request, key: str = "") -> Response:
        """Try once more to build an engine that was given up; only the operator's log has the key.

        GET shows a button for it: whatever looks at an address that somebody wrote down must not start anything.
        """
        address = client_of(request.scope).address
        try:
            attempts.check(address)
        except TooManyAttempts as error:
            return JSONResponse({"detail": str(error)}, 429)
        if not secrets.compare_digest(key.encode(), engine.retry_key.encode()):
            attempts.failed(address)
            return JSONResponse({"detail": "The key is not the one in the log."}, 403)
        if request.method == "GET":
            return HTMLResponse(RETRY, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"})
        engine.retry()
        return RedirectResponse("./", 303)

    mounted = mount(app, demo, engine, engine.config.auth)
    mounted.router.routes.insert(0, Route("/v1/{path:path}", OpenAIServer(engine, admission), methods=None))
    return mounted


class Http(HttpToolsProtocol):
    """Takes no notice of an offer to go on in HTTP/2, as Java's client makes it: with one, uvicorn loses the body."""

    def data_received(self, data: bytes) -> None:
        """asyncio's hook; the offer is in the head, which such a client sends in one piece."""
        if (end := data.find(b"\r\n\r\n")) >= 0 and OFFER.search(data, 0, end + 2):
            data = OFFER.sub(b"", data, 1)
        super().data_received(data)


class Server(uvicorn.Server):
    """Stops the engine before the connections, so that every stream ends by itself and none is cut off.

    It believes X-Forwarded-For of a Space's proxy, which has a private address. Elsewhere it uses uvicorn's own choice:
    FORWARDED_ALLOW_IPS, or this machine only. uvicorn takes the header's last address that is none of these, because
    the client may have written those before it.
    """

    def __init__(self, app: ASGIApp, engine: ServedEngine, grace_s: int = GRACE_S) -> None:
        proxies = PRIVATE if engine.config.space_id and not os.environ.get("FORWARDED_ALLOW_IPS") else None
        super().__init__(
            uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=grace_s, forwarded_allow_ips=proxies)
        )
        self.config.http = Http
        self._engine = engine

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's hook, called at its exit."""
        await self._engine.stop()
        await super().shutdown(sockets)


def serve(engine: ServedEngine, demo: StreamingBlocks, admission: Admission) -> None:
    """Serve until SIGINT or SIGTERM, then abort all requests, stop the engine, and let the signal have its effect.

    Blocks. Raises ConfigError if the address cannot be listened on.
    """
    config = engine.config
    with listen(config.host, config.port) as listener:
        log.info("StreamSpace is at http://%s:%d", _local(config.host), config.port)
        if config.share:
            threading.Thread(target=_share, args=(config,), name="share", daemon=True).start()
        Server(build_app(engine, demo, admission), engine).run(sockets=[listener])


def listen(host: str, port: int) -> socket.socket:
    """A listening socket; the kernel cuts its connections when their other end has been silent for GONE_S.

    Otherwise the server would write for a quarter of an hour to a reader that sleeps or has lost its network. Raises
    ConfigError if the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        advice = "stop the program that uses it, or choose another with --port."
        raise ConfigError(f"Cannot listen on {host} port {port} ({error.strerror}): {advice}") from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * GONE_S)
    return listener


def _share(config: Config) -> None:
    """Open the temporary link; it runs in a thread of its own, because without a network it takes a minute to fail."""
    if space := config.space_id:
        log.warning("--share does nothing on a Space, which is public already: huggingface.co/spaces/%s", space)
    elif url := open_share_link(_local(config.host), config.port):
        log.info("Temporary public link, for at most a week: %s", url)
    else:
        log.warning("No public link could be had from Gradio's share service; the local page goes on.")


def _local(host: str) -> str:
    """The page's address for programs on this machine."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
