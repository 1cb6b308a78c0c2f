"""Visitors who want to harm the others, for benchmarks/soak.py: each kind goes on in its way until a time."""

import asyncio
import json
import random
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from benchmarks.bodies import bodies
from streamspace.asgi import BodyLimit

PAUSE_S = 1.0  # between two attacks of a kind, on average
MOST_S = 90.0  # that half a request is left alone
STORY = "Tell me a long story."  # of which each asks for one of its own
CALL = "/gradio_api/call/v2/complete"
HEADERS = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


@dataclass
class Attackers:
    """What they need, and what came of it."""

    session: aiohttp.ClientSession
    url: str
    config: dict[str, Any]  # of the page
    asked: dict[str, Any]  # of one question: fn_index and data
    ends: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        self._bodies = bodies(self.config, BodyLimit.of(2048))

    async def attack(self, until_s: float) -> None:
        """All kinds at once."""
        await asyncio.gather(*(self._go_on(name, until_s) for name in ATTACKS))

    async def _go_on(self, name: str, until_s: float) -> None:
        chance = random.Random(name)
        while time.monotonic() < until_s:
            await asyncio.sleep(chance.uniform(0, 2 * PAUSE_S))
            try:
                end = await ATTACKS[name](self)
            except (aiohttp.ClientError, OSError) as error:
                end = type(error).__name__
            self.ends[f"{name}: {end}"] += 1

    @property
    def faults(self) -> list[str]:
        """The ends in which the server failed."""
        return [end for end in self.ends if end.endswith((" 500", " 502", " 504"))]

    async def post(self, path: str, body: bytes) -> tuple[str, Any]:
        """The status, and what is answered."""
        async with self.session.post(f"{self.url}{path}", data=body, headers=HEADERS) as answer:
            text = await answer.text()
            return f"status {answer.status}", json.loads(text) if text.startswith("{") else text

    async def ask(self, session: str) -> str:
        data = [f"{value} ({session})" if value == STORY else value for value in self.asked["data"]]
        body = {"fn_index": self.asked["fn_index"], "data": data, "session_hash": session}
        return (await self.post("/gradio_api/queue/join", json.dumps(body).encode()))[0]

    def stream(self, session: str) -> Any:
        return self.session.get(f"{self.url}/gradio_api/queue/data", params={"session_hash": session})

    async def say(self, said: bytes, seconds: float) -> str:
        """Say this on a connection and no more, until the server closes it or the time is over."""
        address = urlsplit(self.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(said)
            async with asyncio.timeout(seconds):
                return (await reader.read()).decode(errors="replace").partition("\r\n")[0]
        except TimeoutError:
            return "left alone"
        finally:
            writer.close()


async def bad_bodies(those: Attackers) -> str:
    """The largest bodies that the limits let in, made to take long."""
    path, body = next(those._bodies)
    return (await those.post(path, body))[0]


async def invented_sessions(those: Attackers) -> str:
    """Every route that takes a session's name, with one of no session; the last asks, and never reads."""
    name = uuid.uuid4().hex
    body = {"session_hash": name, "event_id": name, "fn_index": 0, "data": []}
    for path in ("run/chat", "run/complete", "cancel", "reset", "call/chat"):
        await those.post(f"/gradio_api/{path}", json.dumps(body).encode())
    for path in (f"queue/data?session_hash={name}", f"call/chat/{name}", f"info?page={name}"):
        async with those.session.get(f"{those.url}/gradio_api/{path}") as answer:
            await answer.read()
    async with those.session.get(f"{those.url}/gradio_api/heartbeat/{name}") as heart:
        await heart.content.readline()
        heart.close()
    async with those.session.get(those.url, headers={"Host": f"{name}.example"}) as page:
        await page.read()
    return await those.ask(name)


async def unread_calls(those: Attackers) -> str:
    """A call whose stream nobody opens."""
    return (
        await those.post(CALL, json.dumps({"prompt": f"{STORY} ({uuid.uuid4().hex})", "max_tokens": 300}).encode())
    )[0]


async def half_requests(those: Attackers) -> str:
    """Half a header, half a body, a body that never ends, and a reader who sends one, all at once."""
    seconds = random.choice([5.0, MOST_S])
    name = uuid.uuid4().hex.encode()
    said = await asyncio.gather(*(those.say(half.replace(b"SESSION", name), seconds) for half in HALVES))
    return ", ".join(f"{number} {end}" for end, number in sorted(Counter(said).items()))


async def reconnects(those: Attackers) -> str:
    """Several connections after one another for one answer, the older ones reset at once."""
    name = uuid.uuid4().hex
    status = await those.ask(name)
    if status != "status 200":
        return status
    stream = await those.stream(name).__aenter__()
    for _ in range(3):
        await stream.content.readline()
        newer = await those.stream(name).__aenter__()
        if stream.connection is not None:
            stream.connection.transport.abort()
        stream = newer
    async with stream:
        return "whole" if b"process_completed" in await stream.read() else "gone"


async def closed_tools(those: Attackers) -> str:
    """A tool of the MCP server, whose client goes before the answer, or stays for it."""
    arguments = {"question": f"{STORY} ({uuid.uuid4().hex})", "max_tokens": 100}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": arguments}}
    try:
        async with asyncio.timeout(random.uniform(0.01, 2)):
            return (await those.post("/gradio_api/mcp/", json.dumps(asked).encode()))[0]
    except TimeoutError:
        return "closed"


async def wrong_questions(those: Attackers) -> str:
    """What vLLM itself refuses, and a stream of /v1 that is closed at its first word."""
    await those.post("/v1/chat/completions", b'{"messages": [{"role": "robot", "content": 5}], "n": 3}')
    asked = {"prompt": f"{STORY} ({uuid.uuid4().hex})", "stream": True, "max_tokens": 300}
    async with those.session.post(f"{those.url}/v1/completions", json=asked) as answer:
        await answer.content.readline()
        answer.close()
        return f"status {answer.status}"


async def slow_readers(those: Attackers) -> str:
    """A reader who takes nothing of the answer for a while."""
    name = uuid.uuid4().hex
    await those.ask(name)
    said = f"GET /gradio_api/queue/data?session_hash={name} HTTP/1.1\r\nHost: x\r\n\r\n"
    address = urlsplit(those.url)
    _, writer = await asyncio.open_connection(address.hostname, address.port, limit=1024)
    writer.write(said.encode())
    await asyncio.sleep(random.uniform(5, 25))
    writer.close()
    return "closed"


POST = b"POST %s HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n{"
HALVES = [
    b"GET /health HTTP/1.1\r\nHost: x\r\nX: ",
    b"GET /gradio_api/queue/data?session_hash=SESSION HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
    *(POST % path for path in (b"/gradio_api/queue/join", b"/gradio_api/mcp/", b"/v1/completions", b"/retry")),
]
ATTACKS: dict[str, Callable[[Attackers], Awaitable[str]]] = {
    attack.__name__: attack
    for attack in (
        *(bad_bodies, invented_sessions, unread_calls, half_requests),
        *(reconnects, closed_tools, wrong_questions, slow_readers),
    )
}
