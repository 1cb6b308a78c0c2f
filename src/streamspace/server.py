"""The web application on one event loop: the engine, the page at /, `/health`, `/metrics`, the OpenAI API at /v1."""

import asyncio
import logging
import os
import socket
import sys
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import ExitStack, asynccontextmanager
from functools import partial
from typing import Any, cast

import uvicorn
from fastapi import FastAPI, Response
from starlette.routing import Route
from starlette.types import ASGIApp
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from streamspace import hardware, metrics
from streamspace.chat import ServedEngine
from streamspace.config import Config
from streamspace.connections import (
    BACKLOG,
    MOST_TAKEN,
    Connection,
    Connections,
    RequestLimit,
    listen_everywhere,
    most_connections,
    raise_file_limit,
)
from streamspace.errors import ConfigError
from streamspace.faults import log_fault
from streamspace.limits import TABS, Admission
from streamspace.openai_server import OpenAIServer
from streamspace.operator_routes import OperatorRoutes, Start
from streamspace.process import ENVIRON, start_again
from streamspace.ui import StreamingBlocks, mount, open_share_link
from streamspace.votes import Votes

log = logging.getLogger(__name__)

PRIVATE = "127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, 100.64.0.0/10, fc00::/7"
# Until a thread lets the event loop go on, and the loop a thread. With Python's own 5 ms, a thread that parses a large
# body makes frames late, and those that render a burst's chats wait (512 on an H200: 37,400 tokens/s, not 30,700).
SWITCH_S = 0.0005
GRACE_S = 2  # for open connections when the server stops
GIVE_BACK_S = 10.0  # between two times that free memory is given back
KEEP_ALIVE_S = 120  # of usual clients and proxies, Go keeps an idle connection for the longest time: 90 s


def build_app(
    engine: ServedEngine,
    demo: StreamingBlocks,
    admission: Admission,
    again: Callable[[Start], None] = lambda start: None,
) -> FastAPI:
    """The whole application; its lifespan starts the engine without waiting for it, and stops it.

    `again` ends the app and has it start in another way; it returns at once.
    """
    app = FastAPI(lifespan=lambda app: _lifespan(engine, demo.votes), docs_url=None, redoc_url=None, openapi_url=None)

    @app.get("/health")
    async def health(response: Response) -> dict[str, str | int]:
        """200 with the engine's counts while the model answers, otherwise 503 with the reason."""
        status, name = engine.status, engine.config.model_name
        if status.stage == "ready":
            counts = {"running": engine.running, "waiting": engine.waiting}
            return {"status": "ready", "model": name, **counts, "detail": status.detail}
        response.status_code = 503
        return {"status": status.stage, "detail": status.detail}

    exposition = metrics.Exposition()

    @app.get("/metrics")
    def scrape() -> Response:  # not async, so it runs in a thread: it takes some milliseconds
        """For Prometheus: vLLM's series while there is an engine, and ours. Without login: it has only numbers."""
        return Response(exposition.text(), headers={"Content-Type": metrics.CONTENT_TYPE})

    OperatorRoutes(engine, Start(sys.argv[1:], ENVIRON), again).install(app)
    mounted = mount(app, demo, engine, engine.config.auth)
    api = OpenAIServer(engine, admission)
    for path in ("/v1/{path:path}", "/tokenize", "/detokenize"):
        mounted.router.routes.insert(0, Route(path, api, methods=None))
    return mounted


@asynccontextmanager
async def _lifespan(engine: ServedEngine, votes: Votes | None) -> AsyncIterator[None]:
    sys.setswitchinterval(SWITCH_S)
    engine.start()
    if votes:
        votes.start()
    giving = asyncio.create_task(_give_memory_back(engine))
    try:
        yield
    finally:
        giving.cancel()
        await engine.stop()
        if votes:
            await asyncio.to_thread(votes.stop)


async def _give_memory_back(engine: ServedEngine) -> None:
    """Again and again: what an engine without work keeps, then what is free here. That takes some milliseconds."""
    while True:
        await asyncio.sleep(GIVE_BACK_S)
        try:
            await engine.rest()
        except Exception:
            log_fault(log, "What the engine keeps could not be given back")
        await asyncio.to_thread(hardware.give_free_memory_back)


class Server(uvicorn.Server):
    """Stops the engine before the connections, so that every stream ends by itself and none is cut off.

    It believes X-Forwarded-For of a Space's proxy, which has a private address. Elsewhere it uses uvicorn's own choice:
    FORWARDED_ALLOW_IPS, or this machine only. uvicorn takes the header's last address that is none of these, because
    the client may have written those before it.
    """

    def __init__(self, app: ASGIApp, engine: ServedEngine, grace_s: int = GRACE_S) -> None:
        config = engine.config
        proxies = PRIVATE if config.space_id and not os.environ.get("FORWARDED_ALLOW_IPS") else None
        options = uvicorn.Config(
            RequestLimit(app, config.connections_per_address),
            log_level="warning",
            timeout_graceful_shutdown=grace_s,
            timeout_keep_alive=keep_alive_s(),
            backlog=MOST_TAKEN,
            forwarded_allow_ips=proxies,
        )
        trusted = ProxyHeadersMiddleware(cast(Any, app), options.forwarded_allow_ips).trusted_hosts
        most = most_connections(raise_file_limit())
        self.connections = Connections(most, config.connections_per_address, trusted.__contains__)
        options.http = cast(Any, partial(Connection, self.connections))
        super().__init__(options)
        self._engine = engine

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's hook: asyncio lets as many connections wait as it takes at once, unless it is told otherwise."""
        await super().startup(sockets)
        for listener in sockets or ():
            listener.listen(BACKLOG)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """uvicorn's hook, called at its exit."""
        await self._engine.stop()
        await super().shutdown(sockets)


def serve(engine: ServedEngine, demo: StreamingBlocks, admission: Admission) -> None:
    """Serve until SIGINT or SIGTERM, then abort all requests, stop the engine, and let the signal have its effect.

    The operator may also have the program start again with another model; then it stops in the same way, and this
    process goes on with the new start. Blocks. Raises ConfigError if the address cannot be listened on.
    """
    hardware.give_large_blocks_back()
    config = engine.config
    starts: list[Start] = []

    def again(start: Start) -> None:
        log.info("Starting again with the model %s", start.environ["MODEL_ID"])
        starts.append(start)
        server.should_exit = True

    server = Server(build_app(engine, demo, admission, again), engine)
    with ExitStack() as stack:
        listeners = [stack.enter_context(listener) for listener in listen_everywhere(config.host, config.port)]
        log.info("StreamSpace is at http://%s:%d", _local(config.host), config.port)
        log.info("%s", places(config))
        if config.share:
            threading.Thread(target=_share, args=(config,), name="share", daemon=True).start()
        log.info("The operator's key, to change the model in the Engine tab: %s", engine.operator_key)
        server.run(sockets=listeners)
    if starts:
        start_again(starts[-1].arguments, starts[-1].environ)


def places(config: Config) -> str:
    """Which limits are in force, and why, for the log."""
    place, why = ("public", config.why_public) if config.why_public else ("private", f"it listens on {config.host}")
    limits = {
        "answers at once for a visitor": config.answers_per_visitor,
        "answers at once for an address": TABS * config.answers_per_visitor,
        "requests a minute from an address": config.requests_per_minute,
        "connections from an address": config.connections_per_address,
        "waiting requests": config.queue_length,
        "seconds for an answer": config.max_seconds,
    }
    told = ", ".join(f"{number or 'any number of'} {name}" for name, number in limits.items())
    api = "with a key" if config.api_keys else "without a key" if config.serves_openai else "off without --api-key"
    return f"The place is {place}, because {why}. Limits: {told}; /v1 is {api}."


def keep_alive_s(environ: Mapping[str, str] = os.environ) -> int:
    """How long a connection may idle between two requests: longer than usual clients and proxies keep theirs.

    Raises ConfigError if vLLM's variable for it is no whole number.
    """
    value = environ.get("VLLM_HTTP_TIMEOUT_KEEP_ALIVE") or str(KEEP_ALIVE_S)
    if not value.isdecimal():
        raise ConfigError(f"VLLM_HTTP_TIMEOUT_KEEP_ALIVE is {value!r}; allowed is a whole number of seconds.")
    return int(value)


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
