"""The web application on one event loop: the engine, the page at /, `/health`, `/metrics`, the OpenAI API at /v1."""

import logging
import os
import secrets
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import uvicorn
from fastapi import FastAPI, Response
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from streamspace import metrics
from streamspace.chat import ServedEngine
from streamspace.config import Config
from streamspace.errors import ConfigError
from streamspace.limits import Admission
from streamspace.openai_server import OpenAIServer
from streamspace.ui import StreamingBlocks, mount, open_share_link

log = logging.getLogger(__name__)

PRIVATE = "127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7"
GRACE_S = 2  # that open connections get when the server stops
GONE_S = 20  # after which a connection is cut whose other end has taken nothing, or is not there any more


def build_app(engine: ServedEngine, demo: StreamingBlocks, admission: Admission) -> FastAPI:
    """The whole application; its lifespan starts the engine, without waiting for it, and stops it."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        engine.start()
        try:
            yield
        finally:
            await engine.stop()

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    async def health(response: Response) -> dict[str, str | int]:
        """200 while the model answers, with the engine's own counts; otherwise 503 with the reason."""
        status = engine.status
        if status.stage == "ready":
            name = engine.config.model_name
            return {"status": "ready", "model": name, "running": engine.running, "waiting": engine.waiting}
        response.status_code = 503
        return {"status": status.stage, "detail": status.detail}

    @app.get("/metrics")
    def scrape() -> Response:  # in a thread: it takes some milliseconds
        """For Prometheus: vLLM's series while there is an engine, and ours. Open, like /health: numbers only."""
        return Response(metrics.exposition(), headers={"Content-Type": metrics.CONTENT_TYPE})

    @app.get("/retry")
    async def retry(key: str = "") -> Response:
        """For the operator alone, whose log has the key: try once more to build an engine that was given up."""
        if not secrets.compare_digest(key.encode(), engine.retry_key.encode()):
            return JSONResponse({"detail": "The key is not the one in the log."}, 403)
        engine.retry()
        return RedirectResponse("./")

    mounted = mount(app, demo, engine, engine.config.auth)
    openai = OpenAIServer(engine, admission)
    mounted.router.routes.insert(0, Route("/v1/{path:path}", openai, methods=None))
    return mounted


class Server(uvicorn.Server):
    """Stops the engine before the connections, so that every stream ends by itself and none is cut off."""

    def __init__(self, app: ASGIApp, engine: ServedEngine, grace_s: int = GRACE_S) -> None:
        proxies = trusted_proxies(engine.config)
        super().__init__(
            uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=grace_s, forwarded_allow_ips=proxies)
        )
        self._engine = engine

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's hook, called when it is told to exit."""
        await self._engine.stop()
        await super().shutdown(sockets)


def serve(engine: ServedEngine, demo: StreamingBlocks, admission: Admission) -> None:
    """Serve until SIGINT or SIGTERM; then abort what runs, stop the engine, and let the signal take its course. Blocks.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    config = engine.config
    with listen(config.host, config.port) as listener:
        log.info("StreamSpace is at http://%s:%d", _local(config.host), config.port)
        if config.share:
            threading.Thread(target=_share, args=(config,), name="share", daemon=True).start()
        Server(build_app(engine, demo, admission), engine).run(sockets=[listener])


def trusted_proxies(config: Config) -> str | None:
    """Whose X-Forwarded-For is believed: a Space's proxy, which has a private address; uvicorn's own choice elsewhere.

    That is FORWARDED_ALLOW_IPS, or this machine alone. Of the header uvicorn takes the last address that is none of
    these; those before it are the visitor's own words.
    """
    return PRIVATE if config.space_id and not os.environ.get("FORWARDED_ALLOW_IPS") else None


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens, whose connections the kernel cuts GONE_S after their other end has gone silent.

    Without that, the reader whose machine sleeps or has lost its network would be written to for a quarter of an hour.

    Raises:
        ConfigError: the address cannot be listened on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigError(
            f"Cannot listen on {host} port {port} ({error.strerror}): "
            "stop the program that uses it, or choose another with --port."
        ) from None
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * GONE_S)
    return listener


def _share(config: Config) -> None:
    """Open the temporary link, in a thread of its own: without a network it takes up to a minute to fail."""
    if config.space_id:
        log.warning(
            "--share does nothing on a Space, which is public already: huggingface.co/spaces/%s", config.space_id
        )
        return
    url = open_share_link(_local(config.host), config.port)
    if url:
        log.info("Temporary public link, for at most a week: %s", url)
    else:
        log.warning("No public link could be had from Gradio's share service; the local page goes on.")


def _local(host: str) -> str:
    """The address under which this machine itself reaches the page."""
    return {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
