"""The controls for a visitor's sampling parameters, under vLLM's names, and their values as Settings."""

import re
from collections.abc import Sequence
from typing import Any

import gradio as gr

from streamspace.chat import ServedEngine
from streamspace.checks import Range
from streamspace.errors import BadRequest
from streamspace.sampling import RANGES, WHOLE, Settings, check_settings

NAMES = ("max_tokens", "temperature", "top_p", "top_k", "min_p", "repetition_penalty", "seed", "stop")


INFO = {
    "max_tokens": "Most tokens that the answer may have",
    "temperature": "0 always takes the likeliest token; higher is more varied",
    "top_p": "Only the likeliest tokens that together reach this probability",
    "top_k": "Only this many of the likeliest tokens; 0 is all",
    "min_p": "Only tokens at least this likely, compared with the likeliest",
    "repetition_penalty": "Above 1 discourages tokens that were there already",
    "seed": "The same seed gives the same answer; empty draws a new one",
    "adapter": "The LoRA adapter through which the model answers",
    "stop": "Ends the answer before any of these, one a line; \\n is a line break",
}
STEPS = {"temperature": 0.05, "top_p": 0.01, "min_p": 0.01, "repetition_penalty": 0.05}  # the others are whole

THINKING = {"auto": None, "true": True, "false": False}


class SettingsPanel:
    """Controls for `names`, in that order; made inside a Blocks. Narrow ones are boxes without explanations."""

    def __init__(
        self, engine: ServedEngine, start: Settings, names: Sequence[str] = NAMES, is_narrow: bool = False
    ) -> None:
        self._engine = engine
        adapters = [adapter.name for adapter in engine.config.adapters]
        # First, for it makes the most of a difference; where the others are that make one.
        self._names = names = ["adapter", *names] if adapters and "temperature" in names else [*names]
        self._start = check_settings({}, start, engine.config.max_tokens)
        ranges = {**RANGES, "max_tokens": Range(1, engine.config.max_tokens)}
        shown = zip(names, _values_of(self._start, names), strict=True)
        self.components: list[Any] = [
            _control(name, value, ranges.get(name), adapters, is_narrow) for name, value in shown
        ]

    def given(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values of the components by their names, unchecked."""
        given = dict(zip(self._names, values, strict=True))
        if isinstance(given.get("seed"), str):
            given["seed"] = _typed(given["seed"])
        if isinstance(given.get("stop"), str):
            given["stop"] = [line.replace("\\n", "\n") for line in given["stop"].split("\n")]
        return given

    def check(self, values: Sequence[Any]) -> Settings:
        """The values of the components as Settings; raises BadRequest for one that is not allowed."""
        return check_settings(self.given(values), Settings(seed=None), self._engine.config.max_tokens)

    def suit(self, settings: Settings, values: Sequence[Any]) -> list[Any]:
        """Updates that set what the visitor has not changed to `settings`; max_tokens ends where the context does."""
        most = min(self._engine.config.max_tokens, self._engine.max_model_len or self._engine.config.max_tokens)
        start, suited = (_values_of(s, self._names) for s in (self._start, check_settings({}, settings, most)))
        # A value that stays is not sent: it would overwrite what the visitor types while it is on its way.
        changes = [
            {"value": new} if now == old != new else {} for now, old, new in zip(values, start, suited, strict=True)
        ]
        for name, now, change in zip(self._names, values, changes, strict=True):
            if name == "max_tokens":
                change["maximum"] = most
                if isinstance(now, int | float) and now > most:
                    change["value"] = most
        return [gr.update(**change) for change in changes]


def _values_of(settings: Settings, names: Sequence[str]) -> list[Any]:
    """The values of the components for these settings."""
    values = {
        **vars(settings),
        "seed": _seed(settings),
        "stop": "\n".join(settings.stop),
        "adapter": settings.adapter or "",
    }
    return [values[name] for name in names]


def _seed(settings: Settings) -> str:
    return "" if settings.seed is None else str(settings.seed)


def _typed(seed: str) -> int | str | None:
    """The seed as a number, if it is one; what is no number is refused with the others."""
    return int(seed) if re.fullmatch(r"\s*[0-9]{1,19}\s*", seed) else seed.strip() or None


def _control(name: str, value: Any, allowed: Range | None, adapters: Sequence[str], is_narrow: bool) -> Any:
    look: dict[str, Any] = {"label": name} if is_narrow else {"label": name, "info": INFO[name]}
    if name == "adapter":
        choices = [("none", ""), *((adapter, adapter) for adapter in adapters)]
        return gr.Dropdown(choices, value=value, elem_classes="adapter", **look)
    if name == "seed":
        # No Number: Gradio's makes a 0 of an empty one as soon as it is seen, and 0 is a seed.
        return gr.Textbox(value, max_lines=1, placeholder="a new one each time", min_width=80, **look)
    if allowed is None:
        return gr.Textbox(value, lines=1, max_lines=4, **look)
    look |= {"value": value, "minimum": allowed.least, "maximum": allowed.most, "step": STEPS.get(name, 1)}
    return gr.Number(precision=0 if name in WHOLE else None, min_width=80, **look) if is_narrow else gr.Slider(**look)


def enable_thinking(choice: Any) -> bool | None:
    """The visitor's choice as the chat template takes it; raises BadRequest for any other."""
    if not isinstance(choice, str) or choice not in THINKING:
        raise BadRequest(f"enable_thinking is {choice!r:.60}; allowed is {', '.join(THINKING)}.")
    return THINKING[choice]
