"""Models of many families, each started and asked by the page, /chat and /v1: it runs, or a sentence says why not.

Those that see are asked with no, one and three pictures, by /v1/messages and the MCP server's tool, too.

`make nightly ARGS="tests/test_families.py"`.
"""

import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import expect

from streamspace.config import load_config
from streamspace.engine import Engine
from streamspace.errors import TooManyPictures
from tests import families
from tests.apps import App, health
from tests.inputs import CHAT, page_values
from tests.page import NewPage, begin_and_end
from tests.support import Running, final_status, programs, run_application, wait_until
from tests.test_mcp import call
from tests.vision import data_url, picture
from tests.wire import ASK, Site, Tab, completed

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.xdist_group("processes")]

NO_SCAN = r".*: its process failed: AttributeError: .* has no attribute 'selective_scan_fwd' \(the log has more\)\."
# Family → the sentence on the page where vLLM 0.29's CPU build does not run it.
REFUSED = {
    "Falcon-Mamba": NO_SCAN,
    "Mamba": NO_SCAN,
    "Jamba": NO_SCAN,
    "MPT": r".*: Model architecture MptForCausalLM was supported in vLLM until v0\.28\.0, and is not .*",
}
NEEDS_NETWORK = "TIKTOKEN_ENCODINGS_BASE"  # gpt-oss at /v1: a vocabulary that openai_harmony fetches


@pytest.mark.parametrize("name", families.FAMILIES)
def test_it_runs_or_one_sentence_says_why_not(name: str, tmp_path: Path, new_page: NewPage) -> None:
    folder = families.write(name, tmp_path / name)
    with programs() as start:
        app = App(start, tmp_path / "log", "--model", str(folder), "--max-tokens", "16")
        wait_until(lambda: health(app.port)[1].get("status") in ("ready", "failed"), 240, "the end of the start")
        if name in REFUSED:
            assert re.fullmatch(REFUSED[name], health(app.port)[1]["detail"])
            return
        app.wait(200, 1)
        engine = app.engine
        page = new_page(app.url)
        begin_and_end(page, "Hello")
        expect(page.locator("#note")).to_contain_text("tokens/s")
        client = Client(app.url, verbose=False)
        client.predict("Hello", max_tokens=8, api_name="/chat")  # an answer of random weights may have no text
        client.close()
        asked = {"model": name, "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 8}
        answer = httpx.post(f"{app.url}/v1/chat/completions", json=asked, timeout=60)
        if name != "gpt-oss" or NEEDS_NETWORK not in answer.text:
            assert answer.status_code == 200 and answer.json()["usage"]["completion_tokens"] <= 8, answer.text
            assert "Traceback (most recent call last)" not in app.written
        assert app.engine == engine  # it has died of none of them


# Families that see, and do not start without torchvision: their vLLM modules import it, or their processors do.
NEED_TORCHVISION = {
    "SmolVLM": "SmolVLMForConditionalGeneration",
    "Mistral-Small-3.1": "Mistral3ForConditionalGeneration",
    "Qwen2.5-VL": "Qwen2_5_VLForConditionalGeneration",
    "Qwen3-VL": "Qwen3VLForConditionalGeneration",
    "Gemma-4": "Gemma4ForConditionalGeneration",
}
if find_spec("torchvision"):
    REFUSED_SEEING = {"SmolVLM": r".*: Package `num2words` is required to run SmolVLM processor\. .*"}
else:
    needs = "needs the package torchvision, which is not installed here"
    REFUSED_SEEING = {name: rf"{architecture} {needs}\." for name, architecture in NEED_TORCHVISION.items()}
URLS = [data_url(picture(seed)) for seed in range(3)]


def by_page(app: Running, urls: Sequence[str]) -> str:
    tab = Tab(Site(app.url, cast(Any, app.engine), app.demo))
    named = {f"p{number}": url for number, url in enumerate(urls)}
    attached = {"ids": [*named], "urls": named}
    tab.join(ASK, page_values(CHAT, message="Hello", max_tokens=8, attached=attached))
    return str(completed([*tab.stream()])["output"].get("error") or "")


def by_chat(app: Running, urls: Sequence[str]) -> str:
    client = Client(app.url, verbose=False)
    try:
        client.predict(message="Hello", images=list(urls), max_tokens=8, api_name="/chat")
    except AppError as error:
        return str(error)
    finally:
        client.close()
    return ""


def by_v1(app: Running, urls: Sequence[str]) -> str:
    parts = [{"type": "image_url", "image_url": {"url": url}} for url in urls]
    return posted(app, "chat/completions", parts)


def by_messages(app: Running, urls: Sequence[str]) -> str:
    sources = [{"type": "base64", "media_type": "image/png", "data": url.partition(",")[2]} for url in urls]
    return posted(app, "messages", [{"type": "image", "source": source} for source in sources])


def posted(app: Running, route: str, parts: list[Any]) -> str:
    content = [*parts, {"type": "text", "text": "Hello"}]
    asked = {"model": app.engine.config.model_name, "messages": [{"role": "user", "content": content}], "max_tokens": 8}
    answer = httpx.post(f"{app.url}/v1/{route}", json=asked, timeout=60)
    return "" if answer.status_code == 200 else str(answer.json()["error"]["message"])


def by_mcp(app: Running, urls: Sequence[str]) -> str:
    told, is_error = call(app.url, "ask", question="Hello", images=list(urls), max_tokens=8)
    return told if is_error else ""


@pytest.mark.parametrize("name", families.SEEING)
def test_it_sees_or_one_sentence_says_why_not(name: str, tmp_path: Path) -> None:
    folder = families.write_seeing(name, tmp_path / name)
    flags = {"MODEL_ID": str(folder)}
    if families.SEEING[name].architecture:
        flags["LOAD_FORMAT"] = "dummy"
    if name in REFUSED_SEEING:
        status = final_status(Engine(load_config((), flags)))
        assert status.stage == "failed" and re.fullmatch(REFUSED_SEEING[name], status.detail)
        return
    with run_application(**flags) as app:
        most = min(app.engine.images_per_message, app.engine.most_images)
        assert most == families.SEEING[name].most
        for number in (0, 1, 3):
            refusals = [ask(app, URLS[:number]) for ask in (by_page, by_chat, by_v1, by_messages, by_mcp)]
            assert set(refusals) == {str(TooManyPictures(number, most)) if number > most else ""}
        assert app.engine.status.stage == "ready" and not app.engine.num_restarts
