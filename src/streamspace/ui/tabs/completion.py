"""Raw completion: vLLM's three example prompts, each continued alone, all in sequence, or all at once."""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import gradio as gr

from streamspace.chat import ServedEngine, at_once, in_sequence, stream_completion, timed
from streamspace.checks import check_text
from streamspace.frames import Pacer
from streamspace.limits import Admission
from streamspace.sampling import EXAMPLE_PROMPTS, Settings
from streamspace.summary import Summary
from streamspace.translation import Sentence
from streamspace.types import Reply
from streamspace.ui.assets import call
from streamspace.ui.failures import shown_to_the_visitor
from streamspace.ui.gradio_.internals import visitor
from streamspace.ui.gradio_.streams import RAW, StreamingBlocks
from streamspace.ui.language import say
from streamspace.ui.parts.constraint import ConstraintPanel
from streamspace.ui.parts.conversations import QUICK
from streamspace.ui.parts.inputs import Inputs
from streamspace.ui.parts.settings import SettingsPanel
from streamspace.ui.parts.tokens import TokensView, logprobs_for, tokens_switch, tokens_view

Order = Callable[[Sequence[AsyncGenerator[Reply, None]], Reply], AsyncGenerator[tuple[Reply, ...], None]]
Handler = Callable[..., AsyncGenerator[list[str], None]]


class CompletionTab:
    """Made inside Blocks. `controls` are the components that wait for the engine."""

    def __init__(self, engine: ServedEngine, pacer: Pacer, demo: StreamingBlocks, admission: Admission) -> None:
        self._engine = engine
        self._admission = admission
        self._pacer = pacer
        self._lay_out()
        self._buttons: list[Any] = [*self._runs, self._in_sequence, self._at_once]
        self.controls: list[Any] = [*self._buttons, *self._panel.components]
        self._wire(demo)

    def _lay_out(self) -> None:
        gr.Markdown(
            "The model continues the text itself: no chat template, no system prompt. Change the prompts freely."
        )
        self._prompts, self._runs, self._outputs, self._notes, self._views = [], [], [], [], []
        continues = Sentence("{model} continues the prompt here", model=self._engine.config.model_name)
        for number, prompt in enumerate(self._engine.config.page.prompts or EXAMPLE_PROMPTS, 1):
            with gr.Row(elem_classes="completion"):
                with gr.Column(scale=2, min_width=240):
                    label = Sentence("Prompt {number}", number=number)
                    self._prompts.append(gr.Textbox(prompt, label=label, lines=2, max_lines=12))
                    self._runs.append(self._button(Sentence("Run {number}", number=number), size="sm"))
                with gr.Column(scale=3, min_width=280):
                    label, elem_id = Sentence("Continuation {number}", number=number), f"continuation-{number}"
                    output = gr.Textbox(
                        label=label, placeholder=continues, lines=4, max_lines=16, buttons=["copy"], elem_id=elem_id
                    )
                    self._outputs.append(output)
                    self._notes.append(gr.HTML("", elem_classes="note"))
                    self._views.append(tokens_view(f"tokens-{number}"))
        with gr.Row(elem_id="run-all"):
            self._in_sequence = self._button("Run all in sequence")
            self._at_once = self._button("Run all at once", variant="primary")
            self._stop = gr.Button("Stop", variant="stop")
        self._shows_tokens = tokens_switch("show-tokens")
        with gr.Accordion("Constrain", open=False, elem_id="constrain"):
            self._constraint = ConstraintPanel()
        with gr.Accordion("Settings", open=False, elem_id="completion-settings"):
            self._panel = SettingsPanel(self._engine, Settings())

    def _button(self, label: str, **look: Any) -> gr.Button:
        return gr.Button(label, interactive=self._engine.status.takes_requests, **look)

    def _wire(self, demo: StreamingBlocks) -> None:
        rows = zip(self._runs, self._prompts, self._outputs, self._notes, self._views, strict=True)
        alone, begin = self._handler(in_sequence, 1), call("failures.clear")
        runs: list[dict[str, Any]] = [
            run.click(alone, self._inputs([prompt]).components, outputs, js=begin, **RAW)
            for run, prompt, *outputs in rows
        ]
        demo.stream(alone)
        everything = [*self._outputs, *self._notes, *self._views]
        for button, order in ((self._in_sequence, in_sequence), (self._at_once, at_once)):
            handler = self._handler(order, len(self._prompts))
            runs.append(button.click(handler, self._inputs(self._prompts).components, everything, js=begin, **RAW))
            demo.stream(handler)
        self._stop.click(None, None, None, cancels=runs, **QUICK)

    def _inputs(self, prompts: list[Any]) -> Inputs:
        """The inputs of a handler for these prompts."""
        return Inputs(
            prompts=prompts, shows_tokens=self._shows_tokens, constraint=self._constraint.components,
            panel=self._panel.components,
        )  # fmt: skip

    def control_updates(self, values: Sequence[Any]) -> list[Any]:
        """Values of `controls` → updates for them once the engine is ready or has failed."""
        button = gr.update(interactive=self._engine.status.takes_requests)
        return [*[button] * len(self._buttons), *self._panel.suit(Settings(), values[len(self._buttons) :])]

    def _handler(self, order: Order, num_prompts: int) -> Handler:
        """A handler for that many prompts and the controls below them → their texts, their notes, their tokens."""
        inputs = self._inputs(self._prompts[:num_prompts])

        async def run(*values: Any) -> AsyncGenerator[list[str], None]:
            with shown_to_the_visitor():
                groups = inputs.split(values)
                prompts = [check_text("The prompt", value) for value in groups["prompts"]]
                self._admission.count(visitor())  # before the check of a constraint, which may take long
                settings = await self._check(groups)
                del values, groups  # they may be large, and the request may wait for long
                summaries = [Summary(settings, self._engine.max_seconds, None, say) for _ in prompts]
                views = [TokensView(settings) for _ in prompts]
                streams = [timed(stream_completion(self._engine, prompt, settings, self._pacer)) for prompt in prompts]
                weight = num_prompts if order is at_once else 1
                admitted = self._admission.answer(
                    order(streams, Reply()), lambda place: (Reply(place=place),) * num_prompts, weight, is_counted=True
                )
                async with aclosing(admitted) as frames:
                    async for replies in frames:
                        notes = (summary.html(reply) for summary, reply in zip(summaries, replies, strict=True))
                        tokens = [await view.html(reply) for view, reply in zip(views, replies, strict=True)]
                        yield [*(reply.text for reply in replies), *notes, *tokens]

        return run

    async def _check(self, groups: dict[str, Any]) -> Settings:
        """The values of the controls below the prompts as Settings; raises BadRequest for one that is not allowed."""
        constraint = await self._constraint.check(groups["constraint"])
        logprobs = logprobs_for(groups["shows_tokens"])
        return replace(self._panel.check(groups["panel"]), constraint=constraint, logprobs=logprobs)
