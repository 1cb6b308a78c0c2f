"""How busy chromium is while one answer streams into a long chat, and what many turns leave in its memory.

python -m benchmarks.browser [--tokens-per-s 500] [--messages 100] [--seconds 6]
python -m benchmarks.browser --before COMMIT [--rounds 3] [--turns 200]   this page beside that of a commit, by turns

Two pages at the same pace, each on a scripted engine: this project's, and one whose answer streams into the Chatbot
that holds the chat. Busy is what chromium itself counts as the tasks of the page's main thread, over the wall time.
Memory is the heap of the page's scripts after the garbage was collected, when so many questions were asked one by one.
"""

import argparse
import io
import os
import subprocess
import sys
import tarfile
import time
from collections.abc import AsyncGenerator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gradio as gr
from fastapi import FastAPI
from playwright.sync_api import Browser, Page, expect, sync_playwright

from benchmarks.scripted import PROSE, ScriptedEngine, served
from streamspace.chat import stream_completion
from streamspace.frames import Pacer
from streamspace.limits import Admission, Limits
from streamspace.sampling import Settings
from streamspace.server import build_app
from streamspace.ui import build_demo
from streamspace.ui.parts.history import chatbot_message
from tests.visiting import CHROMIUM_FLAGS, chromium

MOST_TOKENS = 2000  # enough for the answer not to end before the measurement
SHORT, QUICK = 100, 5000  # tokens of an answer of which many are asked, and how many of them come in a second
LOOK_MS = 200
ROOT = Path(__file__).parent.parent
# Serves a page by the code that lies in the folder where it runs, until it is told to end; of any commit.
SERVE = """
import sys
from dataclasses import replace
from benchmarks.browser import our_page
from benchmarks.scripted import ScriptedEngine, served
tokens_per_s, most_tokens, messages = float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
engine = ScriptedEngine(tokens_per_s)
engine.defaults = replace(engine.defaults, max_tokens=most_tokens)
with served(our_page(engine, messages)) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def chat(num_messages: int) -> list[dict[str, Any]]:
    """That many settled messages, with text in each."""
    turns = [chatbot_message("user", "And what is the sea like?"), chatbot_message("assistant", PROSE)]
    return turns * (num_messages // 2)


def our_page(engine: ScriptedEngine, num_messages: int) -> Any:
    """This project's page; its chat begins with the messages."""
    admission = Admission(engine, Limits.of(engine.config))
    demo = build_demo(engine, admission)
    by_name = {getattr(block, "elem_id", None): block for block in demo.blocks.values()}
    by_name["chat"].value = chat(num_messages)
    return build_app(engine, demo, admission)


def plain_page(engine: ScriptedEngine, num_messages: int) -> Any:
    """One Chatbot for all, paced as ours is."""
    pacer = Pacer()

    async def respond(text: str, history: list[Any]) -> AsyncGenerator[Any, None]:
        history = [*history, chatbot_message("user", text)]
        async for reply in stream_completion(engine, "", Settings(max_tokens=MOST_TOKENS), pacer):
            yield "", [*history, chatbot_message("assistant", reply.text)]

    with gr.Blocks() as demo:
        chatbot, box = gr.Chatbot(chat(num_messages), height="60vh"), gr.Textbox(elem_id="message")
        box.submit(respond, [box, chatbot], [box, chatbot], postprocess=False, show_progress="hidden")
    return gr.mount_gradio_app(FastAPI(), demo, path="/")


def busy_share(page: Page, url: str, seconds: float) -> float:
    """Ask, wait until text streams, and measure for that long."""
    page.goto(url)
    page.wait_for_timeout(2000)
    page.fill("#message textarea", "Tell me more.")
    page.keyboard.press("Enter")
    page.wait_for_timeout(1000)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")

    def now() -> tuple[float, float]:
        metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
        return metrics["TaskDuration"], time.monotonic()

    tasks_s, begun_s = now()
    length = len(page.inner_text("body"))
    page.wait_for_timeout(1000 * seconds)
    later_s, ended_s = now()
    if len(page.inner_text("body")) <= length:
        raise RuntimeError("No text came in that time.")
    return (later_s - tasks_s) / (ended_s - begun_s)


def heap_mb(page: Page, url: str, turns: int) -> float:
    """Ask so many questions one by one, and measure what the scripts of the page hold then."""
    page.goto(url)
    expect(page.locator("#send")).to_be_enabled()
    for turn in range(turns):
        page.fill("#message textarea", f"Question {turn}")
        while page.input_value("#message textarea"):  # it takes no notice of a key while it draws
            page.keyboard.press("Enter")
            page.wait_for_timeout(LOOK_MS)
        expect(page.locator("#chat [data-testid=user]")).to_have_count(turn + 1, timeout=60_000)
        expect(page.locator("#compose.busy")).to_have_count(0, timeout=60_000)
    session = page.context.new_cdp_session(page)
    session.send("Performance.enable")
    session.send("HeapProfiler.collectGarbage")
    metrics = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    return float(metrics["JSHeapUsedSize"]) / 1e6


@contextmanager
def tree_of(commit: str) -> Iterator[Path]:
    """The files of a commit, in a folder of their own."""
    packed = subprocess.run(["git", "archive", commit], cwd=ROOT, capture_output=True, check=True).stdout
    with TemporaryDirectory() as folder, tarfile.open(fileobj=io.BytesIO(packed)) as files:
        files.extractall(folder, filter="data")
        yield Path(folder)


@contextmanager
def page_of(tree: Path, tokens_per_s: float, most_tokens: int, num_messages: int) -> Iterator[str]:
    """The page of these files, in a process of its own; yields its address."""
    paths = os.pathsep.join([str(tree / "src"), str(tree)])
    values = [str(value) for value in (tokens_per_s, most_tokens, num_messages)]
    serving = subprocess.Popen(
        [sys.executable, "-c", SERVE, *values], cwd=tree, env={**os.environ, "PYTHONPATH": paths}, text=True,
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert serving.stdin and serving.stdout
    with serving:
        yield next(line.strip() for line in serving.stdout if line.startswith("http"))
        serving.stdin.close()


def measure_beside(browser: Browser, given: argparse.Namespace) -> None:
    """Print what this page and that of a commit take, by turns."""
    with ExitStack() as stack:
        trees = {given.before: stack.enter_context(tree_of(given.before)), "this page": ROOT}
        for _ in range(given.rounds):
            for name, tree in trees.items():
                with page_of(tree, given.tokens_per_s, MOST_TOKENS, given.messages) as url:
                    page = browser.new_page()
                    page.goto(url)
                    share = busy_share(page, url, given.seconds)
                    page.close()
                print(f"{name:12} main thread busy {share:4.0%}, {given.messages} messages", flush=True)
        for name, tree in trees.items() if given.turns else ():
            with page_of(tree, QUICK, SHORT, 0) as url:
                page = browser.new_page()
                heap = heap_mb(page, url, given.turns)
                page.close()
            print(f"{name:12} heap {heap:.1f} MB after {given.turns} turns", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens-per-s", type=float, default=500)
    parser.add_argument("--messages", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=2.5)
    parser.add_argument("--before", metavar="COMMIT")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--turns", type=int, default=200)
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        if given.before:
            measure_beside(browser, given)
        else:
            measure(browser, given)
        print(f"chromium {browser.version}, software rendering")
        browser.close()


def measure(browser: Browser, given: argparse.Namespace) -> None:
    """Print how busy this page and one Chatbot for all are."""
    for name, make in (("this page", our_page), ("one Chatbot", plain_page)):
        engine = ScriptedEngine(given.tokens_per_s)
        engine.defaults = Settings(max_tokens=MOST_TOKENS)
        with served(make(engine, given.messages)) as url:
            page = browser.new_page()
            if name == "this page":
                page.goto(url)
            share = busy_share(page, url, given.seconds)
            page.close()
        print(
            f"{name:12} main thread busy {share:4.0%}, {given.messages} messages, {given.tokens_per_s:g} tokens/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
