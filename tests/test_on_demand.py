"""Outputs on demand are those of vLLM's own output processor, with the same text, tokens and end."""

import asyncio
import random
import weakref
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer
from vllm import RequestOutput, SamplingParams
from vllm.outputs import CompletionOutput
from vllm.sampling_params import RequestOutputKind
from vllm.v1.engine import EngineCoreOutput, EngineCoreRequest, FinishReason
from vllm.v1.engine.output_processor import OutputProcessor, RequestOutputCollector
from vllm.v1.outputs import LogprobsLists

from streamspace.config import BUNDLED_MODEL
from streamspace.vllm_internals import on_demand

TOKENIZER = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
TEXT = (
    "The sea is wide 🌊, and **nobody** knows it whole. 大海很宽。\n\n1. `sum(forces)`\n2. Cafés & naïve 👩‍🚀 robots.\n"
)


class Answer:
    """One request in vLLM's output processor; `step` is what the engine's process sends of it."""

    def __init__(self, *, is_on_demand: bool, **params: Any) -> None:
        self.processor = OutputProcessor(TOKENIZER, log_stats=False)
        self.queue = RequestOutputCollector(RequestOutputKind.DELTA, "inside")
        sampling = SamplingParams(output_kind=RequestOutputKind.DELTA, max_tokens=10_000, **params)
        request = EngineCoreRequest(
            request_id="inside",
            external_req_id="outside",
            prompt_token_ids=[1, 2, 3],
            mm_features=None,
            sampling_params=sampling,
            pooling_params=None,
            arrival_time=0.0,
            lora_request=None,
            cache_salt=None,
            data_parallel_rank=None,
        )
        self.processor.add_request(request, None, None, 0, self.queue)
        self.state: Any = self.processor.request_states["inside"]
        self.block = on_demand(self.processor, "outside") if is_on_demand else nullcontext()

    def step(self, *token_ids: int, end: FinishReason | None = None) -> None:
        logprobs = None
        if self.state.logprobs_processor.num_logprobs is not None:
            logprobs = _logprobs(token_ids)
        self.processor.process_outputs([EngineCoreOutput("inside", [*token_ids], logprobs, finish_reason=end)])


def _logprobs(token_ids: Sequence[int]) -> LogprobsLists:
    ids = np.array([[one, one + 1] for one in token_ids])
    return LogprobsLists(ids, np.array([[-one / 1000, -9.0] for one in token_ids]), np.ones(len(token_ids)))


def read(answer: Answer, token_ids: Sequence[int], pauses: Iterator[int], end: FinishReason) -> list[Any]:
    """The outputs of a reader who asks after every `next(pauses)` tokens, and after the last one."""
    outputs, left = [], next(pauses)
    for number, token_id in enumerate(token_ids, 1):
        is_last = number == len(token_ids)
        answer.step(token_id, end=end if is_last else None)
        left -= 1
        if left <= 0 or is_last:
            outputs.append(answer.queue.get_nowait())
            left = next(pauses)
    return [output for output in outputs if output]


def _pauses(draw: random.Random) -> Iterator[int]:
    while True:
        yield draw.randint(1, 9)


def parts(outputs: Sequence[RequestOutput]) -> list[CompletionOutput]:
    return [part for output in outputs for part in output.outputs]


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize(
    "params",
    [{}, {"skip_special_tokens": False}, {"stop": ["Cafés", "never"]}, {"logprobs": 1}],
    ids=["plain", "special", "stop", "logprobs"],
)
def test_whoever_reads_when_gets_the_same(seed: int, params: dict[str, Any]) -> None:
    draw = random.Random(seed)
    told = list(TOKENIZER(TEXT)["input_ids"])
    token_ids = told if seed % 2 else [draw.randrange(len(TOKENIZER)) for _ in range(60)]
    end = draw.choice([FinishReason.STOP, FinishReason.LENGTH])
    seen = []
    for is_on_demand in (False, True):
        answer = Answer(is_on_demand=is_on_demand, **params)
        pace = random.Random(seed)
        with answer.block:
            outputs = read(answer, token_ids, _pauses(pace), end)
        all_parts = parts(outputs)
        logprobs = [one for part in all_parts for one in part.logprobs or ()]
        seen.append(
            (
                [part.text for part in all_parts],
                [list(part.token_ids) for part in all_parts],
                [
                    (output.finished, output.outputs[0].finish_reason, output.outputs[0].stop_reason)
                    for output in outputs
                ],
                logprobs,
            )
        )
    plain, demanded = seen
    assert demanded == plain
    assert demanded[2][-1][0], "The last output says that the request has finished."
    assert any(len(one) > 1 for one in demanded[1]), "Some output has several tokens."


def test_nothing_is_made_that_nobody_asks_for() -> None:
    answer = Answer(is_on_demand=True)
    with answer.block:
        for token_id in range(100, 110):
            answer.step(token_id)
        assert answer.queue.output is None
        output = answer.queue.get_nowait()
        assert isinstance(output, RequestOutput)
        assert list(output.outputs[0].token_ids) == list(range(100, 110))
        assert answer.queue.get_nowait() is None, "There is nothing new."


def test_a_reader_who_waits_gets_the_next_token_at_once_and_no_other_by_it() -> None:
    async def wait() -> None:
        answer = Answer(is_on_demand=True)
        with answer.block:
            reading = asyncio.create_task(answer.queue.get())
            await asyncio.sleep(0)
            answer.step(100)
            answer.step(101)
            first = await reading
            assert isinstance(first, RequestOutput)
            assert list(first.outputs[0].token_ids) == [100]
            second = answer.queue.get_nowait()
            assert isinstance(second, RequestOutput)
            assert list(second.outputs[0].token_ids) == [101]

    asyncio.run(wait())


def test_an_aborted_request_ends_with_what_came() -> None:
    answer = Answer(is_on_demand=True)
    with answer.block:
        answer.step(100)
        answer.step(101)
        answer.processor.abort_requests(["outside"], internal=False)
        output = answer.queue.get_nowait()
        assert isinstance(output, RequestOutput)
        assert list(output.outputs[0].token_ids) == [100, 101]
        assert output.outputs[0].finish_reason == "abort"


def test_an_error_reaches_the_reader() -> None:
    answer = Answer(is_on_demand=True)
    with answer.block:
        answer.step(100)
        answer.processor.propagate_error(RuntimeError("The engine has died."))
        with pytest.raises(RuntimeError, match="has died"):
            answer.queue.get_nowait()


def test_the_operators_interval_holds_nothing_back() -> None:
    answer = Answer(is_on_demand=True)
    answer.state.stream_interval = 50
    with answer.block:
        answer.step(100)
        output = answer.queue.get_nowait()
        assert isinstance(output, RequestOutput)
        assert list(output.outputs[0].token_ids) == [100]


def test_a_request_that_has_ended_is_left_alone() -> None:
    answer = Answer(is_on_demand=True)
    answer.step(100, end=FinishReason.STOP)
    with answer.block:
        assert parts([answer.queue.get_nowait()])[0].finish_reason == "stop"  # type: ignore[list-item]
    with on_demand(answer.processor, "never sent"):
        pass


def test_after_the_block_nothing_holds_the_request_in_memory() -> None:
    answer = Answer(is_on_demand=True)
    with answer.block:
        answer.step(100, end=FinishReason.STOP)
    state = weakref.ref(answer.state)
    del answer
    assert state() is None, "Only the garbage collector would find it."
