"""Sentences for engines that did not start, from what vLLM says."""

import pytest

from streamspace.config import MOST_WORDS, load_config
from streamspace.reasons import Reason, first_sentences, reason

CONFIG = load_config((), {"MODEL_ID": "some/model"})
PROCESS = RuntimeError("Engine core initialization failed. See root cause above. Failed core proc(s): {}")
NEEDED = (
    "ValueError: To serve at least one request with the model's max seq len (40960), ({}4.38 GiB KV cache is needed, "
    "which is larger than the available KV cache memory (1.0 GiB). {}Try increasing `gpu_memory_utilization` (which "
    "also controls CPU memory on the CPU backend) or decreasing `max_model_len` when initializing the engine."
)
FITS = "Based on the available memory, the estimated maximum model length is 9344. "


def of(error: Exception, last_words: str = "", has_gpu: bool = False) -> Reason:
    return reason(error, last_words, CONFIG, has_gpu)


@pytest.mark.parametrize("has_gpu", [True, False])
def test_a_context_without_room_is_told_with_the_number_that_fits_and_flags_that_help(has_gpu: bool) -> None:
    flag = "raise --gpu-memory-utilization" if has_gpu else "give it more by --kv-cache-memory-bytes"
    assert of(PROCESS, NEEDED.format("", FITS), has_gpu) == Reason(
        "vLLM could not start some/model: a context of 40960 tokens needs 4.38 GiB of KV cache, and there are 1.0 GiB: "
        f"set --max-model-len 9344, or leave it out for the longest that fits, or {flag}.",
        may_heal=False,
    )
    assert "set a smaller --max-model-len, or" in of(PROCESS, NEEDED.format("", ""), has_gpu).sentence


def test_no_room_for_any_context_names_what_helps_on_this_machine() -> None:
    words = "ValueError: Cannot auto-fit max_model_len: not enough GPU memory available to serve even a single token."
    assert "--tensor-parallel-size" in of(PROCESS, words, has_gpu=True).sentence
    assert "a machine with more memory" in of(PROCESS, words).sentence
    assert not of(PROCESS, words).may_heal


def test_a_refusal_is_final_and_a_process_that_broke_is_not() -> None:
    assert not of(ValueError("no such thing")).may_heal
    assert not of(PROCESS, "ValueError: no such thing").may_heal
    assert not of(PROCESS, "NotImplementedError: no such thing").may_heal
    assert of(PROCESS, "RuntimeError: out of luck").may_heal
    assert of(PROCESS).may_heal and of(PROCESS).sentence.endswith("its process failed (the log may say why).")
    assert of(OSError(28, "No space left on device", "/secret/file")) == Reason(
        "vLLM could not start some/model: No space left on device (the log has more).", may_heal=True
    )


def test_the_cause_in_a_validation_error_is_told_without_its_decoration() -> None:
    words = (
        "1 validation error for ModelConfig\n  Value error, Model architectures ['Foo'] are not supported for now. "
        "[type=value_error, input_value=ArgsKwargs((), {}), input_type=ArgsKwargs]\n    For further information visit x"
    )
    assert of(ValueError(words)).sentence == (
        "vLLM could not start some/model: Model architectures ['Foo'] are not supported for now (the log has more)."
    )


def test_a_long_quotation_ends_with_a_sentence_or_at_least_a_word() -> None:
    assert first_sentences("It is so.") == "It is so"
    assert first_sentences("It is version 0.29 of this. " + "And more. " * 60).endswith("And more")
    assert first_sentences("First. Then " + "word " * 100) == "First"
    cut = first_sentences("word " * 100)
    assert cut.endswith("word…") and len(cut) <= MOST_WORDS
    assert len(first_sentences("x" * 1000)) == MOST_WORDS + 1
