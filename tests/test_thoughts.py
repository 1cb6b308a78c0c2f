"""Thoughts and answers, by every reasoning parser of vLLM that works with the bundled model's tokenizer."""

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest

from streamspace.config import BUNDLED_MODEL
from streamspace.messages import Split
from streamspace.thoughts import Splitter, split_harmony

THINK = Splitter("<think>", "</think>")


@pytest.mark.parametrize(
    ("split", "text", "thought", "answer"),
    [
        (THINK, "<think>\n2 and 2\n</think>\n\nFour.", "2 and 2", "Four."),
        (THINK, "Four, not <think>five</think>.", "", "Four, not <think>five</think>."),
        (THINK, "<think></think>Four.", "", "Four."),
        (THINK, "<", "", "<"),
        (Splitter("<think>", "</think>", is_open=True), "2 and 2</think>Four.", "2 and 2", "Four."),
        (Splitter("<think>", "</think>", is_open=True), "<think>2 and 2</think>Four.", "2 and 2", "Four."),
        (Splitter("<think>", "</think>", is_begun=True), " and 2\n</think>\nFour.", " and 2", "Four."),
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
    """The bundled model's, with the marks that vLLM's parsers look for."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
    tokenizer.add_tokens(["<mm:think>", "</mm:think>", "<seed:think>", "</seed:think>", "[THINK]", "[/THINK]"])
    return tokenizer


def parsers(tokenizer: Any) -> Iterator[tuple[str, Any]]:
    """Those of vLLM's parsers that can be made for this tokenizer, by name."""
    from vllm.reasoning import ReasoningParserManager

    for name in ReasoningParserManager.list_registered():
        try:
            yield name, ReasoningParserManager.get_reasoning_parser(name)(tokenizer)
        except (ImportError, KeyError, RuntimeError, ValueError):
            continue


def test_no_parser_of_vllm_shows_a_mark_or_depends_on_how_the_text_is_split(tokenizer: Any) -> None:
    from streamspace.reasoning import Marks, of_parser

    chance = random.Random(5)
    marked = []
    for name, parser in parsers(tokenizer):
        if name == "openai_gptoss":  # it only knows where a thought ends; `split_harmony` reads its texts
            continue
        thoughts = of_parser(parser)
        split = thoughts.split("<|im_start|>assistant\n")
        start, end = (thoughts.start, thoughts.end) if isinstance(thoughts, Marks) else ("<think>", "</think>")
        text = f"{start}\n{MARKED}\n{end}\n\n{ANSWER}"
        whole = split(text, True)
        for _ in range(20):
            length = 0
            while length < len(text):
                length = min(len(text), length + chance.randrange(1, 12))
                thought, answer = split(text[:length], False)
                if isinstance(thoughts, Marks):
                    assert MARKED.startswith(thought.strip()) and ANSWER.startswith(answer), name
            assert (thought, answer) == whole, name
        if isinstance(thoughts, Marks):
            assert whole == (MARKED, ANSWER), name
            marked.append(name)
    assert {"qwen3", "deepseek_r1", "glm45", "step3", "kimi_k2", "minimax_m3"} <= set(marked)


def test_a_parser_that_vllm_does_not_have_is_refused() -> None:
    from streamspace.errors import ConfigError
    from streamspace.reasoning import check_parser

    with pytest.raises(ConfigError, match=r"--reasoning-parser is 'qwen33'; there are .*qwen3"):
        check_parser("qwen33", has_plugin=False)
    check_parser("qwen33", has_plugin=True)
    check_parser("", has_plugin=False)
