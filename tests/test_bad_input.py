"""Whatever is sent by any way in: never a failure of the server, always words, and the engine lives.

The inputs are generated, and half of them have more than 64 KiB. A hundred are tried in a run of the suite, and six
hundred at night; with STREAMSPACE_BAD_INPUTS=5000 it is that many, and how late the event loop ran is printed:

    STREAMSPACE_BAD_INPUTS=5000 make test ARGS="-k bad_input -n 0 -s"
"""

import asyncio
import functools
import gc
import http.client
import json
import logging
import math
import os
import time
import traceback
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from statistics import quantiles
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as tried_with
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from streamspace import frames
from streamspace.asgi import BIG_BYTES, is_deep, respond
from streamspace.config import BUNDLED_MODEL
from streamspace.openai_server import LENGTHS, OpenAIServer
from streamspace.process import collect_rarely
from streamspace.sampling import Settings
from streamspace.ui import StreamingBlocks, build_demo
from streamspace.ui.gradio_ import streams
from streamspace.ui.gradio_.endpoints import chat_arguments, complete_arguments
from streamspace.ui.parts.history import chatbot_message
from tests.client import JSON
from tests.fake import FakePageEngine, deltas
from tests.hostile import json_values, large, numbers, openai_bodies, scalars, texts
from tests.inputs import CALL_CHAT, CALL_COMPLETE, CHAT, COMPARE, COMPLETION, READY, call_values, page_values
from tests.support import Running, admission_of, served, wait_until

ASKED_FOR = os.environ.get("STREAMSPACE_BAD_INPUTS")
NUMBERS: list[Any] = [int(ASKED_FOR)] if ASKED_FOR else [100, pytest.param(600, marks=pytest.mark.slow)]
TOLD = ("Traceback", 'File "', "site-packages", "/streamspace/", "object at 0x")  # what no answer may hold
ACCEPT = {"Accept": "application/json, text/event-stream"}
Json = Any


@dataclass
class Site:
    """A page, and what went wrong on its server."""

    url: str
    demo: StreamingBlocks = field(repr=False)
    faults: list[str] = field(default_factory=list)
    loop: asyncio.AbstractEventLoop | None = None  # the server's
    outcomes: Counter[str] = field(default_factory=Counter)
    num_large: int = 0  # requests above BIG_BYTES

    def number(self, name: str) -> int:
        """The fn_index of the last event with this handler."""
        return max(i for i, fn in self.demo.fns.items() if getattr(fn.fn, "__name__", "") == name)

    def send(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection(self.url.removeprefix("http://"), timeout=60)
        connection.request(method, path if path.startswith("/") else f"/gradio_api/{path}", body, {**JSON, **ACCEPT})
        response = connection.getresponse()
        answer = response.status, response.read()
        connection.close()
        return answer

    def ask(self, path: str, body: bytes, session: str) -> None:
        """Send it, read to the end what came of it, and hold all of it to what is promised."""
        status, answer = self.send("POST", path, body)
        assert status < 500, answer[:500]
        outcome = f"{status}"
        if status == 200 and (path in OPENAI or path == TOOLS):
            outcome = "refused" if path == TOOLS and is_refusal(answer) else "answered"
        elif status == 200 and b"event_id" in answer:
            event = json.loads(answer)["event_id"]
            query = urlencode({"session_hash": session})
            where = f"{path.rstrip('/')}/{event}" if path.startswith("call/") else f"queue/data?{query}"
            status, stream = self.send("GET", where)
            assert status == 200, stream[:500]
            answer, outcome = stream, reason(stream, path)
        elif status >= 400:
            refusal = json.loads(answer)
            assert refusal.get("detail") or refusal.get("error"), answer[:500]
        for word in TOLD:
            assert word.encode() not in answer, answer[:500]
        assert not self.faults, self.faults
        self.outcomes[f"{path.strip('/').partition('/')[0]}: {outcome}"] += 1
        self.num_large += len(body) > BIG_BYTES


def reason(stream: bytes, path: str) -> str:
    """How an event ended by its stream: as an answer, or refused in a sentence."""
    if path.startswith("call/"):
        *_, last = stream.decode().strip().split("\n\n")
        kind, _, data = last.partition("\ndata: ")
        if kind == "event: complete":
            return "answered"
        sentence = json.loads(data)["error"]
    else:
        messages = [json.loads(line.removeprefix(b"data: ")) for line in stream.splitlines() if line]
        (end,) = (message for message in messages if message["msg"] == "process_completed")
        if end["success"]:
            return "answered"
        sentence = end["output"]["error"]
    assert isinstance(sentence, str) and sentence.endswith((".", "?")) and len(sentence) < 400, sentence
    return "refused"


def is_refusal(answer: bytes) -> bool:
    """Whether the MCP server's answer is an error."""
    told = json.loads(answer.partition(b"data: ")[2] or answer)
    return "error" in told or bool(told["result"].get("isError"))


class Faults(logging.Handler):
    """What goes to the log as an error, or is printed as a traceback."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(logging.ERROR)
        self.faults = faults

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith("Error with model"):  # vLLM's line for a client's wrong name of a model
            return
        self.faults.append(f"{record.name}: {record.getMessage()} {record.exc_info}"[:2000])


@pytest.fixture(scope="module")
def watched() -> Iterator[list[str]]:
    """Everything that goes wrong on a server of this process."""
    gc.collect()  # tasks that the servers of earlier tests have left behind are no fault of these
    faults: list[str] = []
    handler = Faults(faults)
    loggers = [logging.getLogger(name) for name in ("", "uvicorn", "uvicorn.error", "streamspace", "asyncio", "vllm")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streams, "LINGER_S", 0.01)
        patch.setattr(traceback, "print_exc", lambda *_, **__: faults.append(traceback.format_exc()[-2000:]))
        for logger in loggers:
            logger.addHandler(handler)
        yield faults
        for logger in loggers:
            logger.removeHandler(handler)


@pytest.fixture(scope="module")
def scripted(watched: list[str]) -> Iterator[Site]:
    async def openai(scope: Any, receive: Any, send: Any) -> None:
        await respond(send, 200, {"choices": []})

    engine = FakePageEngine(deltas("an |answer"))
    engine.openai_app, engine.capacity = openai, 4
    demo, loops = build_demo(engine, admission_of(engine)), list[asyncio.AbstractEventLoop]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "start", lambda: loops.append(asyncio.get_running_loop()))
        patch.setattr(frames, "FRAME_S", 0.0)
        with served(engine, demo) as url:
            yield Site(url, demo, watched, loops[0])


# Values that are nearly right.

deep = st.builds(
    lambda value, levels, as_list: functools.reduce(lambda v, _: [v] if as_list else {"a": v}, range(levels), value),
    scalars, st.sampled_from([5, 20, 26, 33, 200, 500]), st.booleans(),
)  # fmt: skip
anything = json_values | json_values | scalars | deep
roles = st.sampled_from(["user", "assistant", "system", "robot", "", "user<|im_end|>", None, 5, ["user"]])
parts = st.fixed_dictionaries({"type": st.sampled_from(["text", "file", 5]), "text": texts}) | anything
events = (
    st.fixed_dictionaries({"index": st.integers(-3, 5) | anything})
    | st.fixed_dictionaries({"value": st.fixed_dictionaries({"text": texts | anything})})
    | st.fixed_dictionaries(
        {"previous_value": texts, "index": st.integers(-3, 5) | anything, "value": texts | anything}
    )
    | anything
)


def histories(content: SearchStrategy[Json]) -> SearchStrategy[Json]:
    message = st.fixed_dictionaries({"role": roles, "content": content}, optional={"metadata": anything, "id": scalars})
    good = st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant"]), "content": content})
    many = st.builds(lambda turn, n: [turn] * n, good, st.sampled_from([1_000, 10_000]))
    return st.lists(message, max_size=4) | st.lists(good, max_size=6) | anything | many


TURNS = [chatbot_message("user", "question"), chatbot_message("assistant", "answer")]
SPOKEN = [{"role": "user", "content": "question"}, {"role": "assistant", "content": "answer"}]
text, number = texts | anything, numbers | anything
on_page, spoken = histories(st.lists(parts, max_size=3) | text), histories(text)
ON_CHAT: dict[str, Json] = {"history": TURNS, "system_prompt": "Be brief.", "enable_thinking": "true"}
# What each handler takes, right, and what to put in its place.
RIGHT: dict[str, list[Json]] = {
    "_answer": page_values(CHAT, **ON_CHAT, shows_tokens=True),
    "_continue": page_values(CHAT, **ON_CHAT),
    "_summarise": page_values(CHAT, **ON_CHAT),
    "_undo": [TURNS, ""],
    "chat": call_values(chat_arguments(), message="Hi", history=SPOKEN, stop=[], enable_thinking=True),
    "complete": call_values(complete_arguments(), prompt="Hi", stop=[], adapter=""),
    "run": ["Hi", "Hi", *page_values(COMPLETION, kind="json", json='{"type": "null"}', regex="a|b", choice="yes\nno")],
    "_compare": page_values(COMPARE, system_prompt="Be brief.", enable_thinking="true"),
    "engine_ready": page_values(READY, enable_thinking="true"),
}
stops = text | st.lists(texts, max_size=20)
kinds = st.sampled_from(["none", "json", "regex", "choice", "lark", "Samples", "samples", ""]) | anything
keywords = st.sampled_from("type enum items properties anyOf allOf $ref $defs pattern minItems maxItems const".split())
schemas = text | anything | st.dictionaries(keywords, anything, max_size=4)
WRONG_VALUES: dict[str, SearchStrategy[Json]] = {  # of those that are no numbers
    **dict.fromkeys(("message", "prompt", "system_prompt", "enable_thinking", "regex", "adapter"), text),
    **dict.fromkeys(("stop", "choice"), stops),
    "images": text | st.lists(texts, max_size=6),
    **dict.fromkeys(("kind", "differ_in"), kinds),
    **dict.fromkeys(("json", "json_schema"), schemas),
    **dict.fromkeys(("shows_tokens", "measures", "button", "tools"), anything),
    "history": on_page,
}


def wrong(names: Iterable[str], **changes: SearchStrategy[Json]) -> list[SearchStrategy[Json]]:
    return [{**WRONG_VALUES, **changes}.get(name, number) for name in names]


WRONG: dict[str, list[SearchStrategy[Json]]] = {
    "_answer": wrong(CHAT),
    "_continue": wrong(CHAT),
    "_summarise": wrong(CHAT),
    "_undo": [on_page, text],
    "chat": wrong(CALL_CHAT, history=spoken, enable_thinking=anything),
    "complete": wrong(CALL_COMPLETE),
    "run": [text, text, *wrong(COMPLETION)],
    "_compare": wrong(COMPARE),
    "engine_ready": [anything] * len(READY),
}
Request = tuple[str, bytes, str]  # path, body, session

TOOLS = "mcp/"
OPENAI: dict[str, Json] = {
    "/v1/chat/completions": {"messages": SPOKEN[:1], "max_tokens": 2},
    "/v1/completions": {"prompt": "Hi", "max_tokens": 2},
    "/v1/messages": {"model": BUNDLED_MODEL.name, "messages": SPOKEN[:1], "max_tokens": 2},
    "/v1/messages/count_tokens": {"model": BUNDLED_MODEL.name, "messages": SPOKEN[:1]},
    "/v1/responses": {"input": "Hi", "max_output_tokens": 2},
    "/tokenize": {"prompt": "Hi"},
    "/detokenize": {"tokens": [1, 2]},
}
CALLS = ["call/chat", "call/complete", "call/v2/chat", "call/v2/complete"]
WAYS = ["queue/join"] * 12 + CALLS * 3 + [TOOLS] * 4 + [*OPENAI]
methods = st.sampled_from(
    ["tools/call"] * 8 + ["tools/list", "initialize", "ping", "resources/read", "prompts/get", "x"]
)
arguments = {
    "system_prompt": text, "max_tokens": number, "temperature": number, "seed": number,
    "images": WRONG_VALUES["images"], "history": spoken,
}  # fmt: skip
tool_calls = st.fixed_dictionaries(
    {
        "name": st.sampled_from(["ask", "ask", "ask", "engine_state", "chat", ""]),
        "arguments": st.fixed_dictionaries({"question": st.just("Hi") | text}, optional=arguments) | anything,
    }
)


def body_for(draw: st.DrawFn, path: str, session: str, fn_index: Callable[[str], int]) -> dict[str, Json]:
    """A body for this way in, with some wrong values."""
    if path in OPENAI:
        return {**OPENAI[path], **draw(openai_bodies)}
    if path == TOOLS:
        return {"jsonrpc": "2.0", "id": 1, "method": draw(methods), "params": draw(tool_calls)}
    name = path.rpartition("/")[2]
    if path not in CALLS:
        name = draw(st.sampled_from(["_answer", *RIGHT]))
    data = list(RIGHT[name])
    for place in draw(st.sets(st.integers(0, len(data) - 1), max_size=2)) if data else ():
        data[place] = draw(WRONG[name][place])
    if path in CALLS and "/v2/" in path:
        return dict(zip(CALL_CHAT if name == "chat" else CALL_COMPLETE, data, strict=True))
    body: Json = {"data": data, "session_hash": session}
    if not path.startswith("call/"):
        body |= {"fn_index": fn_index(name), "event_data": draw(st.none() | events), "event_id": "none"}
    return dict(body)


def swell(draw: st.DrawFn, body: dict[str, Json]) -> None:
    """Put something large in the place of one of the values."""
    values: Json = body.get("data")
    if isinstance(params := body.get("params"), dict) and isinstance(params["arguments"], dict):
        values = params["arguments"]
    values = values or body
    places = range(len(values)) if isinstance(values, list) else sorted(values)
    values[draw(st.sampled_from(places))] = draw(large)


@st.composite
def requests(draw: st.DrawFn, fn_index: Callable[[str], int], form: bool = True) -> Request:
    """A request by one of the ways in, with some wrong values, half of them large, or wrong in its `form`."""
    session = uuid.uuid4().hex
    path = draw(st.sampled_from(WAYS + (OTHERS if form else [])))
    body: Json = body_for(draw, path, session, fn_index)
    if draw(st.sampled_from([True, True, True, False])):  # those that are cut or exchanged below make it half
        swell(draw, body)
    match draw(st.integers(0, 20)) if form else 20:
        case 0:
            key = draw(st.sampled_from([*body, "trigger_id", "simple_format", "batched", "oauth_token"]))
            body[key] = draw(anything)
        case 1:
            del body[draw(st.sampled_from(sorted(body)))]
        case 2 if "data" in body:
            body["data"] = body["data"][1:] if draw(st.booleans()) else [*body["data"], draw(anything)]
        case 3:
            body = draw(anything)
        case 4:
            encoded = json.dumps(body).encode()
            return path, encoded[: draw(st.integers(0, len(encoded)))] + draw(st.binary(max_size=4)), session
    if isinstance(body, dict) and isinstance(body.get("session_hash"), str):
        session = body["session_hash"]
    return path, json.dumps(body, ensure_ascii=draw(st.booleans())).encode("utf-8", "surrogatepass"), session


BIG = [{**turn, "metadata": {"n": [10**400, math.nan]}} for turn in TURNS]  # which no JSON of orjson's can hold
FOUND: dict[str, tuple[str, dict[int, Json], Json]] = {
    "a number beyond any float": ("_answer", {CHAT.index("enable_thinking"): 10**400}, None),
    "a limit that is a word": ("engine_ready", {READY.index("max_tokens"): "many"}, None),
    "numbers that cannot go back, asked again": ("_answer", {1: [*BIG, *BIG]}, {"index": 3}),
    "numbers that cannot go back, undone": ("_undo", {0: [*BIG, *BIG]}, None),
    "an answer to continue, of nothing": ("_continue", {1: []}, None),
    "a box that is a number": ("_undo", {1: 5}, None),
    "a list in a list in a list": ("_answer", {5: json.loads("[" * 26 + "]" * 26)}, None),
    "pictures without pixels": ("_answer", {CHAT.index("attached"): {"ids": ["a"]}}, None),
    "pictures that are numbers": ("_answer", {CHAT.index("attached"): {"ids": [1], "urls": {"1": 2}}}, None),
    "pixels that are a list": ("_answer", {CHAT.index("attached"): {"ids": ["a"], "urls": {"a": []}}}, None),
    "pictures to compare that are a word": ("_compare", {COMPARE.index("attached"): "word"}, None),
    "an answer with pictures of nothing": ("_undo", {0: [{**TURNS[0], "metadata": {"pictures": 5}}]}, None),
}


@pytest.mark.parametrize(("name", "changes", "event_data"), FOUND.values(), ids=FOUND)
def test_what_was_found(scripted: Site, name: str, changes: dict[int, Json], event_data: Json) -> None:
    session = uuid.uuid4().hex
    data = [changes.get(place, value) for place, value in enumerate(RIGHT[name])]
    body = {"data": data, "session_hash": session, "fn_index": scripted.number(name), "event_data": event_data}
    scripted.ask("queue/join", json.dumps(body).encode(), session)


OTHERS = [
    "queue/join/", "call/chat/", "call/_answer", "call/nothing", "call/v2/nothing", "run/chat", "run/_undo",
    "api/predict", "cancel", "reset", "component_server", "login", "upload", "x",
]  # fmt: skip


EVENT = {"data": RIGHT["complete"], "session_hash": "s"}
SENTENCES: dict[str, tuple[str, Json, str]] = {
    "no JSON": ("call/chat", b"{", "The body of the request is not JSON."),
    "no object": ("cancel", [], "The body of the request is a list; it must be an object."),
    "too deep": (
        "call/chat",
        b'{"data":' + b"[" * 40 + b"]" * 40 + b"}",
        "The values are nested in more than 32 levels;",
    ),
    "deeper": ("call/chat", b'{"data":' + b"[" * 100_000, "The body of the request is not JSON."),
    "no values": ("call/complete", {}, "data is missing; it must be a list."),
    "too few values": ("call/complete", {"data": ["Hi"]}, f"data has 1 values; complete takes {len(CALL_COMPLETE)}."),
    "no session": (
        "call/complete",
        {**EVENT, "session_hash": 5},
        "session_hash is a number; it must be a string.",
    ),
    "no number": ("queue/join", {**EVENT, "fn_index": True}, "fn_index is a boolean; it must be a whole number."),
    "unknown": ("call/nothing", EVENT, "The page has no such event; /gradio_api/info lists its endpoints."),
    "private": ("call/_answer", EVENT, "The page has no such event; /gradio_api/info lists its endpoints."),
    "an unknown parameter": (
        "call/v2/chat",
        {"x": 1},
        "chat has no parameter 'x'; /gradio_api/info lists its parameters.",
    ),
    "a parameter that is missing": ("call/v2/chat", {}, "message is missing; /gradio_api/info lists the parameters of"),
    "an unknown endpoint": ("call/v2/nothing", {}, "The page has no such event; /gradio_api/info lists its endpoints."),
    "a session that fills the memory": (
        "call/complete",
        {**EVENT, "session_hash": "s" * 101},
        "session_hash has 101 characters; allowed are 100.",
    ),
    "an event's id that fills the memory": (
        "reset",
        {"event_id": "x" * 101},
        "event_id has 101 characters; allowed are 100.",
    ),
    "no event": ("cancel", {"session_hash": "s", "fn_index": 1}, "event_id is missing; it must be a string."),
}


@pytest.mark.parametrize(("path", "body", "sentence"), SENTENCES.values(), ids=SENTENCES)
def test_what_is_wrong_in_form_is_named(scripted: Site, path: str, body: Json, sentence: str) -> None:
    status, answer = scripted.send("POST", path, body if isinstance(body, bytes) else json.dumps(body).encode())
    assert status == 400 and json.loads(answer)["detail"].startswith(sentence)
    assert json.loads(answer)["error"] == json.loads(answer)["detail"] and not scripted.faults


@pytest.mark.parametrize("innermost", [[], {}, [1, "a"], {"a": 1}])
def test_levels_are_counted_to_the_last(innermost: Json) -> None:
    levels = [functools.reduce(lambda v, n: [v] if n % 2 else {"a": v, "b": 0}, range(n), innermost) for n in (31, 32)]
    assert [is_deep(one) for one in levels] == [False, True]
    assert not is_deep("text")


def test_every_handler_is_tried(scripted: Site) -> None:
    assert {handler.__name__ for handler in scripted.demo.handlers} == set(RIGHT)


def test_an_empty_session_is_none(scripted: Site) -> None:
    scripted.ask("call/complete", json.dumps({**EVENT, "session_hash": ""}).encode(), "")


def test_a_stream_that_gradio_breaks_off_comes_to_an_end(scripted: Site) -> None:
    status, stream = scripted.send("GET", "queue/data?session_hash=nothing")
    assert status == 200 and b"session_not_found" in stream and not scripted.faults
    status, answer = scripted.send("GET", "call/chat/nothing")
    assert status == 404 and b"There is no such call" in answer and not scripted.faults


def test_half_a_character_in_the_bytes_themselves_is_replaced(scripted: Site) -> None:
    session = uuid.uuid4().hex
    body: Json = {"data": page_values(CHAT, **ON_CHAT, message="\ud800"), "session_hash": session}
    body |= {"fn_index": scripted.number("_answer")}
    scripted.ask("queue/join", json.dumps(body, ensure_ascii=False).encode("utf-8", "surrogatepass"), session)
    assert scripted.outcomes["queue: answered"]


def try_out(site: Site, num_inputs: int, form: bool = True) -> None:
    """Send that many requests, and report what came of them."""

    @tried_with(
        max_examples=num_inputs,
        deadline=None,
        database=None,
        derandomize=not ASKED_FOR,
        suppress_health_check=list(HealthCheck),
    )
    @given(requests(site.number, form))
    def one(request: Request) -> None:
        site.ask(*request)

    collect_rarely()  # as the app does when it is ready: the collector would halt all for seconds
    with lateness(site.loop) as late_ms:
        one()
    late = f"loop late p99 {quantiles(late_ms, n=100)[98]:.1f}, most {max(late_ms):.0f} ms"
    told = f"{dict(sorted(site.outcomes.items()))}; server faults: {len(site.faults)}; {late}"
    print(f"\n{site.outcomes.total()} requests, {site.num_large} of them large: {told}")


@contextmanager
def lateness(loop: asyncio.AbstractEventLoop | None) -> Iterator[list[float]]:
    """By how many milliseconds a task on this loop, which sleeps for one again and again, is late."""
    assert loop is not None
    late_ms: list[float] = []

    async def tick() -> None:
        while True:
            due_s = time.monotonic() + 0.001
            await asyncio.sleep(0.001)
            late_ms.append(1000 * (time.monotonic() - due_s))

    ticking = asyncio.run_coroutine_threadsafe(tick(), loop)
    yield late_ms
    ticking.cancel()


@pytest.mark.parametrize("num_inputs", NUMBERS)
def test_no_input_makes_the_server_fail(scripted: Site, num_inputs: int) -> None:
    try_out(scripted, num_inputs)
    assert not scripted.faults


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers of a few tokens, so that there is time for many."""
    from streamspace import llm

    sampling_params, check = llm.sampling_params, OpenAIServer._check

    def few_tokens(settings: Settings) -> Any:
        return sampling_params(replace(settings, max_tokens=min(4, settings.max_tokens)))

    def few_at_v1(server: OpenAIServer, parameters: dict[str, Any]) -> int:
        num_answers = check(server, parameters)
        parameters.update({name: min(4, parameters[name] or 4) for name in LENGTHS if name in parameters})
        return num_answers

    monkeypatch.setattr(llm, "sampling_params", few_tokens)
    monkeypatch.setattr(OpenAIServer, "_check", few_at_v1)


@pytest.mark.usefixtures("brief")
@pytest.mark.parametrize("num_inputs", NUMBERS)
def test_no_input_harms_the_engine(running: Running, watched: list[str], num_inputs: int) -> None:
    site, num_restarts = Site(running.url, running.demo, watched, running.loop), running.engine.num_restarts
    try_out(site, num_inputs if ASKED_FOR else max(30, num_inputs // 10), form=False)
    assert not site.faults and running.engine.status.stage == "ready"
    assert running.engine.num_restarts == num_restarts
    wait_until(lambda: running.is_idle, what="an idle engine")
    body = {"data": ["Once upon a time", *RIGHT["complete"][1:]], "session_hash": "after"}
    site.ask("call/complete", json.dumps(body).encode(), "after")
    assert site.outcomes["call: answered"]
