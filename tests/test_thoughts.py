"""Thoughts and answers, by every reasoning parser of vLLM that works with the bundled model's tokenizer."""

import random
import re
from collections.abc import Iterator
from contextlib import suppress
from types import SimpleNamespace
from typing import Any

import pytest

from streamspace.config import BUNDLED_MODEL
from streamspace.messages import Split
from streamspace.thoughts import Splitter, split_harmony

THINK = Splitter(("<think>",), ("</think>",))


@pytest.mark.parametrize(
    ("split", "text", "thought", "answer"),
    [
        (THINK, "<think>\n2 and 2\n</think>\n\nFour.", "2 and 2", "Four."),
        (THINK, "Four, not <think>five</think>.", "", "Four, not <think>five</think>."),
        (THINK, "<think></think>Four.", "", "Four."),
        (THINK, "<", "", "<"),
        (Splitter(("<think>",), ("</think>",), is_open=True), "2 and 2</think>Four.", "2 and 2", "Four."),
        (Splitter(("<think>",), ("</think>",), is_open=True), "<think>2 and 2</think>Four.", "2 and 2", "Four."),
        (Splitter(("<think>",), ("</think>",), is_begun=True), " and 2\n</think>\nFour.", " and 2", "Four."),
        (split_harmony, "Four.", "", "Four."),
        (
            split_harmony,
            "<|channel|>analysis<|message|>2 and 2<|end|><|start|>assistant<|channel|>final<|message|>Four.",
            "2 and 2",
            "Four.",
        ),
    ],
)
def test_a_text_is_thought_and_answer(split: Split, text: str, thought: str, answer: str) -> None:
    assert split(text, True) == (thought, answer)
    for length in range(len(text)):  # a mark that has not wholly arrived is not shown
        for part in split(text[:length], False):
            assert part in answer or not re.search(r"<[/|]?\w*\|?$", part)


def test_a_thought_that_is_cut_off_is_a_thought() -> None:
    assert THINK("<think>\n2 and", True) == ("2 and", "")
    assert split_harmony("<|channel|>analysis<|message|>2 and", True) == ("2 and", "")


MARKED = "Two and two are four: 2 < 3.\nSo I say it."
ANSWER = "Four.\n\n```html\n<b>4</b>\n```\n它是四。"


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """The bundled model's, with the tokens that vLLM's parsers look for."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
    tokenizer.add_tokens(["<mm:think>", "</mm:think>", "<seed:think>", "</seed:think>", "<assistant>", "Ġ</"])
    return tokenizer


def splits(tokenizer: Any) -> dict[str, Split]:
    """How texts are split for each of vLLM's parsers that can be made here, by name."""
    from vllm.reasoning import ReasoningParserManager

    from streamspace.reasoning import of_parser

    made = {}
    for name in ReasoningParserManager.list_registered():
        # Without a package, a token, or Mistral's own tokenizer.
        with suppress(ImportError, KeyError, RuntimeError, ValueError):
            made[name] = of_parser(name, tokenizer)
    return made


def marked(split: Splitter) -> Iterator[str]:
    """MARKED and ANSWER as a model writes them that has these marks, once for each way to write them."""
    begins = f"{split.answer_starts[0]}\n" if split.answer_starts else ""
    for start in split.starts:
        for end in split.ends:
            yield f"{start}\n{MARKED}\n{end}\n\n{begins}{ANSWER}{split.answer_end}"


def shown_of(split: Split, text: str, chance: random.Random) -> Iterator[tuple[str, str]]:
    """What is shown of a text that comes in random parts, after each of them."""
    length = 0
    while length < len(text):
        length = min(len(text), length + chance.randrange(1, 12))
        yield split(text[:length], False)


def test_no_parser_of_vllm_shows_a_mark_or_depends_on_how_the_text_is_split(tokenizer: Any) -> None:
    chance = random.Random(5)
    made = splits(tokenizer)
    with_marks = {name: split for name, split in made.items() if isinstance(split, Splitter)}
    assert set(made) - set(with_marks) <= {"openai_gptoss", "muse_glimmer"}  # which are read as a whole
    assert {"qwen3", "deepseek_r1", "glm45", "step3", "kimi_k2", "minimax_m3"} <= set(with_marks)
    assert {"deepseek_v3", "poolside_v1", "olmo3", "gemma4", "granite", "hunyuan_a13b"} <= set(with_marks)
    for name, split in with_marks.items():
        for text in marked(split):
            for _ in range(20):
                for thought, answer in shown_of(split, text, chance):
                    assert MARKED.startswith(thought.strip()) and ANSWER.startswith(answer), (name, thought, answer)
                assert (thought, answer) == split(text, True) == (MARKED, ANSWER), name


def test_marks_are_what_the_parsers_of_vllm_themselves_find(tokenizer: Any) -> None:
    from vllm.reasoning import ReasoningParserManager

    from streamspace.reasoning import FORMATS

    for name in {"gemma4", "granite", "hunyuan_a13b", "kimi_k3"} & {*ReasoningParserManager.list_registered()}:
        split = FORMATS[name]
        assert isinstance(split, Splitter)
        for text in marked(split):
            text = text.replace("\n\n<answer>", "\n<answer>")  # Hunyuan's parser takes one line break alone
            parser = ReasoningParserManager.get_reasoning_parser(name)(tokenizer)
            request: Any = SimpleNamespace(tools=None, tool_choice="none")
            found = [(part or "").strip() for part in parser.extract_reasoning(text, request)]
            assert (*found,) == split(text, True), name


def test_a_parser_that_reads_a_whole_text_does_not_depend_on_how_it_came(tokenizer: Any) -> None:
    split = splits(tokenizer).get("muse_glimmer")
    if split is None:
        pytest.skip("this vLLM has no such parser")
    text = f"to=self<|message|>{MARKED}<|eom|>to=user<|message|>{ANSWER}<|eot|>"
    chance = random.Random(5)
    for _ in range(20):
        *_, last = shown_of(split, text, chance)
        assert last == (MARKED, ANSWER)


def test_a_parser_that_vllm_does_not_have_is_refused() -> None:
    from streamspace.errors import ConfigError
    from streamspace.reasoning import check_parser

    with pytest.raises(ConfigError, match=r"--reasoning-parser is 'qwen33'; there are .*qwen3"):
        check_parser("qwen33", has_plugin=False)
    check_parser("qwen33", has_plugin=True)
    check_parser("", has_plugin=False)
