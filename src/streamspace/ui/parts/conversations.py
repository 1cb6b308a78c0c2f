"""Conversations that the visitor's browser keeps: static/conversations.js does all of it, the server nothing.

The script saves and restores values of the page's components, by events that end in the browser. The conversation's id
is one of the values, so that a conversation is never saved as another one.
"""

from collections.abc import Sequence
from typing import Any

import gradio as gr

from streamspace.ui.assets import call

QUICK: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}


class Conversations:
    """The list of conversations; made inside Blocks."""

    def __init__(self) -> None:
        gr.HTML('<div id="conversations"></div>', padding=False)
        self._id = gr.Textbox(label="Conversation", visible="hidden")  # which one the page shows
        # Hidden buttons, which the script presses.
        self._keep = gr.Button("Keep", elem_id="keep")
        self._open = gr.Button("Open", elem_id="open")

    def wire(
        self, demo: gr.Blocks, chat: Sequence[Any], box: Sequence[Any], ends: Sequence[Any], undone: list[Any]
    ) -> None:
        """Have the chat kept.

        Args:
            demo: the page; after a reload it shows its last conversation again.
            chat: the Chatbot of ended turns, the live one, the note, and the system prompt.
            box: the message box and what is attached; an interrupted question goes back into it.
            ends: the events after which the conversation is saved.
            undone: the events that opening another conversation cancels.
        """
        shown = self._shown = [self._id, *chat]
        for end in ends:
            self.keep_after(end)
        self._keep.click(None, shown, None, js=call("conversations.save"), **QUICK)
        chat[1].change(None, [self._id, chat[1]], None, js=call("conversations.follow"), **QUICK)
        self._open.click(None, box[0], [*shown, *box], js=call("conversations.show"), cancels=undone, **QUICK)
        demo.load(None, [chat[-1], box[0]], [*shown, *box], js=call("conversations.begin"), **QUICK)

    @property
    def opens(self) -> Any:
        """The event that shows another conversation, or a new one."""
        return self._open.click

    def keep_after(self, end: Any) -> None:
        """Save the conversation after this event, too."""
        end.then(None, self._shown, None, js=call("conversations.save"), **QUICK)
