"""vLLM's own OpenAI server on our engine, with only the routes in SERVED.

Like `llm` it imports vLLM, so only the engine's loading thread imports it. It knows nothing of keys, queues and
visitors: every request comes through `openai_server`, which knows them.
"""

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import ValidationError
from vllm.exceptions import VLLMValidationError

from streamspace import tool_calls, vllm_internals
from streamspace.config import Config
from streamspace.errors import BreaksEngine, TooManyPromptTokens
from streamspace.flags import vllm_flags
from streamspace.llm import VllmEngine, content_of

log = logging.getLogger(__name__)

SERVED = (
    *("/v1/chat/completions", "/v1/completions", "/v1/models", "/v1/responses"),
    *("/v1/messages", "/v1/messages/count_tokens", "/tokenize", "/detokenize"),
)


class LimitedClient:
    """The AsyncLLM as vLLM's handlers see it, with the operator's limits on an answer's prompt and time."""

    def __init__(self, engine: VllmEngine, max_prompt_tokens: int, max_seconds: float) -> None:
        self._engine = engine
        self._llm = llm = engine.async_llm
        self._num_tokens: int = llm.model_config.get_vocab_size()
        self._max_prompt_tokens = max_prompt_tokens  # 0 is as many as the context holds
        self._max_seconds = max_seconds
        self._ending: set[asyncio.Task[None]] = set()
        self.renderer = vllm_internals.Renderer(llm.renderer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._llm, name)

    def generate(self, prompt: Any, params: Any, request_id: str, **options: Any) -> AsyncGenerator[Any, None]:
        """As AsyncLLM's; refuses before the answer begins, so that the client gets an HTTP status."""
        # vLLM 0.26 does not check these ids, and its engine dies of a wrong one.
        if wrong := [number for number in params.stop_token_ids or () if not 0 <= number < self._num_tokens]:
            sentence = f"stop_token_ids has {wrong[0]}; a token's id is from 0 to {self._num_tokens - 1}"
            raise VLLMValidationError(sentence, parameter="stop_token_ids")
        num_tokens = len(prompt.get("prompt_token_ids") or ())
        if 0 < self._max_prompt_tokens < num_tokens:
            sentence = str(TooManyPromptTokens(num_tokens, self._max_prompt_tokens))
            raise VLLMValidationError(sentence, parameter="input_tokens")
        adapter = options.get("lora_request")
        content = content_of(prompt, params, adapter and adapter.lora_name)
        with _refusals():
            self._engine.suspects.check(content)
        answer = self._engine.outputs(prompt, params, request_id, **options)
        return self._timed(self._watched(answer, content), request_id)

    async def _watched(self, answer: AsyncGenerator[Any, None], content: str) -> AsyncGenerator[Any, None]:
        """The outputs of an answer; a suspect waits for its turn before."""
        with _refusals():
            async with self._engine.watch(content) as request, aclosing(answer) as outputs:
                async for output in outputs:
                    self._engine.suspects.begun(request)
                    yield output

    async def _timed(self, outputs: AsyncGenerator[Any, None], request_id: str) -> AsyncGenerator[Any, None]:
        """When its time is over, the engine ends the answer with the text so far and the finish reason "abort"."""
        timer = asyncio.get_running_loop().call_later(self._max_seconds, self._end, request_id)
        try:
            async with aclosing(outputs):
                async for output in outputs:
                    yield output
        finally:
            timer.cancel()

    def _end(self, request_id: str) -> None:
        ending = asyncio.create_task(self._llm.abort(request_id))
        self._ending.add(ending)
        ending.add_done_callback(self._ending.discard)


@contextmanager
def _refusals() -> Iterator[None]:
    """Raise ours as vLLM's, which its handlers answer with the sentence."""
    try:
        yield
    except BreaksEngine as error:
        raise VLLMValidationError(str(error).rstrip("."), parameter="prompt") from error


async def start(app: FastAPI, engine: VllmEngine, config: Config) -> None:
    """Give the application of `build` its state, on the event loop that will serve it."""
    client = LimitedClient(engine, config.max_prompt_tokens, config.max_seconds)
    await vllm_internals.start_server(app, client, engine.adapters, config.max_tokens)


@cache
def prepare() -> None:
    """Import what `build` needs, once; takes a second."""
    vllm_internals.find(vllm_internals.BUILD_APP)
    vllm_internals.check_to_the_first_error()


def build(config: Config, folder: Path, engine: VllmEngine) -> FastAPI:
    """vLLM's application for this engine, without its state. Takes half a second, so call it in a thread."""
    prepare()
    flags = vllm_flags(config, folder)
    flags.model = config.model_name  # /v1/models shows it
    flags.enable_log_requests = False
    if engine.tool_parser:
        backend = flags.structured_outputs_config.backend
        flags.tool_call_parser = tool_calls.register(engine.tool_parser, engine.async_llm.get_tokenizer(), backend)
        flags.enable_auto_tool_choice = True
    log.info("Tool calls at /v1: %s.", engine.tool_parser or "none, for this model's chat template has no tools")
    build_app = vllm_internals.find(vllm_internals.BUILD_APP)
    app: FastAPI = build_app(flags, vllm_internals.TASKS, engine.async_llm.model_config)
    # vLLM's middlewares check keys of their own, and allow requests from the pages of all other servers.
    app.user_middleware.clear()
    app.middleware_stack = None  # vLLM has built the old one already
    app.router.routes[:] = [route for route in app.router.routes if getattr(route, "path", "") in SERVED]
    for kind in (RequestValidationError, ValidationError):
        app.add_exception_handler(kind, _refuse)
    return app


async def _refuse(request: Request, error: Any) -> JSONResponse:
    """Answer with the first error as one sentence; vLLM's own answer is a list of Python dictionaries."""
    first = error.errors()[0]
    if not isinstance(first, str):
        # Without pydantic's names for the branches of a union.
        place = [str(part) for part in first["loc"] if part != "body" and re.fullmatch(r"[a-z0-9_]+", str(part))]
        first = f"{'.'.join(place) or 'The body'}: {first['msg'].removeprefix('Value error, ')}"
    return JSONResponse({"error": {"message": first}}, 400)
