"""/metrics: what is counted where it happens, and what a real Prometheus makes of it."""

import asyncio
import json
import re
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from streamspace.errors import (
    BadRequest,
    ChatError,
    EngineRestarting,
    EngineStopped,
    PromptTooLong,
    QueueFull,
    RequestFailed,
    TooManyAnswers,
    TooManyRequests,
)
from streamspace.limits import Limits, Queue
from streamspace.metrics import exposition
from streamspace.types import Delta
from streamspace.ui.failures import shown_to_the_visitor
from streamspace.ui.gradio_ import streams
from streamspace.visitors import Visitor
from tests.fake import deltas
from tests.support import Running, free_port, wait_until
from tests.wire import ASK, LONG, Stream, Tab

ROOT = Path(__file__).parents[1]
DASHBOARD = json.loads((ROOT / "docs" / "grafana.json").read_text(encoding="utf-8"))
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]
BIN = (ROOT / ".venv" / "prometheus" / "usr" / "bin").as_posix()


def program(name: str) -> str:
    """Prometheus' own programs, where `scripts/setup prometheus` puts them or the system has them."""
    return shutil.which(name, path=BIN) or shutil.which(name) or pytest.skip(f"{name} is not installed")


def sample(name: str, **labels: str) -> float:
    """The value of one of our series now."""
    return REGISTRY.get_sample_value(f"streamspace_{name}", labels) or 0.0


def names_of(text: str) -> set[str]:
    """The names of all series in a scrape."""
    return {sample.name for family in text_string_to_metric_families(text) for sample in family.samples}


def read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=20) as answer:
        return str(answer.read().decode())


def completes(running: Running) -> None:
    """Have the engine answer somebody to the end."""
    url = f"{running.url}/gradio_api/call/v2/complete"
    body = json.dumps({"prompt": "Once", "max_tokens": 5, "temperature": 0}).encode()
    asked = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    assert "event: complete" in read(f"{url}/{json.load(urllib.request.urlopen(asked))['event_id']}")


def begun(tab: Tab) -> Stream:
    """A stream of which something was read."""
    stream = tab.stream()
    next(message for message in stream if message["msg"] == "process_generating")
    return stream


def finish(tab: Tab) -> None:
    tab.site.engine.script = deltas("a|b")
    tab.answer()


def fail(tab: Tab) -> None:
    tab.site.engine.script = [RequestFailed()]  # once it has begun, an answer that is broken off is one that finished
    tab.answer()


def stop(tab: Tab) -> None:
    event_id = tab.ask()
    stream = begun(tab)
    wanted = {"session_hash": tab.session, "fn_index": tab.site.number(ASK), "event_id": event_id}
    tab.post("cancel", json.dumps(wanted).encode())
    stream.close()


def leave(tab: Tab) -> None:
    tab.ask()
    begun(tab).close(reset=True)


def never_read(tab: Tab) -> None:
    tab.ask()


def stall(tab: Tab) -> None:
    tab.site.engine.script = [step for _ in range(100) for step in (Delta("x" * 1_000_000), 0.05)]
    tab.ask()
    stream = tab.stream(receive_bytes=4096)
    wait_until(lambda: tab.site.engine.num_closed_early == 1, what="the close")
    stream.close()


WAYS = {"finished": finish, "error": fail, "stopped": stop, "left": leave, "never_read": never_read, "stalled": stall}


@pytest.mark.parametrize("cause", WAYS)
def test_each_way_to_end_is_counted_as_what_it_is(tab: Tab, cause: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if cause in ("never_read", "stalled"):
        monkeypatch.setattr(streams, "READER_S", 0.2)

    def counts() -> dict[str, float]:
        return {name: sample("streams_total", event="answer", cause=name) for name in WAYS}

    before, frames = counts(), sample("frames_total")
    tab.site.engine.script = [Delta("a"), LONG]
    WAYS[cause](tab)
    wait_until(lambda: counts() != before, what="the count")
    assert {name: now - before[name] for name, now in counts().items() if now != before[name]} == {cause: 1.0}
    assert sample("frames_total") > frames


def test_visitors_their_answers_and_the_queue_are_counted_while_they_are_there() -> None:
    def counts() -> list[float]:
        return [sample(name) for name in ("visitors", "answers_running", "requests_queued")]

    async def act() -> None:
        queue, end = Queue(Limits(queue_length=1)), asyncio.Event()

        async def answer() -> AsyncGenerator[str, None]:
            yield "text"
            await end.wait()

        async def ask(name: str) -> None:
            async with aclosing(queue.admit(Visitor(name, ""), answer(), 2, str, weight=2)) as items:
                async for _ in items:
                    pass

        tasks = [asyncio.create_task(ask(name)) for name in ("Anna", "Ben")]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert counts() == [2, 2, 1]
        refused = sample("refusals_total", reason="queue_length")
        with pytest.raises(QueueFull):
            await ask("Cleo")
        assert sample("refusals_total", reason="queue_length") == refused + 1
        end.set()
        await asyncio.gather(*tasks)

    asyncio.run(act())
    assert counts() == [0, 0, 0]


@pytest.mark.parametrize(
    ("limits", "reason"),
    [
        (Limits(requests_per_minute=1), "requests_per_minute"),
        (Limits(answers_per_visitor=1), "answers_per_visitor"),
    ],
)
def test_a_refusal_is_counted_by_its_limit(limits: Limits, reason: str) -> None:
    async def answer() -> AsyncGenerator[str, None]:
        yield "text"

    async def act() -> None:
        queue = Queue(limits)
        first = queue.admit(Visitor("Anna", "there"), answer(), None, str)
        async with aclosing(first):
            await anext(first)
            with pytest.raises((TooManyAnswers, TooManyRequests)):
                await anext(queue.admit(Visitor("Anna", "there"), answer(), None, str))

    before = sample("refusals_total", reason=reason)
    asyncio.run(act())
    assert sample("refusals_total", reason=reason) == before + 1


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (BadRequest("No."), "bad_request"),
        (PromptTooLong(8), "prompt_too_long"),
        (EngineRestarting(), "not_ready"),
        (QueueFull(1), None),  # counted by the Queue
        (EngineStopped(), None),  # no refusal
    ],
)
def test_what_a_visitor_is_told_is_counted_where_it_is_a_refusal(error: ChatError, reason: str | None) -> None:
    def counts() -> dict[str, float]:
        (family,) = (family for family in REGISTRY.collect() if family.name == "streamspace_refusals")
        return {sample.labels["reason"]: sample.value for sample in family.samples if sample.name.endswith("_total")}

    before = counts()
    with pytest.raises(gr.Error), shown_to_the_visitor():
        raise error
    assert {name for name, now in counts().items() if now != before[name]} == ({reason} if reason else set())


def test_our_names_keep_prometheus_rules() -> None:
    text = "".join(
        line + "\n" for line in exposition().decode().splitlines() if re.match(r"(# \w+ )?streamspace_", line)
    )
    check = subprocess.run([program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True)
    assert (check.returncode, check.stdout + check.stderr) == (0, "")


def test_a_scrape_has_vllms_series_and_ours_and_says_nothing_of_anybody(running: Running) -> None:
    completes(running)
    with urllib.request.urlopen(f"{running.url}/metrics") as answer:
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        text = answer.read().decode()
    assert {"vllm:num_requests_running", "vllm:generation_tokens_total", "streamspace_info"} <= names_of(text)
    assert str(ROOT) not in text and "Once" not in text and "127.0.0.1" not in text


def test_every_query_of_the_dashboard_names_what_a_scrape_has(running: Running) -> None:
    completes(running)
    names = names_of(read(f"{running.url}/metrics"))
    asked = {name for query in QUERIES for name in re.findall(r"(?:vllm:|streamspace_|process_)\w+", query)}
    assert len(asked) > 15 and asked <= names, asked - names


@pytest.fixture
def prometheus(running: Running, tmp_path: Path) -> Iterator[str]:
    """A real Prometheus that scrapes the application each second; yields its address."""
    port = free_port()
    target = running.url.removeprefix("http://")
    config = tmp_path / "prometheus.yml"
    config.write_text(
        json.dumps(
            {
                "global": {"scrape_interval": "1s"},
                "scrape_configs": [{"job_name": "streamspace", "static_configs": [{"targets": [target]}]}],
            }
        )
    )
    arguments = [
        f"--config.file={config}",
        f"--storage.tsdb.path={tmp_path / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([program("prometheus"), *arguments], stdout=log, stderr=log)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def test_a_real_prometheus_answers_every_query_of_the_dashboard(running: Running, prometheus: str) -> None:
    def found(query: str) -> list[Any]:
        asked = urllib.parse.urlencode({"query": query.replace("$__rate_interval", "1m")})
        try:
            answer = json.loads(read(f"{prometheus}/api/v1/query?{asked}"))
        except OSError:  # it is not up yet
            return []
        return list(answer["data"]["result"])

    wait_until(lambda: found("streamspace_info"), 30, "the first scrape")
    completes(running)
    for query in QUERIES:
        wait_until(partial(found, query), 30, query)
    (tokens,) = found("vllm:generation_tokens_total")
    assert float(tokens["value"][1]) >= 5 and tokens["metric"]["model_name"] == "streamspace-tiny"
    assert json.loads(read(f"{prometheus}/api/v1/targets"))["data"]["activeTargets"][0]["lastError"] == ""
