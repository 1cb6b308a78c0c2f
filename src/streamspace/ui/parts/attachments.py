"""What a visitor attaches to a message: static/attachments.js does all of it in the browser.

The browser keeps the pictures, and gives each an id. Messages on the page have the ids alone; the pixels come with the
event that asks, and go nowhere but to the engine.
"""

import uuid
from collections.abc import Sequence

import gradio as gr

from streamspace.chat import ServedEngine
from streamspace.types import Message


class Attachments:
    """What waits above a message box; made inside Blocks.

    As an input of an event, `value` is what is attached: {"ids": [...], "urls": {id: data URL}}. As an output it is the
    result of `taken` or `put_back`.
    """

    def __init__(self) -> None:
        gr.HTML('<div class="attached"></div>', padding=False)
        self.value = gr.Textbox(label="Attached", visible="hidden")

    def button(self) -> None:
        """The button that attaches; made in the row of the message box."""
        gr.HTML('<div class="attach"></div>', padding=False)


def taken() -> str:
    """The message was accepted: nothing is attached any more. Each value differs, so that the page notices it."""
    return f"taken {uuid.uuid4().hex}"


def put_back(question: Sequence[Message]) -> str:
    """The question goes back into the box: its pictures and files are attached again."""
    return " ".join(["back", uuid.uuid4().hex, *(id_ for message in question for id_ in message.images)])


def sight_html(engine: ServedEngine) -> str:
    """For static/attachments.js: how many pictures a message may have, and the tokens of the model's context."""
    most = min(engine.most_images, engine.images_per_message)
    return f'<i data-pictures="{most}" data-context="{engine.max_model_len or ""}"></i>'
