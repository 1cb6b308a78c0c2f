"""The MCP server through the official client: its two tools, its resource, and that it is no way round anything."""

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from gradio.blocks import BlocksConfig
from gradio_client import Client
from mcp import ClientSession
from mcp.client.streamable_http import streamablehttp_client
from mcp.shared.exceptions import McpError
from mcp.types import CancelledNotification, CancelledNotificationParams, ClientNotification
from pydantic import AnyUrl

from streamspace.config import load_config
from streamspace.types import Delta, Status
from streamspace.ui import build_demo
from tests.client import AUTH, ask, joined, log_in, whole
from tests.fake import FakePageEngine, deltas
from tests.openai_client import GREEDY, HI
from tests.support import AT_ONCE_S, Running, admission_of, served, wait_until

PATH = "/gradio_api/mcp"
JSON = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}


def with_client(url: str, work: Any, headers: dict[str, str] | None = None) -> Any:
    """What `work` returns of a session with the server."""

    async def act() -> Any:
        async with (
            streamablehttp_client(f"{url}{PATH}/", headers) as (receive, send, _),
            ClientSession(receive, send) as session,
        ):
            await session.initialize()
            return await work(session)

    return asyncio.run(act())


def call(url: str, tool: str, headers: dict[str, str] | None = None, **arguments: Any) -> tuple[str, bool]:
    """The text that a tool answers, and whether it is an error."""
    result = with_client(url, lambda session: session.call_tool(tool, arguments), headers)
    (content,) = result.content
    return content.text, result.isError


def body(tool: str, **arguments: Any) -> bytes:
    """A call as it is on the wire."""
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
    return json.dumps(asked).encode()


def begin(url: str, question: str, **arguments: Any) -> socket.socket:
    """Ask, and leave the connection open."""
    asked = body("ask", question=question, **arguments)
    host, port = url.removeprefix("http://").split(":")
    lines = [f"POST {PATH}/ HTTP/1.1", "Host: x", *(f"{name}: {value}" for name, value in JSON.items())]
    connection = socket.create_connection((host, int(port)), timeout=10)
    connection.sendall("\r\n".join([*lines, f"Content-Length: {len(asked)}", "", ""]).encode() + asked)
    return connection


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with served(FakePageEngine(deltas("an| answer"))) as url:
        yield url


def test_there_are_two_tools_and_what_they_take_is_explained(url: str) -> None:
    tools = with_client(url, lambda session: session.list_tools()).tools
    assert [tool.name for tool in tools] == ["ask", "engine_state"]
    properties = tools[0].inputSchema["properties"]
    assert list(properties) == ["question", "system_prompt", "max_tokens", "temperature", "seed", "images", "history"]
    assert all(told["description"] for told in properties.values()) and tools[0].inputSchema["required"] == ["question"]


def test_a_question_may_follow_others() -> None:
    engine = FakePageEngine(deltas("an| answer"))
    with served(engine) as url:
        before = [{"role": "user", "content": "One?"}, {"role": "assistant", "content": "Two."}]
        assert call(url, "ask", question="Three?", history=before) == ("an answer", False)
        assert [message.text for message in engine.conversations[-1]] == ["One?", "Two.", "Three?"]
        told, is_error = call(url, "ask", question="Hi", history=[{"role": "wizard", "content": "x"}])
        assert is_error and "must have a role (system, user or assistant)" in told


def test_pictures_may_be_as_large_as_at_the_other_entrypoints() -> None:
    engine = FakePageEngine(deltas("an| answer"))
    engine.most_images = 4
    with served(engine) as url:
        large = "data:image/png;base64," + "A" * (6 << 20)
        assert call(url, "ask", question="Hi", images=[large]) == ("an answer", False)
        assert [len(message.images) for message in engine.conversations[-1]] == [1]
        told, is_error = call(url, "ask", question="Hi", images=[2 * large])
        assert is_error and told.startswith("A picture has 9.4 MB; allowed are 8.4")


def test_a_prompt_gets_the_answer_of_the_page(running: Running) -> None:
    client = Client(running.url, verbose=False)
    expected = client.predict(HI[0]["content"], api_name="/chat", **GREEDY)
    client.close()
    assert call(running.url, "ask", question=HI[0]["content"], **GREEDY) == (expected, False)


def test_the_state_is_the_engines(running: Running, url: str) -> None:
    wait_until(lambda: running.is_idle, what="an idle engine")
    told, _ = call(running.url, "engine_state")
    assert told == "streamspace-tiny: Ready: the context holds 2048 tokens; 0 requests running, 0 waiting."


@pytest.mark.parametrize(
    ("tool", "arguments", "sentence"),
    [
        (
            "ask",
            {"question": "Hi", "max_tokens": 0},
            "max_tokens is 0; allowed is a whole number from 1 to 2147483647.",
        ),
        ("ask", {"question": 5}, "5 is not of type 'string'"),
        ("ask", {}, "'question' is a required property"),
        ("chat", {"message": "Hi"}, "Unknown tool"),
        ("engine_ready", {}, "Unknown tool"),
        ("_answer", {}, "Unknown tool"),
    ],
)
def test_what_is_not_allowed_is_one_sentence(url: str, tool: str, arguments: dict[str, Any], sentence: str) -> None:
    told, is_error = call(url, tool, **arguments)
    assert is_error and sentence in told and "Traceback" not in told


def test_until_the_engine_is_ready_the_tool_says_so() -> None:
    with served(FakePageEngine(status=Status("loading", "Loading the weights"))) as url:
        assert call(url, "ask", question="Hi") == ("The model is not ready: Loading the weights", True)
        assert call(url, "engine_state")[0].startswith("streamspace-tiny: Loading the weights")


@pytest.mark.usefixtures("endless")
def test_a_client_that_goes_away_frees_the_engine(running: Running) -> None:
    with begin(running.url, "Tell me a long story.", max_tokens=1900):
        wait_until(lambda: running.engine.running == 1, what="the answer")
    wait_until(lambda: running.is_idle, AT_ONCE_S, "the release")


def test_the_pages_limits_hold() -> None:
    engine = FakePageEngine([Delta("a"), 3600.0])
    engine.config = load_config(["--answers-per-visitor", "1"], {"MODEL_ID": engine.config.model})
    with served(engine) as url:
        with begin(url, "Hi"):
            wait_until(lambda: engine.num_running == 1, what="the first answer")
            told, is_error = call(url, "ask", question="Hi")
            assert is_error and told.startswith("At most 1 answer at once for each visitor")
        wait_until(lambda: engine.num_running == 0, what="the release")


def test_a_tool_does_not_wait_for_the_configuration_of_the_whole_page(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    configured, configure = [], BlocksConfig.config_for_block

    def counted(number: int, *arguments: Any) -> Any:
        configured.append(number)
        return configure(number, *arguments)

    monkeypatch.setattr(BlocksConfig, "config_for_block", staticmethod(counted))
    assert call(url, "ask", question="Hi", max_tokens=3) == ("an answer", False)
    assert len(configured) < 20  # the tool's own: the page has ten times as many


def test_the_tools_are_for_mcp_alone() -> None:
    engine = FakePageEngine(deltas("an| answer"))
    demo = build_demo(engine, admission_of(engine))
    with served(engine, demo) as url:
        assert '"/chat"' in (info := whole(url, "/gradio_api/info")) and '"/ask"' not in info and "state" not in info
        data = b'{"data": ["Hi", null, null, null, null]}'
        assert [ask(url, "POST", f"/gradio_api/{route}/ask", data, JSON)[0] for route in ("call", "run")] == [400, 404]
        status, text = joined(url, "ask", ["Hi", None, None, None, None], "x", {})
    assert status == 400 and "ask is a tool of the MCP server" in text and engine.num_started == 0
    assert not demo._queue.pending_event_ids_session and not demo._queue.event_ids_to_events


@pytest.mark.parametrize("path", ["/sse", "/messages/", "/messages/?session_id=x", "/http", "/x"])
def test_its_other_routes_are_closed(url: str, path: str) -> None:
    assert ask(url, "POST", PATH + path, body("engine_state"), JSON)[0] in (404, 405)
    assert ask(url, "GET", PATH + path, None, JSON)[0] in (404, 405)


def test_with_a_login_it_wants_the_login_or_a_key() -> None:
    engine = FakePageEngine(deltas("an| answer"))
    engine.config = replace(engine.config, auth=AUTH, api_keys=("right",))
    with served(engine) as url:
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic right"}):
            status, _, text = ask(url, "POST", f"{PATH}/", body("engine_state"), {**JSON, **headers})
            assert status == 401 and "wants one of the operator's API keys" in text
            assert ask(url, "GET", f"{PATH}/schema", None, headers)[0] == 401
        assert call(url, "ask", {"Authorization": "Bearer right"}, question="Hi") == ("an answer", False)
        assert call(url, "ask", log_in(url), question="Hi") == ("an answer", False)


def test_a_resource_tells_the_model_and_its_limits(url: str) -> None:
    async def read(session: ClientSession) -> Any:
        (listed,) = (await session.list_resources()).resources
        (content,) = (await session.read_resource(listed.uri)).contents
        with pytest.raises(
            McpError, match=r"There is no resource 'streamspace://other'; there is: streamspace://model\."
        ):
            await session.read_resource(AnyUrl("streamspace://other"))
        return listed, content

    listed, content = with_client(url, read)
    assert str(listed.uri) == "streamspace://model" and listed.mimeType == content.mimeType == "application/json"
    told = json.loads(content.text)
    assert told["model"] == "streamspace-tiny" and told["status"] == "ready" and told["context_tokens"] == 1000
    assert told["max_tokens"] == 2048 and told["images_per_message"] == told["requests_per_minute"] == 0


def test_a_client_cancels_its_own_call_alone() -> None:
    engine = FakePageEngine([Delta("a"), 3600.0])
    with served(engine) as url:

        async def act() -> None:
            async with (
                streamablehttp_client(f"{url}{PATH}/") as (receive, send, name_of),
                streamablehttp_client(f"{url}{PATH}/") as (receive_too, send_too, _),
                ClientSession(receive, send) as session,
                ClientSession(receive_too, send_too) as another,
            ):
                await asyncio.gather(session.initialize(), another.initialize())
                calls = [asyncio.create_task(each.call_tool("ask", {"question": "Hi"})) for each in (session, another)]
                await until(lambda: engine.num_running == 2)
                assert name_of()
                params = CancelledNotificationParams(requestId=1)  # the first call; 0 was the beginning
                cancelled = CancelledNotification(method="notifications/cancelled", params=params)
                await session.send_notification(ClientNotification(cancelled))
                await until(lambda: engine.num_running == 1)
                assert (await session.list_tools()).tools and not calls[1].done()
                for each in calls:
                    each.cancel()
                await asyncio.gather(*calls, return_exceptions=True)

        asyncio.run(asyncio.wait_for(act(), 60))


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)
