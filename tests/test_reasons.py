"""Sentences for engines that did not start, from what vLLM says."""

import pytest

from streamspace.config import MOST_WORDS, load_config
from streamspace.forkserver import WHILE_LOADING, described
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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            "AssertionError: Attempted to load weight (torch.Size([192])) into parameter (torch.Size([256]))",
            "its weights are not those that its config.json describes: AssertionError: Attempted to load weight "
            "(torch.Size([192])) into parameter (torch.Size([256])) (the log has more).",
        ),
        (
            "RuntimeError: start (0) + length (256) exceeds dimension size (192).",
            "its weights are not those that its config.json describes: RuntimeError: start (0) + length (256) exceeds "
            "dimension size (192) (the log has more).",
        ),
        (
            "SafetensorError: Error while deserializing header: incomplete metadata",
            "a file of its weights is broken: SafetensorError: Error while deserializing header: incomplete metadata "
            "(the log has more).",
        ),
    ],
)
def test_weights_that_cannot_be_taken_are_told_once_and_for_all(words: str, sentence: str) -> None:
    told = of(PROCESS, WHILE_LOADING + words)
    assert told == Reason(f"vLLM could not start some/model: {sentence}", may_heal=False)


@pytest.mark.parametrize(
    "words",
    [
        "OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB.",
        "RuntimeError: [enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory",
        "RuntimeError: CUDA error: uncorrectable ECC error encountered",
        "OSError: [Errno 5] Input/output error",
        "SafetensorError: Error while reading: Cannot allocate memory (os error 12)",
    ],
)
def test_what_the_machine_lacks_for_a_moment_is_tried_again_also_while_weights_are_loaded(words: str) -> None:
    told = of(PROCESS, WHILE_LOADING + words)
    assert told.may_heal and ": its process failed: " in told.sentence and WHILE_LOADING not in told.sentence


def test_what_transformers_cannot_read_is_no_matter_of_trying() -> None:
    """It says so by an OSError without a number."""
    told = of(OSError("It looks like the config file at 'config.json' is not a valid JSON file."))
    assert not told.may_heal and "is not a valid JSON file" in told.sentence


def test_code_of_the_repositorys_own_is_told_with_the_flag_that_trusts_it() -> None:
    words = "The repository x contains custom code which must be executed to correctly load the model. You can inspect"
    assert of(ValueError(words)).sentence == (
        "vLLM could not start some/model: it needs Python code of its own repository: if you trust that, set "
        "--trust-remote-code."
    )


def test_a_pickle_of_other_things_is_told_without_vllms_advice_to_trust_it() -> None:
    words = "UnpicklingError: Weights only load failed. Re-running `torch.load` with `weights_only` set to `False` will"
    told = of(PROCESS, WHILE_LOADING + words)
    assert told.sentence.endswith("could run any program: take a repository with safetensors.") and not told.may_heal


def test_tensors_that_do_not_fit_each_other_are_no_matter_of_trying() -> None:
    assert not of(PROCESS, "RuntimeError: mat1 and mat2 shapes cannot be multiplied (1x192 and 256x64)").may_heal
    assert of(PROCESS, "RuntimeError: CUDA error: an illegal memory access, of size 4").may_heal


def test_the_engines_process_says_whether_it_was_taking_weights() -> None:
    def load_weights() -> None:
        raise AssertionError

    def profile() -> None:
        raise RuntimeError("no")

    for fail, words in ((load_weights, f"{WHILE_LOADING}AssertionError"), (profile, "RuntimeError: no")):
        with pytest.raises((AssertionError, RuntimeError)) as failed:
            fail()
        assert described(failed.value) == words


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
