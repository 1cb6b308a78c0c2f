"""Stream to a terminal: python -m streamspace ["prompt" ...] [--image PATH ...] [every option of app.py]

A prompt is continued; with pictures, it is a question about them.
The same five steps as with the page: configure, build the engine, set the sampling, stream, clean up.
"""

import argparse
import asyncio
import base64
import logging
import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from pathlib import Path

from streamspace.chat import stream_chat, stream_completion
from streamspace.config import load_config
from streamspace.engine import Engine
from streamspace.environment import check
from streamspace.errors import ConfigError, EngineNotReady
from streamspace.faults import told_as_failed
from streamspace.frames import Pacer
from streamspace.process import explained, log_to_terminal
from streamspace.prompt import conversation
from streamspace.sampling import EXAMPLE_PROMPTS, Settings
from streamspace.types import Message, Reply

log = logging.getLogger(__name__)

POLL_S = 0.1


def split(arguments: Sequence[str]) -> tuple[list[str], list[str], list[str]]:
    """The prompts, which come first, the paths of --image, and the options of app.py."""
    first_option = next((i for i, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--image", action="append", default=[])
    ours, options = parser.parse_known_args(arguments[first_option:])
    return list(arguments[:first_option]), ours.image, options


def data_urls(paths: Sequence[str]) -> tuple[str, ...]:
    """The files as data URLs; raises ConfigError for one that cannot be read."""
    urls = []
    for path in paths:
        try:
            urls.append(f"data:image/png;base64,{base64.b64encode(Path(path).read_bytes()).decode()}")
        except OSError as error:
            raise ConfigError(f"--image is {path!r}, which cannot be read: {error.strerror}.") from None
    return tuple(urls)


async def stream_to_terminal(engine: Engine, prompts: Sequence[str], images: tuple[str, ...] = ()) -> None:
    """Answer each prompt in turn, printing text as it comes; the engine is shut down however this ends.

    Raises:
        EngineNotReady: the engine could not be built.
        ChatError: as `stream_chat`.
    """

    def answer(prompt: str) -> AsyncGenerator[Reply, None]:
        if not images:
            return stream_completion(engine, prompt, Settings(), Pacer())
        messages = conversation(engine.config.system_prompt, [Message("user", prompt, images=images)])
        return stream_chat(engine, messages, engine.defaults, Pacer())

    engine.start()
    try:
        while engine.status.stage in ("downloading", "loading"):
            await asyncio.sleep(POLL_S)
        if engine.status.stage != "ready":
            raise EngineNotReady(engine.status.detail)
        for prompt in prompts:
            print(f"\nPrompt: {prompt}\nAnswer: ", end="", flush=True)
            printed = 0
            with told_as_failed(log, "The answer failed"):
                async with aclosing(answer(prompt)) as replies:
                    async for reply in replies:
                        print(reply.text[printed:], end="", flush=True)
                        printed = len(reply.text)
            print(flush=True)
    finally:
        await engine.stop()


def main(arguments: Sequence[str]) -> None:
    """Run the command line; refusals and Ctrl-C end it with one sentence."""
    with explained():
        log_to_terminal()
        check(os.environ)
        prompts, paths, options = split(arguments)
        images, config = data_urls(paths), load_config(options)
        asyncio.run(stream_to_terminal(Engine(config), prompts or EXAMPLE_PROMPTS, images))
