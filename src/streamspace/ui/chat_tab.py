"""The chat: a conversation with Send, Stop, Continue, Retry, Undo, Edit, Clear and Copy, and its settings.

The conversation lives in the browser, and the server keeps nothing of it. It has two parts that look like one: what is
settled, and below it the turn that is under way. So a frame costs server and browser the same after a hundred messages
as after none; the browser joins the two when the turn ends.
"""

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, replace
from typing import Any, get_args

import gradio as gr

from streamspace.chat import stream_chat, timed
from streamspace.engine import Engine
from streamspace.errors import BadRequest, EngineNotReady, EngineStopped
from streamspace.frames import Pacer
from streamspace.line import Line
from streamspace.messages import Message, Reply, Role
from streamspace.prompt import check_text, conversation
from streamspace.reply import from_markdown, to_markdown
from streamspace.ui.conversations import Conversations
from streamspace.ui.failures import shown_to_the_visitor
from streamspace.ui.language import say
from streamspace.ui.settings import SettingsPanel
from streamspace.ui.streams import KEEP, RAW, StreamingBlocks
from streamspace.ui.style import BUSY, CLEAR, FAILED, SETTLE, STOP
from streamspace.ui.tokens import TokensView, logprobs_for, tokens_switch, tokens_view
from streamspace.ui.who import ARRIVED_S, Door

EXAMPLES = (
    "What is the KV cache?",
    "Tell me a story about a robot, a lighthouse and a lost key.",
    "用两句话解释什么是连续批处理。",
    "Write a Python function that adds two numbers.",
)
NOTHING = Message("assistant", "")
THINKING = {"auto": None, "true": True, "false": False}
ROLES: dict[str, Role] = {role: role for role in get_args(Role)}
History = list[dict[str, Any]]  # the Chatbot's value, its text as Markdown


class ChatTab:
    """Made inside Blocks. `settle` gives the updates of `settled` once the engine is ready or has failed."""

    def __init__(self, engine: Engine, pacer: Pacer, demo: StreamingBlocks, door: Door) -> None:
        self._engine = engine
        self._door = door
        self._pacer = pacer
        self._lay_out()
        self._wire(demo)

    def _lay_out(self) -> None:
        self._conversations = Conversations()
        # The outer column scrolls and keeps its end in view; see CSS.
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
            self._stop = gr.Button("Stop", variant="stop", elem_id="stop", scale=1, min_width=80)  # shown by BUSY
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
            gr.on(triggers, handler, inputs, outputs, js=BUSY, **RAW, **quiet)
            for triggers, handler in ((questions, self._answer), ([self._more.click], self._continue))
        ]
        demo.stream(self._answer, self._continue, self._give_back, self._undo)
        shown, ends = [settled, live, self._note], []
        for answer in answers:
            ends.append(answer.then(None, [settled, live], shown, js=SETTLE, **quick))  # after Stop, too
            failed = answer.failure(
                self._give_back, [settled, live, box], [settled, live, box], js=FAILED, **RAW, **quiet
            )
            ends.append(failed)
        self._stop.click(None, None, self._note, js=STOP, cancels=answers, **quick)
        cleared = settled.clear(None, None, shown, js=CLEAR, cancels=answers, **quick)
        undone = settled.undo(self._undo, [settled, box], [settled, box, self._note], **RAW, **quiet)
        others = [settled.clear, settled.undo, self._conversations.opens]  # after which its tokens are not on the page
        gr.on(others, None, None, self._view, js="() => ''", **quick)
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
            with _as_of_this_page():
                before, question = _asked(box, history, event)
                is_typed = len(before) == len(history) and not event._data
                turn = _Turn(told(before), question, keeps_history=len(before) == len(history), clears_box=is_typed)
                messages = conversation(system_prompt, turn.messages)
            async with aclosing(self._stream(turn, messages, values)) as frames:
                async for frame in frames:
                    yield frame

    async def _continue(
        self, box: str, history: History, system_prompt: str, *values: Any
    ) -> AsyncGenerator[list[Any], None]:
        """Stream more of the last answer, where it was cut."""
        with shown_to_the_visitor():
            with _as_of_this_page():
                index = _last_question(history)
                question, *begun = told(history[index:]) or [Message("user", "")]
                turn = _Turn(told(history[:index]), question.text, _joined(begun))
                messages = conversation(system_prompt, turn.messages)
            if turn.begun == NOTHING:
                raise BadRequest("There is no answer to continue: ask something first.")
            async with aclosing(self._stream(turn, messages, values)) as frames:
                async for frame in frames:
                    yield frame

    async def _stream(
        self, turn: "_Turn", messages: Sequence[Message], values: Sequence[Any]
    ) -> AsyncGenerator[list[Any], None]:
        """Yield the values of the outputs, once a frame.

        Nothing on the page changes before the question is accepted, so that a refusal loses nothing.
        """
        if not self._engine.status.takes_requests:
            raise EngineNotReady(self._engine.status.detail)
        thinks, *panel, shows_tokens = values
        settings = replace(
            self._panel.check(panel), enable_thinking=thinking(thinks), logprobs=logprobs_for(shows_tokens)
        )
        line = Line(settings, self._engine.max_seconds, self._engine.max_model_len, say)
        view = TokensView(settings)
        question, reply = [shown("user", turn.question)], Reply()
        shown_values = ["" if turn.clears_box else KEEP, KEEP if turn.keeps_history else shown_again(turn.before)]

        def frame(reply: Reply) -> list[Any]:
            answer = turn.grown(reply)
            is_there = answer != NOTHING or reply.finish_reason
            live = [*question, *parts(answer, is_thinking=reply.finish_reason is None)] if is_there else question
            return [*shown_values, live, line.html(reply), view.html(reply)]

        try:
            answer = stream_chat(self._engine, messages, settings, self._pacer)
            admitted = timed(self._door.admit(answer, lambda place: Reply(place=place)), ARRIVED_S.get())
            async with aclosing(admitted) as replies:
                async for reply in replies:
                    yield frame(reply)
                    shown_values = [KEEP, KEEP]
        except EngineStopped:
            if turn.grown(reply) == NOTHING:
                raise
            yield frame(replace(reply, finish_reason="interrupted", is_held_up=False))

    async def _undo(self, history: History, box: str) -> AsyncGenerator[list[Any], None]:
        """Take the last question back into the box, before what stands there, and its answer away."""
        with shown_to_the_visitor():
            with _as_of_this_page():
                index = _last_question(history)
                questions = [message.text for message in told(history[index : index + 1])]
                before = shown_again(told(history[:index]))
            yield [before, "\n".join([*questions, *filter(None, [check_text("The message", box)])]), ""]

    async def _give_back(self, settled: History, live: History, box: str | None) -> AsyncGenerator[list[Any], None]:
        """After a failure: an answer that began is kept; without one, its question goes back into an empty box."""
        with shown_to_the_visitor():
            if box is None:  # the visitor ended it, see FAILED
                yield [KEEP, KEEP, KEEP]
                return
            with _as_of_this_page():
                before, turn = told(settled), told(live)
            if len(turn) == 1 and not box:
                yield [shown_again(before), [], turn[0].text]
            else:
                yield [shown_again((*before, *turn)), [], check_text("The message", box)]


@contextmanager
def _as_of_this_page() -> Iterator[None]:
    """Values come from the browser as they are: refuse a conversation that this page cannot have made."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise BadRequest("The conversation is not one of this page: reload it to begin a new one.") from None


@dataclass(frozen=True)
class _Turn:
    """A question with its answer to come."""

    before: tuple[Message, ...]
    question: str
    begun: Message = NOTHING  # the part of the answer that is there already
    keeps_history: bool = False  # whether `before` is what the page shows as settled
    clears_box: bool = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation up to where the engine is to go on."""
        begun = () if self.begun == NOTHING else (self.begun,)
        return (*self.before, Message("user", self.question), *begun)

    def grown(self, reply: Reply) -> Message:
        """The answer with what has come."""
        begun = self.begun
        return replace(
            begun, text=begun.text + reply.text, thought=begun.thought + reply.thought,
            thought_s=begun.thought_s + reply.thought_s,
        )  # fmt: skip


def shown(role: Role, text: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    """A message as the Chatbot has it, in the form that Gradio takes as it is and neither trims nor copies."""
    content = [{"type": "text", "text": to_markdown(text)}]
    return {"role": role, "metadata": metadata, "content": content, "options": None}


def parts(message: Message, is_thinking: bool = False) -> History:
    """A message as one or two of the Chatbot: a thought is one of its own, in a fold before the answer.

    The fold is open while the model `is_thinking` and has not begun to answer.
    """
    both = []
    if message.thought:
        is_open = is_thinking and not message.text
        title, status = ("Thinking", "pending") if is_open else ("Thought", "done")
        metadata = {"title": say(title), "status": status, "duration": round(message.thought_s, 1)}
        both.append(shown(message.role, message.thought, metadata))
    if message.text or not message.thought:
        both.append(shown(message.role, message.text))
    return both


def shown_again(messages: Sequence[Message]) -> History:
    """What `told` was given, without anything else that a browser may have put there."""
    return [part for message in messages for part in parts(message)]


def told(history: Sequence[dict[str, Any]]) -> tuple[Message, ...]:
    """The Chatbot's value as messages for the engine; a thought belongs to the answer after it."""
    messages: list[Message] = []
    thought = NOTHING
    for part in history:
        role, text = ROLES[part["role"]], "".join([from_markdown(item.get("text", "")) for item in part["content"]])
        if role == "assistant" and (metadata := part.get("metadata")) and metadata.get("title"):
            thought = replace(thought, thought=text, thought_s=float(metadata.get("duration") or 0))
            continue
        if thought != NOTHING and role != "assistant":  # it was cut off before its answer
            messages.append(thought)
            thought = NOTHING
        messages.append(Message(role, text, thought.thought, thought.thought_s))
        thought = NOTHING
    return (*messages, thought) if thought != NOTHING else tuple(messages)


def _joined(parts: Sequence[Message]) -> Message:
    """An answer that was told in several messages as one."""
    thought, text = ("".join(getattr(part, name) for part in parts) for name in ("thought", "text"))
    return Message("assistant", text, thought, sum(part.thought_s for part in parts))


def thinking(choice: Any) -> bool | None:
    """The visitor's choice as the chat template takes it; raises BadRequest for any other."""
    if not isinstance(choice, str) or choice not in THINKING:
        raise BadRequest(f"enable_thinking is {choice!r:.60}; allowed is {', '.join(THINKING)}.")
    return THINKING[choice]


def _asked(box: str, history: History, event: gr.EventData) -> tuple[History, str]:
    """The conversation before the question, and the question, by what the visitor did."""
    match event._data:
        case {"previous_value": _, "index": index, "value": str(value)}:  # edited
            return history[: index if isinstance(index, int) else index[0]], from_markdown(value)
        case {"value": {"text": str(text)}}:  # an example
            return history, text
        case {"index": _}:  # retry
            index = _last_question(history)
            return history[:index], "".join(message.text for message in told(history[index : index + 1]))
    if not box.strip():
        raise BadRequest("The message is empty: type something first.")
    return history, box


def _last_question(history: History) -> int:
    """The index of the last message of the visitor; 0 for an empty conversation."""
    return max((i for i, message in enumerate(history) if message["role"] == "user"), default=0)
