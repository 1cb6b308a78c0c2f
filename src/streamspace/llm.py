"""One vLLM AsyncLLM: engine's arguments → engine, conversation → prompt, prompt → deltas.

Importing vLLM takes 5 to 10 seconds, so only `streamspace.engine` imports this module, in its loading thread. It knows
nothing of the page; vLLM's types and errors end here.

vLLM's own streaming example has five steps. The first, the engine's arguments, is `streamspace.flags`. Here are the
engine (`VllmEngine`), the sampling (`sampling_params`), the stream (`VllmEngine.generate`) and the clean-up
(`VllmEngine.shutdown`), which `streamspace.engine` calls on every way out.
"""

import asyncio
import hashlib
import json
import time
import uuid
from array import array
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, TypeVar

import torch
import vllm
from vllm import AsyncEngineArgs, SamplingParams, envs
from vllm.exceptions import VLLMValidationError
from vllm.lora.request import LoRARequest
from vllm.outputs import RequestOutput
from vllm.platforms import current_platform
from vllm.renderers import ChatParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.usage.usage_lib import UsageContext
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError
from vllm.v1.metrics.stats import IterationStats, MultiModalCacheStats, SchedulerStats

from streamspace import forkserver, hardware, vllm_internals
from streamspace.config import without_folders
from streamspace.errors import (
    BadPicture,
    BadRequest,
    EngineError,
    EngineStopped,
    NoChatTemplate,
    NoTools,
    PromptTooLong,
    RequestFailed,
    TemplateRefused,
)
from streamspace.healing import Replica
from streamspace.pictures import check_file, file_of
from streamspace.prompt import as_words
from streamspace.reasoning import TAIL, keeps_special, thoughts_of
from streamspace.sampling import Settings
from streamspace.stats import Facts, Stats
from streamspace.suspects import Request, Suspects
from streamspace.thoughts import Splitter
from streamspace.tokenizer import control_tokens, start_tokens, template_of, tokens_of
from streamspace.tool_calls import can_read, function_of, reader, tool_parser_of
from streamspace.types import Constraint, Delta, Message, Metrics, Prompt, ToolSpec
from streamspace.visitors import VISITOR

T = TypeVar("T")

CUDA_VERSION: str | None = torch.version.cuda  # that PyTorch was built for; None is a CPU build
MOST_PENDING = 3  # tokens that are no whole character yet: of UTF-8's four bytes the last is missing
REST_S = 2.0  # how long the engine may take to empty its cache of pictures
QUEUED_FOR_S = 0.1  # how long it is taken for granted which requests wait in the engine's queue
TOO_COMPLEX = "The engine gave up on this constraint, which is too complex: make it simpler."


@dataclass(eq=False)
class Counts(vllm_internals.StatLoggerBase):
    """One replica's counts of requests as of its last step; sets a request's event when the request has ended."""

    ended: Mapping[str, asyncio.Event]  # by request
    stats: Stats
    replica: int
    running: int = 0
    waiting: int = 0
    finished: int = 0
    last_step_s: float = field(default_factory=time.monotonic)

    def record(
        self,
        scheduler_stats: SchedulerStats | None,
        iteration_stats: IterationStats | None,
        mm_cache_stats: MultiModalCacheStats | None = None,
        engine_idx: int = 0,
    ) -> None:
        """Called by vLLM on the event loop after every engine step."""
        if scheduler_stats is not None:
            self.running = scheduler_stats.num_running_reqs
            self.waiting = vllm_internals.num_waiting(scheduler_stats)
            prefix, usage = scheduler_stats.prefix_cache_stats, scheduler_stats.kv_cache_usage
            self.stats.scheduled(self.replica, self.running, self.waiting, usage, prefix.queries, prefix.hits)
        self.last_step_s = time.monotonic()
        if iteration_stats is None:
            return
        finished = iteration_stats.finished_requests
        self.stats.produced(
            iteration_stats.num_prompt_tokens,
            iteration_stats.num_generation_tokens,
            len(finished),
            iteration_stats.time_to_first_tokens_iter,
            iteration_stats.inter_token_latencies_iter,
        )
        self.finished += len(finished)
        for request in finished:
            if ended := self.ended.get(request.request_id or ""):
                ended.set()

    def log_engine_initialized(self) -> None:
        """vLLM's hook; there is nothing to log."""


def sampling_params(settings: Settings) -> SamplingParams:
    """Step 3, set the sampling. DELTA: every output carries only the text that is new.

    Whole numbers must be int, as Settings has them: a float in one of these fields hangs the engine for everybody.
    """
    constraint = settings.constraint
    return SamplingParams(
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        min_p=settings.min_p,
        repetition_penalty=settings.repetition_penalty,
        seed=settings.seed,
        stop=list(settings.stop),
        structured_outputs=_structured_outputs(constraint) if constraint else None,
        logprobs=settings.logprobs,
        output_kind=RequestOutputKind.DELTA,
    )


def _structured_outputs(constraint: Constraint) -> StructuredOutputsParams:
    value: Any = json.loads(constraint.value) if constraint.kind == "choice" else constraint.value
    return StructuredOutputsParams(**{constraint.kind: value})


class VllmEngine:
    """A running AsyncLLM. Build it in a thread, use it on one event loop, `shutdown` it in a thread."""

    def __init__(
        self,
        args: AsyncEngineArgs,
        stats: Stats,
        adapters: Mapping[str, Path],
        on_broken: Callable[[], None],
        chat_template: str | None = None,
        tool_parser: str = "",
    ) -> None:
        """Step 2, build the engine, which reports each of its steps to `stats`. Blocks for seconds to minutes.

        `adapters` are the folders of LoRA adapters by name; `load_adapters` reads them. `on_broken` is called on the
        event loop whenever an answer ends because the engine does. `chat_template` stands in the place of the model's,
        `tool_parser` in that of what it says of tool calls.

        Raises:
            MissingName: this vLLM lacks a name that is needed.
            ConfigError: a parser does not suit the model.
            ValueError: vLLM refused the arguments for this model.
            RuntimeError: the engine's process failed; the log has the reason.
        """
        self._counts: list[Counts] = []
        self._in_flight: dict[str, asyncio.Event] = {}  # request → set when it has ended
        self._queued: set[asyncio.Event] = set()  # those of `_in_flight` that wait in the engine's queue
        self._queued_until_s = 0.0  # as far as known, until then
        self._on_broken = on_broken
        self.suspects = Suspects()  # of this engine; the holder replaces it by that of all its engines
        numbered = enumerate(adapters.items(), 1)
        self.adapters = {name: LoRARequest(name, number, str(folder)) for number, (name, folder) in numbered}

        def logger(vllm_config: Any, engine_index: int = 0) -> Counts:
            self._counts.append(Counts(self._in_flight, stats, len(self._counts)))
            return self._counts[-1]

        vllm_internals.check_names()
        vllm_internals.log_no_refusals()
        if not args.numa_bind:  # which works by starting another program
            vllm_internals.use_context(forkserver.context)
        # Without the context of a server, vLLM's step is smaller than that of `vllm serve`: 2,048 tokens, 128 requests.
        context = UsageContext.OPENAI_API_SERVER
        self.async_llm = AsyncLLM.from_engine_args(args, usage_context=context, stat_loggers=[logger])
        self._read_sizes()
        self._read_words(chat_template, tool_parser)
        self._read_media()
        vllm_internals.keep_variables()

    def _read_sizes(self) -> None:
        self.num_replicas = len(self._counts)
        config, model = self.async_llm.vllm_config, self.async_llm.model_config
        self.max_model_len: int = model.max_model_len  # tokens: prompt and answer together
        self.full_model_len: int = model.get_and_verify_max_len(-1)  # what the model's context could hold
        # Requests at once, of all replicas together.
        self.capacity: int = config.scheduler_config.max_num_seqs * config.parallel_config.data_parallel_size
        self.defaults = _settings_of(self.async_llm)

    def _read_words(self, chat_template: str | None, tool_parser: str) -> None:
        """How the model writes: its template, calls of tools, special tokens, thoughts."""
        model = self.async_llm.model_config
        tokenizer: Any = self.async_llm.get_tokenizer()
        self._tokenizer, self._template = tokenizer, chat_template
        if chat_template:  # for `template_of`; the renderers have tokenizers of their own
            tokenizer.chat_template = chat_template
        self.tool_parser = tool_parser_of(model, tool_parser, tokenizer)
        self.facts = _facts_of(self.async_llm, self.tool_parser)
        self._special, self._marks = control_tokens(tokenizer)
        parser_name = self.async_llm.vllm_config.structured_outputs_config.reasoning_parser
        self._thoughts = thoughts_of(model, parser_name, tokenizer)
        self._start = start_tokens(tokenizer, self._thoughts)
        self._keeps_special = keeps_special(self._thoughts, self._special)
        self.thinks = self._thinks()

    def _read_media(self) -> None:
        self.most_images = vllm_internals.most_images(self.async_llm)
        self._places = vllm_internals.placeholders(self.async_llm)
        self.reads_media = bool(self.async_llm.model_config.is_multimodal_model)
        if self.reads_media:
            vllm_internals.check_files(partial(check_file, most_pixels=envs.VLLM_MAX_IMAGE_PIXELS), file_of)

    @property
    def running(self) -> int:
        """How many requests the engine works on."""
        return sum(count.running for count in self._counts)

    @property
    def waiting(self) -> int:
        """How many requests wait in the engine's own queue."""
        return sum(count.waiting for count in self._counts)

    @property
    def finished(self) -> int:
        """How many answers have ended since the engine was built."""
        return sum(count.finished for count in self._counts)

    @property
    def replicas(self) -> list[Replica]:
        """What each replica has to do, and its last step by the monotonic clock; may be asked in any thread."""
        unfinished, steps_s = vllm_internals.num_unfinished(self.async_llm), [c.last_step_s for c in self._counts]
        if len(unfinished) != len(steps_s):
            return [Replica(sum(unfinished), max(steps_s))]
        return [Replica(num, step_s) for num, step_s in zip(unfinished, steps_s, strict=True)]

    @property
    def is_dead(self) -> bool:
        """Whether the engine's process has gone."""
        return self.async_llm.errored

    async def rest(self) -> None:
        """Let go of prepared pictures, unless a request is under way; a later one has them prepared anew."""
        if self.reads_media and not any(vllm_internals.num_unfinished(self.async_llm)):
            with suppress(EngineDeadError, TimeoutError):  # then the next engine begins without any
                async with asyncio.timeout(REST_S):
                    await vllm_internals.forget_pictures(self.async_llm)

    async def load_adapters(self) -> None:
        """Have the engine read all adapters; raises EngineError. A request for an unreadable one would kill it."""
        for name, adapter in self.adapters.items():
            try:
                await self.async_llm.add_lora(adapter)
            except Exception as error:  # vLLM's client raises whatever the engine's process did
                words = " ".join(_sentence(error).replace(adapter.lora_path, name).split())
                raise EngineError(f"The LoRA adapter {name!r} cannot be used: {words}") from error

    async def warm_up(self) -> None:
        """Answer a first request, which takes seconds longer than the next, and a first one with a constraint.

        For that one the engine reads its vocabulary, which stops all other answers: for 2 s with 150,000 tokens.
        Raises EngineStopped if the engine dies.
        """
        await self._try_out(Settings(max_tokens=2, seed=None))
        with suppress(BadRequest):  # with the operator's backend, constraints may not work for this model
            await self._try_out(Settings(max_tokens=2, constraint=Constraint("regex", "a")))

    async def _try_out(self, settings: Settings) -> None:
        async with aclosing(self.generate(Prompt((0,)), settings)) as deltas:
            async for _ in deltas:
                pass

    def is_queued(self, ended: asyncio.Event) -> bool:
        """Whether the request of this event waits in the engine's queue, which is first come, first served."""
        now_s = time.monotonic()
        if now_s > self._queued_until_s:  # counted once for all who ask: with 1,024 in line each asks twice a second
            self._queued = set(islice(reversed(self._in_flight.values()), self.waiting))
            self._queued_until_s = now_s + QUEUED_FOR_S
        return ended in self._queued

    async def render_chat(
        self, messages: Sequence[Message], enable_thinking: bool | None = None, tools: Sequence[ToolSpec] = ()
    ) -> Prompt:
        """Put a conversation through the model's chat template; if it ends in an answer, the model continues that.

        An answer that has only a thought so far goes on inside the thought. No text can begin or end a message.

        Raises:
            PromptTooLong: it does not fit into the context.
            NoChatTemplate, TemplateRefused: there is no template, or it does not take these roles.
            NoTools: the model calls no tools.
            BadRequest: vLLM refuses it.
        """
        if tools and not can_read(self.tool_parser):
            raise NoTools
        last = messages[-1] if messages else None
        thought = last.thought if last and not last.text else ""
        turns: Any = [self._turn(message) for message in (messages[:-1] if thought else messages)]
        continues = last is not None and last.role == "assistant" and not thought
        params = self._chat_params(continues, enable_thinking, tools)
        whole = await self._rendered(vllm_internals.chat_prompt(self.async_llm, turns, params))
        token_ids = tuple(whole["prompt_token_ids"])
        calls = reader(self.tool_parser, self._tokenizer, tools) if tools else None
        prompt = Prompt(token_ids, pictures=whole if vllm_internals.has_pictures(whole) else None, calls=calls)
        if continues:
            return prompt
        if not isinstance(self._thoughts, Splitter):
            return replace(prompt, split=self._thoughts)
        tail = self._tokenizer.decode(token_ids[-TAIL:])
        if not thought:
            return replace(prompt, split=self._thoughts.after(tail))
        start = () if tail.rstrip().endswith(self._thoughts.starts) else self._start
        words = self._tokenizer.encode(as_words(thought, self._special), add_special_tokens=False)
        return replace(prompt, token_ids=(*token_ids, *start, *words), split=replace(self._thoughts, is_begun=True))

    def _turn(self, message: Message) -> dict[str, Any]:
        """A message in OpenAI's form, its pictures before its text."""
        words = self._words(message)
        if not message.images:
            return {"role": message.role, "content": words, **_calls_of(message)}
        pictures = [{"type": "image_url", "image_url": {"url": url}} for url in message.images]
        return {"role": message.role, "content": [*pictures, {"type": "text", "text": words}]}

    def _words(self, message: Message) -> str:
        """The text without the model's control tokens; an answer keeps the marks by which templates find thoughts."""
        marks = () if message.role == "assistant" else self._marks
        return as_words(message.text, self._special + self._places + marks)

    async def render_text(self, text: str) -> Prompt:
        """Turn raw text into tokens, without a template; raises PromptTooLong if they do not fit into the context."""
        return Prompt(await self._rendered(vllm_internals.text_tokens(self.async_llm, text)))

    def resumed(self, prompt: Prompt, token_ids: Sequence[int]) -> Prompt:
        """The prompt with the beginning of its answer after it, for another engine to go on there.

        Bytes at the end that are no whole character yet are left out, as no text was made of them.
        """
        whole = [*token_ids]
        for _ in range(MOST_PENDING):
            if whole and self._tokenizer.decode(whole[-TAIL:]).endswith("\N{REPLACEMENT CHARACTER}"):
                whole.pop()
        token_ids = (*prompt.token_ids, *whole)
        return replace(prompt, token_ids=token_ids, num_answered=prompt.num_answered + len(whole))

    async def _rendered(self, prompt: Awaitable[T]) -> T:
        try:
            return await prompt
        except VLLMValidationError as error:
            if isinstance(error.__cause__, BadPicture):
                raise error.__cause__ from None
            if error.parameter in ("input_tokens", "input_text"):
                raise PromptTooLong(self.max_model_len) from error
            raise BadRequest(_sentence(error)) from error
        except ValueError as error:
            if isinstance(error, vllm_internals.find(vllm_internals.NO_TEMPLATE)):
                raise NoChatTemplate from error
            raise TemplateRefused(without_folders(str(error))) from error

    def _chat_params(self, continues: bool, enable_thinking: bool | None, tools: Sequence[ToolSpec] = ()) -> ChatParams:
        wanted: dict[str, Any] = {"add_generation_prompt": not continues, "continue_final_message": continues}
        if tools:
            wanted["tools"] = [function_of(tool) for tool in tools]
        switch = {} if enable_thinking is None else {"enable_thinking": enable_thinking}
        return ChatParams(chat_template=self._template, chat_template_kwargs=wanted | switch)

    def _thinks(self) -> bool | None:
        """Whether the chat template asks for thoughts by default; None if it has no switch for them."""
        if self._thoughts is None or "enable_thinking" not in template_of(self._tokenizer):
            return None
        llm, turns = self.async_llm, [{"role": "user", "content": "Hi"}]
        default, wanted = (
            vllm_internals.chat_tokens_now(llm, turns, self._chat_params(False, x)) for x in (None, True)
        )
        return default == wanted

    async def generate(
        self, prompt: Prompt, settings: Settings, ended: asyncio.Event | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Step 4, stream asynchronously: yield the text as it comes; the last delta has a finish reason.

        A consumer that pauses between deltas gets merged ones and loses nothing. `ended`, if given, is set as soon as
        the last delta is there. Closing the generator aborts the request in the engine.

        Raises:
            PromptTooLong: no room is left for an answer.
            BreaksEngine: an engine died of the like of it.
            BadRequest: the prompt is empty, there is no such adapter, or vLLM refused a sampling parameter.
            RequestFailed: this request failed and the engine lives.
            EngineStopped: the engine died or was shut down; the deltas so far stand.
        """
        adapter = self._checked(prompt, settings)
        request_id = f"streamspace-{uuid.uuid4().hex}"
        tokens = {**(prompt.pictures or {"type": "token"}), "prompt_token_ids": list(prompt.token_ids)}
        self._in_flight[request_id] = ended or asyncio.Event()
        try:
            with self._translated_errors():
                params = sampling_params(settings)
                keeps_special = prompt.calls is not None or (prompt.split is not None and self._keeps_special)
                params.skip_special_tokens = not keeps_special
                content = content_of(tokens, params, settings.adapter, prompt.num_answered)
                async with self.watch(content) as request:
                    # A raw text has no thought; without this, its constraint would begin only after the thought's end.
                    is_raw = True if settings.constraint else None
                    answer = self.outputs(tokens, params, request_id, lora_request=adapter, reasoning_ended=is_raw)
                    processor, is_begun = self.async_llm.output_processor, False
                    async with aclosing(answer) as outputs, AsyncExitStack() as while_read:
                        async for output in outputs:
                            delta = self._delta(output, len(prompt.token_ids), settings)
                            if not is_begun:
                                self.suspects.begun(request)
                                while_read.enter_context(vllm_internals.on_demand(processor, request_id))
                                is_begun = True
                            yield delta
                            if output.finished:
                                return
        finally:
            del self._in_flight[request_id]

    async def outputs(
        self, prompt: Any, params: SamplingParams, request_id: str, **options: Any
    ) -> AsyncGenerator[RequestOutput, None]:
        """vLLM's own stream, for its own prompt of `vllm_internals.chat_prompt`; closing it aborts the request.

        The engine may have let go of a picture that it is believed to have. Then the request is sent once more.
        """
        for is_last in (False, True):
            sent = vllm_internals.shared(self.async_llm, prompt)
            async with aclosing(self.async_llm.generate(sent, params, request_id, **options)) as outputs:
                async for output in outputs:
                    if not is_last and vllm_internals.has_pictures(prompt) and _came_to_nothing(output):
                        break
                    yield output
                else:
                    return

    @asynccontextmanager
    async def watch(self, content: str) -> AsyncIterator[Request]:
        """Hold a request among the suspects while the block has it answered; raises as `Suspects.watch`."""
        visitor = VISITOR.get()
        address = visitor.address if visitor else ""
        async with self.suspects.watch(content, address, lambda: not self.is_dead) as request:
            try:
                yield request
            except (EngineDeadError, EngineStopped):
                request.is_broken = True
                raise

    def _checked(self, prompt: Prompt, settings: Settings) -> LoRARequest | None:
        """The adapter of a request that can be answered; raises PromptTooLong and BadRequest as `generate`."""
        if not prompt.token_ids:
            raise BadRequest("The prompt is empty: there must be something to continue.")
        if len(prompt.token_ids) >= self.max_model_len:
            raise PromptTooLong(self.max_model_len)
        adapter = self.adapters.get(settings.adapter or "")
        if settings.adapter and not adapter:
            name, names = settings.adapter[:60], ", ".join(self.adapters) or "none"
            raise BadRequest("There is no LoRA adapter {name!r}; there are: {names}.", name=name, names=names)
        return adapter

    @contextmanager
    def _translated_errors(self) -> Iterator[None]:
        """Raise vLLM's errors as ours; calls `on_broken` first if the engine has stopped."""
        try:
            yield
        except (EngineDeadError, EngineStopped) as error:
            self._on_broken()
            raise EngineStopped from error
        except EngineGenerateError as error:
            raise RequestFailed from error
        except (VLLMValidationError, ValueError) as error:  # vLLM 0.26 raises either
            raise BadRequest(_sentence(error)) from error

    def _delta(self, output: RequestOutput, num_prompt_tokens: int, settings: Settings) -> Delta:
        """vLLM's output as a Delta; raises EngineStopped, BadRequest and RequestFailed as `generate`."""
        (part,) = output.outputs
        if part.finish_reason == "abort":
            raise EngineStopped
        if part.finish_reason == "error":
            raise BadRequest(TOO_COMPLEX) if settings.constraint else RequestFailed
        stop = part.stop_reason if isinstance(part.stop_reason, str) else None
        tokens = tokens_of(part, self._tokenizer) if settings.logprobs else ()
        metrics = _metrics(output, num_prompt_tokens)
        return Delta(part.text, part.finish_reason, stop, metrics, tokens, tuple(part.token_ids))

    async def abort_all(self) -> None:
        """End every answer under way, ours with EngineStopped; after `shutdown` alone they could wait for ever."""
        await vllm_internals.abort_all(self.async_llm)

    def shutdown(self, at_once: bool = False) -> None:
        """Step 5, clean up: stop the engine's processes, after at most 5 s of grace unless `at_once`.

        Blocks for that long, so call it in a thread.
        """
        vllm_internals.forget_variables()
        vllm_internals.forget_metrics()
        vllm_internals.stop_reading(self.async_llm)
        self.async_llm.shutdown(timeout=0 if at_once else None)
        vllm_internals.forget_tokenizers()


def content_of(prompt: Any, params: SamplingParams, adapter: str | None, num_answered: int = 0) -> str:
    """A hash of all that a request asks for, but not of its seed, nor of how much text is to come and how.

    The last `num_answered` tokens of the prompt are the answer so far.
    """
    names = set(params.__struct_fields__) - {"seed", "max_tokens", "output_kind", "stream_interval"}
    asked = {name: getattr(params, name) for name in sorted(names) if not name.startswith("_")}
    pictures = prompt.get("mm_hashes")
    token_ids = prompt.get("prompt_token_ids") or ()
    content = hashlib.sha256(array("i", token_ids[: len(token_ids) - num_answered]))
    content.update(repr((pictures, asked, adapter)).encode())
    return content.hexdigest()


def _came_to_nothing(output: RequestOutput) -> bool:
    return all(part.finish_reason == "error" and not part.token_ids for part in output.outputs)


def _calls_of(message: Message) -> dict[str, Any]:
    """What a chat template gets of a message beside its text: the calls of an answer, or which one a tool answers."""
    if message.call_id:
        return {"tool_call_id": message.call_id}
    calls = [
        {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
        for call in message.calls
    ]
    return {"tool_calls": calls} if calls else {}


def _metrics(output: RequestOutput, num_prompt_tokens: int) -> Metrics | None:
    stats = output.metrics
    if stats is None:
        return None
    return Metrics(
        num_prompt_tokens=num_prompt_tokens,
        num_cached_tokens=output.num_cached_tokens or 0,
        num_tokens=stats.num_generation_tokens,
        queued_s=stats.scheduled_ts - stats.queued_ts,
        prefill_s=stats.first_token_ts - stats.scheduled_ts,
        decode_s=stats.last_token_ts - stats.first_token_ts,
    )


def _settings_of(llm: AsyncLLM) -> Settings:
    """The sampling parameters of the model's generation_config.json, and vLLM's neutral ones for the others."""
    neutral = Settings(max_tokens=1024, temperature=1.0, top_p=1.0, seed=None)
    recommended = llm.model_config.get_diff_sampling_param()
    return replace(neutral, **{name: value for name, value in recommended.items() if name in vars(neutral)})


def _facts_of(llm: AsyncLLM, tool_parser: str) -> Facts:
    config = llm.vllm_config
    cache, parallel, model = config.cache_config, config.parallel_config, llm.model_config
    num_gpus = parallel.world_size * parallel.data_parallel_size
    gpu = "" if current_platform.is_cpu() else current_platform.get_device_name()
    # This size is one replica's, and vLLM 0.26 has none; num_gpu_blocks counts those of all replicas.
    kv_cache_tokens = (getattr(cache, "kv_cache_size_tokens", None) or 0) * parallel.data_parallel_size
    return Facts(
        hardware=(gpu if num_gpus == 1 else f"{num_gpus} × {gpu}") if gpu else hardware.cpu_name(),
        dtype=", ".join(filter(None, (str(model.dtype).removeprefix("torch."), model.quantization))),
        max_model_len=model.max_model_len,
        kv_cache_tokens=kv_cache_tokens or (cache.num_gpu_blocks or 0) * cache.block_size,
        vllm_version=vllm.__version__,
        tool_parser=tool_parser,
    )


def _sentence(error: Exception) -> str:
    """vLLM's own sentence, without the details after it and with a full stop."""
    return str(error).partition(" (parameter=")[0].rstrip(".") + "."
