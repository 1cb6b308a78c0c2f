"""How soon the engine is free of a request whose visitor has gone, by every way of going, again and again.

python benchmarks/release.py [--times 50] [--moments NAME ...] [--ways NAME ...] [--model FOLDER] [vLLM's flags]
python benchmarks/release.py --shutdown [--times 50]   what SIGTERM to the app releases, which is started for each

Where the server can know at once, visitors go one after another; where only a deadline tells, all at once. A frozen
reader's own machine takes what is sent for it until its buffer is full; before that no server can know. The last
moment at which the request was there is taken from /health, in the app's own queue from /metrics; both are polled
without a pause. The engine counts a prefill only once it is over. A shutdown has released a request before its visitor
is told of the end, so that time is taken. To have visitors wait, others take all places: the context is stretched to
20,000 tokens for them, whose answers are long and of no use.
"""

import argparse
import asyncio
import fcntl
import json
import math
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import termios
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import psutil

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "src")]

from benchmarks.recovery import wait_for_health  # noqa: E402
from benchmarks.startup import free_port, running, running_app  # noqa: E402
from benchmarks.streaming import payload, percentile  # noqa: E402

# Starts app.py with /metrics that are computed for each scrape, not once a second.
LAUNCHER = """
import runpy, sys
sys.argv = sys.argv[1:]
from streamspace import metrics
metrics.FRESH_S = 0.0
runpy.run_path(sys.argv[0], run_name="__main__")
"""
QUIET_S = 0.3  # without a request: then it is released
MOST_S = 90.0  # for all to be released
FULL_S = 5.0  # without a byte more: then a buffer is full
STORY = "Tell me a long story."
PHRASE, PHRASE_TOKENS = "tell me more of the sea ", 6.5  # by the bundled model's tokenizer
PAD_ID = 0  # of the bundled model
CONTEXT = 20_000  # tokens
KV_BYTES = 22_000 * 4096  # for a little more than one context; the bundled model takes 4 KiB a token
LONG = ["--max-model-len", str(CONTEXT), "--hf-overrides", json.dumps({"max_position_embeddings": CONTEXT}),
        "--max-tokens", str(CONTEXT), "--kv-cache-memory-bytes", str(KV_BYTES)]  # fmt: skip


@dataclass(frozen=True)
class Moment:
    """When a visitor goes, and what has to be so for that."""

    name: str
    prompt: str
    has_text: bool = False  # of the visitor's answer
    blockers: Sequence[str] = ()  # prompts of others, who stay
    is_queued: bool = False  # before the engine, where /metrics counts it and /health does not
    options: Sequence[str] = ()  # of the app


def prompt_of(num_tokens: int) -> str:
    """A prompt of about so many tokens."""
    return PHRASE * int(num_tokens / PHRASE_TOKENS)


MOMENTS = [
    Moment("before the first token", prompt_of(1500)),
    Moment("in mid-answer", STORY, has_text=True),
    Moment(
        "in our queue",
        STORY,
        blockers=[STORY] * 2,
        is_queued=True,
        options=[*LONG, "--max-num-seqs", "2"],
    ),
    Moment(
        "in the engine's queue",
        prompt_of(10_000),
        blockers=[prompt_of(14_000)],
        options=[*LONG, "--max-num-seqs", "64"],
    ),
]
AT_ONCE = ("Stop", "closed", "reset")
PROGRAMS = ("call closed", "MCP closed")  # in mid-answer
ENDLESS, ENDLESS_S = "endless body", 60  # a question that never ends, and when it is refused
# Way → its causes in /metrics, the deadline in seconds, and the moments at which nothing else can tell.
BY_DEADLINE = {
    "never reads": (["never_read"], 10, ("in mid-answer", "in our queue", "in the engine's queue")),
    "frozen": (["left", "stalled"], 20, ("in mid-answer",)),
    "half a header": (["never_read"], 10, ("in mid-answer",)),
    "call unread": (["never_read"], 10, ("in mid-answer",)),
}


class Visitors:
    """Who come and go at one moment."""

    def __init__(self, session: aiohttp.ClientSession, url: str, config: dict[str, Any], moment: Moment) -> None:
        self._session, self._url, self._config, self._moment = session, url, config, moment

    async def ask(self, prompt: str) -> dict[str, Any]:
        """Start an answer that does not end by itself soon; returns what names it."""
        num_tokens = CONTEXT if self._moment.options else 1900 if len(prompt) < 100 else 400
        chat = [{"role": "user", "content": prompt}]
        asked = payload("page", self._config, chat, num_tokens)
        asked["data"][asked["data"].index(0.8)] = 0.0  # greedy: it never takes the token that would end it
        names = {"fn_index": asked["fn_index"], "session_hash": uuid.uuid4().hex}
        async with self._session.post(
            f"{self._url}/gradio_api/queue/join", json={**names, "data": asked["data"]}
        ) as joined:
            joined.raise_for_status()
            return {**names, **await joined.json()}

    async def call(self) -> str:
        """Start an answer by plain HTTP that does not end by itself soon; returns the address of its stream."""
        url = f"{self._url}/gradio_api/call/v2/chat"  # a raw text would soon come to its end
        asked = {"message": self._moment.prompt, "max_tokens": 1900, "temperature": 0.0}
        async with self._session.post(url, json=asked) as called:
            called.raise_for_status()
            return f"{url}/{(await called.json())['event_id']}"

    async def ask_mcp(self) -> None:
        """Have a tool answer, for as long as the connection is there."""
        arguments = {"question": self._moment.prompt, "max_tokens": 1900, "temperature": 0.0}
        asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "ask", "arguments": arguments}}
        headers = {"Accept": "application/json, text/event-stream"}
        async with self._session.post(f"{self._url}/gradio_api/mcp/", json=asked, headers=headers) as answer:
            await answer.read()

    def read(self, names: dict[str, Any]) -> Any:
        """The stream of an answer."""
        return self._session.get(f"{self._url}/gradio_api/queue/data", params={"session_hash": names["session_hash"]})

    async def stay(self, prompt: str, has_begun: asyncio.Event) -> None:
        """Be answered, again and again."""
        room = CONTEXT - 1000 - int(len(prompt) / len(PHRASE) * PHRASE_TOKENS)
        asked = {"prompt": prompt, "max_tokens": room, "stream": True}
        while True:
            async with self._session.post(f"{self._url}/v1/completions", json=asked) as stream:
                stream.raise_for_status()
                async for _ in stream.content:
                    has_begun.set()

    async def go(self, way: str) -> float:
        """One visitor, who goes; returns the seconds until its request was gone."""
        names = await self.ask(self._moment.prompt)
        async with self.read(names) as stream:
            await self._until_the_moment(stream)
            gone_s = time.monotonic()
            if way == "Stop":
                async with self._session.post(f"{self._url}/gradio_api/cancel", json=names) as cancelled:
                    cancelled.raise_for_status()
            elif way == "reset":
                stream.connection.transport.abort()
            else:
                stream.close()
            return max(0.0, await self.last_there_s() - gone_s)

    async def go_as_program(self, way: str) -> float:
        """The same for a program, which goes in mid-answer by closing its connection."""
        if way == "MCP closed":
            asking = asyncio.create_task(self.ask_mcp())
            while not await self._num_there():
                await asyncio.sleep(0.01)
            gone_s = time.monotonic()
            asking.cancel()
        else:
            async with self._session.get(await self.call()) as stream:
                while not await self._num_there():
                    await asyncio.sleep(0.01)
                gone_s = time.monotonic()
                stream.close()
        return max(0.0, await self.last_there_s() - gone_s)

    async def _until_the_moment(self, stream: aiohttp.ClientResponse) -> None:
        if self._moment.has_text:
            async for line in stream.content:
                if b'"assistant"' in line:
                    break
        elif self._moment.blockers:
            await self.until_waiting(1)
        else:
            await asyncio.sleep(0.02)

    async def see_the_end(self, process: subprocess.Popen[bytes], num_queued: int) -> "End":
        """End the app at the moment, with so many more visitors in its own queue."""
        names = [await self.ask(self._moment.prompt)]
        async with self.read(names[0]) as stream:
            await self._until_the_moment(stream)
            names += [await self.ask(STORY) for _ in range(num_queued)]
            while num_queued and await self._metric("streamspace_requests_queued") < num_queued:
                await asyncio.sleep(0.01)
            queued = [await self.read(one).__aenter__() for one in names[1:]]
            family = psutil.Process(process.pid).children(recursive=True)
            engines = [one for one in family if one.ppid() != process.pid]  # forked by one that stays until the end
            began_s = time.monotonic()
            process.terminate()
            closed_s = asyncio.gather(*(_closed_s(one) for one in (stream, *queued)))
            _, alive = await asyncio.to_thread(psutil.wait_procs, engines, MOST_S)
            engine_s = math.inf if alive else time.monotonic() - began_s
            await asyncio.to_thread(process.wait, MOST_S)
            return End(max(await closed_s) - began_s, engine_s, time.monotonic() - began_s)

    async def vanish(self, way: str, number: int, causes: Sequence[str]) -> tuple[int, float, float]:
        """Many visitors who do not say that they go.

        Returns how many were ended for that, after how long all, and how long after the frozen ones' buffers were full.
        """
        event = "chat" if way == "call unread" else "answer"
        series = [f'streamspace_streams_total{{cause="{cause}",event="{event}"}}' for cause in causes]
        before = sum([await self._metric(name) for name in series])
        frozen = []
        if way == "call unread":
            await asyncio.gather(*(self.call() for _ in range(number)))
        else:
            asked = await asyncio.gather(*(self.ask(self._moment.prompt) for _ in range(number)))
            if way != "never reads":
                frozen = [self._freeze(names["session_hash"], is_whole=way == "frozen") for names in asked]
        if self._moment.blockers:
            await self.until_waiting(number)
        gone_s = time.monotonic()
        filling = asyncio.create_task(_full_s(frozen))
        last_s, full_s = await self.last_there_s(), await filling
        for sleeper in frozen:
            sleeper.close()
        return sum([await self._metric(name) for name in series]) - before, last_s - gone_s, last_s - full_s

    def _freeze(self, session: str, is_whole: bool) -> socket.socket:
        """Open the stream and take nothing of it, where the kernel takes 4 KiB; or stop in mid-header."""
        sleeper = socket.socket()
        sleeper.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        address = urlsplit(self._url)
        sleeper.connect((address.hostname, address.port))
        request = f"GET /gradio_api/queue/data?session_hash={session} HTTP/1.1\r\nHost: {address.netloc}\r\n\r\n"
        sleeper.sendall(request.encode()[: None if is_whole else -2])
        return sleeper

    async def send_for_ever(self) -> float:
        """Begin a question and never end it; the seconds until the server refuses it and closes the connection."""
        address = urlsplit(self._url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        lines = ["POST /gradio_api/queue/join HTTP/1.1", "Host: x", "Content-Type: application/json"]
        writer.write("\r\n".join([*lines, "Content-Length: 100000", "", "{"]).encode())
        began_s, answer = time.monotonic(), asyncio.create_task(reader.read())
        while not (await asyncio.wait([answer], timeout=1))[0]:
            writer.write(b" ")
        writer.close()
        return time.monotonic() - began_s if b" 408 " in answer.result() else math.inf

    async def until_waiting(self, number: int) -> None:
        """Wait until so many requests wait behind the blockers."""
        while await self._num_there() < number:
            await asyncio.sleep(0.01)

    async def last_there_s(self) -> float:
        """When a request other than the blockers' was last seen, once there has been none for a while."""
        began_s = there_s = quiet_s = time.monotonic()
        while quiet_s - there_s < QUIET_S:
            num_there = await self._num_there()
            quiet_s = time.monotonic()
            if num_there:
                there_s = quiet_s
            if quiet_s - began_s > MOST_S:
                raise SystemExit(f"{num_there} requests are still there after {MOST_S:g} s.")
        return there_s

    async def _num_there(self) -> int:
        """Requests besides those of the blockers."""
        if self._moment.is_queued:
            return await self._metric("streamspace_requests_queued")
        async with self._session.get(f"{self._url}/health") as answer:
            health = await answer.json()
        return int(health["waiting"] if self._moment.blockers else health["running"] + health["waiting"])

    async def _metric(self, name: str) -> int:
        async with self._session.get(f"{self._url}/metrics") as answer:
            found = re.search(rf"^{re.escape(name)} (\S+)", await answer.text(), re.MULTILINE)
        return int(float(found[1])) if found else 0


async def _full_s(sleepers: Sequence[socket.socket]) -> float:
    """When the last of these got something into its buffer, which then gets nothing for FULL_S."""
    held, full_s = dict[socket.socket, bytes](), time.monotonic()
    while time.monotonic() - full_s < FULL_S:
        for sleeper in sleepers:
            waiting = fcntl.ioctl(sleeper, termios.FIONREAD, bytes(4))
            if waiting != held.get(sleeper):
                held[sleeper], full_s = waiting, time.monotonic()
        await asyncio.sleep(0.05)
    return full_s


async def _closed_s(stream: aiohttp.ClientResponse) -> float:
    """When the server said that this was the end of the stream; never if it did not."""
    with suppress(aiohttp.ClientError):
        if b"close_stream" in await stream.read():
            return time.monotonic()
    return math.inf


@dataclass(frozen=True)
class End:
    """How the app ended; seconds from SIGTERM."""

    told_s: float  # until all visitors were told of the end of their answer, which is after its abort
    engine_s: float  # until the engine's process had gone
    left_s: float  # until the app itself had


@asynccontextmanager
async def staying(visitors: Visitors, prompts: Sequence[str]) -> AsyncIterator[None]:
    """Others who are answered all the while."""
    begun = [asyncio.Event() for _ in prompts]
    tasks = [asyncio.create_task(visitors.stay(*each)) for each in zip(prompts, begun, strict=True)]
    try:
        for each in begun:
            await each.wait()
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError, aiohttp.ClientError):  # the server's end, maybe
                await task


async def measure(url: str, times: int, moment: Moment, ways: Sequence[str]) -> None:
    """Print a line for each of these ways to go at this moment."""
    timeout = aiohttp.ClientTimeout(total=None)
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0), timeout=timeout, read_bufsize=1 << 22
    ) as session:
        await wait_for_health(session, url, 200)
        async with session.get(f"{url}/config") as answer:
            visitors = Visitors(session, url, await answer.json(), moment)
        async with staying(visitors, moment.blockers):
            for way in [way for way in AT_ONCE if way in ways]:
                took = [1e3 * await visitors.go(way) for _ in range(times)]
                p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
                tell(way, moment, f"{len(took)} of {times} released, p50 {p50:4.0f} ms, p99 {p99:4.0f} ms")
            for way in [way for way in PROGRAMS if way in ways and moment.name == "in mid-answer"]:
                took = [1e3 * await visitors.go_as_program(way) for _ in range(times)]
                p50, p99 = percentile(took, 0.5), percentile(took, 0.99)
                tell(way, moment, f"{len(took)} of {times} released, p50 {p50:4.0f} ms, p99 {p99:4.0f} ms")
            if ENDLESS in ways and moment.name == "in mid-answer":
                ends_s = await asyncio.gather(*(visitors.send_for_ever() for _ in range(times)))
                released = f"{sum(one < math.inf for one in ends_s)} of {times} released"
                tell(ENDLESS, moment, f"{released}, the last after {max(ends_s):.1f} s (at {ENDLESS_S} s)")
            for way, (causes, deadline_s, moments) in BY_DEADLINE.items():
                if way in ways and moment.name in moments:
                    number, took_s, full_s = await visitors.vanish(way, times, causes)
                    since = f", {full_s:.1f} s after its buffer was full" if way == "frozen" else ""
                    words = f"{number} of {times} released, the last after {took_s:.1f} s{since} (at {deadline_s} s)"
                    tell(way, moment, words)


async def measure_end(url: str, process: subprocess.Popen[bytes], moment: Moment) -> End:
    """One start of the app and its end, with somebody in mid-answer and in both queues if there are blockers."""
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), read_bufsize=1 << 22) as session:
        await wait_for_health(session, url, 200)
        async with session.get(f"{url}/config") as answer:
            visitors = Visitors(session, url, await answer.json(), moment)
        async with staying(visitors, moment.blockers):
            return await visitors.see_the_end(process, num_queued=len(moment.blockers))


def measure_ends(model: str, times: int) -> None:
    """Print a line for each moment of a shutdown."""
    queues = replace(MOMENTS[-1], name="in mid-answer and queues", options=[*LONG, "--max-num-seqs", "2"])
    for moment in (MOMENTS[0], queues):
        ends = []
        for _ in range(times):
            with running_app(model, *moment.options) as (url, process):
                ends.append(asyncio.run(measure_end(url, process, moment)))
        told = [1e3 * end.told_s for end in ends]
        words = (
            f"{sum(end.engine_s < math.inf for end in ends)} of {times} released, p50 {percentile(told, 0.5):4.0f} ms, "
        )
        words += (
            f"p99 {percentile(told, 0.99):4.0f} ms; the engine had gone after {max(e.engine_s for e in ends):.1f} s, "
        )
        tell("shutdown", moment, f"{words}the app after {max(end.left_s for end in ends):.1f} s at most")


def tell(way: str, moment: Moment, words: str) -> None:
    """Print one cell of the table."""
    print(f"{way:>13} {moment.name:<24} {words}", flush=True)


@contextmanager
def endless_model() -> Iterator[str]:
    """A folder with the bundled model, in which another token than its own ends an answer: one that it never writes."""
    from streamspace.config import BUNDLED_MODEL

    with tempfile.TemporaryDirectory() as parent:
        folder = shutil.copytree(BUNDLED_MODEL, Path(parent, BUNDLED_MODEL.name))
        for name in ("config.json", "generation_config.json", "tokenizer_config.json"):
            path = Path(folder, name)
            given = json.loads(path.read_text(encoding="utf-8"))
            given |= {"eos_token": given["pad_token"]} if "eos_token" in given else {"eos_token_id": PAD_ID}
            path.write_text(json.dumps(given), encoding="utf-8")
        yield str(folder)


def main() -> None:
    """For each moment start the app, measure, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=50)
    parser.add_argument("--shutdown", action="store_true")
    names, ways = [moment.name for moment in MOMENTS], [*AT_ONCE, *PROGRAMS, ENDLESS, *BY_DEADLINE]
    parser.add_argument("--moments", nargs="+", choices=names, default=names)
    parser.add_argument("--ways", nargs="+", choices=ways, default=ways)
    parser.add_argument("--model", help="instead of the bundled one, for whose sizes the queues are made")
    given, flags = parser.parse_known_args()
    with nullcontext(given.model) if given.model else endless_model() as model:
        if given.shutdown:
            measure_ends(model, given.times)
            return
        for moment in [moment for moment in MOMENTS if moment.name in given.moments]:
            port, options = free_port(), ["--model", model, *moment.options, *flags]
            command = [sys.executable, "-c", LAUNCHER, str(ROOT / "app.py"), "--port", str(port), *options]
            with running(command, {"PYTHONPATH": str(ROOT / "src")}):
                asyncio.run(measure(f"http://127.0.0.1:{port}", given.times, moment, given.ways))


if __name__ == "__main__":
    main()
