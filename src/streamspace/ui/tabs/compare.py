"""Compare: one message, answered in several columns at once, with different settings or different seeds.

The columns are separate requests. vLLM's `n` would save nothing: it starts one request for each sample, too, and either
way all but the first find the whole blocks of the prompt in the prefix cache.
"""

import html
import logging
import random
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from streamspace.chat import ServedEngine, at_once, stream_chat, timed
from streamspace.checks import check_text
from streamspace.errors import BadRequest, ChatError
from streamspace.faults import told_as_failed
from streamspace.frames import Pacer
from streamspace.limits import Admission
from streamspace.prompt import conversation
from streamspace.sampling import Settings, check_settings
from streamspace.summary import NUMBERS_S, Summary
from streamspace.translation import Sentence
from streamspace.types import Message, Reply
from streamspace.ui.assets import call
from streamspace.ui.failures import shown_to_the_visitor
from streamspace.ui.gradio_.streams import RAW, StreamingBlocks
from streamspace.ui.language import say
from streamspace.ui.parts.attachments import Attachments
from streamspace.ui.parts.conversations import QUICK
from streamspace.ui.parts.history import AS_WRITTEN, asked_message, from_this_page, with_pixels
from streamspace.ui.parts.inputs import Inputs
from streamspace.ui.parts.settings import SettingsPanel, enable_thinking, panel_names
from streamspace.ui.parts.votes import add_choice
from streamspace.ui.tabs.chat import ChatTab, introduction

log = logging.getLogger(__name__)

NUMBERS = (2, 3, 4)  # of columns
SETTINGS, SAMPLES = "settings", "samples"  # what the columns differ in
TEMPERATURES = (0.0, 0.7, 1.2, 1.6)  # of the columns, at first
OWN = ("temperature", "top_p", "max_tokens", "seed")  # settings of each column; the others are shared
SAMPLED = tuple(name for name in OWN if name != "seed")  # settings of all samples; their seeds are drawn
MAX_TOKENS = 256  # at first
MAX_TOKENS_ALONE = 64  # of the answer that is measured alone


@dataclass(frozen=True)
class Column:
    """One of the answers so far."""

    reply: Reply = field(default_factory=Reply)
    error: ChatError | None = None

    @property
    def is_over(self) -> bool:
        return self.error is not None or self.reply.finish_reason is not None

    @property
    def tokens_per_s(self) -> float | None:
        """By the engine's clock, from the first token on; None before there are two, or without its statistics."""
        return self.reply.metrics.tokens_per_s if self.reply.metrics else None


NOT_YET = Column()  # before its first reply


@dataclass(frozen=True)
class Comparison:
    """All columns so far, and the rates of all together and of one alone."""

    columns: tuple[Column, ...]
    together: float | None = None  # tokens/s of all columns; it stays once one is over
    alone: Column | None = None


class CompareTab:
    """Made inside Blocks. `controls` are the components that wait for the engine."""

    def __init__(
        self, engine: ServedEngine, pacer: Pacer, demo: StreamingBlocks, admission: Admission, chat: ChatTab
    ) -> None:
        self._engine = engine
        self._admission = admission
        self._pacer = pacer
        with gr.Column(elem_id="compare"):
            self._lay_out(chat)
        self._columns = {f"column_{number}": panel.components for number, panel in enumerate(self._panels, 1)}
        self._controls = Inputs(
            run=self._run, sampled=self._sampled.components, shared=self._shared.components, **self._columns
        )
        self.controls = self._controls.components
        self._wire(demo, chat)

    def _lay_out(self, chat: ChatTab) -> None:
        gr.Markdown(
            "One message, several answers at once. The engine computes them in one batch, so that together they come "
            "faster than one after another."
        )
        self._lay_out_welcome(chat)
        self._lay_out_box()
        with gr.Row(elem_id="compare-sampled"):
            self._sampled = SettingsPanel(self._engine, self._start(), SAMPLED, is_narrow=True)
        self._lay_out_shared()
        self._together = gr.HTML("", elem_id="together")
        self._panels, self._summaries, self._uses, self._answers = [], [], [], []
        with gr.Row(elem_id="columns"):
            for number in range(1, NUMBERS[-1] + 1):
                with gr.Column(elem_id=f"column-{number}", min_width=0):
                    gr.Markdown(Sentence("## Column {number}", number=number))
                    with gr.Group(elem_classes="own"), gr.Row():
                        self._panels.append(SettingsPanel(self._engine, self._start(number), OWN, is_narrow=True))
                    self._summaries.append(gr.HTML("", elem_classes=["note", "line"]))
                    self._uses.append(gr.Button("Use this answer", size="sm", elem_classes="use"))
                    self._answers.append(gr.Markdown(elem_classes="answer", **AS_WRITTEN))
        self._question = gr.Textbox(label="The message that was answered", visible="hidden")

    def _lay_out_welcome(self, chat: ChatTab) -> None:
        """What stands above the box before the first answer; an example goes into the box."""
        with gr.Column(elem_id="compare-welcome"):
            gr.Markdown(
                Sentence(
                    "## {title}\n{about}\n\nBegin with an example, or with a message of your own below.",
                    **introduction(self._engine.config),
                )
            )
            with gr.Row():
                self._examples = [gr.Button(example.text, size="sm", min_width=200) for example in chat.examples]

    def _lay_out_box(self) -> None:
        attachments, examples = Attachments(), self._engine.config.page.examples
        self._attached = attachments.value
        with gr.Row(elem_id="compare-compose"):
            attachments.button()
            self._box = gr.Textbox(
                examples[0].text if examples else "Tell me a story about a robot, a lighthouse and a lost key.",
                label="Message", elem_id="compare-message", lines=1, max_lines=8, scale=8, show_label=False,
                container=False,
            )  # fmt: skip
            self._run = gr.Button(
                "Compare", variant="primary", elem_id="compare-run", scale=1, min_width=110,
                interactive=self._engine.status.takes_requests,
            )  # fmt: skip
            self._stop = gr.Button("Stop", variant="stop", elem_id="compare-stop", scale=1, min_width=110)
        with gr.Row():
            self._number = gr.Radio(NUMBERS, value=3, label="Columns", elem_id="compare-number", min_width=140)
            self._kind = gr.Radio(
                [("Settings", SETTINGS), ("Samples", SAMPLES)], value=SETTINGS,
                label="Differ in", elem_id="compare-kind",
                info="Samples have the same settings and a drawn seed each", min_width=240,
            )  # fmt: skip
            self._measures = gr.Checkbox(
                True, label="Measure one alone", elem_id="compare-measures",
                info=Sentence("Afterwards, column 1 again by itself, for {number} tokens", number=MAX_TOKENS_ALONE),
                min_width=240,
            )  # fmt: skip

    def _lay_out_shared(self) -> None:
        names = [name for name in panel_names() if name not in OWN]
        with gr.Accordion("System prompt and settings of all columns", open=False, elem_id="compare-shared"):
            self._system_prompt = gr.Textbox(
                self._engine.config.system_prompt, label="System prompt", lines=2, max_lines=8,
                info="The same as the chat's; so is enable_thinking, for a model that thinks",
            )  # fmt: skip
            with gr.Group():
                self._shared = SettingsPanel(self._engine, self._engine.defaults, names)

    def _start(self, number: int | None = None) -> Settings:
        """The first settings of a column; without a number, of all samples."""
        defaults = replace(self._engine.defaults, max_tokens=min(MAX_TOKENS, self._engine.defaults.max_tokens))
        return defaults if number is None else replace(defaults, temperature=TEMPERATURES[number - 1], seed=number)

    def _wire(self, demo: StreamingBlocks, chat: ChatTab) -> None:
        self._inputs = Inputs(
            box=self._box, attached=self._attached, system_prompt=self._system_prompt, thinking=chat.thinking,
            number=self._number, kind=self._kind, measures=self._measures, shared=self._shared.components,
            sampled=self._sampled.components, **self._columns,
        )  # fmt: skip
        both = [self._together, *self._summaries]
        run = gr.on(
            [self._run.click, self._box.submit], self._compare, self._inputs.components,
            [self._question, *both, *self._answers], js=call("compare.begin"), **RAW,
        )  # fmt: skip
        demo.stream(self._compare)
        for end in (run.then, run.failure):  # the first after Stop, too
            end(None, both, both, js=call("compare.end"), **QUICK)
        self._stop.click(None, None, None, cancels=run, **QUICK)
        for use, answer, summary in zip(self._uses, self._answers, self._summaries, strict=True):
            taking = use.click(
                None, [*chat.ended, self._question, answer, summary, *self._answers], chat.ended,
                js=call("compare.use"), **QUICK,
            )  # fmt: skip
            taking.then(None, None, None, js=call("compare.showChat"), **QUICK)
            chat.conversations.keep_after(taking)
        add_choice(demo, self._engine, self._uses, [self._question, self._system_prompt, *self._answers])
        for example in self._examples:
            filled = [self._box, chat.system_prompt]
            example.click(None, [example, chat.system_prompt], filled, js=call("compare.example"), **QUICK)
        # There is one system prompt, which can be changed in two places.
        copy = call("compare.copy")
        chat.system_prompt.change(None, chat.system_prompt, self._system_prompt, js=copy, **QUICK)
        self._system_prompt.blur(None, self._system_prompt, chat.system_prompt, js=copy, **QUICK)

    def control_updates(self, values: Sequence[Any]) -> list[Any]:
        """Values of `controls` → updates for them once the engine is ready or has failed."""
        groups = self._controls.split(values)
        updates = [gr.update(interactive=self._engine.status.takes_requests)]
        updates += self._sampled.suit(self._start(), groups["sampled"])
        updates += self._shared.suit(self._engine.defaults, groups["shared"])
        for number, (name, panel) in enumerate(zip(self._columns, self._panels, strict=True), 1):
            updates += panel.suit(self._start(number), groups[name])
        return updates

    async def _compare(self, *values: Any) -> AsyncGenerator[list[Any], None]:
        """Stream the answers: the question, the summary of all, then the summaries of all columns and their texts."""
        with shown_to_the_visitor():
            inputs = self._inputs.split(values)
            question = check_text("The message", inputs["box"])
            system = check_text("The system prompt", inputs["system_prompt"])
            with from_this_page():
                asked = with_pixels([asked_message(question, inputs["attached"])], inputs["attached"])
            messages = conversation(system, asked)
            settings = self._check(inputs)
            summaries = [Summary(one, self._engine.max_seconds, None, say) for one in settings]
            seeds = [one.seed if inputs["kind"] == SAMPLES else None for one in settings]
            admitted = self._admission.answer(
                self._stream(messages, settings, bool(inputs["measures"])),
                lambda place: Comparison((Column(Reply(place=place)),) * len(settings)), weight=len(settings),
            )  # fmt: skip
            none = [""] * (len(self._panels) - len(settings))
            del values, inputs  # they may be large, and the request may wait for long
            async with aclosing(admitted) as comparisons:
                async for comparison in comparisons:
                    columns = comparison.columns
                    notes = [_column_html(*each) for each in zip(summaries, columns, seeds, strict=True)]
                    texts = [column.reply.text for column in columns]
                    yield [question, _summary(comparison), *notes, *none, *texts, *none]

    def _check(self, inputs: dict[str, Any]) -> list[Settings]:
        """The settings of each column; raises BadRequest, which names the column, for one that is not allowed."""
        number, kind = inputs["number"], inputs["kind"]
        if number not in NUMBERS:
            raise BadRequest("The number of columns is {value!r:.60}; allowed is 2, 3 or 4.", value=number)
        if kind not in (SETTINGS, SAMPLES):
            raise BadRequest("The columns differ in {value!r:.60}; allowed is settings or samples.", value=kind)
        shared = self._shared.by_name(inputs["shared"])
        self._checked(Sentence("All columns"), shared)
        if kind == SETTINGS:
            own = [panel.by_name(inputs[name]) for name, panel in zip(self._columns, self._panels, strict=True)]
            checked = [
                self._checked(Sentence("Column {number}", number=column), {**shared, **values})
                for column, values in enumerate(own[: int(number)], 1)
            ]
        else:
            sampled = {**shared, **self._sampled.by_name(inputs["sampled"])}
            seeds = random.sample(range(2**31), int(number))
            checked = [self._checked(Sentence("The samples"), {**sampled, "seed": seed}) for seed in seeds]
        thinks = enable_thinking(inputs["thinking"])
        return [replace(settings, enable_thinking=thinks) for settings in checked]

    def _checked(self, whose: Sentence, values: dict[str, Any]) -> Settings:
        try:
            return check_settings(values, Settings(seed=None), self._engine.config.max_tokens)
        except BadRequest as error:
            raise BadRequest("{whose}: {reason}", whose=whose, reason=error.sentence) from None

    async def _stream(
        self, messages: Sequence[Message], settings: Sequence[Settings], measures: bool
    ) -> AsyncGenerator[Comparison, None]:
        """Run the columns, and then the first of them once more, alone.

        A column that fails says so in its summary, and the others go on. If all fail without text, the error is raised.
        """
        comparison, due_s = Comparison(()), 0.0
        streams = [self._column(messages, one, len(settings)) for one in settings]
        async with aclosing(at_once(streams, NOT_YET)) as frames:
            async for columns in frames:
                errors = [column.error for column in columns if column.error and not column.reply.text]
                if len(errors) == len(columns):
                    raise errors[0]
                if all(column is NOT_YET or column.error for column in columns):
                    continue  # the page does not change until one is accepted
                together, elapsed_s = comparison.together, max(column.reply.elapsed_s for column in columns)
                if not _is_one_over(comparison.columns) and (_is_one_over(columns) or elapsed_s >= due_s):
                    together, due_s = _sum(columns) or together, elapsed_s + NUMBERS_S
                comparison = Comparison(columns, together)
                yield comparison
        if measures and comparison.together:
            once_more = replace(settings[0], max_tokens=min(MAX_TOKENS_ALONE, settings[0].max_tokens))
            async with aclosing(self._column(messages, once_more, 1)) as alone:
                async for column in alone:
                    yield replace(comparison, alone=column)

    async def _column(
        self, messages: Sequence[Message], settings: Settings, num_texts: int
    ) -> AsyncGenerator[Column, None]:
        """One answer; it keeps the text before an error, and its times begin after admission."""
        column = Column()
        try:
            with told_as_failed(log, "A column failed"):
                answer = stream_chat(self._engine, messages, settings, self._pacer, num_texts)
                async with aclosing(timed(answer)) as replies:
                    async for reply in replies:
                        column = Column(reply)
                        yield column
        except ChatError as error:
            yield replace(column, error=error)


def _is_one_over(columns: Sequence[Column]) -> bool:
    return any(column.is_over for column in columns)


def _sum(columns: Sequence[Column]) -> float | None:
    """Tokens/s of all columns together; None unless each has a rate."""
    rates = [column.tokens_per_s for column in columns]
    return None if None in rates else sum(filter(None, rates))


def _column_html(summary: Summary, column: Column, seed: int | None) -> str:
    """The summary of one column as HTML, of class `live` while it is under way, with its seed if that was drawn."""
    words = summary.html(column.reply)
    if column.error:
        words = f'<span class="cut">{html.escape(say(column.error.sentence))}</span>'
    drawn = "" if seed is None else f' <span class="numbers">· seed {seed}</span>'
    return words + drawn if column.is_over else f'<span class="live">{words}{drawn}</span>'


def _summary(comparison: Comparison) -> str:
    """The rate of all columns together, beside the rate of one alone, as HTML."""
    together, alone, number = comparison.together, comparison.alone, len(comparison.columns)
    if together is None:
        return ""
    sentence = Sentence("{number} columns at once: <b>{rate:,.0f} tokens/s</b> together.", number=number, rate=together)
    parts = [say(sentence)]
    if alone and not alone.is_over:
        parts.append(f'<span class="live">{say("Measuring column 1 alone …")}</span>')
    elif alone and alone.tokens_per_s and alone.reply.metrics:
        sentence = Sentence(
            "Column 1 alone, measured right after over {number} tokens: <b>{rate:,.0f} tokens/s</b>. "
            "Together that is {times:.1f} times as much.",
            number=alone.reply.metrics.num_tokens, rate=alone.tokens_per_s, times=together / alone.tokens_per_s,
        )  # fmt: skip
        parts.append(say(sentence))
    return " ".join(parts)
