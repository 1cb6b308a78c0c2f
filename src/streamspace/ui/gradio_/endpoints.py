"""The named endpoints `/chat` and `/complete`, for gradio_client and plain HTTP, beside the page."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from streamspace.chat import ServedEngine, stream_chat, stream_completion
from streamspace.checks import check_text, parse_history, parse_images
from streamspace.constraint import KINDS, check_constraint
from streamspace.errors import BadRequest
from streamspace.faults import told_as_failed
from streamspace.frames import Pacer
from streamspace.limits import Admission
from streamspace.prompt import conversation
from streamspace.sampling import PARAMETERS, Settings, check_settings
from streamspace.types import Message, Reply
from streamspace.ui.failures import shown_to_the_visitor
from streamspace.ui.gradio_.internals import visitor
from streamspace.ui.gradio_.parameters import REQUIRED, Arguments, add_endpoint, take_arguments
from streamspace.ui.gradio_.streams import Handler

log = logging.getLogger(__name__)

# Name → type and default, in the order in which clients may send values by position.
CHAT = {
    "message": (str, REQUIRED), "history": (list[dict[str, Any]] | None, None), "system_prompt": (str | None, None),
}  # fmt: skip
IMAGES: Arguments = {"images": (list[str] | None, None)}  # after all others: the positions of those stay
CONSTRAINTS = {  # one argument for each of KINDS
    "json_schema": (dict[str, Any] | None, None), "regex": (str | None, None), "choice": (list[str] | None, None)
}  # fmt: skip
Values = dict[str, Any]  # of an endpoint's arguments, by name


def add_endpoints(engine: ServedEngine, pacer: Pacer, admission: Admission) -> set[Handler]:
    """Add both to the Blocks under construction; returns their handlers. Parameters have vLLM's names."""

    async def chat(values: Values) -> AsyncGenerator[Reply, None]:
        """Answer a message; each item is the answer so far, without thoughts.

        What is left out, or null, is what suits the model.
        """
        return answer_to(engine, pacer, "message", values)

    async def complete(values: Values) -> AsyncGenerator[Reply, None]:
        """Continue a raw text; each item is the text so far. The defaults are those of vLLM's streaming example.

        With a json_schema, a regex or a choice, the continuation is what they allow, unless max_tokens cuts it.
        """
        settings = check_settings(_sampling(values), Settings(seed=None), engine.config.max_tokens)
        kinds = [
            (kind, values[name]) for kind, name in zip(KINDS, CONSTRAINTS, strict=True) if values[name] is not None
        ]
        if len(kinds) > 1:
            raise BadRequest("Give one of json_schema, regex and choice, not several.")
        constraint = await asyncio.to_thread(check_constraint, *kinds[0]) if kinds else None
        prompt = check_text("prompt", values["prompt"])
        return stream_completion(engine, prompt, replace(settings, constraint=constraint), pacer)

    endpoints = ((chat, chat_arguments()), (complete, complete_arguments()))
    return {_endpoint(start, arguments, admission) for start, arguments in endpoints}


def answer_to(engine: ServedEngine, pacer: Pacer, name: str, values: Values) -> AsyncGenerator[Reply, None]:
    """Stream the answer to the argument `name`, with the other values; raises BadRequest for one that is not allowed.

    The system prompt, and a sampling parameter that is left out or None, are those that suit the model.
    """
    settings = check_settings(_sampling(values), engine.defaults, engine.config.max_tokens)
    system = values["system_prompt"]
    system = engine.config.system_prompt if system is None else check_text("system_prompt", system)
    question = Message("user", check_text(name, values[name]), images=parse_images(values.get("images")))
    messages = conversation(system, (*parse_history(values.get("history") or []), question))
    return stream_chat(engine, messages, settings, pacer)


def chat_arguments() -> Arguments:
    """The arguments of /chat; a sampling parameter without a value is the one that suits the model."""
    return CHAT | {name: (parameter.json_type | None, None) for name, parameter in PARAMETERS.items()} | IMAGES


def complete_arguments() -> Arguments:
    """The arguments of /complete. It has no chat template, so constraints stand in the place of enable_thinking."""
    arguments: Arguments = {"prompt": (str, REQUIRED)}
    for name, parameter in PARAMETERS.items():
        default = getattr(Settings(), name) if parameter.range else None
        arguments |= CONSTRAINTS if name == "enable_thinking" else {name: (parameter.json_type | None, default)}
    return arguments


def _endpoint(
    start: Callable[[Values], Awaitable[AsyncGenerator[Reply, None]]], arguments: Arguments, admission: Admission
) -> Handler:
    """Add an endpoint with the name and docstring of `start`, which checks the values and begins the answer."""

    async def endpoint(*values: Any) -> AsyncGenerator[str, None]:
        with shown_to_the_visitor(), told_as_failed(log, "An endpoint failed"):
            bound = signature.bind(*values)
            bound.apply_defaults()
            who = visitor()
            admission.count(who)  # before the check of a constraint, which may take long
            answer = await start(bound.arguments)
            del values, bound  # they may be large, and the request may wait for long
            admitted = admission.answer(answer, lambda place: Reply(place=place), visitor=who, is_counted=True)
            async with aclosing(admitted) as replies:
                async for reply in replies:
                    yield reply.text

    endpoint.__name__, endpoint.__doc__ = start.__name__, start.__doc__
    signature = take_arguments(endpoint, arguments)
    add_endpoint(endpoint, "answer")
    return endpoint


def _sampling(values: Values) -> Values:
    return {name: value for name, value in values.items() if name in PARAMETERS}
