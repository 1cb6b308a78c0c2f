"""`/chat`, `/complete` and `/health` of the running application, through the clients that people use."""

import asyncio
import itertools
import json
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect
from vllm import SamplingParams
from vllm.sampling_params import RequestOutputKind

from streamspace import chat
from streamspace.types import Delta, Status
from tests.support import ROOT, Running, wait_until

pytestmark = pytest.mark.xdist_group("engine")

PROMPTS = [
    "The future of artificial intelligence is",
    "In a galaxy far, far away",
    "The key to happiness is",
    "人工智能的未来是",
    "从前有一座山,山里有一个",
    "KV 缓存保存的是",
    "👩‍👩‍👧‍👦 family, 🇨🇳 flag, 👍🏽 thumb: 🎉",
    "😀😃😄😁😆",
    "def add(a, b):\n\treturn a + b\n\n\ndef sub(a, b):\n\t",
    'if (a < b && c > d) {\n\t\tprintf("%d\\n", a);\n\t}',
    '<html>\n  <body class="x">\n    <script>alert(1)</script>',
    "&lt;b&gt; is &amp;lt;b&amp;gt;",
    "مرحبا بالعالم، كيف حالك اليوم؟",
    "שלום עולם, מה שלומך",
    "| a | b |\n|---|---|\n| 1 | 2 |\n",
    "    four spaces, then\ttab\tand trailing   ",
    "\n\n\nthree newlines before",
    "Zürich, Ærøskøbing, Łódź, naïve café, ﬁ ligature",
    "हिन्दी में एक वाक्य",
    "e\u0301 combining, \u200bzero width, \ufefffeff",
    *(f"{n} + {n + 7} =" for n in range(10, 25)),
    *(f"Once upon a time, robot number {n} found" for n in range(15)),
]


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[Client]:
    client = Client(running.url, verbose=False)
    yield client
    client.close()


def engine_texts(running: Running, prompts: Sequence[str]) -> list[str]:
    """What the engine itself answers to them all at once, each in one piece, without us."""
    llm = running.engine._vllm
    assert llm is not None
    async_llm = llm.async_llm

    async def final(prompt: str) -> str:
        params = SamplingParams(max_tokens=60, temperature=0, output_kind=RequestOutputKind.FINAL_ONLY)
        rendered = (await async_llm.renderer.render_cmpl_async([{"prompt": prompt}]))[0]
        async for output in async_llm.generate(rendered, params, f"final-{prompt}"):
            text = output.outputs[0].text
        return text

    async def all_of_them() -> list[str]:
        return await asyncio.gather(*map(final, prompts))

    return running.run(all_of_them())


def streamed_texts(client: Client, prompts: Sequence[str]) -> list[str]:
    """The last frames of answers to them all at once; each frame goes on where the one before ended."""
    jobs = [client.submit(prompt, max_tokens=60, temperature=0, api_name="/complete") for prompt in prompts]
    texts = [str(job.result(120)) for job in jobs]
    for text, job in zip(texts, jobs, strict=True):
        assert all(later.startswith(earlier) for earlier, later in itertools.pairwise([*job.outputs(), text]))
    return texts


def test_streamed_text_equals_the_engines_own(running: Running, client: Client) -> None:
    pairs = zip(streamed_texts(client, PROMPTS), engine_texts(running, PROMPTS), strict=True)
    others = [prompt for prompt, (streamed, own) in zip(PROMPTS, pairs, strict=True) if streamed != own]
    assert len(others) <= 5, others  # bf16 sums may differ in another batch: alone they may not
    for prompt in others:
        assert streamed_texts(client, [prompt]) == engine_texts(running, [prompt])


def test_the_same_seed_gives_the_same_text_and_another_seed_another(client: Client) -> None:
    def text(seed: int) -> str:
        return str(client.predict("Once upon a time", seed=seed, max_tokens=40, temperature=1.0, api_name="/complete"))

    assert text(1) == text(1) != text(2)


def test_chat_answers_after_a_history_with_the_settings_given(client: Client) -> None:
    history = [{"role": "user", "content": "My name is Ada."}, {"role": "assistant", "content": "Hello, Ada."}]
    answer = client.predict("What is my name?", history, "Be brief.", max_tokens=5, temperature=0, api_name="/chat")
    again = client.predict("What is my name?", history, "Be brief.", max_tokens=5.0, temperature=0, api_name="/chat")
    assert isinstance(answer, str) and answer == again


def test_a_stop_string_ends_the_answer_before_it(client: Client) -> None:
    whole = str(client.predict("1 2 3 4", max_tokens=40, temperature=0, api_name="/complete"))
    stop = whole[len(whole) // 2 : len(whole) // 2 + 3]
    cut = client.predict("1 2 3 4", max_tokens=40, temperature=0, stop=[stop], api_name="/complete")
    assert cut == whole[: whole.index(stop)]


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"max_tokens": 2.5}, "max_tokens is 2.5; allowed is a whole number"),
        ({"temperature": "hot"}, "temperature is 'hot'; allowed is a number from 0 to 2."),
        ({"history": [{"role": "robot", "content": "x"}]}, "Message 1 of the history"),
        ({"message": 5}, "message is a int; it must be a string."),
        ({"message": "word " * 9000}, "the model's context holds"),
    ],
)
def test_a_bad_value_is_one_clear_sentence(client: Client, given: dict[str, object], sentence: str) -> None:
    with pytest.raises(AppError, match=sentence):
        client.predict(**{"message": "Hi", **given}, api_name="/chat")


@pytest.mark.usefixtures("endless")
def test_cancelling_a_job_frees_the_engine(running: Running, client: Client) -> None:
    job = client.submit("Once upon a time", max_tokens=1900, api_name="/complete")
    wait_until(job.outputs, what="the first frame")  # before, the client does not know what to cancel
    job.cancel()
    wait_until(lambda: running.is_idle, what="the release")


@pytest.mark.usefixtures("endless")
@pytest.mark.parametrize("num_times", [10, pytest.param(50, marks=pytest.mark.slow)])
@pytest.mark.parametrize("endpoint", ["/chat", "/complete"])
def test_an_error_in_our_own_code_frees_the_engine(
    running: Running, client: Client, endpoint: str, num_times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = chat._Answer._add

    def broken(answer: chat._Answer, delta: Delta) -> None:
        add(answer, delta)
        assert len(answer.reply.text) < 20, "a fault of ours"

    monkeypatch.setattr(chat._Answer, "_add", broken)
    for _ in range(num_times):
        with pytest.raises(AppError) as told:
            client.predict("Once upon a time", max_tokens=1900, api_name=endpoint)
        wait_until(lambda: running.is_idle, 5, "the release")
        assert "fault" not in str(told.value)


def health(running: Running) -> tuple[int, dict[str, object]]:
    with urllib.request.urlopen(f"{running.url}/health", timeout=5) as answer:
        return answer.status, json.load(answer)


@pytest.mark.usefixtures("endless")
def test_health_shows_the_engines_own_counts(running: Running, client: Client) -> None:
    detail = "Ready: the context holds 2048 tokens"
    idle = {"status": "ready", "model": "streamspace-tiny", "running": 0, "waiting": 0, "detail": detail}
    wait_until(lambda: health(running) == (200, idle), what="an idle engine")
    jobs = [client.submit(f"Number {n}", max_tokens=1900, api_name="/complete") for n in range(3)]
    wait_until(lambda: health(running)[1]["running"] == 3, what="three running requests")
    for job in jobs:
        wait_until(job.outputs, what="the first frame")
        job.cancel()
    wait_until(lambda: health(running) == (200, idle), what="an idle engine again")


def test_an_engine_that_was_given_up_is_unhealthy_with_the_reason(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running.engine, "_status", Status("failed", "It broke too often."))
    with pytest.raises(urllib.error.HTTPError) as refused:
        health(running)
    assert refused.value.code == 503
    assert json.load(refused.value) == {"status": "failed", "detail": "It broke too often."}


@pytest.mark.parametrize("endpoint", ["/chat", "/complete"])
def test_every_parameter_is_explained_with_a_value_that_works(running: Running, client: Client, endpoint: str) -> None:
    with urllib.request.urlopen(f"{running.url}/gradio_api/info", timeout=5) as answer:
        told = json.load(answer)["named_endpoints"][endpoint]
    assert all(parameter["python_type"]["description"].endswith(".") for parameter in told["parameters"])
    examples = {parameter["parameter_name"]: parameter["example_input"] for parameter in told["parameters"]}
    assert client.predict(**{**examples, "max_tokens": 5, "seed": 1}, api_name=endpoint)
    assert client.predict(next(iter(examples.values())), api_name=endpoint)


@pytest.mark.browser
def test_what_use_via_api_shows_can_be_run(running: Running, new_page: Callable[..., Page]) -> None:
    page = new_page(running.url)
    page.get_by_role("button", name="Use via API").click()
    docs = page.locator(".api-docs")
    docs.get_by_text("Python", exact=True).first.click()
    expect(docs).to_contain_text("Most tokens that the answer may have.")
    python = [text for text in docs.locator("pre").all_inner_texts() if text.startswith("from gradio_client")]
    docs.get_by_text("JavaScript", exact=True).first.click()
    expect(docs).to_contain_text("Client.connect(")
    node = [text for text in docs.locator("pre").all_inner_texts() if "Client.connect(" in text]
    assert len(python) == len(node) == 2
    for text in python:
        assert run([sys.executable, "-"], text).strip()
    for text in node:
        assert run(["node", "--input-type=module", "-"], f"{text}\nprocess.exit()").strip()


def run(command: list[str], program: str) -> str:
    """What a program prints, started where Node finds what `scripts/setup node` installed."""
    folder = ROOT / "tests" / "node"
    done = subprocess.run(command, input=program, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
