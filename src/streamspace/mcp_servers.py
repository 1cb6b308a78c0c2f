"""The operator's MCP servers as sources of tools, by the official client: a URL or a command each, and nothing else.

A server is asked anew for each call, so nothing of it stays behind. It gets neither a redirect nor more than MOST_BYTES
through, may ask nobody anything, and sees of our environment PATH and HOME alone.
"""

import asyncio
import json
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from streamspace.types import ToolSpec

if TYPE_CHECKING:
    import httpx
    from mcp import ClientSession

MOST_BYTES = 1 << 20  # of one answer of a server
MOST_TOOLS = 64  # of one server
TOO_LARGE = f"it answers with more than {MOST_BYTES} bytes"
ENVIRON = ("PATH", "HOME", "LANG")
Cut = Callable[[str], None]  # ends the session for this reason


class ServerFailed(Exception):
    """The server cannot be asked, or its answer is too large; the message is for the model and the visitor."""


@dataclass(frozen=True)
class McpServer:
    """One of the operator's servers; either `url` or `command` is given."""

    name: str
    url: str = ""
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    command: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict, repr=False)

    async def specs(self) -> tuple[ToolSpec, ...]:
        """What tools it has now; raises ServerFailed."""
        async with self._session() as session:
            listed = await session.list_tools()
        named = [(tool.name, tool.description or "", tool.inputSchema) for tool in listed.tools[:MOST_TOOLS]]
        return tuple(ToolSpec(name, text[:1000], schema) for name, text, schema in named)

    async def call(self, name: str, arguments: dict[str, Any]) -> str:
        """The text that a tool answers with; raises ServerFailed, also if the tool says that it failed."""
        async with self._session() as session:
            result = await session.call_tool(name, arguments)
        texts = [part.text if part.type == "text" else f"[{part.type}]" for part in result.content]
        if result.isError:
            raise ServerFailed("\n".join(texts) or "The tool failed.")
        return "\n".join(texts)

    @asynccontextmanager
    async def _session(self) -> AsyncIterator["ClientSession"]:
        from mcp import ClientSession

        is_open, reasons = asyncio.timeout(None), list[str]()

        def cut(reason: str) -> None:
            """End the session now; the library would wait for the rest of what is not read any more."""
            reasons.append(reason)
            is_open.reschedule(0)

        try:
            async with is_open, self._streams(cut) as (reading, writing), ClientSession(reading, writing) as session:
                await session.initialize()
                yield session
        except ServerFailed:
            raise
        except Exception as error:  # groups of whatever httpx, anyio and the protocol raise
            reason = reasons[0] if reasons else _first(error)
            raise ServerFailed(f"The server {self.name} cannot be asked: {reason}.") from error

    def _streams(self, cut: Cut) -> AbstractAsyncContextManager[Any]:
        return _over_http(self.url, dict(self.headers), cut) if self.url else _over_pipes(self.command, self.env, cut)


def servers_of(text: str) -> tuple[McpServer, ...]:
    """The servers of MCP_SERVERS: a JSON object of name → URL, or {"url", "headers"}, or {"command", "env"}.

    Raises ValueError, which says what is allowed.
    """
    allowed = ValueError('a JSON object such as {"docs": "https://a.example/mcp", "files": {"command": ["run", "it"]}}')
    try:
        named = json.loads(text).items()
        servers = tuple(McpServer(name, **_options(value)) for name, value in named)
    except (ValueError, TypeError, AttributeError, KeyError):
        raise allowed from None
    if not all(server.name and bool(server.url) != bool(server.command) for server in servers):
        raise allowed
    return servers


def _options(value: Any) -> dict[str, Any]:
    given = {"url": value} if isinstance(value, str) else dict(value)
    if set(given) - {"url", "headers", "command", "env"}:
        raise KeyError
    if not given.get("url", "https://").startswith(("http://", "https://")):
        raise ValueError
    return {**given, "command": tuple(map(str, given.get("command", ())))}


def _first(error: BaseException) -> str:
    """The innermost error of groups, in a few words without line breaks."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return " ".join(str(error).split())[:200] or type(error).__name__


def _client(headers: dict[str, str], cut: Cut) -> "httpx.AsyncClient":
    """A client that follows no redirect, uses no proxy of the environment, and reads MOST_BYTES of an answer."""
    import httpx

    class Limited(httpx.AsyncHTTPTransport):
        async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
            response = await super().handle_async_request(request)
            response.stream = _Limited(response.stream)
            return response

    class _Limited(httpx.AsyncByteStream):
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        async def __aiter__(self) -> AsyncGenerator[bytes, None]:
            num_bytes = 0
            async for part in self._stream:
                num_bytes += len(part)
                if num_bytes > MOST_BYTES:
                    cut(TOO_LARGE)
                    raise httpx.ReadError(TOO_LARGE)
                yield part

        async def aclose(self) -> None:
            await self._stream.aclose()

    return httpx.AsyncClient(
        headers=headers, timeout=None, transport=Limited(), follow_redirects=False, trust_env=False
    )


@asynccontextmanager
async def _over_http(url: str, headers: dict[str, str], cut: Cut) -> AsyncIterator[tuple[Any, Any]]:
    from mcp.client.streamable_http import streamable_http_client

    async with (
        _client(headers, cut) as client,
        streamable_http_client(url, http_client=client) as (reading, writing, _),
    ):
        yield reading, writing


@asynccontextmanager
async def _over_pipes(command: tuple[str, ...], env: Mapping[str, str], cut: Cut) -> AsyncIterator[tuple[Any, Any]]:
    """The streams of a program in a process group of its own, which is killed in the end.

    The library's own transport reads lines of any length.
    """
    import anyio

    plain = {name: os.environ[name] for name in ENVIRON if name in os.environ}
    process = await asyncio.create_subprocess_exec(
        *command, env={**plain, **env}, limit=MOST_BYTES, start_new_session=True,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    assert process.stdin and process.stdout
    into, read = anyio.create_memory_object_stream[Any](0)
    write, out_of = anyio.create_memory_object_stream[Any](0)
    ways = _receive(process.stdout, into, cut), _send(process.stdin, out_of)
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        yield read, write
    finally:
        for task in tasks:
            task.cancel()
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await asyncio.gather(*tasks, return_exceptions=True)
        await process.wait()
        for stream in (into, read, write, out_of):
            await stream.aclose()


async def _receive(lines: asyncio.StreamReader, into: Any, cut: Cut) -> None:
    from mcp.shared.message import SessionMessage
    from mcp.types import JSONRPCMessage
    from pydantic import ValidationError

    async with into:
        try:
            while line := await lines.readline():
                await into.send(SessionMessage(JSONRPCMessage.model_validate_json(line)))
        except ValidationError:
            cut("what it answers is no JSON-RPC")
        except ValueError:  # a line of more than the limit
            cut(TOO_LARGE)


async def _send(pipe: asyncio.StreamWriter, messages: Any) -> None:
    async for message in messages:
        pipe.write(message.message.model_dump_json(by_alias=True, exclude_none=True).encode() + b"\n")
        await pipe.drain()
