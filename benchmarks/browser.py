"""How busy chromium's main thread is while one answer streams into a long chat.

python -m benchmarks.browser [--tokens-per-s 500] [--messages 100] [--seconds 6]

Two pages at the same pace, each on a scripted engine: this project's, and one whose answer streams into the Chatbot
that holds the chat. Busy is what chromium itself counts as the tasks of the page's main thread, over the wall time.
"""

import argparse
import time
from collections.abc import AsyncGenerator
from typing import Any

import gradio as gr
from fastapi import FastAPI
from playwright.sync_api import Page, sync_playwright

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


def main() -> None:
    """Measure both pages and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens-per-s", type=float, default=500)
    parser.add_argument("--messages", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=2.5)
    given = parser.parse_args()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=CHROMIUM_FLAGS)
        version = browser.version
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
        browser.close()
        print(f"chromium {version}, software rendering")


if __name__ == "__main__":
    main()
