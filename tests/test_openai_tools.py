"""Tools at /v1 on the real engine: calls that the model must make, and calls that it may make."""

import asyncio
import copy
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
import uvicorn
from anthropic import Anthropic
from openai import OpenAI

from streamspace.config import BUNDLED_MODEL, Config, load_config
from streamspace.openai_server import OpenAIServer
from tests.openai_client import GREEDY, HI, MODEL, client_of
from tests.support import Running, admission_of, free_port, wait_until

# How Qwen's and Hermes' templates tell of tools, and have them in a conversation.
TEMPLATE = """
{%- if tools %}<|im_start|>system
Tools: {{ tools | tojson }}. Call one as <tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>
{% endif %}
{%- for message in messages %}<|im_start|>{{ message.role }}
{{ message.content or '' }}
{%- for call in message.tool_calls or [] %}<tool_call>{{ call.function | tojson }}</tool_call>{% endfor %}<|im_end|>
{% endfor %}
{%- if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""
SCHEMA = {
    "type": "object",
    "properties": {"city": {"enum": ["Rome", "Paris"]}, "days": {"enum": [1, 2]}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOL: Any = {"type": "function", "function": {"name": "get_weather", "description": "", "parameters": SCHEMA}}
OTHER: Any = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}
NAMED: Any = {"type": "function", "function": {"name": "get_weather"}}


class Beside:
    """The engine with another configuration, and with these routes in the place of its own."""

    def __init__(self, engine: Any, config: Config, openai: Any) -> None:
        self._engine, self.config, self.openai = engine, config, openai

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


@contextmanager
def served_with(running: Running, template: Path, parser: str) -> Iterator[str]:
    """vLLM's routes once more, on the same engine, with this chat template and this parser of tool calls."""
    from streamspace import openai_vllm

    config = load_config(("--chat-template", str(template)), {"MODEL_ID": str(BUNDLED_MODEL)})
    engine = copy.copy(running.engine._vllm)
    assert engine is not None
    engine.tool_parser = parser
    app = openai_vllm.build(config, Path(BUNDLED_MODEL), engine)
    running.run(openai_vllm.start(app, engine, config))
    holder: Any = Beside(running.engine, config, app)
    server = uvicorn.Server(
        uvicorn.Config(OpenAIServer(holder, admission_of(running.engine)), port=free_port(), log_level="warning")
    )
    serving = asyncio.run_coroutine_threadsafe(server.serve(), running.loop)
    wait_until(lambda: server.started, what="the server's start")
    yield f"http://127.0.0.1:{server.config.port}"
    server.should_exit = True
    serving.result(20)


@pytest.fixture(scope="module")
def url(running: Running, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    template = tmp_path_factory.mktemp("template") / "tools.jinja"
    template.write_text(TEMPLATE)
    with served_with(running, template, "hermes") as url:
        yield url


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[OpenAI]:
    with client_of(url) as client:
        yield client


def calls_of(client: OpenAI, streamed: bool, **asked: Any) -> tuple[str, list[tuple[str, Any]], str]:
    """The text of an answer, its calls, and the reason of its end."""
    wanted = {"model": MODEL, "messages": HI, "temperature": 0, "max_tokens": 120, **asked}
    if not streamed:
        choice: Any = client.chat.completions.create(**wanted).choices[0]
        found = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls or ()]
        return choice.message.content or "", found, choice.finish_reason
    text, calls, reason = "", dict[int, list[str]](), ""
    for chunk in client.chat.completions.create(stream=True, **wanted):
        delta: Any = chunk.choices[0].delta
        text, reason = text + (delta.content or ""), chunk.choices[0].finish_reason or reason
        for call in delta.tool_calls or ():
            written = calls.setdefault(call.index, ["", ""])
            written[0] += call.function.name or ""
            written[1] += call.function.arguments or ""
    return text, [(name, json.loads(arguments)) for name, arguments in calls.values()], reason


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_tool_that_is_named_is_called_by_its_schema(client: OpenAI, streamed: bool) -> None:
    text, calls, _ = calls_of(client, streamed, tools=[TOOL, OTHER], tool_choice=NAMED)
    ((name, arguments),) = calls
    assert (
        (text, name) == ("", "get_weather") and arguments["city"] in ("Rome", "Paris") and arguments["days"] in (1, 2)
    )


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_some_tool_is_called_where_one_is_required(client: OpenAI, streamed: bool) -> None:
    asked = {"tools": [TOOL], "tool_choice": "required", "parallel_tool_calls": False}
    text, calls, reason = calls_of(client, streamed, **asked)
    assert (text, len(calls), reason) == ("", 1, "tool_calls")
    assert all(name == "get_weather" and set(arguments) == {"city", "days"} for name, arguments in calls)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("strict", [False, True])
def test_a_model_may_call_by_itself_with_no_flag(client: OpenAI, streamed: bool, strict: bool) -> None:
    tool = {"type": "function", "function": {**TOOL["function"], "strict": strict}}
    for choice in ("auto", openai.NOT_GIVEN):
        text, calls, reason = calls_of(client, streamed, tools=[tool], tool_choice=choice, max_tokens=12)
        assert text and not calls and reason in ("stop", "length")  # a greeting needs no tool
    text, calls, _ = calls_of(client, streamed, tools=[tool], tool_choice="none", max_tokens=12)
    assert text and not calls


def test_a_call_that_the_model_writes_is_one(client: OpenAI) -> None:
    """Forced by a regex, because the bundled model was taught another template."""
    written = '<tool_call>\n\\{"name": "get_weather", "arguments": \\{"city": "Rome", "days": 2\\}\\}\n</tool_call>'
    extra = {"structured_outputs": {"regex": f"I look\\. {written}"}}
    for streamed in (False, True):
        text, calls, reason = calls_of(client, streamed, tools=[TOOL], extra_body=extra)
        assert (text.strip(), calls, reason) == (
            "I look.",
            [("get_weather", {"city": "Rome", "days": 2})],
            "tool_calls",
        )
    extra = {"structured_outputs": {"regex": f"{written}\n{written}"}}
    for parallel, num in ((True, 2), (False, 1)):
        _, calls, _ = calls_of(client, True, tools=[TOOL], extra_body=extra, parallel_tool_calls=parallel)
        assert len(calls) == num


def test_the_result_of_a_tool_goes_back(client: OpenAI) -> None:
    call = {"id": "c1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Rome"}'}}
    messages: Any = [
        *HI,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c1", "content": "Sunny."},
    ]
    answer = client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL], **GREEDY)
    assert answer.choices[0].message.content


def test_tools_without_a_place_in_the_template_are_refused_in_a_sentence(running: Running, tmp_path: Path) -> None:
    template = tmp_path / "plain.jinja"
    template.write_text("{% for message in messages %}{{ message.content }}{% endfor %}")
    sentence = "This model's chat template has no tools: leave tools"
    with served_with(running, template, "") as url, client_of(url) as client:
        for choice in ("auto", "required", NAMED):
            with pytest.raises(openai.BadRequestError, match=sentence):
                client.chat.completions.create(model=MODEL, messages=HI, tools=[TOOL], tool_choice=choice)
        with (
            Anthropic(base_url=url, api_key="any", max_retries=0) as claude,
            pytest.raises(anthropic.BadRequestError, match=sentence),
        ):
            claude.messages.create(model=MODEL, messages=HI, max_tokens=2, tools=[CLAUDES])


@pytest.fixture(scope="module")
def claude(url: str) -> Iterator[Anthropic]:
    with Anthropic(base_url=url, api_key="any", max_retries=0) as client:
        yield client


CLAUDES: Any = {"name": "get_weather", "input_schema": SCHEMA}
OF_RESPONSES: Any = {"type": "function", "name": "get_weather", "parameters": SCHEMA, "strict": False}


def test_tools_are_called_through_anthropics_client(claude: Anthropic) -> None:
    choice: Any = {"type": "tool", "name": "get_weather"}
    asked: Any = {"model": MODEL, "messages": HI, "max_tokens": 60, "tools": [CLAUDES], "tool_choice": choice}
    message: Any
    block: Any
    for message in (claude.messages.create(**asked), claude.messages.stream(**asked).__enter__().get_final_message()):
        (block,) = message.content
        assert block.type == "tool_use" and block.name == "get_weather"
        assert isinstance(block.input, dict) and set(block.input) == {"city", "days"}
    result: Any = [{"type": "tool_result", "tool_use_id": block.id, "content": "Sunny."}]
    messages: Any = [*HI, {"role": "assistant", "content": message.content}, {"role": "user", "content": result}]
    assert claude.messages.create(model=MODEL, messages=messages, max_tokens=8, tools=[CLAUDES]).content
    cut = claude.messages.create(**{**asked, "max_tokens": 3})
    assert cut.stop_reason == "max_tokens" and cut.content[0].type == "text"  # half of a call is no call


def test_tools_are_called_through_the_responses_api(client: OpenAI) -> None:
    choice: Any = {"type": "function", "name": "get_weather"}
    asked: Any = {"model": MODEL, "input": "Hi", "max_output_tokens": 60, "tools": [OF_RESPONSES]}
    call: Any = client.responses.create(**asked, tool_choice=choice).output[0]
    assert call.type == "function_call" and set(json.loads(call.arguments)) == {"city", "days"}
    with client.responses.stream(**asked, tool_choice=choice) as stream:
        written = "".join(e.delta for e in stream if e.type == "response.function_call_arguments.delta")
    assert set(json.loads(written)) == {"city", "days"}
    result: Any = {"type": "function_call_output", "call_id": call.call_id, "output": "Sunny."}
    more = client.responses.create(**{**asked, "input": [*HI, call.to_dict(), result], "max_output_tokens": 8})
    assert more.output
