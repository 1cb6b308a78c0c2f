"""The controls for a visitor's sampling parameters, under vLLM's names, and their values as Settings."""

import re
from collections.abc import Sequence
from typing import Any

import gradio as gr

from streamspace.chat import ServedEngine
from streamspace.errors import BadRequest
from streamspace.sampling import PARAMETERS, Parameter, Settings, check_settings, range_of
from streamspace.translation import Sentence

APART = ("enable_thinking", "adapter")  # the first has a control of its own, the second is not always there
THINKING = {"auto": None, "true": True, "false": False}


def panel_names() -> list[str]:
    """The sampling parameters that a SettingsPanel has controls for, in their order."""
    return [name for name in PARAMETERS if name not in APART]


class SettingsPanel:
    """Controls for `names`, by default all, in that order; made inside a Blocks.

    Narrow ones are boxes without explanations.
    """

    def __init__(
        self, engine: ServedEngine, start: Settings, names: Sequence[str] | None = None, is_narrow: bool = False
    ) -> None:
        self._engine = engine
        names = panel_names() if names is None else names
        adapters = [adapter.name for adapter in engine.config.adapters]
        # First, for it makes the most of a difference; where the others are that make one.
        self._names = names = ["adapter", *names] if adapters and "temperature" in names else [*names]
        self._start = check_settings({}, start, engine.config.max_tokens)
        self.components: list[Any] = [
            self._control(name, value, adapters, is_narrow)
            for name, value in zip(names, _values_of(self._start, names), strict=True)
        ]

    def _control(self, name: str, value: Any, adapters: Sequence[str], is_narrow: bool) -> Any:
        parameter = PARAMETERS[name]
        look: dict[str, Any] = {"label": name} if is_narrow else {"label": name, "info": _info(parameter)}
        if name == "adapter":
            choices = [("none", ""), *((adapter, adapter) for adapter in adapters)]
            return gr.Dropdown(choices, value=value, elem_classes="adapter", **look)
        if name == "seed":
            # No Number: Gradio's makes a 0 of an empty one as soon as it is seen, and 0 is a seed.
            return gr.Textbox(value, max_lines=1, placeholder="a new one each time", min_width=80, **look)
        if parameter.range is None:
            return gr.Textbox(value, lines=1, max_lines=4, **look)
        allowed = range_of(name, self._engine.config.max_tokens)
        look |= {"value": value, "minimum": allowed.least, "maximum": allowed.most, "step": parameter.step}
        if is_narrow:
            return gr.Number(precision=0 if parameter.is_whole else None, min_width=80, **look)
        return gr.Slider(**look)

    def by_name(self, values: Sequence[Any]) -> dict[str, Any]:
        """The values of the components by their names, unchecked."""
        named = dict(zip(self._names, values, strict=True))
        for name, value in named.items():
            if isinstance(value, str):
                named[name] = _value(name, value)
        return named

    def check(self, values: Sequence[Any]) -> Settings:
        """The values of the components as Settings; raises BadRequest for one that is not allowed."""
        return check_settings(self.by_name(values), Settings(seed=None), self._engine.config.max_tokens)

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
    return [_text(getattr(settings, name)) if _is_text(name) else getattr(settings, name) for name in names]


def _is_text(name: str) -> bool:
    """Whether the control of this parameter holds text; of a seed, because a Number cannot be empty."""
    return name == "seed" or PARAMETERS[name].range is None


def _text(value: tuple[str, ...] | str | int | None) -> str:
    if isinstance(value, tuple):
        return "\n".join(value)
    return "" if value is None else str(value)


def _value(name: str, text: str) -> Any:
    """What a control's text means; a text that means nothing stays, and is refused with the other values."""
    if PARAMETERS[name].is_list:
        return [line.replace("\\n", "\n") for line in text.split("\n")]
    if name == "seed":
        return int(text) if re.fullmatch(r"\s*[0-9]{1,19}\s*", text) else text.strip() or None
    return text


def _info(parameter: Parameter) -> Sentence:
    info = Sentence(parameter.info)
    return Sentence("{info}; one a line, \\n is a line break", info=info) if parameter.is_list else info


def enable_thinking(choice: Any) -> bool | None:
    """The visitor's choice as the chat template takes it; raises BadRequest for any other."""
    if not isinstance(choice, str) or choice not in THINKING:
        raise BadRequest(
            "enable_thinking is {value!r:.60}; allowed is {choices}.", value=choice, choices=", ".join(THINKING)
        )
    return THINKING[choice]
