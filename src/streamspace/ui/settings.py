"""The controls for a visitor's sampling parameters, under vLLM's names, and their values as Settings."""

import re
from collections.abc import Sequence
from typing import Any

import gradio as gr

from streamspace.engine import Engine
from streamspace.messages import RANGES, Settings, check_settings

NAMES = ("max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "stop")


class SettingsPanel:
    """Sliders and boxes for NAMES, in that order; made inside a Blocks."""

    def __init__(self, engine: Engine, start: Settings) -> None:
        self._engine = engine
        start = self._start = check_settings({}, start, engine.config.max_tokens)
        self.components: list[Any] = [
            gr.Slider(1, engine.config.max_tokens, start.max_tokens, step=1, label="max_tokens",
                      info="Most tokens that the answer may have"),
            _slider("temperature", start, 0.05, "0 always takes the likeliest token; higher is more varied"),
            _slider("top_p", start, 0.01, "Only the likeliest tokens that together reach this probability"),
            _slider("top_k", start, 1, "Only this many of the likeliest tokens; 0 is all"),
            _slider("min_p", start, 0.01, "Only tokens at least this likely, compared with the likeliest"),
            _slider("repetition_penalty", start, 0.05, "Above 1 discourages tokens that were there already"),
            # No Number: Gradio's makes a 0 of an empty one as soon as it is seen, and 0 is a seed.
            gr.Textbox(_seed(start), label="seed", info="The same seed gives the same answer; empty draws a new one",
                       max_lines=1, placeholder="a new one each time"),
            gr.Textbox("\n".join(start.stop), label="stop", lines=1, max_lines=4,
                       info="Ends the answer before any of these, one a line; \\n is a line break"),
        ]  # fmt: skip

    def check(self, values: Sequence[Any]) -> Settings:
        """The values of the components as Settings; raises BadRequest for one that is not allowed."""
        given = dict(zip(NAMES, values, strict=True))
        if isinstance(given["seed"], str):
            given["seed"] = _typed(given["seed"])
        if isinstance(given["stop"], str):
            given["stop"] = [line.replace("\\n", "\n") for line in given["stop"].split("\n")]
        return check_settings(given, Settings(seed=None), self._engine.config.max_tokens)

    def suit(self, settings: Settings, values: Sequence[Any]) -> list[Any]:
        """Updates that set what the visitor has not changed to `settings`; max_tokens ends where the context does."""
        most = min(self._engine.config.max_tokens, self._engine.max_model_len or self._engine.config.max_tokens)
        start, suited = _shown(self._start), _shown(check_settings({}, settings, most))
        # A value that stays is not sent: it would overwrite what the visitor types while it is on its way.
        changes = [
            {"value": new} if now == old != new else {} for now, old, new in zip(values, start, suited, strict=True)
        ]
        changes[0]["maximum"] = most
        if isinstance(values[0], int | float) and values[0] > most:
            changes[0]["value"] = most
        return [gr.update(**change) for change in changes]


def _shown(settings: Settings) -> list[Any]:
    """The values of the components for these settings."""
    return [*(getattr(settings, name) for name in NAMES[:-2]), _seed(settings), "\n".join(settings.stop)]


def _seed(settings: Settings) -> str:
    return "" if settings.seed is None else str(settings.seed)


def _typed(seed: str) -> int | str | None:
    """The seed as a number, if it is one; what is no number is refused with the others."""
    return int(seed) if re.fullmatch(r"\s*[0-9]{1,19}\s*", seed) else seed.strip() or None


def _slider(name: str, start: Settings, step: float, info: str) -> gr.Slider:
    allowed = RANGES[name]
    return gr.Slider(allowed.least, allowed.most, getattr(start, name), step=step, label=name, info=info)
