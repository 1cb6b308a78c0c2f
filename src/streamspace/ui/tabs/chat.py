"""The chat: a conversation with Send, Stop, Continue, Retry, Undo, Edit, Clear and Copy, and its settings.

The browser keeps the conversation, the server keeps nothing of it. It has two parts that look like one: the turns that
have ended, and below them the turn under way. So a frame costs the same after a hundred messages as after none. The
browser joins the two when the turn ends.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import gradio as gr

from streamspace.chat import ServedEngine, stream_chat, timed
from streamspace.checks import check_text
from streamspace.config import Config
from streamspace.errors import BadRequest, ChatError, EngineStopped
from streamspace.frames import Pacer
from streamspace.limits import Admission
from streamspace.metrics import count
from streamspace.prompt import conversation
from streamspace.sampling import PARAMETERS, Settings
from streamspace.summary import Summary
from streamspace.toolbox import Toolbox, answer_with
from streamspace.translation import Sentence
from streamspace.types import Message, Reply
from streamspace.ui.assets import call
from streamspace.ui.failures import shown_to_the_visitor
from streamspace.ui.gradio_.internals import event_data
from streamspace.ui.gradio_.streams import RAW, UNCHANGED, Handler, StreamingBlocks
from streamspace.ui.language import say
from streamspace.ui.parts.attachments import Attachments, put_back, sight_html, taken
from streamspace.ui.parts.conversations import QUICK, Conversations
from streamspace.ui.parts.history import (
    AS_WRITTEN,
    NOTHING,
    History,
    Turn,
    asked_question,
    chatbot_messages,
    edited_answer,
    from_this_page,
    history_of,
    joined,
    last_question,
    messages_of,
    with_pixels,
)
from streamspace.ui.parts.inputs import Inputs
from streamspace.ui.parts.settings import THINKING, SettingsPanel, enable_thinking
from streamspace.ui.parts.tokens import TokensView, logprobs_for, tokens_switch, tokens_view
from streamspace.ui.parts.votes import add_thumbs
from streamspace.visitors import ARRIVED_S
from streamspace.words import Example

# The first is about what the bundled model was trained on; any model takes the others.
EXAMPLES = (
    Example("What is the KV cache?"),
    Example("Tell me a story about a robot, a lighthouse and a lost key."),
    Example("用两句话解释什么是连续批处理。"),
    Example("Write a Python function that adds two numbers."),
)
FOR_ANY_MODEL = (
    *(Example("Explain in three sentences why the sky is blue."), EXAMPLES[1]),
    *(Example("用两句话介绍一下长城。"), EXAMPLES[3]),
)


SUMMARY_SHARE = 8  # of the context a summary of the turns so far takes one part at most


class ChatTab:
    """Made inside Blocks.

    `controls` are the components that wait for the engine. The Compare tab changes `ended`, that is the ended turns and
    the summary below them, and shares `system_prompt` and `thinking`.
    """

    def __init__(self, engine: ServedEngine, pacer: Pacer, demo: StreamingBlocks, admission: Admission) -> None:
        self._engine = engine
        self._admission = admission
        self._pacer = pacer
        self._toolbox = Toolbox(engine.config)
        words = engine.config.page
        suitable = EXAMPLES if engine.config.is_bundled else FOR_ANY_MODEL
        self.examples = suitable if words.examples is None else words.examples
        self._lay_out()
        self._sight = gr.HTML(sight_html(engine), elem_id="sees")
        self.controls: list[Any] = [self._send, self.thinking, self._sight, *self._panel.components]
        self.ended: list[Any] = [self._history, self._note]
        self._wire(demo)

    def _lay_out(self) -> None:
        with gr.Sidebar(open=False, width=320, elem_id="sidebar"):  # static/sidebar.js opens it where there is room
            self.conversations = Conversations()
            with gr.Accordion("Settings", open=False, elem_id="settings"):
                self._lay_out_settings()
            self._code = gr.Button("View code", size="sm", elem_id="view-code")
            self._help = gr.Button("Keyboard shortcuts", size="sm", elem_id="help")
        gr.HTML('<div id="said"></div>', padding=False)  # what is said about the conversations
        self._lay_out_turns()
        with gr.Row(elem_id="below"):
            self._note = gr.HTML("", elem_classes="note", elem_id="note")
            self._more = gr.Button("Continue", elem_id="more", size="sm", scale=0, min_width=90)  # for a cut answer
            self._sum_up = gr.Button(
                "Summarise", elem_id="sum-up", size="sm", scale=0, min_width=90
            )  # at a full context
        self._view = tokens_view("chat-tokens")
        self._lay_out_box()
        if small_print := self._engine.config.page.small_print:
            gr.Markdown(small_print, elem_id="small-print")

    def _lay_out_turns(self) -> None:
        # The outer column scrolls and keeps its end in view; see gradio.css. A Chatbot that scrolls would have the page
        # laid out twice a frame.
        look: dict[str, Any] = {
            "show_label": False,
            "height": None,
            "allow_tags": False,
            "autoscroll": False,
            **AS_WRITTEN,
        }
        with gr.Column(elem_id="conversation"), gr.Column():
            self._history = gr.Chatbot(
                label="Conversation", elem_id="chat", buttons=["copy", "copy_all"], editable="all", **look,
                examples=[{"text": example.text} for example in self.examples],
                placeholder=Sentence(
                    "## {title}\n{about}\n\nBegin with an example, or ask below. Enter sends, Shift+Enter begins a new "
                    "line.", **introduction(self._engine.config)
                ),
            )  # fmt: skip
            self._live = gr.Chatbot(label="Answer under way", elem_id="live", buttons=["copy"], **look)

    def _lay_out_box(self) -> None:
        attachments = Attachments()
        self._attached = attachments.value
        with gr.Row(elem_id="compose"):
            attachments.button()
            self._box = gr.Textbox(
                label="Message", placeholder="Ask something", elem_id="message",
                lines=1, max_lines=8, scale=8, autofocus=True, show_label=False, container=False,
            )  # fmt: skip
            self._send = gr.Button(
                "Send", variant="primary", elem_id="send", scale=1, min_width=80,
                interactive=self._engine.status.takes_requests,
            )  # fmt: skip
            self._stop = gr.Button("Stop", variant="stop", elem_id="stop", scale=1, min_width=80)  # shown by chat.begin
        # In the place of the box, for what a link brought.
        self._go_on = gr.Button("Go on from here", variant="primary", elem_id="go-on")

    def _lay_out_settings(self) -> None:
        prompts = self._engine.config.page.system_prompts
        self._named_prompts = gr.Dropdown(
            [("as at first", self._engine.config.system_prompt), *prompts], label="System prompts",
            info="Choose one to have it in the box below", visible=bool(prompts),
        )  # fmt: skip
        self.system_prompt = gr.Textbox(
            self._engine.config.system_prompt, label="System prompt", lines=2, max_lines=8,
            info="What the model is told before the conversation",
        )  # fmt: skip
        self.thinking = gr.Radio(
            [*zip(("as the model does", "on", "off"), THINKING, strict=True)], value="auto",
            label="enable_thinking", elem_id="thinking", visible=False,
            info=Sentence("{info}; its thought is shown in a fold", info=Sentence(PARAMETERS["enable_thinking"].info)),
        )  # fmt: skip
        with gr.Group():
            self._panel = SettingsPanel(self._engine, self._engine.defaults)
        self._shows_tokens = tokens_switch("show-chat-tokens")
        self._tools = gr.CheckboxGroup(
            [*self._toolbox.sources], label="Tools", elem_id="tools", visible=bool(self._toolbox.sources),
            info="The model may call these, if it has learnt to; each call is shown",
        )  # fmt: skip

    def _wire(self, demo: StreamingBlocks) -> None:
        history, live, box = self._history, self._live, self._box
        outputs = [box, history, live, self._note, self._view, self._attached]
        questions = [box.submit, self._send.click, history.example_select, history.retry, history.edit]
        self._inputs = Inputs(
            box=box, history=history, attached=self._attached, system_prompt=self.system_prompt, thinking=self.thinking,
            panel=self._panel.components, shows_tokens=self._shows_tokens, tools=self._tools,
        )  # fmt: skip
        handlers = [
            self._handler("_answer", self._new_turn),
            self._handler("_continue", self._continued_turn),
            self._handler("_summarise", self._summary_turn),
        ]
        begins = (call("chat.begin"), call("chat.resume"), call("chat.begin"))
        asking = (questions, [self._more.click], [self._sum_up.click])
        answers = [
            gr.on(triggers, handler, self._inputs.components, outputs, js=begin, **RAW)
            for triggers, handler, begin in zip(asking, handlers, begins, strict=True)
        ]
        demo.stream(*handlers, self._undo)
        add_thumbs(demo, self._engine, history, self._inputs, self._check)
        conversation, ends = [history, live, self._note], []
        for answer in answers:
            begun = [history, live, box, self._attached]
            ends.append(answer.failure(None, begun, [*conversation, box], js=call("chat.giveBack"), **QUICK))
            # After Stop, too.
            ends.append(answer.then(None, [history, live], conversation, js=call("chat.joinTurn"), **QUICK))
        prompt = self.system_prompt
        said = [box, history, prompt, self.thinking, *self._panel.components]
        self._code.click(None, said, None, js=call("code_sheet.show"), **QUICK)
        self._help.click(None, None, None, js=call("keyboard.showHelp"), **QUICK)
        self._go_on.click(None, None, None, js=call("conversations.goOn"), **QUICK)
        self._named_prompts.input(None, self._named_prompts, prompt, js=call("compare.copy"), **QUICK)
        history.example_select(None, prompt, prompt, js=call("chat.examplePrompt"), **QUICK)
        self._stop.click(None, None, self._note, js=call("chat.stop"), cancels=answers, **QUICK)
        cleared = history.clear(None, None, conversation, js=call("chat.clear"), cancels=answers, **QUICK)
        undone = history.undo(self._undo, [history, box], [history, box, self._note, self._attached], **RAW)
        # Not as soon as `_attached` changes: the end of the event fills the box once more.
        undone.then(None, [self._attached, box], box, js=call("attachments.back"), **QUICK)
        self._attached.change(None, self._attached, None, js=call("attachments.taken"), **QUICK)
        others = [history.clear, history.undo, self.conversations.opens]  # they remove the answer of these tokens
        gr.on(others, None, None, self._view, js=call("tokens.clear"), **QUICK)
        self.conversations.wire(
            demo, [*conversation, self.system_prompt], [box, self._attached], [*ends, cleared, undone], undone=[undone]
        )

    def control_updates(self, values: Sequence[Any]) -> list[Any]:
        """Values of `controls` → updates for them once the engine is ready or has failed."""
        return [
            gr.update(interactive=self._engine.status.takes_requests),
            gr.update(visible=self._engine.thinks is not None),
            gr.update(value=sight_html(self._engine)),
            *self._panel.suit(self._engine.defaults, values[3:]),
        ]

    def _handler(self, name: str, turn_of: Callable[[gr.EventData, dict[str, Any]], Turn]) -> Handler:
        """A handler that streams the answer of a turn: the values of the outputs, once a frame.

        The page does not change before the question is accepted, so a refusal loses nothing.
        """

        async def handler(event: gr.EventData, *values: Any) -> AsyncGenerator[list[Any], None]:
            with shown_to_the_visitor():
                inputs = self._inputs.split(values)
                inputs["system_prompt"] = self._prompt_of(event) or inputs["system_prompt"]
                turn, messages = await asyncio.to_thread(_begin, turn_of, event, inputs)
                settings, reply = self._settings(turn, inputs), Reply()
                is_plain = turn.begun == NOTHING and not turn.question.sums_up
                sources = self._toolbox.chosen(inputs["tools"]) if is_plain else ()
                frames = _Frames(turn, settings, self._engine)
                del event, values, inputs  # they may be large, and the request may wait for long
                answer = answer_with(sources, self._ask, messages, settings, self._engine.max_model_len)
                try:
                    async with aclosing(timed(answer, ARRIVED_S.get())) as replies:
                        async for reply in replies:
                            yield await frames.frame(reply)
                except ChatError as error:
                    if not (reply.text or reply.thought or reply.steps):
                        raise
                    count(error)
                    failure = "" if isinstance(error, EngineStopped) else error.sentence
                    ended = replace(reply, finish_reason="interrupted", is_held_up=False, failure=failure)
                    yield await frames.frame(ended)

        handler.__name__ = name
        return handler

    def _prompt_of(self, event: gr.EventData) -> str | None:
        """The system prompt of the example that was chosen; None for others, and for other events."""
        match event_data(event):
            case {"value": {"text": text}}:
                return next((each.system_prompt for each in self.examples if each.text == text), None)
        return None

    def _ask(self, messages: Sequence[Message], settings: Settings) -> AsyncGenerator[Reply, None]:
        """One answer of the model, behind the limits."""
        answer = stream_chat(self._engine, messages, settings, self._pacer)
        return self._admission.answer(answer, lambda place: Reply(place=place))

    def _new_turn(self, event: gr.EventData, inputs: dict[str, Any]) -> Turn:
        """The turn of a question: a typed one, an example, an edited one, or the last one again.

        Of an edited answer it is the turn that goes on from there.
        """
        if turn := edited_answer(inputs["history"], event):
            return turn
        before, question = asked_question(inputs["box"], inputs["attached"], inputs["history"], event)
        keeps_history = len(before) == len(inputs["history"])
        is_typed = keeps_history and not event_data(event)
        return Turn(messages_of(before), question, keeps_history=keeps_history, clears_box=is_typed)

    def _continued_turn(self, event: gr.EventData, inputs: dict[str, Any]) -> Turn:
        """The turn of the last answer, to go on where it was cut."""
        history = inputs["history"]
        index = last_question(history)
        question, *begun = messages_of(history[index:]) or [Message("user", "")]
        turn = Turn(messages_of(history[:index]), question, joined(begun))
        if turn.begun == NOTHING:
            raise BadRequest("There is no answer to continue: ask something first.")
        return turn

    def _summary_turn(self, event: gr.EventData, inputs: dict[str, Any]) -> Turn:
        """The turn whose answer sums up all before it, and stands for that in later prompts."""
        words = say(
            "Sum up our conversation so far, so that you can go on from your summary alone. Keep names, numbers, "
            "decisions and open questions."
        )
        return Turn(messages_of(inputs["history"]), Message("user", words, sums_up=True), keeps_history=True)

    def _settings(self, turn: Turn, inputs: dict[str, Any]) -> Settings:
        """The settings of a turn: a summary leaves most of the context to what follows."""
        settings = self._check(inputs)
        most = (self._engine.max_model_len or 0) // SUMMARY_SHARE if turn.question.sums_up else settings.max_tokens
        return replace(settings, max_tokens=max(1, min(settings.max_tokens, most)))

    def _check(self, inputs: dict[str, Any]) -> Settings:
        """The values of the settings; raises BadRequest for one that is not allowed."""
        return replace(
            self._panel.check(inputs["panel"]),
            enable_thinking=enable_thinking(inputs["thinking"]),
            logprobs=logprobs_for(inputs["shows_tokens"]),
        )

    async def _undo(self, history: History, box: str) -> AsyncGenerator[list[Any], None]:
        """Move the last question into the box, before the text there, and remove its answer."""
        with shown_to_the_visitor():
            before, question = await asyncio.to_thread(_without_last, history)
            texts = [message.text for message in question if not message.sums_up] + [check_text("The message", box)]
            yield [before, "\n".join(filter(None, texts)), "", put_back(question)]


def introduction(config: Config) -> dict[str, object]:
    """What an empty half of the page says: its title, and what it is about."""
    about = "Answers of {model}, streamed by [vLLM](https://github.com/vllm-project/vllm)."
    if config.is_bundled:
        about = "Answers of {model}, a tiny model that comes with this demo; set `MODEL_ID` for a real one."
    model = f"**{config.model_name}**"
    return {"title": config.page.title, "about": config.page.description or Sentence(about, model=model)}


# In threads, because a conversation may be long.


def _begin(
    turn_of: Callable[[gr.EventData, dict[str, Any]], Turn], event: gr.EventData, inputs: dict[str, Any]
) -> tuple[Turn, tuple[Message, ...]]:
    """The turn that an event begins, and the conversation that the engine gets."""
    with from_this_page():
        turn = turn_of(event, inputs)
        return turn, conversation(inputs["system_prompt"], with_pixels(turn.messages, inputs["attached"]))


def _without_last(history: History) -> tuple[History, tuple[Message, ...]]:
    """The history without its last turn, and the question of that, if there is one."""
    with from_this_page():
        index = last_question(history)
        return history_of(messages_of(history[:index])), messages_of(history[index : index + 1])


class _Frames:
    """The values of a turn's frames: the box, the ended turns, the turn, its summary and its tokens."""

    def __init__(self, turn: Turn, settings: Settings, engine: ServedEngine) -> None:
        self._turn = turn
        self._question = chatbot_messages(turn.question)
        self._summary = Summary(settings, engine.max_seconds, engine.max_model_len, say, is_first=not turn.before)
        self._view = TokensView(settings)
        self._box = "" if turn.clears_box else UNCHANGED
        self._attached = taken() if turn.clears_box else UNCHANGED
        self._history = UNCHANGED if turn.keeps_history else history_of(turn.before)

    async def frame(self, reply: Reply) -> list[Any]:
        """The values for the answer so far; box and ended turns are sent with the first frame only."""
        box, attached, history = self._box, self._attached, self._history
        self._box = self._attached = self._history = UNCHANGED
        answer, live = self._turn.grown(reply), [*self._question]
        if answer != NOTHING or reply.finish_reason:
            live += chatbot_messages(answer, is_thinking=reply.finish_reason is None)
        return [box, history, live, self._summary.html(reply), await self._view.html(reply), attached]
