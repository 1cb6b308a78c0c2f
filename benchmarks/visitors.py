"""Visitors of the benchmarks, in processes of their own: each asks once over HTTP and times what comes back.

A visitor speaks what a browser speaks to the page (Gradio's queue over server-sent events), or what an OpenAI client
speaks to vLLM's server.
"""

import asyncio
import json
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any

import aiohttp
import orjson

LEAD_S = 4.0  # before the first question: for all to have opened the page, whose first stream stays open for 2 s


@dataclass(frozen=True)
class Visit:
    """What one visitor does: `at_s` seconds after the common start, send `payload` and read the answer to its end."""

    at_s: float
    payload: dict[str, Any]


@dataclass
class Seen:
    """What one visitor saw. Times are of the system's monotonic clock; the first of `frames_s` is the first text."""

    asked_s: float = 0.0
    frames_s: list[float] = field(default_factory=list)  # of every message with new text
    num_bytes: int = 0  # down, without HTTP headers
    num_chars: int = 0
    error: str | None = None


class Visitors:
    """Processes that stay, so that their start is not measured. Made by `visitors`."""

    def __init__(self, processes: Sequence[subprocess.Popen[str]]) -> None:
        self._processes = processes

    def run(
        self,
        kind: str,
        url: str,
        visits: Sequence[Visit],
        begun: Callable[[], None] = lambda: None,
        lead_s: float = LEAD_S,
    ) -> list[Seen]:
        """Let all visits happen; blocks until the last has its answer. `kind` is "gradio" or "openai".

        `begun` is called when all have opened the page, right before the first question, `lead_s` seconds from now.

        Raises:
            RuntimeError: a visitor did not get its answer.
        """
        begin_s = time.monotonic() + lead_s
        parts = [visits[number :: len(self._processes)] for number in range(len(self._processes))]
        busy = [(process, part) for process, part in zip(self._processes, parts, strict=True) if part]
        for process, part in busy:
            assert process.stdin is not None
            spec = {"kind": kind, "url": url, "begin_s": begin_s, "visits": [asdict(visit) for visit in part]}
            process.stdin.write(json.dumps(spec) + "\n")
            process.stdin.flush()
        time.sleep(max(0.0, begin_s - time.monotonic()))
        begun()
        seen = []
        for process, _ in busy:
            assert process.stdout is not None
            seen += [Seen(**one) for one in json.loads(process.stdout.readline())]
        if errors := [one.error for one in seen if one.error]:
            raise RuntimeError(f"{len(errors)} of {len(seen)} visitors got no answer; the first: {errors[0]}")
        return seen


@contextmanager
def visitors(num_processes: int) -> Iterator[Visitors]:
    """Visitors spread over that many processes, which end with the block."""
    processes = [
        subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(num_processes)
    ]
    try:
        yield Visitors(processes)
    finally:
        for process in processes:
            process.kill()
            process.wait()


async def _visit(session: aiohttp.ClientSession, kind: str, url: str, begin_s: float, visit: dict[str, Any]) -> Seen:
    seen, talk = Seen(), _KINDS[kind](session, url, visit["payload"])
    try:
        await talk.open_page()
        await asyncio.sleep(begin_s + visit["at_s"] - time.monotonic())
        seen.asked_s = time.monotonic()
        async with await talk.ask() as answer:
            answer.raise_for_status()
            async for line in answer.content:
                seen.num_bytes += len(line)
                if line.startswith(b"data: ") and (num_chars := talk.read(line[6:].strip())) > seen.num_chars:
                    seen.num_chars = num_chars
                    seen.frames_s.append(time.monotonic())
                if talk.is_over:
                    break
    except (aiohttp.ClientError, OSError, RuntimeError) as error:
        seen.error = f"{type(error).__name__}: {error}"
    if not seen.frames_s:
        seen.error = seen.error or "no text came"
    return seen


class OpenAITalk:
    """A streamed chat completion; the payload is its body."""

    def __init__(self, session: aiohttp.ClientSession, url: str, payload: dict[str, Any]) -> None:
        self._session, self._url, self._payload = session, url, payload
        self._num_chars = 0
        self.is_over = False

    async def open_page(self) -> None: ...

    async def ask(self) -> Any:
        return self._session.post(f"{self._url}/v1/chat/completions", json=self._payload)

    def read(self, data: bytes) -> int:
        """A message → characters of the answer so far."""
        if data == b"[DONE]":
            self.is_over = True
        else:
            message = orjson.loads(data)
            if "error" in message:
                raise RuntimeError(str(message["error"]))
            self._num_chars += sum(len(choice["delta"].get("content") or "") for choice in message["choices"])
        return self._num_chars


class GradioTalk:
    """One event of a Gradio page.

    The payload has its `fn_index` and `data`, the index of the Chatbot that streams in its outputs (`output`), and the
    `load` events that a browser sends when it opens the page ([fn_index, data], one after the other). Where the page
    stands behind a balancer (`is_balanced`), the visitor opens it within `arrives_within_s`, is sent to a node, and
    stays there by its cookie.
    """

    def __init__(self, session: aiohttp.ClientSession, url: str, payload: dict[str, Any]) -> None:
        self._session, self._page, self._url, self._payload = session, url, f"{url}/gradio_api/queue", payload
        self._headers: dict[str, str] = {}
        self._hash = uuid.uuid4().hex[:11]
        self._chat: Any = None
        self.is_over = False

    @property
    def node(self) -> str:
        """The node's name, as the balancer has it; empty without one."""
        return self._headers.get("Cookie", "")

    async def open_page(self) -> None:
        if self._payload.get("is_balanced"):
            await asyncio.sleep(random.uniform(0, self._payload.get("arrives_within_s", 0.0)))
            async with self._session.head(self._page) as answer:
                answer.raise_for_status()
                self._headers = {"Cookie": f"NODE={answer.cookies['NODE'].value}"}
        for fn_index, data in self._payload["load"]:
            await self._join(fn_index, data)
            async with await self._listen() as answer:
                await answer.read()

    async def ask(self) -> Any:
        await self._join(self._payload["fn_index"], self._payload["data"])
        return await self._listen()

    async def _join(self, fn_index: int, data: list[Any]) -> None:
        body = {"data": data, "fn_index": fn_index, "session_hash": self._hash, "event_data": None, "trigger_id": None}
        headers = {"Content-Type": "application/json", **self._headers}
        async with self._session.post(f"{self._url}/join", data=orjson.dumps(body), headers=headers) as answer:
            answer.raise_for_status()
            await answer.read()

    async def _listen(self) -> Any:
        return self._session.get(f"{self._url}/data", params={"session_hash": self._hash}, headers=self._headers)

    def read(self, data: bytes) -> int:
        """A message → characters of the answer so far."""
        message = orjson.loads(data)
        if message["msg"] == "close_stream":
            self.is_over = True
        elif message["msg"] in ("process_generating", "process_completed"):
            if not message["success"]:
                raise RuntimeError(str(message["output"]))
            self._update(message["output"]["data"][self._payload["output"]], message["msg"] == "process_completed")
        return len(self._text())

    def _update(self, change: Any, is_whole: bool) -> None:
        """Apply what Gradio sends: the first value of an event whole, then the edits to it, the last value whole."""
        if self._chat is None or is_whole:
            self._chat = self._chat if change is None else change
            return
        for action, path, value in change:
            if not path:
                self._chat = value
                continue
            *parents, last = path
            target = self._chat
            for key in parents:
                target = target[key]
            match action:
                case "append":
                    target[last] += value
                case "add" if isinstance(target, list):
                    target.insert(last, value)
                case "delete":
                    del target[last]
                case _:
                    target[last] = value

    def _text(self) -> str:
        if not self._chat or self._chat[-1]["role"] != "assistant":
            return ""
        content = self._chat[-1]["content"]
        return content if isinstance(content, str) else "".join(part["text"] for part in content)


_KINDS: dict[str, Any] = {"gradio": GradioTalk, "openai": OpenAITalk}


async def _main() -> None:
    while line := await asyncio.to_thread(sys.stdin.readline):
        spec = json.loads(line)
        connector, no_limit = aiohttp.TCPConnector(limit=0), aiohttp.ClientTimeout(total=None, sock_read=600)
        async with aiohttp.ClientSession(connector=connector, timeout=no_limit, read_bufsize=1 << 20) as session:
            visits = (_visit(session, spec["kind"], spec["url"], spec["begin_s"], visit) for visit in spec["visits"])
            seen = await asyncio.gather(*visits)
        print(json.dumps([asdict(one) for one in seen]), flush=True)


if __name__ == "__main__":
    asyncio.run(_main())
