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
from streamspace.types import Reply
from streamspace.ui.failures import shown_to_the_visitor
from streamspace.ui.gradio_.streams import RAW, StreamingBlocks
from streamspace.ui.language import say
from streamspace.ui.parts.constraint import ConstraintPanel
from streamspace.ui.parts.settings import SettingsPanel
from streamspace.ui.parts.tokens import TokensView, logprobs_for, tokens_switch, tokens_view

Order = Callable[[Sequence[AsyncGenerator[Reply, None]], Reply], AsyncGenerator[tuple[Reply, ...], None]]
Handler = Callable[..., AsyncGenerator[list[str], None]]


class CompletionTab:
    """Made inside a Blocks. `settle` gives the updates of `settled` once the engine is ready or has failed."""

    def __init__(self, engine: ServedEngine, pacer: Pacer, demo: StreamingBlocks, admission: Admission) -> None:
        self._engine = engine
        self._admission = admission
        self._pacer = pacer
        self._lay_out()
        self._wire(demo)

    def _lay_out(self) -> None:
        gr.Markdown(
            "The model continues the text itself: no chat template, no system prompt. Change the prompts freely."
        )
        self._prompts, self._runs, self._outputs, self._notes, self._views = [], [], [], [], []
        for number, prompt in enumerate(EXAMPLE_PROMPTS, 1):
            with gr.Row(elem_classes="completion"):
                with gr.Column(scale=2, min_width=240):
                    self._prompts.append(gr.Textbox(prompt, label=f"Prompt {number}", lines=2, max_lines=12))
                    self._runs.append(self._button(f"Run {number}", size="sm"))
                with gr.Column(scale=3, min_width=280):
                    self._outputs.append(
                        gr.Textbox(
                            label=f"Continuation {number}",
                            lines=4,
                            max_lines=16,
                            buttons=["copy"],
                            elem_id=f"continuation-{number}",
                        )
                    )
                    self._notes.append(gr.HTML("", elem_classes="note"))
                    self._views.append(tokens_view(f"tokens-{number}"))
        with gr.Row():
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
        panel = [self._shows_tokens, *self._constraint.components, *self._panel.components]
        stream: dict[str, Any] = {**RAW, "show_progress": "hidden", "api_visibility": "private"}
        rows = zip(self._runs, self._prompts, self._outputs, self._notes, self._views, strict=True)
        alone = self._handler(in_sequence, 1)
        runs: list[dict[str, Any]] = [
            run.click(alone, [prompt, *panel], outputs, **stream) for run, prompt, *outputs in rows
        ]
        demo.stream(alone)
        everything = [*self._outputs, *self._notes, *self._views]
        for button, order in ((self._in_sequence, in_sequence), (self._at_once, at_once)):
            handler = self._handler(order, len(self._prompts))
            runs.append(button.click(handler, [*self._prompts, *panel], everything, **stream))
            demo.stream(handler)
        self._stop.click(None, None, None, cancels=runs, queue=False, api_visibility="private")

    @property
    def settled(self) -> list[Any]:
        """The components that wait for the engine."""
        return [*self._runs, self._in_sequence, self._at_once, *self._panel.components]

    def settle(self, *values: Any) -> list[Any]:
        """Values of `settled` → updates for them: the buttons work, and max_tokens ends where the context does."""
        num_buttons = len(values) - len(self._panel.components)
        return [gr.update(interactive=self._engine.status.takes_requests)] * num_buttons + self._panel.suit(
            Settings(), values[num_buttons:]
        )

    def _handler(self, order: Order, num_prompts: int) -> Handler:
        """A handler for that many prompts and the controls below them → that many texts, their notes, their tokens."""

        async def run(*values: Any) -> AsyncGenerator[list[str], None]:
            with shown_to_the_visitor():
                prompts = [check_text("The prompt", value) for value in values[:num_prompts]]
                settings = await self._check(*values[num_prompts:])
                lines = [Summary(settings, self._engine.max_seconds, None, say) for _ in prompts]
                views = [TokensView(settings) for _ in prompts]
                streams = [timed(stream_completion(self._engine, prompt, settings, self._pacer)) for prompt in prompts]
                admitted = self._admission.answer(
                    order(streams, Reply()),
                    lambda place: (Reply(place=place),) * num_prompts,
                    num_prompts if order is at_once else 1,
                )
                async with aclosing(admitted) as frames:
                    async for replies in frames:
                        notes = (line.html(reply) for line, reply in zip(lines, replies, strict=True))
                        tokens = (view.html(reply) for view, reply in zip(views, replies, strict=True))
                        yield [*(reply.text for reply in replies), *notes, *tokens]

        return run

    async def _check(self, shows_tokens: Any, *values: Any) -> Settings:
        """The values of the controls below the prompts as Settings; raises BadRequest for one that is not allowed."""
        num = len(self._constraint.components)
        constraint = await self._constraint.check(values[:num])
        return replace(self._panel.check(values[num:]), constraint=constraint, logprobs=logprobs_for(shows_tokens))
