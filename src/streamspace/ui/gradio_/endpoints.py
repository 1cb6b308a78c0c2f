"""The named endpoints `/chat` and `/complete`, for gradio_client and plain HTTP, beside the page."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from streamspace.chat import ServedEngine, stream_chat, stream_completion
from streamspace.checks import check_text, parse_history
from streamspace.constraint import check_constraint
from streamspace.errors import BadRequest
from streamspace.frames import Pacer
from streamspace.limits import Admission
from streamspace.prompt import conversation
from streamspace.sampling import Settings, check_settings
from streamspace.types import Constraint, Message, Reply
from streamspace.ui.failures import shown_to_the_visitor
from streamspace.ui.gradio_.internals import visitor
from streamspace.ui.gradio_.parameters import add_endpoint
from streamspace.ui.gradio_.streams import Handler


def add_endpoints(engine: ServedEngine, pacer: Pacer, admission: Admission) -> set[Handler]:
    """Add both to the Blocks under construction. Parameters have vLLM's names; each yields the text so far.

    Returns:
        Their handlers.
    """

    def checked(given: dict[str, Any], fallback: Settings) -> Settings:
        return check_settings(given, fallback, engine.config.max_tokens)

    async def chat(
        message: str,
        history: list[dict[str, str]] | None = None,
        system_prompt: str | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        top_k: int | None = None,
        min_p: float | None = None,
        repetition_penalty: float | None = None,
        seed: int | None = None,
        stop: list[str] | None = None,
        enable_thinking: bool | None = None,
        adapter: str | None = None,
    ) -> AsyncGenerator[str, None]:
        """Answer a message; each item is the answer so far. What is left out, or null, is what suits the model."""
        with shown_to_the_visitor():
            settings = checked(_sampling(locals()), engine.defaults)
            system = (
                engine.config.system_prompt if system_prompt is None else check_text("system_prompt", system_prompt)
            )
            turns = (*parse_history(history or []), Message("user", check_text("message", message)))
            messages = conversation(system, turns)
            answer = stream_chat(engine, messages, settings, pacer)
            async with aclosing(
                admission.answer(answer, lambda place: Reply(place=place), visitor=visitor())
            ) as replies:
                async for reply in replies:
                    yield reply.text

    async def complete(
        prompt: str,
        max_tokens: int | None = 100,
        temperature: float | None = 0.8,
        top_p: float | None = 0.95,
        top_k: int | None = 0,
        min_p: float | None = 0.0,
        repetition_penalty: float | None = 1.0,
        seed: int | None = 42,
        stop: list[str] | None = None,
        json_schema: dict[str, Any] | None = None,
        regex: str | None = None,
        choice: list[str] | None = None,
        adapter: str | None = None,
    ) -> AsyncGenerator[str, None]:
        """Continue a raw text; each item is the text so far. The defaults are those of vLLM's streaming example.

        With a json_schema, a regex or a choice, the continuation is what they allow, unless max_tokens cuts it.
        """
        with shown_to_the_visitor():
            settings = checked(_sampling(locals()), Settings(seed=None))
            constraint = await _constraint(json=json_schema, regex=regex, choice=choice)
            settings = replace(settings, constraint=constraint)
            answer = stream_completion(engine, check_text("prompt", prompt), settings, pacer)
            async with aclosing(
                admission.answer(answer, lambda place: Reply(place=place), visitor=visitor())
            ) as replies:
                async for reply in replies:
                    yield reply.text

    for endpoint in (chat, complete):
        add_endpoint(endpoint, "answer")
    return {chat, complete}


async def _constraint(**given: Any) -> Constraint | None:
    """The one that is given; raises BadRequest for several, and one that cannot be used."""
    kinds = [(kind, value) for kind, value in given.items() if value is not None]
    if len(kinds) > 1:
        raise BadRequest("Give one of json_schema, regex and choice, not several.")
    return await asyncio.to_thread(check_constraint, *kinds[0]) if kinds else None


def _sampling(arguments: dict[str, Any]) -> dict[str, Any]:
    """Those of an endpoint's arguments that are sampling parameters."""
    return {name: value for name, value in arguments.items() if name in vars(Settings())}
