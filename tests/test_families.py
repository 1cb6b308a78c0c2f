"""Models of many families, each started and asked by the page, /chat and /v1: it runs, or a sentence says why not.

`make nightly ARGS="tests/test_families.py"`.
"""

import re
from pathlib import Path

import httpx
import pytest
from gradio_client import Client
from playwright.sync_api import expect

from tests import families
from tests.apps import App, health
from tests.page import NewPage, begin_and_end
from tests.support import programs, wait_until

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
