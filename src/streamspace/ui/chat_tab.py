"""The chat: a conversation with Send, Stop, Retry, Undo, Edit, Clear and Copy, and the settings it is sampled with.

The conversation lives in the Chatbot's own value, in the visitor's browser; the server keeps nothing of it.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

import gradio as gr

from streamspace.chat import stream_chat
from streamspace.engine import Engine
from streamspace.errors import BadRequest, EngineNotReady
from streamspace.frames import Pacer
from streamspace.messages import Message, Role
from streamspace.prompt import conversation
from streamspace.reply import from_markdown, note, to_markdown
from streamspace.ui.failures import shown_to_the_visitor
from streamspace.ui.settings import SettingsPanel
from streamspace.ui.style import BUSY, IDLE

EXAMPLES = (
    "What is the KV cache?",
    "Tell me a story about a robot, a lighthouse and a lost key.",
    "用两句话解释什么是连续批处理。",
    "Write a Python function that adds two numbers.",
)
History = list[dict[str, Any]]  # the Chatbot's value, its text as Markdown


class ChatTab:
    """Made inside a Blocks. `settle` gives the updates of `settled` once the engine is ready or has failed."""

    def __init__(self, engine: Engine, pacer: Pacer) -> None:
        self._engine = engine
        self._pacer = pacer
        self._answering: set[str] = set()  # tabs whose answer is under way
        self._lay_out()
        self._wire()

    def _lay_out(self) -> None:
        self._chatbot = gr.Chatbot(
            label="Conversation",
            show_label=False,
            elem_id="chat",
            height="60vh",
            buttons=["copy", "copy_all"],
            examples=[{"text": example} for example in EXAMPLES],
            placeholder="Begin with an example, or ask below. Enter sends, Shift+Enter begins a new line.",
            allow_tags=False,
        )
        self._note = gr.HTML("", elem_classes="note", elem_id="note")
        with gr.Row(elem_id="compose"):
            self._box = gr.Textbox(
                label="Message", placeholder="Ask something", elem_id="message",
                lines=1, max_lines=8, scale=8, autofocus=True, show_label=False, container=False,
            )  # fmt: skip
            self._send = gr.Button(
                "Send", variant="primary", elem_id="send", scale=1, min_width=80, interactive=self._is_ready
            )
            self._stop = gr.Button("Stop", variant="stop", elem_id="stop", scale=1, min_width=80)  # shown by BUSY
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self._system_prompt = gr.Textbox(
                self._engine.config.system_prompt, label="System prompt", lines=2, max_lines=8,
                info="What the model is told before the conversation",
            )  # fmt: skip
            with gr.Group():
                self._panel = SettingsPanel(self._engine, self._engine.defaults)

    def _wire(self) -> None:
        chatbot, box = self._chatbot, self._box
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        quick = {**quiet, "queue": False}  # cheaper, but nobody sees its errors: for what cannot refuse
        begin = [
            gr.on([box.submit, self._send.click], self._accept, [box, chatbot], [box, chatbot], **quiet),
            chatbot.example_select(self._accept_example, chatbot, chatbot, **quiet),
            chatbot.retry(self._rewind, chatbot, chatbot, **quiet),
            chatbot.edit(self._edit, chatbot, chatbot, **quiet),
        ]
        answers = [
            begun.success(
                self._answer, [chatbot, self._system_prompt, *self._panel.components], [chatbot, self._note],
                postprocess=False, js=BUSY, **quiet,
            )
            for begun in begin
        ]  # fmt: skip
        for answer in answers:
            answer.then(None, js=IDLE, **quick)
            answer.failure(self._give_back, [chatbot, box], [chatbot, box], js=IDLE, **quick)
        self._stop.click(self._clear_note, None, self._note, cancels=answers, js=IDLE, **quick)
        chatbot.clear(self._clear_note, None, self._note, cancels=answers, js=IDLE, **quick)
        chatbot.undo(self._undo, [chatbot, box], [chatbot, box, self._note], **quick)

    @property
    def _is_ready(self) -> bool:
        return self._engine.status.stage == "ready"

    @property
    def settled(self) -> list[Any]:
        """The components that wait for the engine."""
        return [self._send, *self._panel.components]

    def settle(self, *values: Any) -> list[Any]:
        """Values of `settled` → updates for them: Send works, and the settings suit the model."""
        return [gr.Button(interactive=self._is_ready), *self._panel.suit(self._engine.defaults, values[1:])]

    async def _accept(self, text: str, history: History, request: gr.Request) -> tuple[str, History]:
        """Put the typed message into the conversation; on any refusal it stays in the box."""
        with shown_to_the_visitor():
            if not text.strip():
                raise BadRequest("The message is empty: type something first.")
            self._refuse_if_busy(request)
        return "", [*history, shown("user", text)]

    async def _accept_example(self, event: gr.SelectData, history: History, request: gr.Request) -> History:
        return (await self._accept(event.value["text"], history, request))[1]

    async def _rewind(self, history: History, request: gr.Request) -> History:
        """Drop the last answer, so that its question is answered again."""
        with shown_to_the_visitor():
            self._refuse_if_busy(request)
        return history[: _last_question(history) + 1]

    async def _edit(self, event: gr.EditData, history: History, request: gr.Request) -> History:
        """Replace a question and drop all that came after it."""
        with shown_to_the_visitor():
            self._refuse_if_busy(request)
        index = event.index if isinstance(event.index, int) else event.index[0]
        return [*history[:index], shown("user", from_markdown(event.value))]

    async def _undo(self, history: History, box: str) -> tuple[History, str, str]:
        """Take the last question back into the box, before what stands there, and its answer away."""
        index = _last_question(history)
        question = told(history[index : index + 1])
        return history[:index], "\n".join([*(message.text for message in question), *([box] if box else [])]), ""

    async def _give_back(self, history: History, box: str) -> tuple[History, str]:
        """After a refusal: an unanswered question goes back into the box, unless something new stands there."""
        if history and history[-1]["role"] == "user" and not box:
            return history[:-1], told(history)[-1].text
        return history, box

    async def _clear_note(self) -> str:
        return ""

    def _refuse_if_busy(self, request: gr.Request) -> None:
        if not self._is_ready:
            raise EngineNotReady(self._engine.status.detail)
        if request.session_hash in self._answering:
            raise BadRequest("An answer is under way: wait for its end, or press Stop first.")

    async def _answer(
        self, request: gr.Request, history: History, system_prompt: str, *values: Any
    ) -> AsyncGenerator[tuple[History, str], None]:
        """Stream the answer to the last question into the conversation."""
        tab = str(request.session_hash)
        self._answering.add(tab)
        try:
            with shown_to_the_visitor():
                settings = self._panel.check(values)
                messages = conversation(system_prompt, told(history))
                async with aclosing(stream_chat(self._engine, messages, settings, self._pacer)) as replies:
                    async for reply in replies:
                        yield [*history, shown("assistant", reply.text)], note(reply, settings)
        finally:
            self._answering.discard(tab)


def shown(role: Role, text: str) -> dict[str, Any]:
    """A message as the Chatbot has it, in the form that Gradio takes as it is and neither trims nor copies."""
    content = [{"type": "text", "text": to_markdown(text)}]
    return {"role": role, "metadata": None, "content": content, "options": None}


def told(history: Sequence[dict[str, Any]]) -> tuple[Message, ...]:
    """The Chatbot's value as messages for the engine."""
    return tuple(
        Message(message["role"], "".join(from_markdown(part.get("text", "")) for part in message["content"]))
        for message in history
    )


def _last_question(history: History) -> int:
    """The index of the last message of the visitor; 0 for an empty conversation."""
    return max((i for i, message in enumerate(history) if message["role"] == "user"), default=0)
