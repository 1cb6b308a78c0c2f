"""The names of vLLM that StreamSpace uses although vLLM does not document them; NAMES has each with its purpose.

A newer vLLM may rename any of them. `check_names`, `find` and `start_server` then raise MissingName, which says what is
missing and what it is for; tests/test_vllm_internals.py looks all of them up. Two more are used where vLLM may not be
imported: the text that `config.engine_flags` reads, and the titles that `process.workers_of` looks for.
Importing this module imports vLLM, so only the engine's loading thread imports it.
"""

import asyncio
import json
import logging
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache, reduce
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from multiprocessing.context import BaseContext
from operator import or_
from types import SimpleNamespace, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import FailFast
from vllm.exceptions import VLLMValidationError
from vllm.lora.request import LoRARequest
from vllm.renderers import ChatParams
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.metrics.loggers import StatLoggerBase as StatLoggerBase  # imported by name: a class derives from it

from streamspace.errors import BadPicture, BrokenPicture
from streamspace.on_demand import Outputs
from streamspace.patching import MissingName, patch, require
from streamspace.sampling import in_range
from streamspace.translation import Sentence


@dataclass(frozen=True)
class Name:
    """Where vLLM has a name, and what it is for; `purpose` completes "StreamSpace needs it ..."."""

    path: str  # module:attribute, or module:class.attribute
    purpose: str
    older: str = ""  # the module that has it in vLLM 0.26
    is_of_instances: bool = False  # only an instance has it, not the class


_ENTRY, _OLD_SERVER = "vllm.entrypoints", "vllm.entrypoints.openai.api_server"
_PROCESSOR = "vllm.v1.engine.output_processor"
_MODELS = f"{_ENTRY}.openai.models.serving:OpenAIServingModels"
_OUTPUTS = f"{_PROCESSOR}:OutputProcessor"
_RENDERER = "vllm.renderers.base:BaseRenderer"
_RENDER = "to put a conversation through the model's chat template"
_SERVE = "to serve vLLM's own routes at /v1"
_PARSE = "to have vLLM read and check its own flags"
_LIMIT = "to end an answer of /v1 at the operator's --max-tokens"
_ROOM = "to have max_tokens of /v1 be an upper bound"
_THOUGHTS = "to tell thoughts from answers"
_SEE = "to give the model pictures"
_CALLS = "to read a model's calls of tools"
_PULL = "to have a request's outputs made when they are asked for"
_HANGS = "to notice an engine that hangs"
_MEMORY = "to give the KV cache on a CPU what vLLM will find free"

LISTS = {"input", "messages", "tools"}  # what a request may have many of
CONTEXT = Name("vllm.v1.engine.utils:get_mp_context", "to have the engine's process forked instead of started anew")
REQUESTS = Name(f"{_OUTPUTS}.request_states", "to end all answers under way", is_of_instances=True)
READER = Name("vllm.v1.engine.async_llm:AsyncLLM.output_handler", "to end without a traceback", is_of_instances=True)
UNFINISHED = Name(f"{_OUTPUTS}.get_num_unfinished_requests", _HANGS)
SENT = Name("vllm.v1.engine.core_client:DPLBAsyncMPClient.reqs_in_flight", _HANGS, is_of_instances=True)
IDS = Name(f"{_OUTPUTS}.external_req_ids", _PULL, is_of_instances=True)
MAKE_OUTPUT = Name(f"{_PROCESSOR}:RequestState.make_request_output", _PULL)
INTERVAL = Name(f"{_PROCESSOR}:RequestState.stream_interval", _PULL, is_of_instances=True)
FETCH = Name(f"{_PROCESSOR}:RequestOutputCollector.get", _PULL)
FETCH_NOW = Name(f"{_PROCESSOR}:RequestOutputCollector.get_nowait", _PULL)
TOKENS = Name("vllm.v1.engine.detokenizer:IncrementalDetokenizer.output_token_ids", _PULL)
NUM_TOKENS = Name("vllm.v1.engine.detokenizer:IncrementalDetokenizer.num_output_tokens", _PULL)
KEEP_VARIABLES = Name("vllm.envs:enable_envs_cache", "to read the environment once instead of for each token")
FORGET_VARIABLES = Name("vllm.envs:disable_envs_cache", "to have the next engine read the environment anew")
RENDER_CHAT = Name(f"{_RENDERER}.render_chat_async", _RENDER)
NO_TEMPLATE = Name(f"{_ENTRY}.chat_utils:ChatTemplateResolutionError", "to know a model without a chat template")
RENDER_NOW = Name(f"{_RENDERER}.render_chat", _RENDER)
RENDER_TEXT = Name(f"{_RENDERER}.render_cmpl_async", "to turn a raw text into tokens")
MM_CACHE = Name(f"{_RENDERER}.mm_processor_cache", _SEE)
MM_PROCESSOR = Name(f"{_RENDERER}.get_mm_processor", _SEE)
UNSHARED_PROCESSOR = Name(f"{_RENDERER}._readonly_mm_processor", _SEE, is_of_instances=True)
MM_THREAD = Name(f"{_RENDERER}._mm_executor", _SEE, is_of_instances=True)
FORGET_HERE = Name(f"{_RENDERER}.clear_mm_cache", _SEE)
FORGET_THERE = Name("vllm.v1.engine.core_client:AsyncMPClient.reset_mm_cache_async", _SEE)
MM_LIMITS = Name("vllm.multimodal.processing.context:BaseProcessingInfo.allowed_mm_limits", _SEE)
HF_PROCESSOR = Name("vllm.multimodal.processing.context:BaseProcessingInfo.get_hf_processor", _SEE)
MODEL_CLASS = Name("vllm.model_executor.model_loader:get_model_cls", _SEE)
MODEL_INFO = Name("vllm.model_executor.models.registry:ModelRegistry.models", "to know models that keep states")
LOAD_FILE = Name("vllm.multimodal.media.image:ImageMediaIO.load_bytes", _SEE)
LOAD_BASE64 = Name("vllm.multimodal.media.image:ImageMediaIO.load_base64", _SEE)
LOGGER = Name("vllm.v1.metrics.loggers:StatLoggerBase.record", "to know how the engine gets on")
SKIPPED = Name("vllm.v1.metrics.stats:SchedulerStats.num_skipped_waiting_reqs", "to count all requests that wait")
FORGET_METRICS = Name("vllm.v1.metrics.prometheus:unregister_vllm_metrics", "to remove a dead engine's metrics")
TOKENIZERS = Name("vllm.tokenizers.registry:cached_get_tokenizer", "to free a dead engine's tokenizer")
IS_MISTRAL = Name("vllm.utils.mistral:is_mistral_tokenizer", "to know a tokenizer that reads every text as words")
LORA_RANKS = Name("vllm.config.lora:MaxLoRARanks", "to know which ranks an adapter may have")
SERVER_FLAGS = Name(f"{_ENTRY}.launchers.cli_args:FrontendArgs", _PARSE, f"{_ENTRY}.openai.cli_args")
CHECK_FLAGS = Name(f"{_ENTRY}.launchers.cli_args:validate_parsed_serve_args", _PARSE, f"{_ENTRY}.openai.cli_args")
BUILD_APP = Name(f"{_ENTRY}.launchers.app:build_app", _SERVE, _OLD_SERVER)
INIT_STATE = Name(f"{_ENTRY}.launchers.api_server.app_state:init_app_state", _SERVE, _OLD_SERVER)
ADAPTERS = Name(f"{_MODELS}.lora_requests", "to serve the adapters at /v1", is_of_instances=True)
SHOW_MODELS = Name(f"{_MODELS}.show_available_models", "to keep the adapters' folders out of /v1/models")
ONE_PROCESS = Name("vllm.v1.executor.uniproc_executor:UniProcExecutor", "to run the engine on a CPU in one process")
MEMORY = Name("vllm.utils.cpu_resource_utils:get_memory_node_info", _MEMORY)
MEMORY_NODES = Name("vllm.utils.cpu_resource_utils:get_visible_memory_node", _MEMORY)
LINEAR = Name(
    "vllm.model_executor.layers.utils:dispatch_cpu_unquantized_gemm",
    "to read weights in bfloat16 where a CPU computes in float32",
)
PARSER_START = Name("vllm.reasoning:ReasoningParser.reasoning_start_str", _THOUGHTS)
PARSER_END = Name("vllm.reasoning:ReasoningParser.reasoning_end_str", _THOUGHTS)
DELTA = Name(f"{_ENTRY}.generate.base.protocol:DeltaMessage", _CALLS)
CHAT_REQUEST = Name(f"{_ENTRY}.openai.chat_completion.protocol:ChatCompletionRequest", _CALLS)
RESPONSES_REQUEST = Name(f"{_ENTRY}.openai.responses.protocol:ResponsesRequest", _SERVE)
CALL_DELTA = Name(f"{_ENTRY}.generate.base.protocol:DeltaToolCall", _CALLS)
FUNCTION_DELTA = Name(f"{_ENTRY}.generate.base.protocol:DeltaFunctionCall", _CALLS)
FOUND = Name(f"{_ENTRY}.generate.base.protocol:ExtractedToolCallInformation", _CALLS)
CALL = Name(f"{_ENTRY}.generate.base.protocol:ToolCall", _CALLS)
FUNCTION = Name(f"{_ENTRY}.generate.base.protocol:FunctionCall", _CALLS)
CHAT = Name(f"{_ENTRY}.openai.chat_completion.serving:OpenAIServingChat.default_sampling_params", _LIMIT, "", True)
CHAT_ROOM = Name(f"{_ENTRY}.openai.chat_completion.protocol:ChatCompletionRequest.build_tok_params", _ROOM)
TEXT_ROOM = Name(f"{_ENTRY}.openai.completion.protocol:CompletionRequest.build_tok_params", _ROOM)
RESPONSES_ROOM = Name(f"{_ENTRY}.openai.responses.protocol:ResponsesRequest.build_tok_params", _ROOM)
FULL_MESSAGE = Name(
    f"{_ENTRY}.anthropic.serving:AnthropicServingMessages.messages_full_converter", "to answer with a call cut short"
)
TEXT = Name(f"{_ENTRY}.openai.completion.serving:OpenAIServingCompletion.default_sampling_params", _LIMIT, "", True)
NAMES = [value for value in globals().values() if isinstance(value, Name)]
HANDLERS = (  # of vLLM's server, by their names in its state
    *("openai_serving_chat", "openai_serving_completion"),
    *("openai_serving_responses", "anthropic_serving_messages"),
)
TASKS = ("generate",)  # the tasks that vLLM's server is built for
PICTURE = "picture"  # the parameter of a refusal for a picture's sake
NO_PROCESSING = "Failed to apply"  # vLLM's words for a picture that the model's processor fails of, before its data
MOST_PLACES = 100  # numbered ones, such as `<|image_1|>`, that are looked for


def find(name: Name) -> Any:
    """The object of that name; raises MissingName if vLLM does not have it any more."""
    module, _, attributes = name.path.partition(":")
    owner: Any = import_module(name.older if name.older and is_0_26() else module)
    for attribute in attributes.split("."):
        owner = require(owner, attribute, name.purpose)
    return owner


def is_0_26() -> bool:
    """Whether this vLLM is as old as 0.26."""
    return find_spec(f"{_ENTRY}.launchers") is None


def check_names() -> None:
    """Raises MissingName if an engine could not be built.

    The names of the server are looked up when it starts, and those for pictures when a model sees.
    """
    for name in NAMES:
        if not name.is_of_instances and name.purpose != _SEE and not name.path.startswith(_ENTRY):
            find(name)


class _FailFast(FailFast):
    __hash__ = object.__hash__  # which a union asks for


def check_to_the_first_error() -> None:
    """Have a request's lists be checked up to the first item that is wrong; call this before BUILD_APP.

    pydantic would go on, and keep each error of each item for each kind that the item might be: of 500 empty items of
    /v1/responses, 116,501 errors that stop the event loop for 1.2 s; of as many as a body holds, 19 GB.
    """
    for name in (CHAT_REQUEST, RESPONSES_REQUEST):
        model = find(name)
        for field in LISTS & model.model_fields.keys():
            model.model_fields[field].annotation = _to_the_first_error(model.model_fields[field].annotation)
        model.model_rebuild(force=True)


def _to_the_first_error(kind: Any) -> Any:
    if get_origin(kind) is list:
        return Annotated[kind, _FailFast()]
    if get_origin(kind) in (Union, UnionType):
        return reduce(or_, map(_to_the_first_error, get_args(kind)))
    return kind


def use_context(context: BaseContext) -> None:
    """Have vLLM start the engine's process by this multiprocessing context."""
    module, _, name = CONTEXT.path.partition(":")
    patch(import_module(module), name, lambda: context, CONTEXT.purpose)


def free_memory() -> int:
    """The bytes that an engine on a CPU may take, as vLLM counts them: of its node, within the container's limit."""
    return min(int(find(MEMORY)(node).available_memory) for node in find(MEMORY_NODES)())


def change_linear_layers(change: Callable[[Any, Any], None]) -> None:
    """Have a CPU's linear layers, once loaded, changed by a function of the layer and of its weights.

    It may replace `layer.cpu_linear`, a function of what comes in, weights and bias. The layer itself may have given
    its weights away by then.
    """
    module, _, name = LINEAR.path.partition(":")
    prepare = find(LINEAR)

    def prepared(layer: Any, *arguments: Any, **options: Any) -> None:
        weights = layer.weight
        prepare(layer, *arguments, **options)
        change(layer, weights)

    patch(import_module(module), name, prepared, LINEAR.purpose)


def num_unfinished(llm: AsyncLLM) -> list[int]:
    """Requests that each replica has yet to finish, as vLLM counts them in this process; may be called in any thread.

    Several that another program shares out between are counted as one.
    """
    sent, replicas = (getattr(llm.engine_core, name, None) for name in ("reqs_in_flight", "core_engines"))
    if sent is None or replicas is None:
        return [int(llm.output_processor.get_num_unfinished_requests())]
    counts = Counter(list(sent.values()))
    return [counts[replica] for replica in replicas]


async def abort_all(llm: AsyncLLM) -> None:
    """End every request under way, /v1's too, with the finish reason "abort"."""
    await llm.abort(list(require(llm.output_processor, "request_states", REQUESTS.purpose)), internal=True)


@contextmanager
def on_demand(processor: Any, request_id: str) -> Iterator[None]:
    """Have vLLM's output processor make a request's outputs when they are asked for, until the block ends.

    To be entered when all so far have been fetched; does nothing if the request has ended.
    """
    (internal,) = require(processor, "external_req_ids", IDS.purpose).get(request_id) or ("",)
    state = require(processor, "request_states", REQUESTS.purpose).get(internal)
    if state is None:
        yield
        return
    outputs = Outputs(state)
    patch(state, "stream_interval", 1, _PULL)  # what holds outputs back is here
    patched = (state, "make_request_output"), (state.queue, "get"), (state.queue, "get_nowait")
    for owner, name in patched:
        patch(owner, name, getattr(outputs, name), _PULL)
    try:
        yield
    finally:
        for owner, name in patched:  # or state, queue and outputs would hold each other in memory
            delattr(owner, name)


def keep_variables() -> None:
    """Have vLLM read its environment variables once. It looks up one for each token, which takes two microseconds."""
    find(KEEP_VARIABLES)()


def forget_variables() -> None:
    """Have vLLM read its environment variables anew, for the next engine may have others."""
    find(FORGET_VARIABLES)()


def log_no_refusals() -> None:
    """Keep the refusal of a template or of a value out of the log, where vLLM writes 50 lines each time."""
    logging.getLogger("vllm.renderers.hf").addFilter(_is_no_exception)
    logging.getLogger(f"{_ENTRY}.anthropic.api_router").addFilter(_is_no_refusal)


def _is_no_exception(record: logging.LogRecord) -> bool:
    return not record.exc_info


def _is_no_refusal(record: logging.LogRecord) -> bool:
    return not record.exc_info or not isinstance(record.exc_info[1], VLLMValidationError)


async def chat_prompt(llm: AsyncLLM, turns: Any, params: ChatParams) -> dict[str, Any]:
    """vLLM's prompt of a conversation, for `shared`; raises what vLLM does."""
    _, (prompt,) = await Renderer(llm.renderer).render_chat_async([turns], params)
    return dict(prompt)


def chat_tokens_now(llm: AsyncLLM, turns: Any, params: ChatParams) -> tuple[int, ...]:
    """The token ids of a conversation, in this thread."""
    _, (prompt,) = llm.renderer.render_chat([turns], params)
    return tuple(prompt["prompt_token_ids"])


# vLLM's engine keeps the pictures that it was sent, and this process has a record of them. A prompt that enters them
# into the record and is then not sent, because it was only counted or is refused, leaves the two apart. So none does:
# `shared` enters them at the last moment.
_UNSHARED: dict[str, Any] = {} if is_0_26() else {"skip_mm_cache": True}


class Renderer:
    """vLLM's renderer, whose prompts are for `shared`."""

    def __init__(self, renderer: Any) -> None:
        self._renderer = renderer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._renderer, name)

    async def render_chat_async(self, *arguments: Any, **options: Any) -> Any:
        """As vLLM's, but a picture that the model's processor fails of is a VLLMValidationError, too."""
        try:
            return await self._renderer.render_chat_async(*arguments, **(options | _UNSHARED))
        except ValueError as error:
            if not str(error).startswith(NO_PROCESSING):
                raise
            refusal = BadPicture(Sentence("the model's own processor does not take it"))
            raise VLLMValidationError(str(refusal), parameter=PICTURE) from refusal


def shared(llm: AsyncLLM, prompt: Any) -> Any:
    """The same prompt without the pictures that the engine has; the others are recorded. To be sent at once."""
    if not has_pictures(prompt) or not _UNSHARED:
        return prompt
    cache = require(llm.renderer, "mm_processor_cache", MM_CACHE.purpose)
    if cache is None:
        return prompt
    hashes = prompt["mm_hashes"]
    for each in chain.from_iterable(hashes.values()):
        cache.touch_sender_cache_item(each)
    items = {
        kind: [
            cache.get_and_update_item((item, ()), each)[0] for item, each in zip(many, hashes[kind], strict=True)
        ]
        for kind, many in prompt["mm_kwargs"].items()
    }  # fmt: skip
    return {**prompt, "mm_kwargs": type(prompt["mm_kwargs"])(items)}


async def forget_pictures(llm: AsyncLLM) -> None:
    """Empty the caches of prepared pictures, this process's and the engine's; to be asked when nothing is under way.

    A request that comes all the same finds its pictures: its prompt has them until it is sent. The record of those that
    the engine has is emptied twice, so that it never has more than the engine.
    """
    if not _UNSHARED:
        return
    processor = require(llm.renderer, "_readonly_mm_processor", UNSHARED_PROCESSOR.purpose)
    cache = processor.cache if processor else None
    if cache is None or not cache.make_stats().total:  # nobody has shown one since
        return
    thread = require(llm.renderer, "_mm_executor", MM_THREAD.purpose)  # in which pictures are prepared, one by one
    await asyncio.get_running_loop().run_in_executor(thread, cache.clear_cache)
    llm.renderer.clear_mm_cache()
    await llm.engine_core.reset_mm_cache_async()
    llm.renderer.clear_mm_cache()


def has_pictures(prompt: Any) -> bool:
    """Whether a prompt of vLLM's has anything but text."""
    return bool(prompt.get("mm_hashes"))


def most_images(llm: AsyncLLM) -> int:
    """How many pictures a prompt may have; 0 if the model reads none."""
    limits = _limits(llm)
    return int(limits.get("image", limits.get("vision_chunk", 0)))  # the second is what Kimi's processor counts


def _limits(llm: AsyncLLM) -> Mapping[str, int]:
    """How many items of each kind a prompt may have, by the model and the operator; empty for a model of text."""
    if not llm.model_config.is_multimodal_model:
        return {}
    info = llm.renderer.get_mm_processor().info
    limits: Mapping[str, int] = require(info, "allowed_mm_limits", MM_LIMITS.purpose)
    return limits


def placeholders(llm: AsyncLLM) -> tuple[str, ...]:
    """The texts by which the model's processor finds the places of pictures and the like; a visitor may type them."""
    if not any((limits := _limits(llm)).values()):
        return ()
    processor = require(llm.renderer.get_mm_processor().info, "get_hf_processor", HF_PROCESSOR.purpose)()
    named = [value for name, value in vars(processor).items() if name.endswith(("_token", "_tag", "placeholder"))]
    place = find(MODEL_CLASS)(llm.model_config).get_placeholder_str
    for kind, most in limits.items():
        named += [place(kind, number) for number in range(1, min(most, MOST_PLACES) + 1)]
    return tuple(sorted({text for text in named if isinstance(text, str) and text.strip()}))


def check_files(check: Callable[[bytes], None], decode: Callable[[str], bytes]) -> None:
    """Have vLLM call `check` with a picture's file before it decodes that, and `decode` with the base64 of one.

    A BadPicture that they raise becomes a VLLMValidationError with that as its cause; and so, as a BrokenPicture, does
    whatever the decoder raises.
    """
    owner: Any = import_module(LOAD_FILE.path.partition(":")[0]).ImageMediaIO
    load = find(LOAD_FILE)
    if hasattr(load, "is_checked"):
        return

    def load_bytes(self: Any, file: bytes) -> Any:
        with _refusals():
            check(file)
            return load(self, file)

    def load_base64(self: Any, media_type: str, text: str) -> Any:
        with _refusals():
            return self.load_bytes(decode(text))

    load_bytes.is_checked = True  # type: ignore[attr-defined]
    patch(owner, "load_bytes", load_bytes, LOAD_FILE.purpose)
    patch(owner, "load_base64", load_base64, LOAD_BASE64.purpose)


@contextmanager
def _refusals() -> Iterator[None]:
    try:
        yield
    except VLLMValidationError:
        raise
    except Exception as error:  # the decoders raise whatever they come across
        refusal = error if isinstance(error, BadPicture) else BrokenPicture()
        raise VLLMValidationError(str(refusal), parameter=PICTURE) from refusal


async def text_tokens(llm: AsyncLLM, text: str) -> tuple[int, ...]:
    """The token ids of a raw text; raises what vLLM does."""
    (prompt,) = await llm.renderer.render_cmpl_async([{"prompt": text}])
    return tuple(prompt["prompt_token_ids"])


def num_waiting(scheduler_stats: Any) -> int:
    """The requests in a replica's queue, those included that the scheduler skips, for example to wait for a grammar."""
    return int(scheduler_stats.num_waiting_reqs + scheduler_stats.num_skipped_waiting_reqs)


def forget_metrics() -> None:
    """Remove the engine's metrics, which would go on showing its last requests."""
    find(FORGET_METRICS)()


def stop_reading(client: Any) -> None:
    """Have an AsyncLLM read no more outputs; from any thread.

    Its own shutdown does so last. By then the task may have logged a traceback, because the engine's process has gone.
    """
    with suppress(MissingName):  # then the end is vLLM's own, with its traceback
        task = require(client, "output_handler", READER.purpose)
        if task is not None and not task.get_loop().is_closed():
            task.get_loop().call_soon_threadsafe(task.cancel)


def forget_tokenizers() -> None:
    """Empty vLLM's caches, which keep the tokenizers of every engine that was built."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("vllm.renderers", "vllm.tokenizers", "vllm.transformers_utils", "vllm.utils.func_utils")):
            for function in vars(module).values():
                if hasattr(type(function), "cache_clear"):  # asking a lazy placeholder itself raises
                    function.cache_clear()


async def start_server(app: Any, client: Any, adapters: Mapping[str, LoRARequest], max_tokens: int) -> None:
    """Give the application of BUILD_APP its state, on the event loop that will serve it; raises MissingName.

    Each adapter answers by its name, and folders are hidden. A request without a length gets `max_tokens`.
    """
    await find(INIT_STATE)(client, app.state, app.state.args, TASKS)
    app.state.server = SimpleNamespace(should_exit=False)  # vLLM stops its server when the engine dies; ours goes on
    models = app.state.openai_serving_models
    patch(models, "lora_requests", dict(adapters), ADAPTERS.purpose)
    show = require(models, "show_available_models", SHOW_MODELS.purpose)

    async def show_without_folders() -> Any:
        models = await show()
        for card in models.data:
            card.root = card.id
        return models

    patch(models, "show_available_models", show_without_folders, SHOW_MODELS.purpose)
    for name in HANDLERS:
        if (handler := getattr(app.state, name, None)) is None:  # an older vLLM has fewer
            continue
        defaults = require(handler, "default_sampling_params", CHAT.purpose)
        # vLLM refuses every request that has no temperature of its own if the model recommends more than 2.
        defaults |= in_range({**defaults, "max_tokens": defaults.get("max_tokens") or max_tokens}, max_tokens)
    _want_little_room(CHAT_ROOM)
    _want_little_room(TEXT_ROOM)
    with suppress(MissingName, ImportError):  # an older vLLM may lack these two
        _want_little_room(RESPONSES_ROOM)
        _take_calls_cut_short()


@cache
def _take_calls_cut_short() -> None:
    """Have an answer in Anthropic's form keep arguments that are no JSON as text; vLLM fails of them."""
    module, _, attributes = FULL_MESSAGE.path.partition(":")
    kind, method = attributes.split(".")
    convert = find(FULL_MESSAGE)

    def converted(handler: Any, answer: Any) -> Any:
        message = answer.choices[0].message
        whole: list[Any] = []
        cut: list[Any] = []
        for call in message.tool_calls:
            (whole if _is_json(call.function.arguments) else cut).append(call)
        message.tool_calls = whole
        message.content = "".join([message.content or "", *(call.function.arguments for call in cut)])
        return convert(handler, answer)

    patch(getattr(import_module(module), kind), method, converted, FULL_MESSAGE.purpose)


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


@cache
def _want_little_room(name: Name) -> None:
    """Have requests want room for one token; vLLM refuses one whose max_tokens do not fit, but can cut them too."""
    module, _, attributes = name.path.partition(":")
    kind, method = attributes.split(".")
    patch(getattr(import_module(module), kind), method, _wanting_little_room(find(name)), name.purpose)


def _wanting_little_room(build: Callable[..., Any]) -> Callable[..., Any]:
    def little(request: Any, *arguments: Any) -> Any:
        params = build(request, *arguments)
        return replace(params, max_output_tokens=1)

    return little
