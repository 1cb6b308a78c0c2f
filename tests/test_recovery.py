"""The real engine broken on purpose under the real app: it is built again, and everybody is told."""

import asyncio
import json
import multiprocessing
import os
import re
import signal
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from openai import APIError, BadRequestError, OpenAI
from playwright.sync_api import Page, expect

from benchmarks.release import endless_model
from streamspace.config import load_config
from streamspace.engine import Engine
from streamspace.process import workers_of
from tests.apps import App, assert_gone, family, health
from tests.client import whole
from tests.fault import BREAKS, DEADLY_TOP_K
from tests.page import bot, box, questions, send, set_up, wait_for_end
from tests.support import READY_S, Start, metrics_kept, programs, run_application, wait_until

pytestmark = pytest.mark.xdist_group("processes")

NewPage = Callable[..., Page]
STORY = "Tell me a story about a robot, a lighthouse and a lost key."
SOME = re.compile(r"\S[\s\S]{20,}")
BROKEN = "The engine has broken down and is being restarted"


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """For temporary files; short, for a socket's path has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="mortal-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def mortal(folder: Path) -> Iterator[App]:
    """An app for all tests that leave a working engine behind; no answer ends before the engine is broken."""
    with programs() as start, endless_model() as model:
        app = App(start, folder / "log", "--hang-timeout", "3", "--model", model, TMPDIR=str(folder))
        app.wait(200)
        yield app


def begin(page: Page) -> None:
    """Ask for what takes long, and wait for some of it."""
    set_up(page, max_tokens="1900", temperature="2")
    send(page, STORY)
    expect(bot(page)).to_have_text(SOME)


@pytest.mark.browser
@pytest.mark.parametrize("way", ["killed", pytest.param("hung", marks=pytest.mark.slow)])
def test_a_broken_engine_comes_back_and_the_answer_goes_on(mortal: App, new_page: NewPage, way: str) -> None:
    asked, looking = new_page(mortal.url), new_page(mortal.url)
    expect(looking.locator("#status")).to_contain_text("Ready")
    begin(asked)
    mortal.engine.send_signal(signal.SIGKILL if way == "killed" else signal.SIGSTOP)
    expect(looking.locator("#status .restarting")).to_contain_text(BROKEN)
    send(looking, STORY)
    for waiting in (asked, looking):
        expect(waiting.locator("#note")).to_contain_text("The engine is being restarted; this waits until it is back")
    expect(box(looking)).to_have_value("")
    begun = bot(asked).inner_text()
    assert SOME.match(begun)
    mortal.wait(200)
    expect(bot(looking)).to_have_text(SOME)
    expect(looking.locator("#status .ready")).to_contain_text("Ready")
    wait_until(lambda: len(bot(asked).inner_text()) > len(begun), what="more of the answer")
    assert bot(asked).inner_text().startswith(begun.rstrip()) and questions(asked).count() == 1
    asked.get_by_role("button", name="Stop").click()
    wait_for_end(asked)


@pytest.mark.parametrize("way", [pytest.param("killed", marks=pytest.mark.slow), "hung"])
def test_a_client_of_the_api_is_told_and_answered_by_the_next_engine(mortal: App, way: str) -> None:
    mortal.wait(200)
    client = OpenAI(base_url=f"{mortal.url}/v1", api_key="any", max_retries=0)
    asked: Any = {"model": "streamspace-tiny", "messages": [{"role": "user", "content": STORY}], "max_tokens": 1900}
    stream = client.chat.completions.create(**asked, stream=True, temperature=2, extra_body={"ignore_eos": True})
    chunks = iter(stream)
    text = ""
    while len(text) < 30:
        text += next(chunks).choices[0].delta.content or ""
    mortal.engine.send_signal(signal.SIGKILL if way == "killed" else signal.SIGSTOP)
    try:
        assert [chunk.choices[0].finish_reason for chunk in chunks][-1] == "abort"
    except APIError as error:
        assert way == "killed" and "/" not in str(error)
    mortal.wait(503)
    assert client.chat.completions.create(**{**asked, "max_tokens": 4}).choices[0].message.content


def test_an_answer_of_the_api_that_was_not_begun_to_be_sent_is_given_by_the_next_engine(mortal: App) -> None:
    mortal.wait(200)
    client = OpenAI(base_url=f"{mortal.url}/v1", api_key="any", max_retries=0)
    asked: Any = {"model": "streamspace-tiny", "messages": [{"role": "user", "content": STORY}], "max_tokens": 600}
    with ThreadPoolExecutor() as pool:
        whole = pool.submit(lambda: client.chat.completions.create(**asked, extra_body={"ignore_eos": True}))
        wait_until(lambda: health(mortal.port)[1]["running"] == 1, what="the answer")
        mortal.engine.kill()
        answer = whole.result(300)
    assert answer.choices[0].finish_reason == "length" and answer.usage and answer.usage.completion_tokens == 600


def kept(app: App, folder: Path) -> tuple[int, ...]:
    """Processes, open files and sockets of an app that has an engine."""
    time.sleep(1)  # an engine makes its last files when it is ready already
    process = psutil.Process(app.process.pid)
    own = process.num_fds() - sum(c.status == psutil.CONN_ESTABLISHED for c in process.net_connections("tcp"))
    return len(family(app.process)), own, sum(len(list(one.iterdir())) for one in folder.glob("streamspace-*"))


def shared_memory() -> list[str]:
    return [file.name for file in Path("/dev/shm").iterdir()]


def series(app: App) -> dict[str, float]:
    lines = whole(app.url, "/metrics").splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def test_a_rebuilt_engine_has_the_same_series_and_keeps_no_more_and_a_gone_one_has_none(
    mortal: App, folder: Path
) -> None:
    mortal.wait(200)
    mortal.answer_once()  # an engine that answered nobody is built again later and later
    series_before, kept_before, gone = series(mortal), kept(mortal, folder), mortal.engine.pid
    mortal.engine.kill()
    wait_until(
        lambda: not any(name.startswith("vllm:") for name in series(mortal)), 20, "the end of the gone one's series"
    )
    mortal.wait(200)
    mortal.answer_once()
    kept_after, series_after = kept(mortal, folder), series(mortal)  # that takes longer than the series are kept
    assert series_after.keys() == series_before.keys()
    restarts = "streamspace_engine_restarts_total"
    assert series_after[restarts] == series_before[restarts] + 1
    assert all(now <= then for now, then in zip(kept_after, kept_before, strict=True)), (kept_after, kept_before)
    assert not [name for name in shared_memory() if f"_{gone}_" in name]


@pytest.mark.slow
def test_nothing_is_left_of_many_engines_that_broke(mortal: App, folder: Path) -> None:
    def all_kept() -> tuple[int, ...]:
        return *kept(mortal, folder), len(shared_memory())  # of the whole machine: no other engine may come or go

    before: tuple[int, ...] = ()
    for _ in range(3):
        mortal.answer_once()
        mortal.engine.kill()
        mortal.wait(503, 20)
        mortal.wait(200)
        before = before or all_kept()  # of the first one: others may have been used less
    assert all(now <= then for now, then in zip(all_kept(), before, strict=True)), (all_kept(), before)


def test_a_second_app_loads_beside_the_first_which_answers_on(mortal: App) -> None:
    mortal.wait(200)
    with mortal.long_answer() as answer:
        with run_application() as second:
            assert second.engine.status.stage == "ready"
        assert answer.readline() and health(mortal.port)[0] == 200


def test_the_engine_does_not_outlive_an_app_that_is_killed_in_mid_answer(mortal: App) -> None:
    """The last one with this app."""
    mortal.wait(200)
    with mortal.long_answer():
        children = family(mortal.process)
        mortal.process.kill()
        assert_gone(children, 10)


def test_an_engine_that_dies_while_it_loads_is_loaded_again(caplog: pytest.LogCaptureFixture) -> None:
    engine, others = Engine(load_config((), {})), {*multiprocessing.active_children()}

    async def load() -> None:
        engine.start()
        while not (processes := {*multiprocessing.active_children()} - others):
            await asyncio.sleep(0.01)
        processes.pop().kill()
        while engine.status.stage != "ready":
            await asyncio.sleep(0.01)
        await engine.stop()

    with metrics_kept():
        asyncio.run(asyncio.wait_for(load(), READY_S))
    assert engine.num_restarts == 1 and "It is built again in 0 s." in caplog.text


def ask_by_call(url: str, prompt: str, top_k: int) -> str:
    """Ask by /call/complete; returns the events."""
    body = json.dumps({"data": [prompt, 4, 1, 1, top_k, 0, 1, *[None] * 6]}).encode()
    call = f"{url}/gradio_api/call/complete"
    visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    with visitor.open(urllib.request.Request(call, body, {"Content-Type": "application/json"})) as answer:
        event = json.load(answer)["event_id"]
    with visitor.open(f"{call}/{event}") as events:
        return str(events.read().decode())


def test_a_request_that_breaks_the_engine_breaks_two_at_most_and_all_others_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaks = tmp_path / "breaks"
    monkeypatch.setenv(BREAKS, str(breaks))
    refusal = "The engine broke down while it worked on this request"
    with run_application("--worker-extension-cls", "tests.fault.Extension") as app:
        client = OpenAI(base_url=f"{app.url}/v1", api_key="any", max_retries=0, timeout=200)

        def ask(number: int) -> Any:
            """An answer that takes some time; number 0 breaks the engine."""
            options = {"top_k": DEADLY_TOP_K if number == 0 else number, "ignore_eos": True}
            messages: Any = [{"role": "user", "content": STORY}]
            try:
                given = client.chat.completions.create(
                    model="streamspace-tiny", messages=messages, max_tokens=300, extra_body=options
                )
                return given.choices[0].finish_reason
            except BadRequestError as error:
                return str(error)

        with ThreadPoolExecutor(8) as pool:
            others = [pool.submit(ask, number) for number in range(1, 5)]
            wait_until(lambda: app.engine.running == 4, what="the others")
            deadly = [pool.submit(ask, 0), pool.submit(ask_by_call, app.url, STORY, 1)]
            answers = [other.result(300) for other in others]
            assert answers == ["length"] * 4
            assert refusal in deadly[0].result(300) and "event: complete" in deadly[1].result(300)
        restarts = app.engine.num_restarts
        assert 1 <= restarts <= 2 and len(breaks.read_text().split()) == restarts
        # Its like is refused at once, by whomever; another breaks one engine only, for it is in flight alone.
        assert refusal in ask(0)
        assert app.engine.num_restarts == restarts
        assert [refusal in ask_by_call(app.url, "Another", DEADLY_TOP_K) for _ in range(2)] == [True, True]
        assert app.engine.num_restarts == restarts + 1 == len(breaks.read_text().split())
        assert "event: complete" in ask_by_call(app.url, "Another", 1)


@pytest.mark.slow
@pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="vLLM binds each worker to a CPU of its own")
def test_a_worker_that_dies_is_noticed_before_vllm_tells_of_it(start: Start, tmp_path: Path) -> None:
    bound = {"VLLM_CPU_OMP_THREADS_BIND": "0|1"}
    app = App(start, tmp_path / "log", "--tensor-parallel-size", "2", "--hang-timeout", "600", **bound)
    app.wait(200, 240)
    workers = workers_of(child.pid for child in family(app.process))
    assert len(workers) == 2
    workers[-1].kill()
    wait_until(lambda: "One of the engine's workers has died (the log may say why)." in app.written, what="the word")
    app.wait(200, 240)
    assert not any(worker.is_running() for worker in workers)
    app.answer_once()


@pytest.mark.slow
def test_an_engine_without_enough_memory_is_given_up_with_its_words_until_the_operator_says_so(
    start: Start, tmp_path: Path
) -> None:
    app = App(start, tmp_path / "log", "--kv-cache-memory-bytes", str(10**14))
    detail = app.wait_for_stage("failed", 120)
    assert detail.startswith("vLLM could not start streamspace-tiny: its KV cache is to have 93132.26 GiB, and ")
    assert detail.endswith(" GiB are free: set --kv-cache-memory-bytes to less.")
    assert "It is built again" not in app.written
    assert str(Path(__file__).parents[1]) not in detail
    (key,) = re.findall(r"open /retry\?key=(\S+)", app.written)
    with pytest.raises(urllib.error.HTTPError, match="403"):
        urllib.request.urlopen(f"{app.url}/retry?key=guessed")
    assert health(app.port)[1]["status"] == "failed"
    urllib.request.urlopen(f"{app.url}/retry?key={key}", b"").close()
    wait_until(lambda: health(app.port)[1].get("status") == "loading", 20, "the next attempt")
