"""One vLLM AsyncLLM: engine's arguments → engine, conversation → prompt, prompt → deltas.

Importing vLLM takes 5 to 10 seconds, so `streamspace.engine` does that in its loading thread and nobody else does. This
knows nothing of the page; vLLM's types and errors end here.

Of the five steps of vLLM's own streaming example, the first, the engine's arguments, is `streamspace.flags`. Here stand
the engine in `LLM.build`, the sampling in `sampling_params`, the stream in `LLM.generate`; the last, `LLM.shutdown`, is
called by `streamspace.engine` on every way out.
"""

import asyncio
import json
import math
import sys
import time
import uuid
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import replace
from functools import _lru_cache_wrapper
from pathlib import Path
from typing import Any

import torch
import vllm
from vllm import AsyncEngineArgs, SamplingParams
from vllm.exceptions import VLLMValidationError
from vllm.lora.request import LoRARequest
from vllm.outputs import CompletionOutput, RequestOutput
from vllm.platforms import current_platform
from vllm.renderers import ChatParams
from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams
from vllm.utils.mistral import is_mistral_tokenizer
from vllm.v1.engine import utils as engine_utils
from vllm.v1.engine.async_llm import AsyncLLM
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError
from vllm.v1.metrics.loggers import StatLoggerBase
from vllm.v1.metrics.prometheus import unregister_vllm_metrics
from vllm.v1.metrics.stats import IterationStats, MultiModalCacheStats, SchedulerStats

from streamspace import forkserver, hardware
from streamspace.errors import BadRequest, EngineError, EngineStopped, PromptTooLong, RequestFailed
from streamspace.prompt import as_words
from streamspace.reasoning import TAIL, keeps_special, thoughts_of
from streamspace.sampling import Settings
from streamspace.stats import Facts, Stats
from streamspace.thoughts import Splitter
from streamspace.types import Constraint, Delta, Message, Metrics, Prompt, Split, Token

CUDA_VERSION: str | None = torch.version.cuda  # what PyTorch was built for; None is a CPU build

# The alphabet in which a byte-level BPE (GPT-2's) writes a byte: itself where it can be seen, else one after U+0100.
SEEN = (*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100))
HIDDEN = (byte for byte in range(0x100) if byte not in SEEN)
BYTES = {**{chr(byte): byte for byte in SEEN}, **{chr(0x100 + n): byte for n, byte in enumerate(HIDDEN)}}
TOO_COMPLEX = "The engine gave up on this constraint, which is too complex: make it simpler."


class Counts(StatLoggerBase):
    """One replica's own counts of running and waiting requests as of its last step, and who waits for an end."""

    def __init__(self, ended: Mapping[str, asyncio.Event], stats: Stats, replica: int) -> None:
        self.running = 0
        self.waiting = 0
        self.finished = 0
        self.last_step_s = time.monotonic()
        self._ended = ended  # by request
        self._stats = stats
        self._replica = replica

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
            # The skipped ones wait, too: for a grammar to be compiled, say.
            self.waiting = scheduler_stats.num_waiting_reqs + scheduler_stats.num_skipped_waiting_reqs
            prefix, usage = scheduler_stats.prefix_cache_stats, scheduler_stats.kv_cache_usage
            self._stats.scheduled(self._replica, self.running, self.waiting, usage, prefix.queries, prefix.hits)
        self.last_step_s = time.monotonic()
        if iteration_stats is None:
            return
        self._stats.produced(
            iteration_stats.num_prompt_tokens,
            iteration_stats.num_generation_tokens,
            len(iteration_stats.finished_requests),
            iteration_stats.time_to_first_tokens_iter,
            iteration_stats.inter_token_latencies_iter,
        )
        for finished in iteration_stats.finished_requests:
            self.finished += 1
            if ended := self._ended.get(finished.request_id or ""):
                ended.set()

    def log_engine_initialized(self) -> None:
        """vLLM's hook; there is nothing to log."""


def sampling_params(settings: Settings) -> SamplingParams:
    """Step 3, set the sampling. DELTA: every output carries only the text that is new.

    Settings hold whole numbers as int, which matters: a float in one of these fields hangs the engine for everybody.
    """
    return SamplingParams(
        max_tokens=settings.max_tokens,
        temperature=settings.temperature,
        top_p=settings.top_p,
        top_k=settings.top_k,
        min_p=settings.min_p,
        repetition_penalty=settings.repetition_penalty,
        seed=settings.seed,
        stop=list(settings.stop),
        structured_outputs=_structured_outputs(settings.constraint) if settings.constraint else None,
        logprobs=settings.logprobs,
        output_kind=RequestOutputKind.DELTA,
    )


def _structured_outputs(constraint: Constraint) -> StructuredOutputsParams:
    value: Any = json.loads(constraint.value) if constraint.kind == "choice" else constraint.value
    wanted: dict[str, Any] = {constraint.kind: value}
    return StructuredOutputsParams(**wanted)


class LLM:
    """A running AsyncLLM. Build it in a thread, use it on one event loop, `shutdown` it in a thread."""

    def __init__(
        self,
        llm: AsyncLLM,
        counts: Sequence[Counts],
        in_flight: dict[str, asyncio.Event],
        adapters: Mapping[str, Path],
    ) -> None:
        self._llm = llm
        self.adapters = {
            name: LoRARequest(name, number, str(folder)) for number, (name, folder) in enumerate(adapters.items(), 1)
        }
        self._counts = counts
        self._in_flight = in_flight  # request → set when it has ended
        config = llm.vllm_config
        self.max_model_len: int = llm.model_config.max_model_len  # tokens: prompt and answer together
        # Requests at once, of all replicas together.
        self.capacity: int = config.scheduler_config.max_num_seqs * config.parallel_config.data_parallel_size
        self.num_replicas = len(counts)
        self.facts = _facts_of(llm)
        self.defaults = _settings_of(llm)
        self._tokenizer = llm.get_tokenizer()
        self._special, self._marks = _control_tokens(self._tokenizer)
        parser_name = config.structured_outputs_config.reasoning_parser
        self._thoughts = thoughts_of(llm.model_config, parser_name, self._tokenizer)
        self._start = _start_tokens(self._tokenizer, self._thoughts)
        self._keeps_special = keeps_special(self._thoughts, self._special)
        self.thinks = self._thinks()

    @classmethod
    def build(cls, args: AsyncEngineArgs, stats: Stats, adapters: Mapping[str, Path]) -> "LLM":
        """Step 2, build the engine, which tells `stats` of each of its steps. Blocks for seconds to minutes.

        `adapters` are the folders of LoRA adapters by name; `load_adapters` reads them.

        Raises:
            ValueError: vLLM refused the arguments for this model.
            RuntimeError: the engine's process failed; its reason stands in the log.
        """
        counts: list[Counts] = []
        in_flight: dict[str, asyncio.Event] = {}

        def logger(vllm_config: Any, engine_index: int = 0) -> Counts:
            counts.append(Counts(in_flight, stats, len(counts)))
            return counts[-1]

        if not args.numa_bind:  # which works by starting another program
            engine_utils.get_mp_context = lambda: forkserver.context
        return cls(AsyncLLM.from_engine_args(args, stat_loggers=[logger]), counts, in_flight, adapters)

    @property
    def async_llm(self) -> AsyncLLM:
        """vLLM's engine itself, for vLLM's own server."""
        return self._llm

    @property
    def running(self) -> int:
        """Requests that the engine works on, by its own count."""
        return sum(count.running for count in self._counts)

    @property
    def waiting(self) -> int:
        """Requests that wait in the engine's queue, by its own count."""
        return sum(count.waiting for count in self._counts)

    @property
    def finished(self) -> int:
        """Answers that came to their end since the engine was built."""
        return sum(count.finished for count in self._counts)

    @property
    def unfinished(self) -> int:
        """Requests that the engine has yet to finish, as vLLM itself counts them on this side."""
        return int(self._llm.output_processor.get_num_unfinished_requests())

    @property
    def last_step_s(self) -> float:
        """When the engine last reported a step, by the monotonic clock."""
        return max(count.last_step_s for count in self._counts)

    @property
    def is_dead(self) -> bool:
        """Whether the engine's process has gone."""
        return self._llm.errored

    async def load_adapters(self) -> None:
        """Have the engine read all adapters. A request for one that it cannot read would kill it.

        Raises:
            EngineError: one cannot be read, or does not suit the model.
        """
        for name, adapter in self.adapters.items():
            try:
                await self._llm.add_lora(adapter)
            except Exception as error:  # as vLLM's client raises whatever the engine's process did
                words = " ".join(_sentence(error).replace(adapter.lora_path, name).split())
                raise EngineError(f"The LoRA adapter {name!r} cannot be used: {words}") from error

    async def warm_up(self) -> None:
        """Answer one sampled request: the first one of a fresh engine takes seconds longer than the next.

        And one with a constraint, at the first of which the engine stops for everybody: for 2 s, if there are 150,000
        tokens to be read.

        Raises:
            EngineStopped: the engine died over it.
        """
        await self._try_out(Settings(max_tokens=2, seed=None))
        with suppress(BadRequest):  # what the operator has chosen may have no constraints for this model
            await self._try_out(Settings(max_tokens=2, constraint=Constraint("regex", "a")))

    async def _try_out(self, settings: Settings) -> None:
        async with aclosing(self.generate(Prompt((0,)), settings)) as deltas:
            async for _ in deltas:
                pass

    def is_queued(self, ended: asyncio.Event) -> bool:
        """Whether the request of this event waits in the engine's queue, which is first come, first served."""
        requests = list(self._in_flight.values())
        return ended in requests and self.waiting >= len(requests) - requests.index(ended)

    async def render_chat(self, messages: Sequence[Message], enable_thinking: bool | None = None) -> Prompt:
        """Put a conversation through the model's chat template; one that ends in an answer is to be continued there.

        An answer that has only a thought so far goes on inside it. No text can begin or end a message.

        Raises:
            PromptTooLong: it does not fit into the context.
            BadRequest: the template refuses it.
        """
        last = messages[-1] if messages else None
        thought = last.thought if last and not last.text else ""
        turns: Any = [{"role": m.role, "content": self._words(m)} for m in (messages[:-1] if thought else messages)]
        continues = last is not None and last.role == "assistant" and not thought
        params = _chat_params(continues, enable_thinking)
        token_ids = await self._render(self._llm.renderer.render_chat_async([turns], params), chat=True)
        if continues:
            return Prompt(token_ids)
        if not isinstance(self._thoughts, Splitter):
            return Prompt(token_ids, self._thoughts)
        tail = self._tokenizer.decode(token_ids[-TAIL:])
        if not thought:
            return Prompt(token_ids, self._thoughts.after(tail))
        start = () if tail.rstrip().endswith(self._thoughts.starts) else self._start
        words = self._tokenizer.encode(as_words(thought, self._special), add_special_tokens=False)
        return Prompt((*token_ids, *start, *words), replace(self._thoughts, is_begun=True))

    def _words(self, message: Message) -> str:
        """The text without the model's control tokens; an answer keeps its marks, by which templates find thoughts."""
        return as_words(message.text, self._special if message.role == "assistant" else self._special + self._marks)

    async def render_text(self, text: str) -> Prompt:
        """Turn raw text into tokens, without a template.

        Raises:
            PromptTooLong: it does not fit into the context.
        """
        return Prompt(await self._render(self._llm.renderer.render_cmpl_async([{"prompt": text}]), chat=False))

    async def _render(self, rendering: Any, chat: bool) -> tuple[int, ...]:
        try:
            rendered = await rendering
        except VLLMValidationError as error:
            if error.parameter in ("input_tokens", "input_text"):
                raise PromptTooLong(self.max_model_len) from error
            raise BadRequest(_sentence(error)) from error
        except ValueError as error:
            raise BadRequest("The model's chat template refused the conversation.") from error
        (prompt,) = rendered[1] if chat else rendered
        return tuple(prompt["prompt_token_ids"])

    def _thinks(self) -> bool | None:
        """Whether the chat template asks for thoughts by itself; None if it has no switch for that."""
        if self._thoughts is None or "enable_thinking" not in str(getattr(self._tokenizer, "chat_template", "")):
            return None
        turns: Any = [[{"role": "user", "content": "Hi"}]]
        by_itself, wanted = (
            self._llm.renderer.render_chat(turns, _chat_params(False, choice))[1][0]["prompt_token_ids"]
            for choice in (None, True)
        )
        return bool(by_itself == wanted)

    async def generate(
        self, prompt: Prompt, settings: Settings, ended: asyncio.Event | None = None
    ) -> AsyncGenerator[Delta, None]:
        """Step 4, stream asynchronously: yield the text as it comes; the last delta has a finish reason.

        A consumer that pauses between deltas gets merged ones and loses nothing; `ended`, if given, is set when the
        last one can be had. Closing the generator aborts the request in the engine.

        Raises:
            PromptTooLong: no room is left for an answer.
            BadRequest: the prompt is empty, there is no such adapter, or vLLM refused a sampling parameter.
            RequestFailed: this request failed and the engine lives.
            EngineStopped: the engine died or was shut down; deltas that came stand.
        """
        if not prompt.token_ids:
            raise BadRequest("The prompt is empty: there must be something to continue.")
        if len(prompt.token_ids) >= self.max_model_len:
            raise PromptTooLong(self.max_model_len)
        adapter = self.adapters.get(settings.adapter or "")
        if settings.adapter and not adapter:
            names = ", ".join(self.adapters) or "none"
            raise BadRequest(
                "There is no LoRA adapter {name!r}; there are: {names}.", name=settings.adapter[:60], names=names
            )
        request_id = f"streamspace-{uuid.uuid4().hex}"
        tokens: Any = {"type": "token", "prompt_token_ids": list(prompt.token_ids)}
        self._in_flight[request_id] = ended or asyncio.Event()
        try:
            params = sampling_params(settings)
            params.skip_special_tokens = prompt.split is None or not self._keeps_special
            # A constraint would wait for a reasoning parser's end of the thought, which raw text does not have.
            is_raw = True if settings.constraint else None
            asked = self._llm.generate(tokens, params, request_id, lora_request=adapter, reasoning_ended=is_raw)
            async with aclosing(asked) as outputs:
                async for output in outputs:
                    (part,) = output.outputs
                    if part.finish_reason == "abort":
                        raise EngineStopped
                    if part.finish_reason == "error":
                        raise BadRequest(TOO_COMPLEX) if settings.constraint else RequestFailed
                    stop = part.stop_reason if isinstance(part.stop_reason, str) else None
                    metrics = _metrics(output, len(prompt.token_ids))
                    tokens = _tokens(part, self._tokenizer) if settings.logprobs else ()
                    yield Delta(part.text, part.finish_reason, stop, metrics, tokens)
                    if output.finished:
                        return
        except EngineDeadError as error:
            raise EngineStopped from error
        except EngineGenerateError as error:
            raise RequestFailed from error
        except (VLLMValidationError, ValueError) as error:  # vLLM 0.26 refuses with the one or with the other
            raise BadRequest(_sentence(error)) from error
        finally:
            del self._in_flight[request_id]

    async def abort_all(self) -> None:
        """End every answer under way, ours with EngineStopped; `shutdown` alone can leave them waiting for ever."""
        await self._llm.abort(list(self._llm.output_processor.request_states), internal=True)

    def shutdown(self, at_once: bool = False) -> None:
        """Step 5, clean up: stop the engine's processes, given 5 s to leave by themselves unless they must `at_once`.

        Blocks for as long, so call it in a thread.
        """
        unregister_vllm_metrics()  # else an engine that is gone goes on telling of its last requests
        self._llm.shutdown(timeout=0 if at_once else None)
        _forget_tokenizers()


def _tokens(part: CompletionOutput, tokenizer: Any) -> tuple[Token, ...]:
    """The tokens of an output with their logprobs, which vLLM gives for the likeliest ones and the one it took."""
    tokens = []
    for token_id, logprobs in zip(part.token_ids, part.logprobs or (), strict=False):
        likely = {
            other: (_token_text(tokenizer, other, logprob.decoded_token), math.exp(logprob.logprob))
            for other, logprob in (logprobs or {}).items()
        }
        text, probability = likely.pop(token_id)
        others = [other for other in likely.values() if other[1] > 0]  # what the constraint forbids has none
        tokens.append(Token(text, probability, tuple(sorted(others, key=lambda other: -other[1]))))
    return tuple(tokens)


def _token_text(tokenizer: Any, token_id: int, decoded: str | None) -> str:
    """A token as text; vLLM decodes one that is a part of a character to nothing, or to U+FFFD."""
    if decoded and "\ufffd" not in decoded:
        return decoded
    # mistral-common takes nothing but a list, and gives bytes to those alone who want no special tokens.
    (raw,) = tokenizer.convert_ids_to_tokens([token_id], skip_special_tokens=True) or (decoded,)
    if isinstance(raw, str) and all(char in BYTES for char in raw):
        raw = bytes(BYTES[char] for char in raw)
    return raw.decode(errors="backslashreplace") if isinstance(raw, bytes) else str(raw)


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


def _chat_params(continues: bool, enable_thinking: bool | None) -> ChatParams:
    wanted: dict[str, Any] = {"add_generation_prompt": not continues, "continue_final_message": continues}
    if enable_thinking is not None:
        wanted["enable_thinking"] = enable_thinking
    return ChatParams(chat_template_kwargs=wanted)


def _forget_tokenizers() -> None:
    """Empty the caches in which vLLM would keep the tokenizers of every engine that was."""
    for name, module in list(sys.modules.items()):
        if name.startswith(("vllm.renderers", "vllm.tokenizers", "vllm.transformers_utils", "vllm.utils.func_utils")):
            for function in vars(module).values():
                if isinstance(function, _lru_cache_wrapper):
                    function.cache_clear()


def _settings_of(llm: AsyncLLM) -> Settings:
    """The sampling parameters that the model's generation_config.json recommends; vLLM's neutral ones otherwise."""
    neutral = Settings(max_tokens=1024, temperature=1.0, top_p=1.0, seed=None)
    given = llm.model_config.get_diff_sampling_param()
    return Settings(**{**vars(neutral), **{name: value for name, value in given.items() if name in vars(neutral)}})


def _facts_of(llm: AsyncLLM) -> Facts:
    config = llm.vllm_config
    cache, parallel, model = config.cache_config, config.parallel_config, llm.model_config
    num_gpus = parallel.world_size * parallel.data_parallel_size
    gpu = "" if current_platform.is_cpu() else current_platform.get_device_name()
    # Of one replica, where vLLM tells (not 0.26); the blocks are those of all.
    kv_cache_tokens = (getattr(cache, "kv_cache_size_tokens", None) or 0) * parallel.data_parallel_size
    return Facts(
        hardware=(gpu if num_gpus == 1 else f"{num_gpus} × {gpu}") if gpu else hardware.cpu_name(),
        dtype=", ".join(filter(None, (str(model.dtype).removeprefix("torch."), model.quantization))),
        max_model_len=model.max_model_len,
        kv_cache_tokens=kv_cache_tokens or (cache.num_gpu_blocks or 0) * cache.block_size,
        vllm_version=vllm.__version__,
    )


def _control_tokens(tokenizer: Any) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """What steers the model where it stands in a prompt: the special tokens, and the marks of the chat template.

    Marks are tokens that the template writes although the tokenizer counts them as text: `<think>`, or all that begins
    a turn for DeepSeek. Other such tokens, runs of spaces and HTML tags among them, are words as any other. There are
    none for mistral-common, which reads every text as words.
    """
    if is_mistral_tokenizer(tokenizer):
        return (), ()
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    special = {*tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
    template = str(getattr(tokenizer, "chat_template", None) or "")
    marks = {token.content for token in added if token.content.strip() and token.content in template}
    return tuple(sorted(special)), tuple(sorted(marks - special))


def _start_tokens(tokenizer: Any, thoughts: Split | None) -> tuple[int, ...]:
    """What a model of these thoughts writes first; mistral-common would read a mark in a text as letters."""
    if not isinstance(thoughts, Splitter):
        return ()
    mark = thoughts.starts[0]
    token_id = tokenizer.get_vocab().get(mark)
    tokens = tokenizer.encode(mark, add_special_tokens=False) if token_id is None else [token_id]
    return (*tokens, *tokenizer.encode("\n", add_special_tokens=False))


def _sentence(error: Exception) -> str:
    """vLLM's own sentence without its trailing details, and with its full stop."""
    return str(error).partition(" (parameter=")[0].rstrip(".") + "."
