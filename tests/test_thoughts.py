"""Thoughts and answers, by every reasoning parser of vLLM."""

import itertools
import random
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from streamspace.config import BUNDLED_MODEL
from streamspace.thoughts import Splitter, split_harmony
from streamspace.types import Split
from tests import mistral

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
        (Splitter(("<think>",), ("</think>",), ("<answer>",), is_open=True), "<answer>Four.", "", "Four."),
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


# What vLLM's parsers look for and the bundled model does not have.
TOKENS = """
    <|end|> <mm:think> </mm:think> <seed:think> </seed:think> <assistant> Ġ</ <|CHATBOT_TOKEN|>
    <|START_THINKING|> <|END_THINKING|> <|START_RESPONSE|> <|END_RESPONSE|> <|START_TEXT|> <|END_TEXT|>
""".split()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """The bundled model's, with the tokens that vLLM's parsers look for."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
    tokenizer.add_tokens(TOKENS)
    return tokenizer


@pytest.fixture(scope="module")
def splits(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Split]:
    """How texts are split for each of vLLM's parsers, by name; Mistral's wants a tokenizer of mistral-common's kind."""
    from vllm.reasoning import ReasoningParserManager
    from vllm.tokenizers.mistral import MistralTokenizer

    from streamspace.reasoning import of_parser

    of_mistral = MistralTokenizer.from_pretrained(mistral.write_tokenizer(tmp_path_factory.mktemp("tekken")))
    return {
        name: of_parser(name, of_mistral if name == "mistral" else tokenizer)
        for name in ReasoningParserManager.list_registered()
    }


def marked(split: Splitter) -> Iterator[str]:
    """MARKED and ANSWER as a model writes them that has these marks, once for each way to write them."""
    around = [(f"{begin}\n", end) for begin in split.answer_starts for end in split.answer_ends] or [("", "")]
    for start, end, (answer_start, answer_end) in itertools.product(split.starts, split.ends, around):
        yield f"{start}\n{MARKED}\n{end}\n\n{answer_start}{ANSWER}{answer_end}"


def shown_of(split: Split, text: str, chance: random.Random) -> Iterator[tuple[str, str]]:
    """What is shown of a text that comes in random parts, after each of them."""
    length = 0
    while length < len(text):
        length = min(len(text), length + chance.randrange(1, 12))
        yield split(text[:length], False)


def test_no_parser_of_vllm_shows_a_mark_or_depends_on_how_the_text_is_split(splits: dict[str, Split]) -> None:
    chance = random.Random(5)
    with_marks = {name: split for name, split in splits.items() if isinstance(split, Splitter)}
    assert set(splits) - set(with_marks) <= {"openai_gptoss", "muse_glimmer"}  # which are read as a whole
    assert {"qwen3", "deepseek_r1", "mistral", "gemma4", "granite"} <= set(with_marks)
    for name, split in with_marks.items():
        for text in marked(split):
            for _ in range(20):
                for thought, answer in shown_of(split, text, chance):
                    assert MARKED.startswith(thought.strip()) and ANSWER.startswith(answer), (name, thought, answer)
                assert (thought, answer) == split(text, True) == (MARKED, ANSWER), name


@pytest.mark.parametrize(
    ("name", "is_thought"),
    [("deepseek_r1", True), ("qwen3", True), ("cohere_command3", False), ("mistral", False), ("minimax_m3", False)],
)
def test_a_text_without_marks_is_what_the_parser_takes_it_for(
    name: str, is_thought: bool, splits: dict[str, Split]
) -> None:
    split = splits[name]
    assert isinstance(split, Splitter)
    by_itself = split.after("assistant\n")
    assert by_itself("Four.", True) == (("Four.", "") if is_thought else ("", "Four."))
    asked = split.after(f"assistant\n{split.starts[0]}\n")
    assert asked(f"2 and 2{split.ends[0]}Four.", True) == ("2 and 2", "Four.")


def test_marks_are_what_the_parsers_of_vllm_themselves_find(tokenizer: Any) -> None:
    from vllm.reasoning import ReasoningParserManager

    from streamspace.reasoning import FORMATS

    for name in {"cohere_command3", "cohere_command4", "gemma4", "granite", "hunyuan_a13b", "kimi_k3"} & {
        *ReasoningParserManager.list_registered()
    }:
        split = FORMATS[name]
        assert isinstance(split, Splitter)
        for text in marked(split):
            text = text.replace("\n\n<answer>", "\n<answer>")  # Hunyuan's parser takes one line break alone
            parser = ReasoningParserManager.get_reasoning_parser(name)(tokenizer)
            request: Any = SimpleNamespace(tools=None, tool_choice="none")
            found = [(part or "").strip() for part in parser.extract_reasoning(text, request)]
            assert (*found,) == split(text, True), name


def test_a_parser_that_reads_a_whole_text_does_not_depend_on_how_it_came(splits: dict[str, Split]) -> None:
    split = splits.get("muse_glimmer")
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
