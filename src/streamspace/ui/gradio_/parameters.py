"""Named endpoints, and what "Use via API" and MCP say of their parameters: the meaning, and a value that works."""

from collections.abc import Callable
from typing import Any

import gradio as gr

from streamspace.ui.gradio_.internals import explain

HISTORY = [
    {"role": "user", "content": "What is a token?"},
    {"role": "assistant", "content": "A piece of text, often a word or a part of one."},
]
PARAMETERS: dict[str, tuple[str, Any]] = {
    "message": ("What to answer.", "What is the KV cache?"),
    "prompt": ("The text to continue, as it is.", "Once upon a time"),
    "question": ("What to answer.", "What is the KV cache?"),
    "history": ("The conversation so far, oldest first; each has a role (user or assistant) and a content.", HISTORY),
    "system_prompt": ("What the model is told before all else; left out, what the operator says.", "Be brief."),
    "max_tokens": ("Most tokens that the answer may have.", 100),
    "temperature": ("From 0, which always takes the likeliest token, to 2, which is the most varied.", 0.7),
    "top_p": ("Only the likeliest tokens that together reach this probability, at most 1.", 0.95),
    "top_k": ("Only this many of the likeliest tokens; 0 is all.", 40),
    "min_p": ("Only tokens at least this likely, compared with the likeliest; at most 1.", 0.05),
    "repetition_penalty": ("Above 1 discourages tokens that were there already; at most 2.", 1.1),
    "seed": ("The same seed gives the same answer; null draws a new one.", 42),
    "stop": ("The answer ends before the first of these strings, at most 16.", ["\n\n"]),
    # Only one of the next three may be given, so that none is in an example that has all parameters.
    "json_schema": ('A JSON schema that the continuation is valid against, such as {"type": "integer"}.', None),
    "regex": ("A regex that the whole continuation matches, such as [a-z]+.", None),
    "choice": ('The texts of which the continuation is one, such as [" yes", " no"].', None),
    "adapter": ("The name of one of the operator's LoRA adapters; left out, the model itself answers.", None),
    "enable_thinking": ("Whether a model that can think does so first; its thoughts are not in the answer.", False),
}


def add_endpoint(function: Callable[..., Any], answer: str, **options: Any) -> int:
    """Add a named endpoint to the Blocks under construction: a function, or a generator whose last item counts.

    Gradio alone shows names and types. `answer` is what it calls the value that is returned; `options` are `gr.api`'s.

    Returns:
        The number of its event.
    """
    function.__annotations__["return"] = str  # Gradio documents what one yield is, not the generator
    names = [name for name in function.__annotations__ if name != "return"]
    lines = [f"    {name}: {PARAMETERS[name][0]}" for name in names]
    function.__doc__ = "\n".join([(function.__doc__ or "").strip(), "", "Args:", *lines])
    endpoint = gr.api(function, api_name=function.__name__, **options)
    return explain(endpoint, [(name, *PARAMETERS[name]) for name in names], answer)
