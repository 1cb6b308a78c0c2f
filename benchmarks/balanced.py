"""Two pages behind HAProxy, each with a GPU of its own, beside one page alone; then one of them is killed.

python -m benchmarks.balanced --model FOLDER [--users 512 1024] [--rounds 3] [--readers 64] [vLLM's flags]

The configuration is docker/haproxy.cfg. All visitors of a load ask at once, in new chats, for answers of 256 tokens;
the one page is asked past HAProxy. For the kill, readers stream through it, and one page dies with its engine. A reader
whose stream breaks opens the page again and asks again, as a browser does.
"""

import argparse
import asyncio
import json
import os
import shutil
import socket
import statistics
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import aiohttp
import psutil

from benchmarks.opponent import wait_for
from benchmarks.startup import free_port, running_app
from benchmarks.streaming import Cell, history, payload, result
from benchmarks.visitors import GradioTalk, Visit, Visitors, visitors

ROOT = Path(__file__).parents[1]
UNPACKED = ROOT / ".venv" / "haproxy"
TOKENS = 256  # an answer
ARRIVAL_S = 6.0  # over which the visitors open the page
LEAD_S = 14.0  # for a thousand visitors to have opened the page
KILLED_AFTER_S = 2.0
AGAIN_S = 0.1  # before a page that does not answer is asked for again
READ_TOKENS = 2000  # of the answers that are read while a page is killed


def haproxy() -> str | None:
    """Where `scripts/setup haproxy` puts it or the system has it."""
    return shutil.which("haproxy", path=f"{UNPACKED}/usr/sbin") or shutil.which("haproxy")


class Balancer:
    """HAProxy before two pages; its log goes to a folder, whose path must be short, for a socket is in it, too."""

    def __init__(self, folder: Path, *urls: str) -> None:
        self.port = port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._socket = folder / "admin"
        nodes = {f"NODE_{name}": url.removeprefix("http://") for name, url in zip("AB", urls, strict=True)}
        environ = {**os.environ, **nodes, "BIND": f"127.0.0.1:{port}", "ADMIN": str(self._socket)}
        environ["LD_LIBRARY_PATH"] = f"{UNPACKED}/usr/lib/x86_64-linux-gnu"
        arguments = [haproxy() or "haproxy", "-f", str(ROOT / "docker" / "haproxy.cfg")]
        with (folder / "haproxy.log").open("w") as log:
            self.process = subprocess.Popen(arguments, env=environ, stdout=log, stderr=log)

    def command(self, words: str) -> str:
        """What HAProxy answers to an operator's command."""
        with closing(socket.socket(socket.AF_UNIX)) as admin:
            admin.connect(str(self._socket))
            admin.sendall(f"{words}\n".encode())
            return admin.makefile().read()

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(20)


def load(url: str, is_balanced: bool, users: int, tokens: int, salt: str, pool: Visitors) -> float:
    """Tokens/s delivered to so many visitors at once."""
    config = json.load(urllib.request.urlopen(f"{url}/config"))
    opened = {"is_balanced": is_balanced, "arrives_within_s": ARRIVAL_S}
    visits = [Visit(0.0, {**payload("page", config, history(n, 0, salt), tokens), **opened}) for n in range(users)]
    seen = pool.run("gradio", url, visits, lead_s=LEAD_S)
    return result(Cell(users, 0, tokens), "page", seen, 0.0).tokens_per_s


class Reader:
    """Reads one answer through the balancer, and asks again wherever its stream breaks."""

    def __init__(self, session: aiohttp.ClientSession, url: str, asked: dict[str, Any]) -> None:
        self._session, self._url, self._asked = session, url, asked
        self.node = ""  # of the first answer
        self.broken_s = self.back_s = 0.0  # when its stream broke, and when there was text again
        self.is_whole = False

    async def read(self) -> None:
        while not self.is_whole:
            try:
                await self._read_once()
            except (aiohttp.ClientError, RuntimeError):
                self.broken_s = self.broken_s or time.monotonic()
                await asyncio.sleep(AGAIN_S)

    async def _read_once(self) -> None:
        talk = GradioTalk(self._session, self._url, self._asked)
        await talk.open_page()
        self.node = self.node or talk.node
        async with await talk.ask() as answer:
            answer.raise_for_status()
            async for line in answer.content:
                if line.startswith(b"data: ") and talk.read(line[6:].strip()) and self.broken_s and not self.back_s:
                    self.back_s = time.monotonic()
                if talk.is_over:
                    self.is_whole = True
                    return
        raise aiohttp.ClientConnectionError("The stream ended in mid-answer.")


async def kill_one(url: str, node: str, app: psutil.Process, num_readers: int) -> None:
    """Kill a page and its engine while its visitors read, and print how soon they have text again."""
    config = json.load(urllib.request.urlopen(f"{url}/config"))
    no_limit, connector = aiohttp.ClientTimeout(total=None), aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(timeout=no_limit, connector=connector, read_bufsize=1 << 20) as session:
        asked = {**payload("page", config, history(0, 0, "kill"), READ_TOKENS), "load": [], "is_balanced": True}
        readers = [Reader(session, url, asked) for _ in range(num_readers)]
        reading = asyncio.gather(*(reader.read() for reader in readers))
        await asyncio.sleep(KILLED_AFTER_S)
        killed_s = time.monotonic()
        for process in (app, *app.children(recursive=True)):
            process.kill()
        await reading
    there = [reader for reader in readers if reader.node == node]
    back = sorted(reader.back_s - killed_s for reader in there)
    others = [reader for reader in readers if reader.node != node]
    print(f"killed with {len(there)} of {num_readers} readers: they had text again after", end=" ")
    print(f"{statistics.median(back):.2f} s (median) and {back[-1]:.2f} s (the last)", end="; ")
    print(f"{sum(bool(reader.broken_s) for reader in others)} of the {len(others)} others were interrupted", flush=True)


def measure(urls: Sequence[str], front: str, given: argparse.Namespace) -> None:
    """Print a line for each number of users."""
    with visitors(6) as pool:
        for url in urls:
            load(url, False, 16, 16, "warm", pool)  # not counted
        for users in given.users:
            rounds = [
                (
                    load(urls[0], False, users, TOKENS, f"one-{users}-{number}", pool),
                    load(front, True, users, TOKENS, f"two-{users}-{number}", pool),
                )
                for number in range(given.rounds)
            ]
            one, two = (statistics.median(side) for side in zip(*rounds, strict=True))
            print(f"{users} users: one page {one:,.0f} tokens/s, two {two:,.0f}; two / one {two / one:.2f}", flush=True)


def main() -> None:
    """Start both pages and HAProxy, measure, end them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--users", type=int, nargs="+", default=[512, 1024])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--readers", type=int, default=64)
    given, flags = parser.parse_known_args()
    flags += ["--max-tokens", str(READ_TOKENS)]
    with ExitStack() as open_now:
        apps = [
            open_now.enter_context(running_app(given.model, *flags, CUDA_VISIBLE_DEVICES=str(number)))
            for number in range(2)
        ]
        for url, process in apps:
            wait_for(url, process)
        urls = [url for url, _ in apps]
        folder = Path(open_now.enter_context(tempfile.TemporaryDirectory(prefix="nodes-")))
        front = open_now.enter_context(closing(Balancer(folder, *urls)))
        wait_for(front.url, front.process)
        measure(urls, front.url, given)
        asyncio.run(kill_one(front.url, "NODE=b", psutil.Process(apps[1][1].pid), given.readers))


if __name__ == "__main__":
    main()
