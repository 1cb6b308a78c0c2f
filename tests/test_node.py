"""The entrypoints through the clients that people use from Node: OpenAI's and Gradio's."""

from typing import Any

import pytest
from gradio_client import Client

from streamspace.config import load_config
from tests.fake import FakePageEngine
from tests.openai_client import GREEDY, HI, MODEL, Answers
from tests.support import Running, ask_from_node, served, wait_until

OPENAI = {"key": "any", "model": MODEL}


@pytest.fixture(scope="module")
def expected(running: Running) -> dict[str, str]:
    """What the page's endpoints answer."""
    client = Client(running.url, verbose=False)
    texts = {
        "/chat": client.predict(HI[0]["content"], api_name="/chat", **GREEDY),
        "/complete": client.predict("Once upon a time", api_name="/complete", **GREEDY),
    }
    client.close()
    return texts


@pytest.mark.parametrize(
    ("endpoint", "entrypoint", "asked"),
    [
        ("/chat", "openai", {**OPENAI, "route": "chat", "messages": HI}),
        ("/chat", "gradio", {"endpoint": "/chat", "message": HI[0]["content"]}),
        ("/complete", "openai", {**OPENAI, "route": "completions", "prompt": "Once upon a time"}),
        ("/complete", "gradio", {"endpoint": "/complete", "prompt": "Once upon a time"}),
    ],
)
def test_an_answer_is_streamed(
    running: Running, expected: dict[str, str], endpoint: str, entrypoint: str, asked: dict[str, Any]
) -> None:
    told = ask_from_node(entrypoint, running.url, **asked, **GREEDY)
    assert told["text"] == expected[endpoint] and told["num_frames"] > 1


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize(
    ("entrypoint", "asked"),
    [
        ("openai", {**OPENAI, "route": "chat", "messages": HI, "ignore_eos": True}),
        ("gradio", {"endpoint": "/chat", "message": HI[0]["content"]}),
    ],
    ids=["openai", "gradio"],
)
def test_who_leaves_in_the_middle_frees_the_engine(running: Running, entrypoint: str, asked: dict[str, Any]) -> None:
    ask_from_node(entrypoint, running.url, **asked, max_tokens=1900, leaves=True)
    wait_until(lambda: running.is_idle, 5, "the release")


def test_a_refusal_is_the_same_sentence(running: Running) -> None:
    told = ask_from_node("openai", running.url, **OPENAI, route="chat", messages=HI, max_tokens=0)
    assert told["status"] == 400 and "max_tokens is 0; allowed is a whole number from 1 to 2147483647." in told["error"]
    told = ask_from_node("gradio", running.url, endpoint="/chat", message="Hi", max_tokens=0)
    assert told["error"] == "max_tokens is 0; allowed is a whole number from 1 to 2147483647."


def test_a_key_is_asked_for() -> None:
    engine = FakePageEngine()
    engine.config = load_config(["--api-key", "right"], {"MODEL_ID": engine.config.model})
    engine.openai_app = answers = Answers()
    answers.end = True
    with served(engine) as url:
        asked: dict[str, Any] = {"model": MODEL, "route": "chat", "messages": HI}
        assert ask_from_node("openai", url, **asked, key="wrong")["status"] == 401
        assert "status" not in ask_from_node("openai", url, **asked, key="right")
