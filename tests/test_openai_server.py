"""The OpenAI API at /v1: vLLM's answers through OpenAI's own client, and who gets none."""

import asyncio
import json
import logging
import socket
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import wait as wait_for
from contextlib import contextmanager, suppress
from typing import Any

import openai
import pytest
from gradio_client import Client
from hypothesis import given, settings
from openai import OpenAI

from streamspace import openai_server as openai_api
from streamspace.chat import MOST_RESTARTS
from streamspace.config import load_config
from streamspace.limits import Admission, Limits
from streamspace.metrics import REFUSALS, RUNNING
from streamspace.types import Delta, Status
from tests.client import JSON, ask
from tests.fake import FakePageEngine
from tests.hostile import CONSTRAINTS, openai_bodies
from tests.openai_client import GREEDY, HI, MODEL, RESTARTING, Answers, client_of
from tests.support import Running, served, wait_until

LONG: Any = {"max_tokens": 1900, "temperature": 1, "extra_body": {"ignore_eos": True}}
CHAT = "/v1/chat/completions"
COMPLETIONS = "/v1/completions"


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[OpenAI]:
    with client_of(running.url) as client:
        yield client


def handler(running: Running) -> Any:
    app: Any = running.engine.openai
    return app.state.openai_serving_chat


# What is answered


def test_the_model_is_listed_by_its_name_and_not_by_its_folder(client: OpenAI) -> None:
    (model,) = client.models.list().data
    assert model.id == MODEL and "/" not in model.model_dump_json()


def test_a_chat_gets_the_same_text_streamed_whole_and_at_the_pages_endpoint(running: Running, client: OpenAI) -> None:
    whole = client.chat.completions.create(model=MODEL, messages=HI, **GREEDY).choices[0].message.content
    chunks = client.chat.completions.create(model=MODEL, messages=HI, stream=True, **GREEDY)
    streamed = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    gradio = Client(running.url, verbose=False)
    page = gradio.predict(HI[0]["content"], api_name="/chat", **GREEDY)
    gradio.close()
    assert whole and whole == streamed == page


def test_a_completion_gets_the_same_text_streamed_whole_and_at_the_pages_endpoint(
    running: Running, client: OpenAI
) -> None:
    whole = client.completions.create(model=MODEL, prompt="Once upon a time", **GREEDY).choices[0].text
    chunks = client.completions.create(model=MODEL, prompt="Once upon a time", stream=True, **GREEDY)
    gradio = Client(running.url, verbose=False)
    page = gradio.predict("Once upon a time", api_name="/complete", **GREEDY)
    gradio.close()
    assert whole and whole == "".join(chunk.choices[0].text for chunk in chunks) == page


def test_structured_outputs_and_logprobs_are_vllms(client: OpenAI) -> None:
    schema = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
    wanted: Any = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    answer = client.chat.completions.create(
        model=MODEL, messages=HI, response_format=wanted, logprobs=True, top_logprobs=2, **GREEDY
    ).choices[0]
    assert json.loads(answer.message.content or "")["a"] in (1, 2)
    assert answer.logprobs and answer.logprobs.content and len(answer.logprobs.content[0].top_logprobs) == 2


def test_several_answers_and_several_prompts_are_one_request(client: OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=["Once", "Twice"], n=2, max_tokens=4, temperature=1)
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]


def test_without_a_word_an_answer_may_be_as_long_as_the_operator_allows(
    running: Running, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert handler(running).default_sampling_params["max_tokens"] == running.engine.config.max_tokens
    monkeypatch.setitem(handler(running).default_sampling_params, "max_tokens", 3)
    answer = client.chat.completions.create(model=MODEL, messages=HI, extra_body={"ignore_eos": True})
    assert answer.usage and answer.usage.completion_tokens == 3


@pytest.mark.parametrize(
    ("path", "name"), [(CHAT, "max_tokens"), (CHAT, "max_completion_tokens"), (COMPLETIONS, "max_tokens")]
)
@pytest.mark.parametrize("num_tokens", [2048, 2**31 - 1, -1])
def test_more_tokens_than_there_is_room_for_become_as_many(
    running: Running, path: str, name: str, num_tokens: int
) -> None:
    words = "word " * 1990  # so that few tokens are left to answer with
    wanted = {"prompt": words, "messages": [{"role": "user", "content": words}], "ignore_eos": True, name: num_tokens}
    asked = urllib.request.Request(running.url + path, json.dumps(wanted).encode(), JSON)
    with urllib.request.urlopen(asked) as answer:
        told = json.load(answer)
    assert told["choices"][0]["finish_reason"] == "length" and told["usage"]["total_tokens"] == 2048
    short = {"prompt": "Hi", "messages": HI, "stream": True, name: num_tokens}
    assert ask(running.url, "POST", path, json.dumps(short).encode(), JSON)[0] == 200


EMPTY: list[dict[str, Any]] = [
    {"tools": []},
    {"tools": None, "tool_choice": "auto"},
    {"tools": [], "tool_choice": "none"},
    {"tool_choice": "auto"},
    {"messages": [*HI, {"role": "assistant", "content": None, "tool_calls": []}, *HI]},
    {"messages": [*HI, {"role": "assistant", "content": "A cache.", "tool_calls": []}, *HI]},
    {"messages": [*HI, {"role": "assistant", "content": None}, *HI]},
]


@pytest.mark.parametrize("given", EMPTY, ids=json.dumps)
def test_what_is_empty_counts_as_none(running: Running, given: dict[str, Any]) -> None:
    body = json.dumps({"messages": HI, "max_tokens": 2, **given}).encode()
    status, _, text = ask(running.url, "POST", CHAT, body, JSON)
    assert status == 200, text


def test_a_choice_of_tools_needs_tools(running: Running) -> None:
    body = json.dumps({"messages": HI, "max_tokens": 2, "tools": [], "tool_choice": "required"}).encode()
    status, _, text = ask(running.url, "POST", CHAT, body, JSON)
    assert status == 400 and "When using `tool_choice`, `tools` must be set." in text


def test_each_model_has_its_card(running: Running, client: OpenAI) -> None:
    listed = client.models.list().data[0].model_dump()
    assert client.models.retrieve(MODEL).model_dump().keys() == listed.keys()
    for path in (f"/v1/models/{MODEL}", f"/v1//models/{MODEL}/", "/v1/models/streamspace%2Dtiny"):
        status, headers, text = ask(running.url, "GET", path)
        assert (status, json.loads(text)["id"], headers["content-type"]) == (200, MODEL, "application/json")
    for path in ("/v1//models", "/v1/models/", "//v1/models"):
        status, _, text = ask(running.url, "GET", path)
        assert status == (404 if path.startswith("//") else 200), path
    with pytest.raises(openai.NotFoundError, match="There is no model 'org/other' here; there are: streamspace-tiny"):
        client.models.retrieve("org/other")
    assert ask(running.url, "POST", f"/v1/models/{MODEL}", b"{}", JSON)[0] == 405


# What is refused


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"max_tokens": 0}, "max_tokens is 0; allowed is a whole number from 1 to 2147483647."),
        ({"max_completion_tokens": "5000"}, "max_completion_tokens is '5000'; allowed is a whole number from 1 to"),
        ({"max_tokens": 2.5}, "max_tokens is 2.5; allowed is a whole number from 1 to 2147483647."),
        ({"seed": 10**30}, "seed is 1e+30; allowed is a whole number from"),
        ({"n": 1000}, "This request asks for 1000 answers, n for each prompt; allowed are 128 at once."),
        ({"stop": ["x"] * 17}, "stop has 17 strings; allowed are 16."),
        ({"bad_words": ["x" * 300_000]}, "The parameters beside the conversation have 300"),
        ({"prompt_logprobs": 1}, "prompt_logprobs is not served here; leave it out."),
        ({"echo": True, "logprobs": True}, "logprobs of the prompt are not served here; leave out echo or logprobs."),
        ({"use_beam_search": True}, "use_beam_search is not served here; leave it out."),
        ({"priority": -1}, "priority is not served here; leave it out."),
        ({"kv_transfer_params": {"a": 1}}, "kv_transfer_params is not served here; leave it out."),
        ({"chat_template": "{{ x }}"}, "chat_template is not served here; leave it out."),
        (
            {"structured_outputs": [1]},
            "structured_outputs must be an object.",
        ),
        (
            {"structured_outputs": {"grammar": "root ::= root"}},
            "structured_outputs.grammar is not served here; there are",
        ),
        (
            {"structured_outputs": {"regex": "[a-"}},
            "The regex cannot be used at character 1: unclosed character class.",
        ),
        (
            {"response_format": {"type": "structural_tag"}},
            "there are text, json_object, json_schema.",
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "#"}}}},
            "The schema cannot be used: no text can ever fit it.",
        ),
        (
            {
                "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": 1}}}],
                "tool_choice": "required",
            },
            "The schema is wrong at $.type",
        ),
        ({"temperature": "hot"}, "temperature: Input should be a valid number, unable to parse string as a number."),
        ({"temperature": 3}, "temperature must be in [0, 2], got 3.0."),
        ({"stop_token_ids": [-1]}, "stop_token_ids has -1; a token's id is from 0 to 5119."),
        ({"model": "another"}, "The model `another` does not exist."),
        ({"messages": []}, "messages is empty; at least one message is needed."),
        ({"messages": "Hi"}, "messages: Input should be a valid list."),
        ({"messages": [{"role": "user", "content": {"a": 1}}]}, "Input should be a valid dictionary."),
        ({"messages": [{"role": "user", "content": "word " * 9000}]}, "This model's maximum context length is 2048"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://x/y"}}]}]},
            "The model here reads text alone and no pictures: leave them out and describe them.",
        ),
    ],
)
def test_what_is_not_allowed_is_refused_in_one_sentence(running: Running, given: Any, sentence: str) -> None:
    body = json.dumps({"messages": HI, "max_tokens": 2, **given}).encode()
    status, _, text = ask(running.url, "POST", CHAT, body, JSON)
    said = json.loads(text)["error"]
    assert status == said["code"] and status in (400, 404)
    assert sentence in said["message"] and "\n" not in said["message"] and len(said["message"]) <= 301


ODD: list[Any] = [None, 1.0, "1", -7, 2**63, True, []]
HOSTILE: list[dict[str, Any]] = [
    *({name: value} for name in ("top_k", "n", "min_tokens", "logprobs") for value in ODD),
    *({"logit_bias": {key: 1}} for key in ("-1", "99999999999", "x")),
    *({"structured_outputs": {kind: text}} for kind in ("regex", "grammar", "json") for text in ("(", "root ::= root")),
    *({"allowed_token_ids": ids} for ids in ([], [-1], [10**12])),
    *({"structured_outputs": {kind: value}} for kind, value in CONSTRAINTS.values()),
    {"repetition_detection": {"max_pattern_size": 1.5}},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"$ref": "#"}}}},
    {"chat_template_kwargs": {"tools": 1, "conversation": 2, "tokenizer": 3}},
]


@pytest.mark.parametrize("path", [CHAT, COMPLETIONS])
def test_no_request_harms_the_engine(running: Running, client: OpenAI, path: str) -> None:
    for wrong in HOSTILE:
        body = json.dumps({"messages": HI, "prompt": "Hi", "max_tokens": 2, **wrong}).encode()
        status, _, text = ask(running.url, "POST", path, body, JSON)
        assert status in (200, 400, 503), (wrong, text)
        assert str(running.engine.config.model) not in text
    for raw in (b"", b"{", b"[]", b"null", b"[" * 100_000, b'{"messages":' + b"[" * 999 + b"]" * 999 + b"}"):
        assert ask(running.url, "POST", path, raw, JSON)[0] == 400
    answer = client.chat.completions.create(model=MODEL, messages=HI, timeout=20, **GREEDY)
    assert answer.choices[0].message.content and running.engine.status.stage == "ready"


@pytest.mark.parametrize(
    "path",
    [
        *(
            "/v1/responses/resp_1",
            "/v1/responses/resp_1/cancel",
            "/v1/embeddings",
            "/v1/chat/completions/batch",
            "/v1/load_lora_adapter",
            "/v1/",
            "/v1/../load",
        ),
        *(
            "/tokenizer_info",
            "/docs",
            "/openapi.json",
            "/redoc",
            "/version",
            "/load",
            "/inference/v1/generate",
            "/sleep",
        ),
        *("/reset_prefix_cache", "/start_profile", "/scale_elastic_ep", "/ping", "/invocations", "/generative_scoring"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nothing_else_of_vllms_server_is_there(running: Running, method: str, path: str) -> None:
    status, headers, _ = ask(running.url, method, path, b"{}" if method == "POST" else None, JSON)
    assert status in (404, 405) and "access-control-allow-origin" not in headers


def test_pages_of_other_servers_may_not_ask(running: Running) -> None:
    headers = {"Origin": "https://elsewhere.example", "Access-Control-Request-Method": "POST"}
    assert ask(running.url, "OPTIONS", CHAT, None, headers)[0] == 405
    status, answered, _ = ask(running.url, "GET", "/v1/models", None, headers)
    assert status == 200 and "access-control-allow-origin" not in answered
    plain = {"Content-Type": "text/plain", "Origin": "https://elsewhere.example"}  # which a browser sends unasked
    assert ask(running.url, "POST", CHAT, json.dumps({"messages": HI}).encode(), plain)[0] == 400


@pytest.mark.parametrize("num_bodies", [100, pytest.param(300, marks=pytest.mark.slow)])
def test_whatever_json_is_sent_is_passed_on_or_refused(num_bodies: int) -> None:
    @settings(max_examples=num_bodies, deadline=None)
    @given(openai_bodies)
    def one(body: dict[str, Any]) -> None:
        assert asyncio.run(answer(body)) in (200, 400, 413)

    one()


def test_a_model_whose_name_is_a_book_is_not_looked_for() -> None:
    statuses = [asyncio.run(answer({"model": "x" * length, "messages": HI})) for length in (256, 257)]
    assert statuses == [200, 404]


async def answer(body: dict[str, Any]) -> int:
    """The status that a client gets for this body before a scripted application."""
    engine, answers, statuses = FakePageEngine(), Answers(), []
    engine.openai_app, engine.capacity, answers.end = answers, 4, True
    server = openai_api.OpenAIServer(engine, Admission(engine, Limits()))
    sent = json.dumps(body).encode()
    messages = iter([{"type": "http.request", "body": sent, "more_body": False}])

    async def receive() -> Any:
        if message := next(messages, None):
            return message
        await asyncio.Event().wait()

    async def send(message: Any) -> None:
        statuses.append(message.get("status"))

    headers = [(b"content-type", b"application/json")]
    await server({"type": "http", "method": "POST", "path": CHAT, "headers": headers}, receive, send)
    return int(statuses[0])


# Release


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_a_client_that_goes_away_frees_the_engine(running: Running, streamed: bool) -> None:
    body = json.dumps({"messages": HI, "max_tokens": 1900, "ignore_eos": True, "stream": streamed}).encode()
    host, port = running.url.removeprefix("http://").split(":")
    head = f"POST {CHAT} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(head.encode() + body)
        wait_until(lambda: running.engine.running == 1, what="the answer")
    wait_until(lambda: running.is_idle, 5, "the release")


def test_a_stream_that_is_closed_frees_the_engine(running: Running, client: OpenAI) -> None:
    stream = client.completions.create(model=MODEL, prompt=["Once", "Twice"], n=2, stream=True, **LONG)
    next(iter(stream))
    wait_until(lambda: running.engine.running == 4, what="the answers")
    stream.close()
    wait_until(lambda: running.is_idle, 5, "the release")


@pytest.mark.parametrize("streamed", [True, False], ids=["streamed", "whole"])
def test_an_answer_ends_with_its_time_and_its_text_stands(
    running: Running, client: OpenAI, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    monkeypatch.setattr(handler(running).engine_client, "_max_seconds", 2.0)
    if streamed:
        chunks = list(client.chat.completions.create(model=MODEL, messages=HI, stream=True, **LONG))
        text, reason = "".join(c.choices[0].delta.content or "" for c in chunks), chunks[-1].choices[0].finish_reason
    else:
        (choice,) = client.chat.completions.create(model=MODEL, messages=HI, **LONG).choices
        text, reason = choice.message.content or "", choice.finish_reason
    assert text and str(reason) == "abort"  # vLLM's word, which OpenAI has not
    wait_until(lambda: running.is_idle, 5, "the release")


def test_a_prompt_has_at_most_so_many_tokens_as_the_operator_allows(
    running: Running, client: OpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler(running).engine_client, "_max_prompt_tokens", 10)
    for stream in (True, False):
        with pytest.raises(openai.BadRequestError, match=r"it comes to \d+ tokens, and at most 10 are allowed here"):
            client.chat.completions.create(model=MODEL, messages=HI, stream=stream, **GREEDY)


# The server, before a scripted application


Site = tuple[str, FakePageEngine, Answers]


@contextmanager
def sites() -> Iterator[Callable[..., Site]]:
    """Serves the page with these options and variables, on an engine that takes one request at a time."""
    open_ones: list[Any] = []

    def serve(*options: str, **environ: str) -> Site:
        engine, answers = FakePageEngine(), Answers()
        engine.config = load_config(options, {"MODEL_ID": str(engine.config.model), **environ})
        engine.capacity, engine.openai_app = 1, answers
        open_ones.append((serving := served(engine), answers))
        return serving.__enter__(), engine, answers

    yield serve
    for serving, answers in open_ones:
        answers.end = True
        serving.__exit__(None, None, None)


@pytest.fixture
def open_site() -> Iterator[Callable[..., Site]]:
    with sites() as serve:
        yield serve


@pytest.fixture(scope="module")
def with_keys() -> Iterator[str]:
    """A page with two keys, whose answers are at their end at once."""
    with sites() as serve:
        url, _, answers = serve("--api-key", "first, second")
        answers.end = True
        yield url


def begin(url: str, forwarded: str = "") -> socket.socket:
    """Ask for an answer, and leave the connection open."""
    host, port = url.removeprefix("http://").split(":")
    connection = socket.create_connection((host, int(port)), timeout=10)
    lines = [f"POST {CHAT} HTTP/1.1", "Host: x", "Content-Type: application/json", "Content-Length: 2"]
    connection.sendall("\r\n".join([*lines, f"X-Forwarded-For: {forwarded}", "", "{}"]).encode())
    return connection


@pytest.mark.parametrize(
    ("options", "environ", "is_on"),
    [
        ((), {}, True),
        ((), {"SPACE_ID": "o/n"}, False),
        (("--share",), {}, False),
        (("--auth", "ada:secret"), {}, False),
        (("--auth", "ada:secret", "--api-key", "k1"), {}, True),
        ((), {"SPACE_ID": "o/n", "API_KEY": "k1"}, True),
        ((), {"SPACE_ID": "o/n", "VLLM_API_KEY": "k1"}, True),
    ],
)
def test_it_is_on_where_the_page_is_for_oneself_or_a_key_is_asked_for(
    open_site: Callable[..., Site], options: tuple[str, ...], environ: dict[str, str], is_on: bool
) -> None:
    url, _, answers = open_site(*options, **environ)
    answers.end = True
    status, _, text = ask(url, "POST", CHAT, b"{}", {**JSON, "Authorization": "Bearer k1"})
    assert status == (200 if is_on else 404)
    if not is_on:
        assert json.loads(text)["error"]["message"].startswith("The OpenAI API is off here: the operator can turn it")


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("Bearer first", 200),
        ("bearer second", 200),
        ("Bearer third", 401),
        ("Bearer first,second", 401),
        ("Bearer ", 401),
        ("Basic first", 401),
        ("first", 401),
        ("", 401),
        ("Bearer fürst", 401),
    ],
)
def test_one_of_the_keys_opens_the_door_and_nothing_else_does(with_keys: str, given: str, status: int) -> None:
    for path, body in ((CHAT, b"{}"), ("/v1/nothing", b"{}"), (COMPLETIONS, b"")):
        if status == 401:
            answered, headers, text = ask(
                with_keys, "POST", path, body, {**JSON, "Authorization": given.encode().decode("latin-1")}
            )
            assert answered == 401 and headers["WWW-Authenticate"] == "Bearer"
            assert json.loads(text)["error"]["message"].startswith("The API key is missing or wrong")
    if status == 200:
        assert ask(with_keys, "POST", CHAT, b"{}", {**JSON, "Authorization": given})[0] == 200


def test_openais_client_knows_the_refusals(open_site: Callable[..., Site]) -> None:
    url, _, answers = open_site("--api-key", "right", "--requests-per-minute", "1")
    before = REFUSALS.labels("api_key")._value.get()
    with pytest.raises(openai.AuthenticationError, match="The API key is missing or wrong"):
        client_of(url, "wrong").models.list()
    assert REFUSALS.labels("api_key")._value.get() == before + 1
    answers.end = True
    list(client_of(url, "right").chat.completions.create(model=MODEL, messages=HI, stream=True))
    with pytest.raises(openai.RateLimitError, match="At most 1 request a minute is answered here") as refused:
        client_of(url, "right").chat.completions.create(model=MODEL, messages=HI)
    assert 1 <= int(refused.value.response.headers["Retry-After"]) <= 60
    with pytest.raises(openai.NotFoundError, match="This model writes text and makes no embeddings"):
        client_of(url, "right").embeddings.create(model=MODEL, input="x")


@pytest.mark.parametrize(("wanted", "passed_on"), [(3, 3), (5, 5), (5.0, 5), (6, 5), (2**31 - 1, 5), (-1, 5)])
def test_an_answer_has_no_more_tokens_than_the_operator_allows(
    open_site: Callable[..., Site], wanted: float, passed_on: int
) -> None:
    url, engine, _ = open_site("--max-tokens", "5")
    bodies = []

    async def vllm(scope: Any, receive: Any, send: Any) -> None:
        bodies.append(json.loads((await receive())["body"]))
        await Answers(end=True)(scope, receive, send)

    engine.openai_app = vllm
    for path, name in ((CHAT, "max_tokens"), (CHAT, "max_completion_tokens"), (COMPLETIONS, "max_tokens")):
        assert ask(url, "POST", path, json.dumps({name: wanted}).encode(), JSON)[0] == 200
        assert bodies.pop() == {name: passed_on}


@pytest.mark.parametrize("key", ["sk-very-secret"])
def test_no_key_is_written_anywhere(
    open_site: Callable[..., Site], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], key: str
) -> None:
    caplog.set_level(logging.DEBUG)
    url, engine, answers = open_site("--api-key", key)
    answers.end = True
    for sent in (key, f"{key}x"):
        text = ask(url, "POST", CHAT, b"{}", {**JSON, "Authorization": f"Bearer {sent}"})[2]
        assert key not in text
    out, err = capfd.readouterr()
    assert key not in caplog.text + out + err + repr(engine.config)


def test_the_queue_is_the_pages(open_site: Callable[..., Site]) -> None:
    url, engine, answers = open_site("--queue-length", "1")
    engine.script = [Delta("a"), 3600.0]
    page = Client(url, verbose=False)
    job = page.submit("Hi", api_name="/chat")
    wait_until(job.outputs, what="the first frame")  # before, the client does not know what to cancel
    with begin(url):
        wait_until(lambda: "The queue is full" in ask(url, "POST", CHAT, b"{}", JSON)[2], what="a full queue")
        assert answers.num_running == 0
        job.cancel()
        wait_until(lambda: answers.num_running == 1, what="its turn")
    page.close()


def test_an_address_has_so_many_answers_at_once_and_one_that_waits_may_leave(open_site: Callable[..., Site]) -> None:
    url, _, answers = open_site("--answers-per-visitor", "2")
    first = begin(url)
    wait_until(lambda: answers.num_running == 1, what="the first answer")
    second = begin(url)  # waits: the engine takes one at a time
    wait_until(lambda: ask(url, "POST", CHAT, b"{}", JSON)[0] == 429, what="a refusal")
    assert answers.num_running == 1
    second.close()
    wait_until(lambda: _is_let_in(url), what="room for another that waits")
    first.close()
    wait_until(lambda: answers.num_running == 0, what="the release")


def _is_let_in(url: str) -> bool:
    """Whether one more may wait: it is not refused at once."""
    with begin(url) as connection:
        connection.settimeout(0.3)
        with suppress(TimeoutError):
            return not connection.recv(100).startswith(b"HTTP/1.1 429")
    return True


def test_until_the_engine_is_ready_a_client_is_told_to_come_again(open_site: Callable[..., Site]) -> None:
    url, engine, answers = open_site()
    under_way = begin(url)  # so that others would wait
    wait_until(lambda: answers.num_running == 1, what="the answer")
    for stage, detail in (("loading", "Loading the weights"), ("failed", "It is broken.")):
        engine.status = Status(stage, detail)  # type: ignore[arg-type]
        for method, path, body in (("POST", CHAT, b"{}"), ("GET", "/v1/models", None)):
            status, headers, text = ask(url, method, path, body, JSON)
            assert status == 503 and headers["Retry-After"] == "10"
            assert json.loads(text)["error"]["message"].startswith("The model is not ready: ")
    under_way.close()


def test_an_error_of_vllms_is_one_sentence(open_site: Callable[..., Site]) -> None:
    url, _, answers = open_site()
    answers.status, answers.end = 500, True
    status, _, text = ask(url, "POST", CHAT, b"{}", JSON)
    assert status == 503 and "The engine could not finish this answer; try again." in text


def test_a_vocabulary_that_cannot_be_fetched_is_told_with_what_helps(open_site: Callable[..., Site]) -> None:
    """gpt-oss's chats need OpenAI's own, which openai_harmony fetches."""
    url, _, answers = open_site()
    answers.status, answers.end = 500, True
    answers.last = b'{"error": {"message": "error downloading or loading vocab file: failed"}}'
    status, _, text = ask(url, "POST", CHAT, b"{}", JSON)
    assert status == 500 and "set TIKTOKEN_ENCODINGS_BASE to a folder that holds it" in text


@pytest.mark.parametrize("breaks_under_it", [True, False])
def test_a_request_waits_while_the_engine_is_restarted(open_site: Callable[..., Site], breaks_under_it: bool) -> None:
    url, engine, answers = open_site()
    answers.end = True
    if breaks_under_it:
        answers.status, answers.breaks = 500, engine
    else:
        engine.status = RESTARTING
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, url, "POST", CHAT, b"{}", JSON)
        wait_until(lambda: engine.status is RESTARTING and RUNNING._value.get() == 1, what="the request")
        assert wait_for([asked], 1.0).not_done and answers.num_running == 0
        answers.status, answers.breaks = 200, None
        engine.status = Status("ready", "Ready")
        assert asked.result(10)[0] == 200


def test_a_request_under_which_every_engine_breaks_is_refused(open_site: Callable[..., Site]) -> None:
    url, engine, answers = open_site()
    answers.status, answers.end, answers.breaks = 500, True, engine
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, url, "POST", CHAT, b"{}", JSON)
        for _ in range(MOST_RESTARTS):
            wait_until(lambda: engine.status is RESTARTING, what="the engine to break")
            engine.status = Status("ready", "Ready")
        status, headers, text = asked.result(10)
    assert status == 503 and headers["Retry-After"] == "10"
    assert "it is being restarted; try again in a minute." in text


def test_a_client_that_waits_for_the_engine_may_leave(open_site: Callable[..., Site]) -> None:
    url, engine, _ = open_site()
    engine.status = RESTARTING
    with begin(url):
        wait_until(lambda: RUNNING._value.get() == 1, what="the request")
    wait_until(lambda: RUNNING._value.get() == 0, what="its end")


def test_an_engine_that_is_given_up_ends_the_waiting(open_site: Callable[..., Site]) -> None:
    url, engine, _ = open_site()
    engine.status = RESTARTING
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(ask, url, "POST", CHAT, b"{}", JSON)
        wait_until(lambda: RUNNING._value.get() == 1, what="the request")
        engine.status = Status("failed", "It is broken.")
        status, _, text = asked.result(10)
    assert status == 503 and "The model is not ready: It is broken." in text


def test_an_answer_ends_when_its_client_takes_nothing_of_it(
    open_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openai_api, "READER_S", 0.4)
    url, _, answers = open_site("--answers-per-visitor", "1")
    answers.chunk = bytes(1 << 20)
    with begin(url):
        wait_until(lambda: answers.num_running == 1, what="the answer")
        wait_until(lambda: answers.num_running == 0, what="the release")
        answers.end = True
        assert ask(url, "POST", CHAT, b"{}", JSON)[0] == 200


def test_vllms_server_leaves_the_log_as_it_is(running: Running) -> None:
    assert running.engine.openai is not None
    root = logging.getLogger()
    assert root.level == logging.WARNING and all(handler.level < logging.ERROR for handler in root.handlers)
