"""What the page and the endpoints send, by the table of parameters, so that no test counts positions."""

from collections.abc import Iterable, Mapping
from typing import Any

from streamspace.sampling import Settings
from streamspace.ui.gradio_.endpoints import chat_arguments, complete_arguments
from streamspace.ui.parts.settings import panel_names
from streamspace.ui.tabs.compare import OWN, SAMPLED

# The names of what each handler takes, in its order.
CHAT = ("message", "history", "attached", "system_prompt", "enable_thinking", *panel_names(), "shows_tokens", "tools")
CONSTRAINT = ("kind", "json", "regex", "choice")
COMPLETION = ("prompt", "shows_tokens", *CONSTRAINT, *panel_names())
SHARED = tuple(name for name in panel_names() if name not in OWN)
COMPARE = (
    *("message", "attached", "system_prompt", "enable_thinking", "columns", "differ_in", "measures"),
    *(*SHARED, *SAMPLED, *OWN * 4),
)
READY = (
    *("button", "enable_thinking", "sight", *panel_names()),
    *(*["button"] * 5, *panel_names()),
    *("button", *SAMPLED, *SHARED, *OWN * 4),
)
CALL_CHAT = tuple(chat_arguments())
CALL_COMPLETE = tuple(complete_arguments())

ON_PAGE: dict[str, Any] = {
    **vars(Settings()), "seed": "42", "stop": "", "message": "Hi", "prompt": "Hi", "history": [], "system_prompt": "",
    "enable_thinking": "auto", "shows_tokens": False, **dict.fromkeys(CONSTRAINT, ""), "kind": "none", "columns": 4,
    "differ_in": "settings", "measures": True, "button": True, "tools": [],
    "attached": {"ids": [], "urls": {}}, "sight": "",
}  # fmt: skip


def page_values(names: Iterable[str], **changes: Any) -> list[Any]:
    """The values of the page's controls with these names, as they are unless they are changed."""
    return [{**ON_PAGE, **changes}[name] for name in names]


def call_values(arguments: Mapping[str, tuple[Any, Any]], **values: Any) -> list[Any]:
    """The values of a call of an endpoint: its defaults, unless there are others."""
    return [values.get(name, default) for name, (_, default) in arguments.items()]
