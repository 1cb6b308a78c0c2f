"""The controls for a visitor's sampling parameters, under vLLM's names, and their values as Settings."""

import re
from collections.abc import Sequence
from typing import Any

import gradio as gr

from streamspace.chat import ServedEngine
from streamspace.errors import BadRequest
from streamspace.sampling import PARAMETERS, Settings, check_settings, range_of
from streamspace.translation import Sentence

APART = ("enable_thinking", "adapter")  # the first has a control of its own, the second needs adapters
THINKING = {"auto": None, "true": True, "false": False}


def panel_names() -> list[str]:
    """The sampling parameters that every SettingsPanel has by default, in their order."""
    return [name for name in PARAMETERS if name not in APART]


class SettingsPanel:
    """Controls for `names`, by default `panel_names()`, in that order; made inside Blocks.

    Narrow ones are boxes without explanations.
    """

    def __init__(
        self, engine: ServedEngine, start: Settings, names: Sequence[str] | None = None, is_narrow: bool = False
    ) -> None:
        self._engine = engine
        names = panel_names() if names is None else names
        adapters = [adapter.name for adapter in engine.config.adapters]
        # Beside the temperature, because Compare's columns have both; first, because it changes the most.
        self._names = ["adapter", *names] if adapters and "temperature" in names else [*names]
        self._start = _values_of(check_settings({}, start, engine.config.max_tokens), self._names)
        named = zip(self._names, self._start, strict=True)
        self.components: list[Any] = [self._control(name, value, adapters, is_narrow) for name, value in named]

    def _control(self, name: str, value: Any, adapters: Sequence[str], is_narrow: bool) -> Any:
        parameter = PARAMETERS[name]
        info = Sentence(parameter.info)
        if parameter.is_list:
            info = Sentence("{info}; one a line, \\n is a line break", info=info)
        look: dict[str, Any] = {"label": name} if is_narrow else {"label": name, "info": info}
        if name == "adapter":
            choices = [("none", ""), *((adapter, adapter) for adapter in adapters)]
            return gr.Dropdown(choices, value=value, elem_classes="adapter", **look)
        if name == "seed":
            # Not a gr.Number: an empty one becomes 0 as soon as it is shown, and 0 is a seed.
            return gr.Textbox(value, max_lines=1, placeholder="a new one each time", min_width=80, **look)
        if parameter.range is None:
            return gr.Textbox(value, lines=1, max_lines=4, **look)
        allowed = range_of(name, self._engine.config.max_tokens)
        look |= {"value": value, "minimum": allowed.least, "maximum": allowed.most, "step": parameter.step}
        if is_narrow:
            return gr.Number(precision=0 if parameter.is_whole else None, min_width=80, **look)
        return gr.Slider(elem_classes=name, **look)

    def by_name(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values of the components by their names, unchecked."""
        named = zip(self._names, values, strict=True)
        return {name: _value(name, value) if isinstance(value, str) else value for name, value in named}

    def check(self, values: Sequence[Any]) -> Settings:
        """The values of the components as Settings; raises BadRequest for one that is not allowed."""
        return check_settings(self.by_name(values), Settings(seed=None), self._engine.config.max_tokens)

    def suit(self, settings: Settings, values: Sequence[Any]) -> list[Any]:
        """Updates that set the values that the visitor has not changed to `settings`.

        The context limits max_tokens: its maximum, and a value above that.
        """
        most = min(self._engine.config.max_tokens, self._engine.max_model_len or self._engine.config.max_tokens)
        suited = _values_of(check_settings({}, settings, most), self._names)
        # A value that stays is not sent: it would overwrite what the visitor types meanwhile.
        rows = zip(values, self._start, suited, strict=True)
        changes = [{"value": new} if now == old != new else {} for now, old, new in rows]
        for name, now, change in zip(self._names, values, changes, strict=True):
            if name == "max_tokens":
                change["maximum"] = most
                if isinstance(now, int | float) and now > most:
                    change["value"] = most
        return [gr.update(**change) for change in changes]


def _values_of(settings: Settings, names: Sequence[str]) -> list[Any]:
    """The values of the components for these settings."""
    values = vars(settings)
    return [_text(values[name]) if name == "seed" or not PARAMETERS[name].range else values[name] for name in names]


def _text(value: tuple[str, ...] | str | int | None) -> str:
    return "\n".join(value) if isinstance(value, tuple) else "" if value is None else str(value)


def _value(name: str, text: str) -> Any:
    """The value that a control's text stands for; text of the wrong form stays, and `check_settings` refuses it."""
    if PARAMETERS[name].is_list:
        return [line.replace("\\n", "\n") for line in text.split("\n")]
    if name == "seed":
        return int(text) if re.fullmatch(r"\s*[0-9]{1,19}\s*", text) else text.strip() or None
    return text


def enable_thinking(choice: Any) -> bool | None:
    """The visitor's choice as the chat template takes it; raises BadRequest for any other."""
    if not isinstance(choice, str) or choice not in THINKING:
        choices = ", ".join(THINKING)
        raise BadRequest("enable_thinking is {value!r:.60}; allowed is {choices}.", value=choice, choices=choices)
    return THINKING[choice]
