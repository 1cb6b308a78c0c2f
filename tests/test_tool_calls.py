"""Calls of tools, by every tool parser of vLLM that can be made here, however the text comes."""

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from types import SimpleNamespace
from typing import Any

import pytest

from streamspace.config import BUNDLED_MODEL
from streamspace.errors import ConfigError
from tests import mistral
from tests.tool_formats import ALONE, FORMATS, ONE, SINGLE, TOKENS, TOOLS, TWO, Call

NAMES = {tool["function"]["name"] for tool in TOOLS}
BEFORE = "Let me look.\n"
PLAIN = [
    "The answer is 4: a < b, [1, 2] and {\"x\": 1}.\n\n```python\nprint('<b>')\n```\nfunction f(x) = 2.\n它是四。",
    *("1 <", "two {", "It is <to", "x"),
]
SIZES = (1, 10, 10**6)  # characters of a delta; the last is a whole answer
# The tokens that vLLM's server must find by its own names, and a parser written in Rust that is not in every build.
NOT_HERE = {"openai", "minimax_m3"}
MARKED = "muse_glimmer"  # whose plain answers have marks too
AS_VLLM = {"kimi_k3"}  # which vLLM's server wants to know by its own name


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """The bundled model's, with the tokens that vLLM's parsers look for."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
    tokenizer.add_tokens(TOKENS)
    return tokenizer


@cache
def registered(name: str, tokenizer: Any) -> str:
    from streamspace.tool_calls import register

    return register(name, tokenizer, "guidance")


@cache
def ids_of(tokenizer: Any, char: str) -> list[int]:
    ids: list[int] = tokenizer.encode(char, add_special_tokens=False)
    return ids


class Answer:
    """One answer, read by vLLM's server through the parser of this name."""

    def __init__(self, tokenizer: Any, name: str, choice: Any = "auto") -> None:
        from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
        from vllm.parser import ParserManager

        messages: Any = [{"role": "user", "content": "x"}]
        asked: dict[str, Any] = {"messages": messages, "model": "m", "tools": TOOLS, "tool_choice": choice}
        self.request = ChatCompletionRequest(**asked)
        self.tokenizer = tokenizer
        suited = registered(name, tokenizer)
        kind: Any = ParserManager.get_parser(tool_parser_name=suited, enable_auto_tools=True)
        self.parser = kind(tokenizer, self.request.tools, chat_template_kwargs={"enable_thinking": False})
        self.content = ""
        self.calls: dict[int, list[str]] = {}

    def whole(self, text: str) -> tuple[str, list[Call]]:
        token_ids = [token_id for _, ids in self.units(text) for token_id in ids]
        _, content, calls = self.parser.parse(text, self.request, True, token_ids)
        return content or "", [(call.name, json.loads(call.arguments)) for call in calls or ()]

    def streamed(self, text: str, size: int) -> tuple[str, list[Call]]:
        pieces = list(self.pieces(text, size))
        for number, (piece, token_ids) in enumerate(pieces):
            is_last = number == len(pieces) - 1
            self.add(self.parser.parse_delta(piece, token_ids, self.request, [1, 2], finished=is_last))
            assert {name for name, _ in self.calls.values()} <= NAMES
        return self.content, [(name, json.loads(arguments)) for _, (name, arguments) in sorted(self.calls.items())]

    def add(self, delta: Any) -> None:
        self.content += (delta and delta.content) or ""
        for call in (delta and delta.tool_calls) or ():
            so_far = self.calls.setdefault(call.index, ["", ""])
            so_far[0] += call.function.name or ""
            so_far[1] += call.function.arguments or ""

    def units(self, text: str) -> Iterator[tuple[str, list[int]]]:
        """Marks that are one token as a whole, and other text by characters."""
        marks = "|".join(re.escape(token) for token in sorted(TOKENS, key=len, reverse=True))
        for part in re.split(f"({marks})", text):
            if part in TOKENS:
                yield part, [self.tokenizer.get_vocab()[part]]
            else:
                yield from ((char, ids_of(self.tokenizer, char)) for char in part)

    def pieces(self, text: str, size: int) -> Iterator[tuple[str, list[int]]]:
        piece, token_ids = "", list[int]()
        for unit, ids in self.units(text):
            piece, token_ids = piece + unit, token_ids + ids
            if len(piece) >= size:
                yield piece, token_ids
                piece, token_ids = "", []
        if piece:
            yield piece, token_ids


def answers(name: str) -> Iterator[tuple[str, str, Sequence[Call]]]:
    """Texts of a family with what is said and called in them."""
    for before in ("",) if name in ALONE else ("", BEFORE):
        for calls in (ONE,) if name in SINGLE else (ONE, TWO):
            said = f" to=user<|message|>{before}<|eom|>" if before and name == MARKED else before
            yield said + FORMATS[name](calls), before, calls


def test_every_parser_of_vllm_has_its_format() -> None:
    from vllm.tool_parsers import ToolParserManager

    known = {name for name in ToolParserManager.list_registered() if not name.startswith("streamspace_")}
    assert known - NOT_HERE <= set(FORMATS)


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_calls_are_found_and_no_text_is_lost_however_an_answer_comes(name: str, tokenizer: Any) -> None:
    for text, said, calls in answers(name):
        content, found = Answer(tokenizer, name).whole(text)
        assert (content.strip(), found) == (said.strip(), calls)
        for size in SIZES:
            content, found = Answer(tokenizer, name).streamed(text, size)
            assert (content.strip(), found) == (said.strip(), calls), size


@pytest.mark.parametrize("name", sorted(FORMATS))
def test_plain_answers_are_untouched(name: str, tokenizer: Any) -> None:
    for text in PLAIN[:1] if name in AS_VLLM else PLAIN:
        marked = f" to=user<|message|>{text}<|eot|>" if name == MARKED else text
        assert name == MARKED or Answer(tokenizer, name).whole(text) == (text, [])
        for size in SIZES[::2]:
            assert Answer(tokenizer, name).streamed(marked, size) == (text, []), size


@pytest.mark.parametrize("name", sorted(set(FORMATS) - AS_VLLM))
def test_forced_calls_are_read_as_json(name: str, tokenizer: Any) -> None:
    required = json.dumps([{"name": tool, "parameters": arguments} for tool, arguments in TWO], ensure_ascii=False)
    one = {"type": "function", "function": {"name": "get_weather"}}
    for choice, text, calls in (("required", required, TWO), (one, json.dumps(ONE[0][1]), ONE)):
        answer = Answer(tokenizer, name, choice)
        answer.parser.adjust_request(answer.request)
        params: Any = answer.request.structured_outputs
        assert params.json and not params.structural_tag  # which the backend of constraints does not know
        assert answer.whole(text) == ("", calls)
        for size in SIZES:
            assert Answer(tokenizer, name, choice).streamed(text, size) == ("", calls), size


@pytest.mark.parametrize("name", sorted(set(FORMATS) - AS_VLLM))
def test_without_a_choice_of_tools_an_answer_is_text(name: str, tokenizer: Any) -> None:
    for text, _, _ in answers(name):
        assert Answer(tokenizer, name, "none").whole(text) == (text, [])
        assert Answer(tokenizer, name, "none").streamed(text, 10) == (text, [])


@pytest.mark.parametrize("name", ["hermes", "llama3_json", "qwen3_coder", "kimi_k2"])
def test_strict_tools_constrain_the_calls_that_a_model_makes_by_itself(
    name: str, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_ENFORCE_STRICT_TOOL_CALLING", "1")  # another test may have started an engine here
    from vllm.v1.structured_output.backend_guidance import serialize_guidance_grammar
    from vllm.v1.structured_output.backend_types import StructuredOutputOptions

    answer = Answer(tokenizer, name)
    strict: Any = answer.request.tools[0] if answer.request.tools else None
    strict.function.strict = True
    answer.parser.adjust_request(answer.request)
    params: Any = answer.request.structured_outputs
    if name in ("qwen3_coder", "kimi_k2"):  # whose arguments are no plain JSON
        assert params is None
        return
    tag = json.loads(params.structural_tag)
    schema = TOOLS[0]["function"]["parameters"]
    assert tag["structures"][0]["begin"].startswith(tag["triggers"][0]) and tag["structures"][0]["schema"] == schema
    assert "get_weather" in serialize_guidance_grammar(StructuredOutputOptions.STRUCTURAL_TAG, params.structural_tag)


def model(kind: str = "llama") -> Any:
    return SimpleNamespace(hf_config=SimpleNamespace(model_type=kind))


# What the published templates have in them, in a sentence of each.
TEMPLATES = {
    "hermes": '<tool_call>\n{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call>',
    "qwen3_coder": "<tool_call>\n<function=example>\n<parameter=x>\n",
    "glm45": "<tool_call>{function-name}\n<arg_key>{arg-key-1}</arg_key>\n<arg_value>",
    "mistral": "{{- '[TOOL_CALLS]' }}",
    "llama3_json": '{"name": function name, "parameters": dictionary of argument name and its value}',
    "deepseek_v3": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>' + tool['type'] + '<｜tool▁sep｜>' + '\\n' + '```json'",
    "deepseek_v31": "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>'+ tool['function']['name'] + '<｜tool▁sep｜>'",
    "kimi_k2": "<|tool_calls_section_begin|>",
    "granite": "respond with <|tool_call|> followed by a JSON list of tools used",
    "lfm2": "List of tools: <|tool_list_start|>[",
    "olmo3": "wrapped in <function_calls></function_calls> XML tags",
    "gemma4": "<|tool_call>call:",
    "seed_oss": "{%- set toolcall_begin_token = '<seed:tool_call>' -%}",
    "minimax_m2": "{%- set toolcall_begin_token = '<minimax:tool_call>' -%}",
    "hunyuan_a13b": '<tool_calls>[{"name": "',
    "pythonic": "[func_name1(params_name1=params_value1, params_name2=params_value2...), func_name2(params)]",
    "xlam": '[{"name": "tool_call_name", "arguments": {"arg1": "value1"',
    "": "{{ message.content }}",
}


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_tells_the_parser(name: str, tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamspace.tool_calls import tool_parser_of

    monkeypatch.setattr(tokenizer, "chat_template", TEMPLATES[name])
    if name == "hunyuan_a13b":  # Jamba's tokenizer has the mark as a token, which tells the two apart
        vocabulary = {token: n for token, n in tokenizer.get_vocab().items() if token != "<tool_calls>"}
        monkeypatch.setattr(tokenizer, "get_vocab", lambda: vocabulary)
    assert tool_parser_of(model(), "", tokenizer) == name
    assert tool_parser_of(model(), "jamba", tokenizer) == "jamba" if name != "hunyuan_a13b" else True


def test_the_type_of_a_model_tells_families_with_one_mark_apart(tokenizer: Any, tmp_path: Any) -> None:
    from vllm.tokenizers.mistral import MistralTokenizer

    from streamspace.tool_calls import tool_parser_of

    for kind, name in {"gpt_oss": "openai", "granitemoehybrid": "granite4", "step3p5": "step3p5"}.items():
        assert tool_parser_of(model(kind), "", tokenizer) == name
    of_mistral = MistralTokenizer.from_pretrained(mistral.write_tokenizer(tmp_path))
    assert tool_parser_of(model(), "", of_mistral) == "mistral"


def test_a_parser_that_does_not_suit_or_does_not_exist_is_refused(tokenizer: Any) -> None:
    from transformers import AutoTokenizer

    from streamspace.tool_calls import check_tool_parser, tool_parser_of

    with pytest.raises(ConfigError, match=r"--tool-call-parser is 'hermess'; there are .*hermes, "):
        check_tool_parser("hermess", "")
    without = AutoTokenizer.from_pretrained(BUNDLED_MODEL)
    with pytest.raises(ConfigError, match="--tool-call-parser jamba does not suit this model: "):
        tool_parser_of(model(), "jamba", without)
