"""The chat: a conversation with Send, Stop, Continue, Retry, Undo, Edit, Clear and Copy, and its settings.

The conversation lives in the browser, and the server keeps nothing of it. It has two parts that look like one: what is
settled, and below it the turn that is under way. So a frame costs server and browser the same after a hundred messages
as after none; the browser joins the two when the turn ends.
"""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import gradio as gr

from streamspace.chat import stream_chat, timed
from streamspace.checks import check_text
from streamspace.engine import Engine
from streamspace.errors import BadRequest, EngineStopped
from streamspace.frames import Pacer
from streamspace.limits import Admission
from streamspace.prompt import conversation
from streamspace.summary import Summary
from streamspace.types import Message, Reply
from streamspace.ui.assets import call
from streamspace.ui.failures import shown_to_the_visitor
from streamspace.ui.gradio_.streams import RAW, UNCHANGED, StreamingBlocks
from streamspace.ui.language import say
from streamspace.ui.parts.conversations import Conversations
from streamspace.ui.parts.history import (
    NOTHING,
    History,
    Turn,
    asked_question,
    chatbot_message,
    chatbot_messages,
    from_this_page,
    history_of,
    joined,
    last_question,
    messages_of,
)
from streamspace.ui.parts.settings import THINKING, SettingsPanel, enable_thinking
from streamspace.ui.parts.tokens import TokensView, logprobs_for, tokens_switch, tokens_view
from streamspace.visitors import ARRIVED_S

EXAMPLES = (
    "What is the KV cache?",
    "Tell me a story about a robot, a lighthouse and a lost key.",
    "用两句话解释什么是连续批处理。",
    "Write a Python function that adds two numbers.",
)


class ChatTab:
    """Made inside Blocks. `settle` gives the updates of `settled` once the engine is ready or has failed."""

    def __init__(self, engine: Engine, pacer: Pacer, demo: StreamingBlocks, admission: Admission) -> None:
        self._engine = engine
        self._admission = admission
        self._pacer = pacer
        self._lay_out()
        self._wire(demo)

    def _lay_out(self) -> None:
        self._conversations = Conversations()
        # The outer column scrolls and keeps its end in view; see gradio.css.
        with gr.Column(elem_id="conversation"), gr.Column():
            self._settled = gr.Chatbot(
                label="Conversation",
                show_label=False,
                elem_id="chat",
                height=None,
                buttons=["copy", "copy_all"],
                examples=[{"text": example} for example in EXAMPLES],
                placeholder="Begin with an example, or ask below. Enter sends, Shift+Enter begins a new line.",
                allow_tags=False,
            )
            self._live = gr.Chatbot(
                label="Answer under way",
                show_label=False,
                elem_id="live",
                height=None,
                buttons=["copy"],
                allow_tags=False,
            )
        with gr.Row(elem_id="below"):
            self._note = gr.HTML("", elem_classes="note", elem_id="note")
            self._more = gr.Button("Continue", elem_id="more", size="sm", scale=0, min_width=90)  # for a cut answer
        self._view = tokens_view("chat-tokens")
        with gr.Row(elem_id="compose"):
            self._box = gr.Textbox(
                label="Message", placeholder="Ask something", elem_id="message",
                lines=1, max_lines=8, scale=8, autofocus=True, show_label=False, container=False,
            )  # fmt: skip
            self._send = gr.Button(
                "Send",
                variant="primary",
                elem_id="send",
                scale=1,
                min_width=80,
                interactive=self._engine.status.takes_requests,
            )
            self._stop = gr.Button("Stop", variant="stop", elem_id="stop", scale=1, min_width=80)  # shown by chat.begin
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            self._system_prompt = gr.Textbox(
                self._engine.config.system_prompt, label="System prompt", lines=2, max_lines=8,
                info="What the model is told before the conversation",
            )  # fmt: skip
            self._thinking = gr.Radio(
                [*zip(("as the model does", "on", "off"), THINKING, strict=True)], value="auto",
                label="enable_thinking", elem_id="thinking", visible=False,
                info="Whether the model thinks before it answers; its thought is shown in a fold",
            )  # fmt: skip
            with gr.Group():
                self._panel = SettingsPanel(self._engine, self._engine.defaults)
            self._shows_tokens = tokens_switch("show-chat-tokens")

    def _wire(self, demo: StreamingBlocks) -> None:
        settled, live, box = self._settled, self._live, self._box
        quiet: dict[str, Any] = {"show_progress": "hidden", "api_visibility": "private"}
        quick = {**quiet, "queue": False}  # for what the browser does alone
        outputs = [box, settled, live, self._note, self._view]
        questions = [box.submit, self._send.click, settled.example_select, settled.retry, settled.edit]
        inputs = [box, settled, self._system_prompt, self._thinking, *self._panel.components, self._shows_tokens]
        answers = [
            gr.on(triggers, handler, inputs, outputs, js=call("chat.begin"), **RAW, **quiet)
            for triggers, handler in ((questions, self._answer), ([self._more.click], self._continue))
        ]
        demo.stream(self._answer, self._continue, self._give_back, self._undo)
        conversation, ends = [settled, live, self._note], []
        for answer in answers:
            joined_turn = answer.then(None, [settled, live], conversation, js=call("chat.joinTurn"), **quick)
            failed = answer.failure(
                self._give_back, [settled, live, box], [settled, live, box], js=call("chat.fail"), **RAW, **quiet
            )
            ends += [joined_turn, failed]  # the first after Stop, too
        self._stop.click(None, None, self._note, js=call("chat.stop"), cancels=answers, **quick)
        cleared = settled.clear(None, None, conversation, js=call("chat.clear"), cancels=answers, **quick)
        undone = settled.undo(self._undo, [settled, box], [settled, box, self._note], **RAW, **quiet)
        others = [settled.clear, settled.undo, self._conversations.opens]  # after which its tokens are not on the page
        gr.on(others, None, None, self._view, js=call("tokens.clear"), **quick)
        chat = [settled, live, self._note, self._system_prompt]
        self._conversations.wire(demo, chat, box, [*ends, cleared, undone], [undone])

    @property
    def system_prompt(self) -> gr.Textbox:
        """What the model is told before the conversation."""
        return self._system_prompt

    @property
    def thinking(self) -> gr.Radio:
        """Whether the model thinks, of which `thinking` makes what the chat template takes."""
        return self._thinking

    @property
    def conversation(self) -> list[Any]:
        """What a turn goes into: the settled messages, and the line below them."""
        return [self._settled, self._note]

    def keep_after(self, event: Any) -> None:
        """Have the browser keep the conversation as this event leaves it."""
        self._conversations.keep_after(event)

    @property
    def settled(self) -> list[Any]:
        """The components that wait for the engine."""
        return [self._send, self._thinking, *self._panel.components]

    def settle(self, *values: Any) -> list[Any]:
        """Values of `settled` → updates for them: Send works, and the settings suit the model."""
        return [
            gr.update(interactive=self._engine.status.takes_requests),
            gr.update(visible=self._engine.thinks is not None),
            *self._panel.suit(self._engine.defaults, values[2:]),
        ]

    async def _answer(
        self, event: gr.EventData, box: str, history: History, system_prompt: str, *values: Any
    ) -> AsyncGenerator[list[Any], None]:
        """Stream the answer to a question: a typed one, an example, an edited one, or the last one again."""
        with shown_to_the_visitor():
            with from_this_page():
                before, question = asked_question(box, history, event)
                is_typed = len(before) == len(history) and not event._data
                turn = Turn(
                    messages_of(before), question, keeps_history=len(before) == len(history), clears_box=is_typed
                )
                messages = conversation(system_prompt, turn.messages)
            async with aclosing(self._stream(turn, messages, values)) as frames:
                async for frame in frames:
                    yield frame

    async def _continue(
        self, box: str, history: History, system_prompt: str, *values: Any
    ) -> AsyncGenerator[list[Any], None]:
        """Stream more of the last answer, where it was cut."""
        with shown_to_the_visitor():
            with from_this_page():
                index = last_question(history)
                question, *begun = messages_of(history[index:]) or [Message("user", "")]
                turn = Turn(messages_of(history[:index]), question.text, joined(begun))
                messages = conversation(system_prompt, turn.messages)
            if turn.begun == NOTHING:
                raise BadRequest("There is no answer to continue: ask something first.")
            async with aclosing(self._stream(turn, messages, values)) as frames:
                async for frame in frames:
                    yield frame

    async def _stream(
        self, turn: Turn, messages: Sequence[Message], values: Sequence[Any]
    ) -> AsyncGenerator[list[Any], None]:
        """Yield the values of the outputs, once a frame.

        Nothing on the page changes before the question is accepted, so that a refusal loses nothing.
        """
        thinks, *panel, shows_tokens = values
        settings = replace(
            self._panel.check(panel), enable_thinking=enable_thinking(thinks), logprobs=logprobs_for(shows_tokens)
        )
        line = Summary(settings, self._engine.max_seconds, self._engine.max_model_len, say)
        view = TokensView(settings)
        question, reply = [chatbot_message("user", turn.question)], Reply()
        values = ["" if turn.clears_box else UNCHANGED, UNCHANGED if turn.keeps_history else history_of(turn.before)]

        def frame(reply: Reply) -> list[Any]:
            answer = turn.grown(reply)
            is_there = answer != NOTHING or reply.finish_reason
            live = (
                [*question, *chatbot_messages(answer, is_thinking=reply.finish_reason is None)]
                if is_there
                else question
            )
            return [*values, live, line.html(reply), view.html(reply)]

        try:
            answer = stream_chat(self._engine, messages, settings, self._pacer)
            admitted = timed(self._admission.answer(answer, lambda place: Reply(place=place)), ARRIVED_S.get())
            async with aclosing(admitted) as replies:
                async for reply in replies:
                    yield frame(reply)
                    values = [UNCHANGED, UNCHANGED]
        except EngineStopped:
            if turn.grown(reply) == NOTHING:
                raise
            yield frame(replace(reply, finish_reason="interrupted", is_held_up=False))

    async def _undo(self, history: History, box: str) -> AsyncGenerator[list[Any], None]:
        """Take the last question back into the box, before what stands there, and its answer away."""
        with shown_to_the_visitor():
            with from_this_page():
                index = last_question(history)
                questions = [message.text for message in messages_of(history[index : index + 1])]
                before = history_of(messages_of(history[:index]))
            yield [before, "\n".join([*questions, *filter(None, [check_text("The message", box)])]), ""]

    async def _give_back(self, settled: History, live: History, box: str | None) -> AsyncGenerator[list[Any], None]:
        """After a failure: an answer that began is kept; without one, its question goes back into an empty box."""
        with shown_to_the_visitor():
            if box is None:  # the visitor ended it, see chat.fail
                yield [UNCHANGED, UNCHANGED, UNCHANGED]
                return
            with from_this_page():
                before, turn = messages_of(settled), messages_of(live)
            if len(turn) == 1 and not box:
                yield [history_of(before), [], turn[0].text]
            else:
                yield [history_of((*before, *turn)), [], check_text("The message", box)]
