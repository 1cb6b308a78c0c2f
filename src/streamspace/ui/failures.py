"""Where our errors become what a visitor sees; everything else stays an error of ours and goes to the log."""

import html
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from streamspace.errors import BadRequest, ChatError, EngineNotReady, PromptTooLong, WrongKey
from streamspace.metrics import REFUSALS
from streamspace.ui.language import say

REASONS = {
    BadRequest: "bad_request",
    PromptTooLong: "prompt_too_long",
    EngineNotReady: "not_ready",
    WrongKey: "api_key",
}


def count(error: ChatError) -> None:
    """Count a refusal, by its reason; the Gate counts its own, for every door."""
    for kind, reason in REASONS.items():
        if isinstance(error, kind):
            REFUSALS.labels(reason).inc()


@contextmanager
def shown_to_the_visitor() -> Iterator[None]:
    """Turn a ChatError into Gradio's message. The sentence may hold a visitor's text, so it goes out escaped."""
    try:
        yield
    except ChatError as error:
        count(error)
        raise gr.Error(html.escape(say(str(error)), quote=False), duration=None, print_exception=False) from error
