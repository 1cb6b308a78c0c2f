"""Anthropic's Messages and OpenAI's Responses at /v1, and the tokenizer, through the official clients."""

import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from anthropic import Anthropic
from openai import OpenAI

from streamspace.errors import BlindModel
from tests.client import JSON, ask
from tests.openai_client import HI, MODEL, client_of
from tests.support import Running, wait_until
from tests.test_openai_server import Site, handler, open_site  # noqa: F401

CHAT: Any = {"model": MODEL, "messages": HI, "max_tokens": 24, "temperature": 0}
GREEDY: Any = {"model": MODEL, "messages": HI, "max_tokens": 24, "extra_body": {"temperature": 0}}  # no more in its SDK
PICTURE = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
RESULT = {"type": "tool_result", "tool_use_id": "t1", "content": [PICTURE]}
OF_OPENAI = {"type": "input_image", "image_url": "data:image/png;base64,AAAA"}
BLIND = str(BlindModel())
ASKED: Any = {"model": MODEL, "input": HI[0]["content"], "max_output_tokens": 24, "temperature": 0}


@pytest.fixture(scope="module")
def claude(running: Running) -> Iterator[Anthropic]:
    with Anthropic(base_url=running.url, api_key="any", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[OpenAI]:
    with client_of(running.url) as client:
        yield client


def test_messages_and_responses_say_what_a_chat_completion_says(claude: Anthropic, client: OpenAI) -> None:
    said = client.chat.completions.create(**CHAT).choices[0].message.content
    message = claude.messages.create(**GREEDY)
    assert message.content[0].type == "text" and message.content[0].text == said
    assert message.stop_reason in ("end_turn", "max_tokens") and message.usage.output_tokens > 1
    with claude.messages.stream(**GREEDY) as stream:
        assert "".join(stream.text_stream) == said
        assert stream.get_final_message().usage.output_tokens == message.usage.output_tokens
    response = client.responses.create(**ASKED)
    assert response.output_text == said
    with client.responses.stream(**ASKED) as events:
        deltas = [event.delta for event in events if event.type == "response.output_text.delta"]
    assert "".join(deltas) == said


def test_a_system_prompt_and_blocks_and_a_prefill_are_read(claude: Anthropic, client: OpenAI) -> None:
    blocks: Any = [{"type": "text", "text": HI[0]["content"]}]
    system: Any = [{"type": "text", "text": "Be brief."}]
    in_blocks = claude.messages.create(**{**GREEDY, "messages": [{"role": "user", "content": blocks}]}, system=system)
    as_text = claude.messages.create(**GREEDY, system="Be brief.")
    assert in_blocks.content == as_text.content
    told = client.responses.create(**ASKED, instructions="Be brief.")
    assert as_text.content[0].type == "text" and told.output_text == as_text.content[0].text


def test_the_responses_api_takes_a_schema(client: OpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    form: Any = {"format": {"type": "json_schema", "name": "x", "schema": schema, "strict": True}}
    assert json.loads(client.responses.create(**ASKED, text=form).output_text)["a"] in (1, 2)


def test_tokens_are_counted_and_go_there_and_back(running: Running, claude: Anthropic) -> None:
    counted = claude.messages.count_tokens(model=MODEL, messages=HI).input_tokens
    asked = claude.messages.create(**GREEDY).usage.input_tokens
    body = json.dumps({"messages": HI}).encode()
    tokens = json.loads(ask(running.url, "POST", "/tokenize", body, JSON)[2])
    assert counted == asked == tokens["count"] == len(tokens["tokens"]) and tokens["max_model_len"] == 2048
    back = ask(running.url, "POST", "/detokenize", json.dumps({"tokens": tokens["tokens"]}).encode(), JSON)
    assert HI[0]["content"] in json.loads(back[2])["prompt"]
    status, _, text = ask(running.url, "POST", "/tokenize", b'{"prompt": "once upon a time"}', JSON)
    assert status == 200 and json.loads(text)["count"] > 2


@pytest.mark.parametrize(
    ("path", "given", "sentence"),
    [
        ("/v1/responses", {"previous_response_id": "resp_1"}, "previous_response_id is not served here, where nothing"),
        ("/v1/responses", {"background": True}, "background is not served here, where nothing is kept: send the whole"),
        ("/v1/responses", {"max_output_tokens": 0}, "max_output_tokens is 0; allowed is a whole number from 1 to"),
        ("/v1/responses", {"text": {"format": {"type": "json_schema", "name": "x", "schema": {"type": 1}}}}, "$.type"),
        ("/v1/responses", {"priority": 1}, "priority is not served here"),
        ("/v1/messages", {"max_tokens": 0}, "max_tokens is 0; allowed is a whole number from 1 to"),
        ("/v1/messages", {"stop_sequences": ["x"] * 17}, "stop_sequences has 17 strings; allowed are 16."),
        ("/v1/messages", {"messages": []}, "messages is empty; at least one message is needed."),
        ("/v1/messages", {"model": "another"}, "The model `another` does not exist."),
        ("/v1/messages", {"messages": [{"role": "user", "content": "word " * 9000}]}, "maximum context length is 2048"),
        ("/v1/messages", {"messages": [{"role": "user", "content": [PICTURE]}]}, BLIND),
        ("/v1/messages", {"messages": [{"role": "user", "content": [RESULT]}]}, BLIND),
        ("/v1/responses", {"input": [{"role": "user", "content": [OF_OPENAI]}]}, BLIND),
        ("/tokenize", {"chat_template": "x"}, "chat_template is not served here; leave it out."),
        ("/v1/embeddings", {"input": "x"}, "This model writes text and makes no embeddings: ask a server of"),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_sentence(running: Running, path: str, given: Any, sentence: str) -> None:
    base = {"messages": HI, "max_tokens": 2} if path in ("/v1/messages", "/tokenize") else {"input": "Hi"}
    body = json.dumps({"model": MODEL, **base, **given}).encode()
    status, _, text = ask(running.url, "POST", path, body, JSON)
    said = json.loads(text)
    assert status in (400, 404) and sentence in said["error"]["message"] and "\n" not in said["error"]["message"]
    assert said.get("type") == ("error" if path == "/v1/messages" else None)


def test_no_request_harms_the_engine(running: Running, claude: Anthropic) -> None:
    odd: list[Any] = [None, 1.5, "1", -7, 2**63, True, [], {"type": "x"}]
    names = ("max_tokens", "top_k", "temperature", "stop_sequences", "system", "tools", "tool_choice", "input", "text")
    for path, start in (("/v1/messages", {"messages": HI, "max_tokens": 2}), ("/v1/responses", {"input": "Hi"})):
        for name in (*names, "max_output_tokens", "messages", "tokens"):
            for value in odd:
                body = json.dumps({"model": MODEL, "max_output_tokens": 2, **start, name: value}).encode()
                assert ask(running.url, "POST", path, body, JSON)[0] in (200, 400, 404), (path, name, value)
    for wrong in ([-1], [2**40], ["x"], "x", [10**6]):
        status, _, _ = ask(running.url, "POST", "/detokenize", json.dumps({"tokens": wrong}).encode(), JSON)
        assert status in (200, 400), wrong
    assert claude.messages.create(**GREEDY).content and running.engine.status.stage == "ready"


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/responses"])
def test_a_client_that_goes_away_frees_the_engine(running: Running, endless: None, path: str) -> None:
    asked = {"model": MODEL, "stream": True, "messages": HI, "input": "Hi", "max_tokens": 1900, "temperature": 1}
    body = json.dumps({**asked, "max_output_tokens": 1900, "ignore_eos": True}).encode()
    host, port = running.url.removeprefix("http://").split(":")
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        wait_until(lambda: connection.recv(100), what="the answer")
    wait_until(lambda: running.is_idle, 5, "the release")


def test_an_answer_ends_with_its_time_and_a_prompt_has_its_limit(
    running: Running, claude: Anthropic, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler(running).engine_client, "_max_prompt_tokens", 10)
    with pytest.raises(anthropic.BadRequestError, match=r"it comes to \d+ tokens, and at most 10 are allowed here"):
        claude.messages.create(**GREEDY)
    with pytest.raises(openai.BadRequestError, match=r"it comes to \d+ tokens, and at most 10 are allowed here"):
        client.responses.create(**ASKED)


def test_keys_limits_and_origins_are_those_of_the_openai_api(open_site: Callable[..., Site]) -> None:  # noqa: F811
    origin = "https://page.example"
    url, _, answers = open_site(
        *("--api-key", "right", "--requests-per-minute", "2", "--allowed-origins", json.dumps([origin]))
    )
    answers.end = True
    body = json.dumps({"messages": HI, "max_tokens": 2}).encode()
    for key, status in (("wrong", 401), ("right", 200)):
        assert ask(url, "POST", "/v1/messages", body, {**JSON, "X-Api-Key": key})[0] == status
    headers = {"Origin": origin, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x-api-key"}
    status, answered, _ = ask(url, "OPTIONS", "/v1/messages", None, headers)
    assert status == 200 and answered["access-control-allow-origin"] == origin
    status, answered, _ = ask(url, "POST", "/tokenize", body, {**JSON, "Authorization": "Bearer right", **headers})
    assert status == 200 and answered["access-control-allow-origin"] == origin
    other = {**headers, "Origin": "https://other.example"}
    assert "access-control-allow-origin" not in ask(url, "OPTIONS", "/v1/messages", None, other)[1]
    limited = pytest.raises(anthropic.RateLimitError, match="At most 2 requests a minute are answered here")
    with Anthropic(base_url=url, api_key="right", max_retries=0) as client, limited:
        client.messages.create(**GREEDY)


def test_no_proxy_may_buffer_a_stream(open_site: Callable[..., Site]) -> None:  # noqa: F811
    url, _, answers = open_site()
    answers.end = True
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/responses"):
        assert ask(url, "POST", path, b"{}", JSON)[1]["x-accel-buffering"] == "no"
