"""Every entrypoint to the one engine at the same time: does each answer, and do all answer the same?

python -m benchmarks.entrypoints [--rounds 5] [--model FOLDER]

It starts the app with greedy sampling as the model's own and with short answers, so that no entrypoint has to say so.
It asks the same questions through the page in chromium, OpenAI's client in Python and from Node, gradio_client,
@gradio/client, and an MCP client: first through one after another, then through all at once, while /metrics is scraped.
Afterwards the engine must be idle.
`scripts/setup tools browser node` installs what it needs.

/v1 gets the messages as they are: it adds no system prompt of the operator's, and special tokens in a text count there
as vLLM counts them, while all other entrypoints take them for words. So neither is asked for here.
"""

import argparse
import asyncio
import json
import re
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from openai import OpenAI
from playwright.sync_api import expect, sync_playwright

from benchmarks.startup import running_app
from streamspace.config import BUNDLED_MODEL
from tests.visiting import CHROMIUM_FLAGS, chromium

QUESTIONS = ("What is the KV cache?", "What is a token?", "Who are you?", "What is streaming?")
MAX_TOKENS = 60
READY_S = 600.0
IDLE_S = 10.0
NODE = Path(__file__).parents[1] / "tests" / "node" / "ask.mjs"

Ask = Callable[[str], str]


@dataclass
class Seen:
    """What one entrypoint answered: the texts by their question, and how long each took."""

    texts: dict[str, set[str]] = field(default_factory=lambda: {question: set() for question in QUESTIONS})
    seconds: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def ask(self, ask: Ask, rounds: int) -> None:
        """Ask all questions so many times, one after another."""
        for question in QUESTIONS * rounds:
            begun_s = time.monotonic()
            try:
                self.texts[question].add(plain(ask(question)))
            except Exception as error:  # whatever the client raises is an entrypoint that does not answer
                self.failures.append(repr(error)[:200])
            self.seconds.append(time.monotonic() - begun_s)


def plain(text: str) -> str:
    """Words alone: the page shows Markdown, not its marks."""
    return " ".join(text.replace("*", "").replace("`", "").split())


@contextmanager
def openai_python(url: str) -> Iterator[Ask]:
    with OpenAI(base_url=f"{url}/v1", api_key="none") as client:
        (model,) = (model.id for model in client.models.list().data)

        def ask(question: str) -> str:
            messages = [{"role": "user", "content": question}]
            chunks = client.chat.completions.create(model=model, messages=messages, stream=True)
            return "".join(chunk.choices[0].delta.content or "" for chunk in chunks)

        yield ask


@contextmanager
def openai_node(url: str) -> Iterator[Ask]:
    with urllib.request.urlopen(f"{url}/v1/models") as answer:
        (model,) = (model["id"] for model in json.load(answer)["data"])
    yield lambda question: _node(
        "openai",
        url,
        key="none",
        route="chat",
        model=model,
        messages=[{"role": "user", "content": question}],
    )


@contextmanager
def gradio_python(url: str) -> Iterator[Ask]:
    client = Client(url, verbose=False)
    try:
        yield lambda question: client.predict(question, api_name="/chat")
    finally:
        client.close()


@contextmanager
def gradio_node(url: str) -> Iterator[Ask]:
    yield lambda question: _node("gradio", url, endpoint="/chat", message=question)


def _node(entrypoint: str, url: str, **asked: object) -> str:
    done = subprocess.run(
        ["node", NODE, entrypoint, url, json.dumps(asked)], capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout)
    if "text" not in told:
        raise RuntimeError(told)
    return str(told["text"])


@contextmanager
def mcp(url: str) -> Iterator[Ask]:
    async def call(question: str) -> str:
        async with (
            streamablehttp_client(f"{url}/gradio_api/mcp/") as (receive, send, _),
            ClientSession(receive, send) as session,
        ):
            await session.initialize()
            asked = {"question": question}
            result = await session.call_tool("ask", asked)
            if result.isError:
                raise RuntimeError(result.content)
            return str(result.content[0].text)

    yield lambda question: asyncio.run(call(question))


@contextmanager
def page(url: str) -> Iterator[Ask]:
    """Chromium, where each question is a new chat."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        tab = browser.new_page()

        def ask(question: str) -> str:
            tab.goto(url)
            expect(tab.locator("#send")).to_be_enabled(timeout=60_000)
            tab.wait_for_timeout(2000)  # a fresh page's settings become the model's a moment after it is there
            tab.fill("#message textarea", question)
            tab.keyboard.press("Enter")
            answer = tab.locator("#conversation [data-testid=bot]").last
            expect(answer).to_have_text(re.compile(r"\w"), timeout=60_000)
            expect(tab.locator("#compose.busy")).to_have_count(0, timeout=60_000)
            expect(tab.locator("#send")).to_be_visible(timeout=60_000)
            text = ""
            while text != (text := answer.inner_text()):  # the browser may be behind
                tab.wait_for_timeout(500)
            return text

        yield ask
        browser.close()


ENTRYPOINTS = {
    "page in chromium": page,
    "openai, Python": openai_python,
    "openai, Node": openai_node,
    "gradio_client": gradio_python,
    "@gradio/client": gradio_node,
    "MCP client": mcp,
}


class Scrape(threading.Thread):
    """Reads /metrics twice a second."""

    def __init__(self, url: str) -> None:
        super().__init__(daemon=True)
        self._url = f"{url}/metrics"
        self.statuses: list[int] = []
        self.over = threading.Event()

    def run(self) -> None:
        while not self.over.wait(0.5):
            try:
                with urllib.request.urlopen(self._url, timeout=5) as answer:
                    answer.read()
                    self.statuses.append(answer.status)
            except urllib.error.HTTPError as error:
                self.statuses.append(error.code)


def visit(entrypoint: str, url: str, rounds: int, together: threading.Barrier | None = None) -> Seen:
    """Ask through one entrypoint; `together` is passed when every entrypoint is open."""
    seen = Seen()
    with ENTRYPOINTS[entrypoint](url) as ask:
        if together:
            together.wait(120)
        seen.ask(ask, rounds)
    return seen


def health(url: str) -> dict[str, object]:
    """What /health says, whatever its status; empty while nothing listens."""
    try:
        with urllib.request.urlopen(f"{url}/health", timeout=5) as answer:
            return dict(json.load(answer))
    except urllib.error.HTTPError as error:
        return dict(json.load(error))
    except OSError:
        return {}


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it came true in that time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def table(alone: dict[str, Seen], together: dict[str, Seen]) -> list[str]:
    """Print what each entrypoint did; returns what is wrong."""
    expected = alone["gradio_client"].texts
    wrong = []
    heads = ("entrypoint", "answers", "failed", "same alone", "same at once", "median s", "at once")
    print("{:18} {:>8} {:>7} {:>11} {:>13} {:>9} {:>8}".format(*heads))
    for entrypoint in ENTRYPOINTS:
        counts = [len(seen.seconds) for seen in (alone[entrypoint], together[entrypoint])]
        failures = [*alone[entrypoint].failures, *together[entrypoint].failures]
        same = [
            sum(seen.texts[q] == expected[q] for q in QUESTIONS) for seen in (alone[entrypoint], together[entrypoint])
        ]
        medians = [sorted(seen.seconds)[len(seen.seconds) // 2] for seen in (alone[entrypoint], together[entrypoint])]
        print(
            f"{entrypoint:18} {sum(counts):8} {len(failures):7} {same[0]:6} of {len(QUESTIONS)} {same[1]:8} of "
            f"{len(QUESTIONS)} {medians[0]:9.2f} {medians[1]:8.2f}"
        )
        wrong += [f"{entrypoint}: {failure}" for failure in failures]
        for seen in (alone[entrypoint], together[entrypoint]):
            wrong += [
                f"{entrypoint}: {question} {sorted(seen.texts[question])} and not {sorted(expected[question])}"
                for question in QUESTIONS
                if seen.texts[question] != expected[question]
            ]
    return wrong


def main() -> None:
    """Start the app, ask, print, and fail if an entrypoint did not do its work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--model", default=str(BUNDLED_MODEL))
    given = parser.parse_args()
    greedy = json.dumps({"temperature": 0.0})
    with running_app(given.model, "--max-tokens", str(MAX_TOKENS), "--override-generation-config", greedy) as (url, _):
        if not wait_until(lambda: health(url).get("status") in ("ready", "failed"), READY_S):
            raise SystemExit("The app did not become ready.")
        alone = {entrypoint: visit(entrypoint, url, 1) for entrypoint in ENTRYPOINTS}
        scrape, barrier = Scrape(url), threading.Barrier(len(ENTRYPOINTS))
        scrape.start()
        with ThreadPoolExecutor(len(ENTRYPOINTS)) as pool:
            visits = {
                entrypoint: pool.submit(visit, entrypoint, url, given.rounds, barrier) for entrypoint in ENTRYPOINTS
            }
            together = {entrypoint: visited.result() for entrypoint, visited in visits.items()}
        scrape.over.set()
        scrape.join()
        wrong = table(alone, together)
        idle = {"running": 0, "waiting": 0}
        is_idle = wait_until(lambda: {name: health(url).get(name) for name in idle} == idle, IDLE_S)
        print(f"/metrics: {len(scrape.statuses)} scrapes, statuses {sorted(set(scrape.statuses))}")
        print(f"afterwards: {health(url)}")
    if not is_idle:
        wrong.append("the engine is not idle")
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
