"""OpenAI's and Anthropic's APIs at /v1: checks and limits requests, which vLLM's own routes (`openai_vllm`) answer.

vLLM's chat completions, completions, responses, messages, list of models and tokenizer are served, with streaming,
tools, structured outputs and log-probabilities; nothing that would let a client change the engine, keep something in
it, or stop it for the others. A refusal is one sentence in the API's form of an error.

The page's limits hold here too, by the same Admission. An answer ends when its client disconnects or stops reading.
While the engine is being restarted a request waits for it, unless part of its answer was sent before.
"""

import asyncio
import json
import logging
import re
from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing
from typing import Any

import orjson
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from streamspace import asgi
from streamspace.asgi import BodyLimit, check_depth, check_json, num_nested, off_loop, parse, read, replay
from streamspace.chat import MOST_RESTARTS, ServedEngine
from streamspace.checks import Range, check_number, short
from streamspace.config import without_folders
from streamspace.constraint import KINDS, check_constraint
from streamspace.errors import (
    BadRequest,
    ChatError,
    EngineRestarting,
    NoChatTemplate,
    NoSuchRoute,
    NoTools,
    RequestFailed,
    TooOften,
    WrongKey,
    WrongMethod,
)
from streamspace.faults import log_fault
from streamspace.frames import BEAT_S
from streamspace.limits import Admission
from streamspace.metrics import count
from streamspace.pictures import MEDIA_BYTES, check_urls
from streamspace.sampling import MOST_STOPS, check_stops
from streamspace.visitors import Keys, Visitor, client_of

log = logging.getLogger(__name__)

MESSAGES, RESPONSES, EMBEDDINGS = "/v1/messages", "/v1/responses", "/v1/embeddings"
ANSWERS = ("/v1/chat/completions", "/v1/completions", RESPONSES, MESSAGES)
COUNTS = ("/v1/messages/count_tokens", "/tokenize", "/detokenize")  # which need no place in the engine
MODELS = "/v1/models"  # each is at MODELS/its name, too
POSTED = (*ANSWERS, *COUNTS)
ROUTES = (*POSTED, MODELS)
# Parameters that replace the prompt or its template, jump the queue, use another machine's KV cache, keep the engine
# busy with many beams, or make the event loop serialise numbers for every token of the prompt.
REFUSED = (
    *("prompt_embeds", "chat_template", "priority", "use_beam_search", "prompt_logprobs"),
    *("kv_transfer_params", "ec_transfer_params", "vllm_xargs", "mm_processor_kwargs", "media_io_kwargs"),
)
STORED = ("background", "previous_response_id", "previous_input_messages", "prompt", "conversation")  # of RESPONSES
LENGTHS = ("max_tokens", "max_completion_tokens", "max_output_tokens")
BIG = 2**31 - 1  # the most that some of the engine's integers hold
NO_LIMIT = -1  # what some clients send as max_tokens
INTEGERS = {
    "n": Range(1, 1024),
    "top_k": Range(-1, BIG),
    "seed": Range(-(2**63), 2**63 - 1),
    "min_tokens": Range(0, BIG),
    "top_logprobs": Range(0, 1000),
    "truncate_prompt_tokens": Range(-1, BIG),
    "thinking_token_budget": Range(-1, BIG),
    "stream_interval": Range(1, BIG),
}
UNCHECKED = ("grammar", "structural_tag", "whitespace_pattern")
FORMS = ("text", "json_object", "json_schema")
MOST_MODEL = 256  # characters of a model's name
MOST_NESTED = 10_000  # lists and objects: for each, vLLM makes objects, or errors, on the event loop
MOST_LEVELS = 64  # of nested lists and objects; a schema takes two for each of its own
TEXT = ("messages", "prompt", "input", "instructions", "system", "tokens")
MOST_BYTES = 256 << 10  # of all parameters but TEXT: a grammar or word list costs the engine the square of its length

NO_VOCABULARY = "downloading or loading vocab file"  # gpt-oss's chats have a vocabulary of their own at /v1
FETCH_VOCABULARY = (
    "At /v1, this model needs OpenAI's file o200k_base.tiktoken, which cannot be fetched from here: set "
    "TIKTOKEN_ENCODINGS_BASE to a folder that holds it, or let this machine reach openaipublic.blob.core.windows.net."
)
NO_TOOLS = "--tool-call-parser to be set"  # vLLM's words, at the end of several sentences
TENSORS = ("image_embeds", "audio_embeds", "video_embeds", "prompt_embeds", "image_pil")  # which may end the engine
NO_TEMPLATE = "default chat template is no longer allowed"  # vLLM's words, which name a version of a library
READER_S = 10.0  # how long an answer goes on if its client does not read it
AGAIN_S = 10  # in Retry-After; OpenAI's own clients then try again by themselves
ERRORS = {
    400: "BadRequestError",
    401: "AuthenticationError",
    404: "NotFoundError",
    408: "RequestTimeoutError",
    413: "RequestTooLargeError",
    429: "RateLimitError",
    503: "ServiceUnavailableError",
}
ANTHROPIC_ERRORS = {
    401: "authentication_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    503: "overloaded_error",
}


class OpenAIServer:
    """The ASGI application at /v1."""

    def __init__(self, engine: ServedEngine, admission: Admission) -> None:
        self._engine = engine
        self._config = engine.config
        self._admission = admission
        self._keys = Keys(self._config.api_keys)
        origins = self._config.allowed_origins
        methods = ["GET", "POST"]
        app = CORSMiddleware(self._serve, allow_origins=origins, allow_methods=methods, allow_headers=["*"])
        self._app: ASGIApp = app if origins else self._serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            visitor = client_of(scope)
            scope = {**scope, "path": re.sub("/+", "/", scope["path"]).rstrip("/") or "/"}
            self._admit(Headers(scope=scope), visitor, scope["method"], scope["path"])
            if scope["path"] not in POSTED:
                await self._show_models(scope, receive, send)
                return
            check_json(scope)  # other sites cannot have a browser send it
            self._admission.count(visitor)
            limit = BodyLimit.of(self._engine.max_model_len, MEDIA_BYTES if self._engine.reads_media else 0)
            body = await read(scope, receive, limit)
            if body is not None:
                num_answers, body = await self._checked(body, scope["path"])
                # Only Content-Type is passed on: other headers that vLLM reads choose a replica, a priority or an id.
                plain = {**scope, "headers": [(b"content-type", b"application/json")]}
                if scope["path"] in COUNTS:
                    await self._pass_on(plain, replay(body, receive), send)
                else:
                    await self._answer(visitor, num_answers, body, plain, receive, send)
        except ChatError as error:
            count(error)
            await refuse(scope, receive, send, error)

    async def _checked(self, body: bytes, path: str) -> tuple[int, bytes]:
        """How many answers a request is for, and its body as vLLM gets it; raises BadRequest as `_check`."""
        parameters = await off_loop(body, parsed, body)
        if path == RESPONSES:
            _store_nothing(parameters)
        num_answers = self._check(parameters)
        for kind, value in _constraints(parameters):
            await asyncio.to_thread(check_constraint, kind, value)
        return num_answers, await off_loop(body, orjson.dumps, parameters)

    def _admit(self, headers: Headers, visitor: Visitor, method: str, path: str) -> None:
        """Raises NoSuchRoute, WrongMethod, WrongKey and TooManyAttempts if there is nothing here for this client."""
        if not self._config.serves_openai:
            raise NoSuchRoute("The OpenAI API is off here: the operator can turn it on with --api-key or API_KEY.")
        if self._keys and not self._keys.fit(headers, visitor.address):
            raise WrongKey
        if path == EMBEDDINGS:
            raise NoSuchRoute("This model writes text and makes no embeddings: ask a server of an embedding model.")
        if path not in ROUTES and not path.startswith(f"{MODELS}/"):
            raise NoSuchRoute(f"There is no {path[:100]} here; there are {', '.join(ROUTES)}.")
        if method != (wanted := "POST" if path in POSTED else "GET"):
            raise WrongMethod(f"{path} is asked with {wanted}, not {method[:10]}.")

    def _check(self, parameters: dict[str, Any]) -> int:
        """How many answers the request is for; makes whole numbers int.

        Raises:
            BadRequest: the operator does not allow a value, or it would harm the engine.
            NoSuchRoute: no model has such a name; vLLM would write all of it to the log.
        """
        if isinstance(model := parameters.get("model"), str) and len(model) > MOST_MODEL:
            raise NoSuchRoute(f"There is no model {short(model)} here.")
        parameters.pop("request_id", None)  # vLLM makes up a unique one
        parameters.pop("session_id", None)
        if refused := [name for name in REFUSED if parameters.get(name)]:
            raise BadRequest(f"{refused[0]} is not served here; leave it out.")
        if parameters.get("echo") and parameters.get("logprobs"):
            raise BadRequest("logprobs of the prompt are not served here; leave out echo or logprobs.")
        if parameters.get("messages") == []:  # vLLM refuses it too, but writes 50 lines to the log
            raise BadRequest("messages is empty; at least one message is needed.")
        for name, allowed in INTEGERS.items():
            if parameters.get(name) is not None:
                parameters[name] = check_number(name, parameters[name], allowed, whole=True)
        for name in LENGTHS:  # upper bounds: vLLM cuts them to the context
            if parameters.get(name) == NO_LIMIT:
                parameters[name] = self._config.max_tokens
            elif parameters.get(name) is not None:
                number = check_number(name, parameters[name], Range(1, BIG), whole=True)
                parameters[name] = min(int(number), self._config.max_tokens)
        _leave_out_what_is_empty(parameters)
        _check_size(parameters)
        for name in ("messages", "input"):
            self._check_pictures(parameters.get(name))
        num_answers = (parameters.get("n") or 1) * _num_prompts(parameters.get("prompt"))
        most_answers = self._config.answers_per_visitor or self._engine.capacity or num_answers
        if num_answers > most_answers:
            wanted = f"This request asks for {num_answers} answers, n for each prompt"
            raise BadRequest(f"{wanted}; allowed are {most_answers} at once.")
        return int(num_answers)

    def _check_pictures(self, messages: Any) -> None:
        """Check the pictures of each message, and remove the names that clients may give to them.

        vLLM takes a picture's name for its content, so that a name would show one visitor the picture of another.
        """
        for message in messages if isinstance(messages, list) else ():
            parts = list(_parts(message)) if isinstance(message, dict) else []
            for part in parts:
                part.pop("uuid", None)
                if tensors := [name for name in TENSORS if name in part or part.get("type") == name]:
                    raise BadRequest(f"{tensors[0]} is not served here; send a picture as image_url.")
            urls = [_url(part) for part in parts if "image_url" in part or isinstance(part.get("source"), dict)]
            check_urls(urls, self._most_images, self._is_open)

    @property
    def _most_images(self) -> int:
        return min(self._engine.images_per_message, self._engine.most_images)

    def _is_open(self, url: str) -> bool:
        """Whether vLLM may be asked to fetch this: the operator has opened a place for its kind."""
        flags = {"http": "--allowed-media-domains", "file": "--allowed-local-media-path"}
        flag = flags.get(url[:4].lower())
        return flag is not None and (bool(self._config.flag_value(flag)) or bool(self._config.flag_value("--config")))

    async def _answer(
        self, visitor: Visitor, num_answers: int, body: bytes, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Wait for admission and for a restarting engine, then answer, unless the client disconnects.

        Raises:
            EngineNotReady, RequestFailed, BadRequest, and Admission's refusals: nothing was sent.
        """
        gone = asyncio.ensure_future(receive())  # the body was read, so the next message is the disconnect

        async def work() -> AsyncGenerator[None, None]:
            """Yields before each step, so that a disconnect is noticed there."""
            for num_left in reversed(range(MOST_RESTARTS + 1)):
                while self._engine.status.stage == "restarting":
                    yield
                    await asyncio.sleep(BEAT_S)
                yield
                try:
                    await self._pass_on(scope, replay(body, lambda: asyncio.shield(gone)), send)
                    return
                except EngineRestarting:  # raised only before anything was sent, so trying again is safe
                    if not num_left:
                        raise

        try:
            answer = self._admission.answer(work(), lambda place: None, num_answers, visitor, is_counted=True)
            async with aclosing(answer) as steps:
                async for _ in steps:
                    if gone.done():
                        return
        finally:
            gone.cancel()

    async def _show_models(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with vLLM's list of models, or the card of one; raises NoSuchRoute and as `_pass_on`."""
        _, _, name = scope["path"].partition(f"{MODELS}/")
        if not name:
            await self._pass_on(scope, receive, send)
            return
        body = b""

        async def keep(message: Message) -> None:
            nonlocal body
            body += message.get("body", b"")

        await self._pass_on({**scope, "path": MODELS, "raw_path": MODELS.encode()}, receive, keep)
        cards = {card["id"]: card for card in orjson.loads(body)["data"]}
        if name not in cards:
            raise NoSuchRoute(f"There is no model {short(name)} here; there are: {', '.join(cards)}.")
        await asgi.respond(send, 200, cards[name])

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Have vLLM answer; its error answers are raised instead of sent.

        Raises:
            EngineNotReady, RequestFailed, BadRequest: nothing was sent.
        """
        app, sender = self._engine.openai, _Sender(send)
        try:
            async with asyncio.timeout(None) as limit:
                sender.watch(limit)
                await app(dict(scope), receive, sender)
        except TimeoutError:
            log.info("A client read nothing of its answer for %g s; the answer was ended.", READER_S)
        except Exception:  # vLLM answers with the error, then raises it too
            sender.status = sender.status or 500
            if sender.status >= 500:
                self._engine.check_ready()  # without an engine nothing can be answered, which is no fault
                log_fault(log, "vLLM could not answer %s", scope["path"])
        finally:
            sender.stop()
        if sender.status >= 500:
            self._engine.check_ready()
            if NO_VOCABULARY in sender.words:
                raise VLLMRefused(sender.status, FETCH_VOCABULARY)
            raise RequestFailed
        if sender.status >= 400:
            if NO_TEMPLATE in sender.words:
                raise NoChatTemplate
            if NO_TOOLS in sender.words:
                raise NoTools
            raise VLLMRefused(sender.status, sender.words)


class VLLMRefused(BadRequest):
    """A refusal of vLLM's own, with its words and its HTTP status."""

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        super().__init__(words)


class _Sender:
    """Sends an answer on, but keeps an error answer. Lets the limit of `watch` expire if the client stops reading."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._since_s: float | None = None  # when the part was sent that the client has not read yet
        self._timer: asyncio.TimerHandle | None = None
        self._kept = b""
        self.status = 0  # the HTTP status, once the answer has one

    @property
    def words(self) -> str:
        """vLLM's words for the error answer, without folders."""
        try:
            words = str(json.loads(self._kept)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            words = "This request makes no sense here"
        words = without_folders(words.partition(" (parameter=")[0])
        return words if words.endswith("…") else f"{words}."

    def watch(self, limit: asyncio.Timeout) -> None:
        """Check every READER_S / 4 whether the client reads; a timer for each token would cost more."""
        loop = asyncio.get_running_loop()
        if self._since_s is not None and loop.time() > self._since_s + READER_S:
            limit.reschedule(loop.time())
        else:
            self._timer = loop.call_later(READER_S / 4, self.watch, limit)

    def stop(self) -> None:
        """End the checks."""
        if self._timer:
            self._timer.cancel()

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message.get("headers", ()), (b"x-accel-buffering", b"no")]}
        if self.status >= 400:
            self._kept += message.get("body", b"")
            return
        self._since_s = asyncio.get_running_loop().time()
        await self._send(message)
        self._since_s = None


def parsed(body: bytes) -> dict[str, Any]:
    """The parameters of a request; raises BadRequest if they are no JSON object, too deep, or of too many parts."""
    parameters = parse(body)
    if not isinstance(parameters, dict):
        raise BadRequest("The body of the request must be a JSON object.")
    check_depth(parameters, MOST_LEVELS)
    if (number := num_nested(parameters)) > MOST_NESTED:
        raise BadRequest(f"The request has {number} lists and objects; allowed are {MOST_NESTED}.")
    return parameters


async def refuse(scope: Scope, receive: Receive, send: Send, error: ChatError) -> None:
    """Answer with an error in OpenAI's form; a temporary one has a Retry-After."""
    status = error.status
    headers = [(b"www-authenticate", b"Bearer")] if status == 401 else []
    if status in (429, 503):
        wait_s = error.wait_s if isinstance(error, TooOften) else AGAIN_S
        headers.append((b"retry-after", str(max(1, round(wait_s))).encode()))
    if scope["path"].startswith(MESSAGES):
        said = {"type": ANTHROPIC_ERRORS.get(status, "invalid_request_error"), "message": str(error)}
        await asgi.refuse(scope, receive, send, status, {"type": "error", "error": said}, headers)
        return
    details = {"message": str(error), "type": ERRORS.get(status, "BadRequestError"), "param": None, "code": status}
    await asgi.refuse(scope, receive, send, status, {"error": details}, headers)


def _leave_out_what_is_empty(parameters: dict[str, Any]) -> None:
    """Take empty lists of tools and of their calls for none, as OpenAI does, and so a choice of tools without tools."""
    if not parameters.get("tools"):
        parameters.pop("tools", None)
        choice = parameters.get("tool_choice")
        if (choice.get("type") if isinstance(choice, dict) else choice) in (None, "none", "auto"):
            parameters.pop("tool_choice", None)
    messages = parameters.get("messages")
    for message in messages if isinstance(messages, list) else ():
        if isinstance(message, dict) and not message.get("tool_calls"):
            message.pop("tool_calls", None)
            if message.get("role") == "assistant" and message.get("content") is None:
                message["content"] = ""


def _parts(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The parts of a message; what tools returned may have parts of its own."""
    for inner in (message.get("content"), message.get("output")):
        for part in inner if isinstance(inner, list) else ():
            if isinstance(part, dict):
                yield part
                yield from _parts(part)


def _url(part: dict[str, Any]) -> str:
    """The address in a part with an image_url: OpenAI's object, or the text alone, or in Anthropic's source."""
    if isinstance(source := part.get("source"), dict):
        part = {"image_url": source.get("url") or f"data:{source.get('media_type')};base64,{source.get('data')}"}
    image = part["image_url"]
    url = image.get("url") if isinstance(image, dict) else image
    if not isinstance(url, str):
        raise BadRequest("image_url must be an object with a url, which is a data URL.")
    return url


def _store_nothing(parameters: dict[str, Any]) -> None:
    """Shut the parts of the Responses API that keep answers here; raises BadRequest for what was kept before."""
    if kept := [name for name in STORED if parameters.get(name)]:
        raise BadRequest(f"{kept[0]} is not served here, where nothing is kept: send the whole conversation as input.")
    parameters["store"] = False


def _check_size(parameters: Mapping[str, Any]) -> None:
    for name in ("stop", "stop_sequences"):
        stop = parameters.get(name)
        stops = stop if isinstance(stop, list) else [stop]
        if len(stops) > MOST_STOPS:
            raise BadRequest(f"{name} has {len(stops)} strings; allowed are {MOST_STOPS}.")
        check_stops(stops)
    num_bytes = len(orjson.dumps({name: value for name, value in parameters.items() if name not in TEXT}))
    if num_bytes > MOST_BYTES:
        raise BadRequest(f"The parameters beside the conversation have {num_bytes} bytes; allowed are {MOST_BYTES}.")


def _constraints(parameters: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The constraints of a request for `check_constraint`; raises BadRequest for kinds that it cannot check."""
    wanted, form, tools = (parameters.get(name) for name in ("structured_outputs", "response_format", "tools"))
    if isinstance(wanted, dict):
        if others := [name for name in UNCHECKED if wanted.get(name)]:
            raise BadRequest(f"structured_outputs.{others[0]} is not served here; there are {', '.join(KINDS)}.")
        yield from ((kind, wanted[kind]) for kind in KINDS if wanted.get(kind) is not None)
    elif wanted is not None:  # vLLM would fail of it
        raise BadRequest("structured_outputs must be an object.")
    for schema in _schemas(parameters):
        yield "json", schema
    if isinstance(form, dict):
        if form.get("type") not in FORMS:
            raise BadRequest(f"response_format has a type that is not served here; there are {', '.join(FORMS)}.")
        if isinstance(form.get("json_schema"), dict):
            yield "json", form["json_schema"].get("schema", {})
    choice = parameters.get("tool_choice")
    kind = choice.get("type") if isinstance(choice, dict) else choice  # Anthropic's is always an object
    is_forced = kind not in (None, "none", "auto")
    for tool in tools if isinstance(tools, list) else ():
        function = tool.get("function", tool) if isinstance(tool, dict) else None  # within it only in chat completions
        if isinstance(function, dict) and (is_forced or function.get("strict")):
            yield "json", function.get("parameters") or function.get("input_schema") or {}


def _schemas(parameters: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas of the Responses API's text.format, and of the Messages API's output_config.format."""
    for name in ("text", "output_config"):
        form = of.get("format") if isinstance(of := parameters.get(name), dict) else None
        if isinstance(form, dict) and form.get("schema") is not None:
            yield form["schema"]


def _num_prompts(prompt: Any) -> int:
    """How many prompts a completion has; a list of token ids is one prompt."""
    return len(prompt) if isinstance(prompt, list) and prompt and not isinstance(prompt[0], int) else 1
