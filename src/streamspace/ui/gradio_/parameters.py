"""Named endpoints, and what "Use via API" and MCP say of their arguments: the meaning, and a value that works."""

import inspect
from collections.abc import Callable
from typing import Any

import gradio as gr

from streamspace.sampling import PARAMETERS
from streamspace.ui.gradio_.internals import explain

REQUIRED = inspect.Parameter.empty
Arguments = dict[str, tuple[Any, Any]]  # name → type and default, or REQUIRED

HISTORY = [
    {"role": "user", "content": "What is a token?"},
    {"role": "assistant", "content": "A piece of text, often a word or a part of one."},
]
ARGUMENTS: dict[str, tuple[str, Any]] = {  # all but the sampling parameters
    "message": ("What to answer.", "What is the KV cache?"),
    "prompt": ("The text to continue, as it is.", "Once upon a time"),
    "question": ("What to answer.", "What is the KV cache?"),
    "history": (
        "The conversation so far, oldest first; each has a role (user or assistant) and a content, and one of the user "
        "may have images.",
        HISTORY,
    ),
    "images": ("Pictures of the message as data URLs (data:image/png;base64, ...), for a model that sees.", None),
    "system_prompt": ("What the model is told before all else; left out, what the operator says.", "Be brief."),
    # A request may have only one of the next three. So none has an example: Gradio shows one with all parameters.
    "json_schema": ('A JSON schema that the continuation is valid against, such as {"type": "integer"}.', None),
    "regex": ("A regex that the whole continuation matches, such as [a-z]+.", None),
    "choice": ('The texts of which the continuation is one, such as [" yes", " no"].', None),
}


def take_arguments(function: Callable[..., Any], arguments: Arguments) -> inspect.Signature:
    """Make Gradio see these arguments on a generator function of `*values`, whose items are texts."""
    parameters = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=json_type)
        for name, (json_type, default) in arguments.items()
    ]
    signature = inspect.Signature(parameters, return_annotation=str)
    function.__signature__ = signature  # type: ignore[attr-defined]
    function.__annotations__ = {name: json_type for name, (json_type, _) in arguments.items()}
    return signature


def add_endpoint(function: Callable[..., Any], answer: str, **options: Any) -> int:
    """Add a function to the Blocks under construction as an endpoint of its name; returns the number of its event.

    Its docstring gets the meaning of each argument, because Gradio shows only names and types. `answer` is the name of
    the returned value in the API's documentation; `options` are those of `gr.api`.
    """
    function.__annotations__["return"] = str  # Gradio documents what one yield is, not the generator
    explanations = ARGUMENTS | {name: (each.description, each.example) for name, each in PARAMETERS.items()}
    names = [name for name in function.__annotations__ if name != "return"]
    lines = [f"    {name}: {explanations[name][0]}" for name in names]
    function.__doc__ = "\n".join([(function.__doc__ or "").strip(), "", "Args:", *lines])
    endpoint = gr.api(function, api_name=function.__name__, **options)
    return explain(endpoint, [(name, *explanations[name]) for name in names], answer)
