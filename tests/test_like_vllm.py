"""/v1 beside vLLM's own server on the same engine: what is answered differently, and why."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvicorn

from streamspace.config import BUNDLED_MODEL, load_config
from tests.client import JSON, ask
from tests.openai_client import HI, MODEL
from tests.support import Running, free_port, wait_until

pytestmark = pytest.mark.slow

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
SCHEMA = {"type": "object", "properties": {"a": {"enum": [1, 2]}}, "required": ["a"], "additionalProperties": False}
PARTS = [{"type": "text", "text": "What is"}, {"type": "text", "text": " the KV cache?"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": SCHEMA}}
BOTH: list[dict[str, Any]] = [
    {},
    *({"n": n} for n in (1, 2, 0, "2", None)),
    *({"stop": stop} for stop in ("a", ["a", "e"], [], None, ["x"] * 17, 5)),
    *({"max_tokens": number} for number in (None, 1, 0, -1, "8", 4096, 2**31, 2.5, 8.0)),
    *({"temperature": number} for number in (0.5, -1, 3, "hot", None)),
    *({"top_p": number} for number in (0.5, 0, 2)),
    *({"top_k": number} for number in (1, 0, -1, -2, 2.5)),
    *({"seed": number} for number in (7, None, 10**30)),
    {"min_tokens": 4},
    {"ignore_eos": True},
    {"presence_penalty": 1.0, "frequency_penalty": 0.5, "repetition_penalty": 1.1},
    {"presence_penalty": 9},
    {"logit_bias": {"5": 50}},
    {"logit_bias": {"99999": 1}},
    {"stop_token_ids": [5]},
    {"stop_token_ids": [-1]},
    {"skip_special_tokens": False},
    {"include_stop_str_in_output": True, "stop": "a"},
    {"return_token_ids": True},
    {"model": "another"},
    {"model": None},
    {"model": ""},
    {"user": "somebody", "metadata": {"a": "b"}, "service_tier": "auto", "unheard_of": 1},
    {"priority": 1},
    {"priority": 0},
    {"prompt_logprobs": 1},
    {"use_beam_search": True, "n": 2},
    {"response_format": {"type": "json_object"}, "max_tokens": 40},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}, "max_tokens": 20},
    {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 1}}}},
    {"response_format": {"type": "text"}},
    {"response_format": {"type": "yaml"}},
    {"structured_outputs": {"regex": "[ab]{3}"}},
    {"structured_outputs": {"choice": ["yes", "no"]}},
    {"structured_outputs": {"grammar": 'root ::= "a"'}},
    {"stream_options": {"include_usage": True}},
]
OF_CHAT: list[dict[str, Any]] = [
    {"messages": []},
    {"messages": None},
    {"messages": "Hi"},
    {"messages": [{"role": "user", "content": PARTS}]},
    {"messages": [{"role": "user", "content": []}]},
    {"messages": [{"role": "user"}]},
    {"messages": [{"role": "system", "content": "Be brief."}, *HI]},
    {"messages": [*HI, {"role": "assistant", "content": "A cache is"}], "add_generation_prompt": False},
    {
        "messages": [*HI, {"role": "assistant", "content": "A cache is"}],
        "add_generation_prompt": False,
        "continue_final_message": True,
    },
    {"messages": [*HI, {"role": "assistant", "content": None}, *HI]},
    {"messages": [{"role": "user", "content": "word " * 3000}]},
    {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}]},
    {"logprobs": True},
    {"logprobs": True, "top_logprobs": 2},
    {"logprobs": True, "top_logprobs": 50},
    {"top_logprobs": 2},
    {"echo": True},
    {"max_completion_tokens": 4},
    {"max_completion_tokens": 4096},
    {"tools": []},
    {"tools": None, "tool_choice": "auto"},
    {"tools": [TOOL]},
    {"tools": [TOOL], "tool_choice": "none"},
    {"tools": [TOOL], "tool_choice": "required"},
    {"tool_choice": "auto"},
    {"chat_template_kwargs": {"enable_thinking": True}},
    {"chat_template": "{{ messages }}"},
    {"reasoning_effort": "low"},
    {"parallel_tool_calls": False},
]
OF_TEXT: list[dict[str, Any]] = [
    {"prompt": ["Once", "Twice"]},
    {"prompt": [5, 6, 7]},
    {"prompt": [[5, 6], [7]]},
    {"prompt": ""},
    {"prompt": []},
    {"prompt": None},
    {"prompt": [99999]},
    {"prompt": "word " * 3000},
    {"echo": True},
    {"echo": True, "max_tokens": 1},
    {"echo": True, "logprobs": 1},
    {"logprobs": 2},
    {"logprobs": 50},
    {"logprobs": 0},
    {"suffix": "the end"},
    {"best_of": 2},
]
PLAIN: list[tuple[str, str, Any]] = [
    *((method, path, None) for method in ("HEAD", "OPTIONS", "GET", "DELETE") for path in (CHAT, "/v1/models")),
    ("GET", f"/v1/models/{MODEL}", None),
    ("GET", "/v1/models/another", None),
    ("POST", "/v1/models", {}),
    ("GET", "/v1", None),
    ("POST", "/v1/embeddings", {"model": MODEL, "input": "x"}),
    ("POST", CHAT, None),
    ("POST", CHAT, []),
    ("POST", CHAT, "text"),
]
Case = tuple[str, str, Any]


def wanted() -> dict[str, tuple[int, int]]:
    """The requests that are answered differently: our status and that of vLLM's server. docs/v1.md says why."""
    answered, refused = (200, 400), (400, 200)
    schema = {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": 1}}}}
    changes: dict[str, Any]
    names: dict[str, tuple[int, int]] = {f"GET /v1/models/{MODEL} null": (200, 404)}

    def add(statuses: tuple[int, int], path: str, changes: dict[str, Any], *streams: bool) -> None:
        names.update({name_of(path, changes, stream): statuses for stream in streams or (False, True)})

    for path in (CHAT, TEXT):
        for number in (4096, -1):
            add(answered, path, {"max_tokens": number})
        for changes in ({"max_tokens": "8"}, {"priority": 1}, {"structured_outputs": {"grammar": 'root ::= "a"'}}):
            add(refused, path, changes)
        for changes in ({"stop_token_ids": [-1]}, schema):
            add(refused, path, changes, True)
        add(refused, path, {"prompt_logprobs": 1}, False)
        add(refused, path, {"use_beam_search": True, "n": 2}, *([False] if path == TEXT else []))
    add(refused, TEXT, {"echo": True, "logprobs": 1})
    add(answered, CHAT, {"max_completion_tokens": 4096})
    for changes in ({"tools": []}, {"tools": None, "tool_choice": "auto"}, {"tool_choice": "auto"}):
        add(answered, CHAT, changes)
    return names


def name_of(path: str, changes: dict[str, Any], stream: bool) -> str:
    return f"{path[4:]} {json.dumps(changes)[:100]}{' streamed' if stream else ''}"


def cases() -> Iterator[tuple[str, Case]]:
    """All requests by names that say what is special about them."""
    base: Any = {"model": MODEL, "max_tokens": 8, "temperature": 0, "seed": 1}
    for path, more, start in ((CHAT, OF_CHAT, {"messages": HI}), (TEXT, OF_TEXT, {"prompt": "Once upon a time"})):
        for changes in (*BOTH, *more):
            for stream in (False, True):
                body = {**base, **start, **changes, **({"stream": True} if stream else {})}
                yield name_of(path, changes, stream), ("POST", path, body)
    for method, path, body in PLAIN:
        yield f"{method} {path} {json.dumps(body)}", (method, path, body)


def outcome(url: str, case: Case) -> dict[str, Any]:
    """What a client sees of the answer: its status, its texts, reasons, counts and fields."""
    method, path, body = case
    sent = None if body is None and method != "POST" else json.dumps(body).encode()
    status, headers, text = ask(url, method, path, sent, JSON, is_whole=True)
    if status >= 400 or method in ("HEAD", "OPTIONS"):
        return {"status": status}
    if headers.get_content_type() == "text/event-stream":
        lines = [line.removeprefix("data: ") for line in text.split("\n\n") if line]
        chunks = [json.loads(line) for line in lines if line.startswith("{")]
        return {"status": status, "done": lines[-1:] == ["[DONE]"], **said(chunks)}
    return {"status": status, **said([json.loads(text)])}


def said(chunks: list[dict[str, Any]]) -> dict[str, Any]:
    texts: dict[int, str] = {}
    reasons: dict[int, Any] = {}
    fields: set[str] = set()
    usage, error = None, None
    for chunk in chunks:
        usage, error = chunk.get("usage") or usage, chunk.get("error") or error
        fields |= set(chunk)
        for choice in chunk.get("choices", ()):
            part = choice.get("message") or choice.get("delta") or {"content": choice.get("text")}
            index = choice["index"]
            texts[index] = texts.get(index, "") + (part.get("content") or "")
            reasons[index] = choice.get("finish_reason") or reasons.get(index)
            fields |= {f"choice.{name}" for name in choice if choice[name] is not None}
    counts = {name: usage[name] for name in ("prompt_tokens", "completion_tokens")} if usage else None
    return {"texts": texts, "reasons": reasons, "usage": counts, "error": bool(error), "fields": sorted(fields)}


@pytest.fixture(scope="module")
def vllms(running: Running) -> Iterator[str]:
    """vLLM's own server, with everything that it has, on the same engine."""
    from streamspace import vllm_internals
    from streamspace.flags import vllm_flags

    flags = vllm_flags(load_config((), {"MODEL_ID": str(BUNDLED_MODEL)}), Path(BUNDLED_MODEL))
    flags.model, flags.enable_log_requests, flags.allowed_origins = MODEL, False, ["*"]
    assert running.engine._vllm is not None
    llm = running.engine._vllm.async_llm
    app = vllm_internals.find(vllm_internals.BUILD_APP)(flags, vllm_internals.TASKS, llm.model_config)
    running.run(vllm_internals.find(vllm_internals.INIT_STATE)(llm, app.state, app.state.args, vllm_internals.TASKS))
    app.state.server = SimpleNamespace(should_exit=False)
    server = uvicorn.Server(uvicorn.Config(app, port=free_port(), log_level="warning"))
    serving = asyncio.run_coroutine_threadsafe(server.serve(), running.loop)
    wait_until(lambda: server.started, what="the server's start")
    yield f"http://127.0.0.1:{server.config.port}"
    server.should_exit = True
    serving.result(20)


@pytest.fixture
def without_our_changes(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Any]]:
    """While its context is open, vLLM's classes are as without us, and refuse more tokens than there is room for.

    We have changed them for the whole process, which serves both.
    """
    from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
    from vllm.entrypoints.openai.completion.protocol import CompletionRequest

    kinds: Any = (ChatCompletionRequest, CompletionRequest)
    originals = [kind.build_tok_params.__closure__[0].cell_contents for kind in kinds]

    @contextmanager
    def original() -> Iterator[None]:
        with monkeypatch.context() as patched:
            for kind, build in zip(kinds, originals, strict=True):
                patched.setattr(kind, "build_tok_params", build)
            yield

    yield original


def test_each_difference_from_vllms_own_server_is_wanted(
    running: Running, vllms: str, without_our_changes: Callable[[], Any]
) -> None:
    found: dict[str, Any] = {}
    for name, case in cases():
        ours = outcome(running.url, case)
        with without_our_changes():
            theirs = outcome(vllms, case)
        if ours != theirs:
            found[name] = (ours["status"], theirs["status"], ours, theirs)
    statuses = {name: difference[:2] for name, difference in found.items()}
    unexplained = {name: found[name] for name in found if statuses[name] != wanted().get(name)}
    assert not unexplained, json.dumps(unexplained, indent=1)
    assert statuses == wanted()
