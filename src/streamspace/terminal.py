"""Stream to a terminal: python -m streamspace ["prompt" ...] [--model ... and every other option of app.py]

The same five steps as with the page: configure, build the engine, set the sampling, stream, clean up.
"""

import asyncio
import os
from collections.abc import Sequence
from contextlib import aclosing

from streamspace.chat import stream_completion
from streamspace.config import load_config
from streamspace.engine import Engine
from streamspace.environment import check
from streamspace.errors import EngineNotReady
from streamspace.frames import Pacer
from streamspace.process import explained, log_to_terminal
from streamspace.sampling import EXAMPLE_PROMPTS, Settings

POLL_S = 0.1


def split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The prompts, which come first, and the options after them."""
    first_option = next((i for i, argument in enumerate(arguments) if argument.startswith("-")), len(arguments))
    return list(arguments[:first_option]), list(arguments[first_option:])


async def stream_to_terminal(engine: Engine, prompts: Sequence[str]) -> None:
    """Continue each prompt in turn, printing text as it comes; the engine is shut down however this ends.

    Raises:
        EngineNotReady: the engine could not be built.
    """
    engine.start()
    try:
        while engine.status.stage in ("downloading", "loading"):
            await asyncio.sleep(POLL_S)
        if engine.status.stage != "ready":
            raise EngineNotReady(engine.status.detail)
        for prompt in prompts:
            print(f"\nPrompt: {prompt}\nAnswer: ", end="", flush=True)
            printed = 0
            async with aclosing(stream_completion(engine, prompt, Settings(), Pacer())) as replies:
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
        prompts, options = split(arguments)
        config = load_config(options)
        asyncio.run(stream_to_terminal(Engine(config), prompts or EXAMPLE_PROMPTS))
