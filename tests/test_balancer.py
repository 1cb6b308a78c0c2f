"""Two real apps behind a real HAProxy, by the configuration in docker/: as with one, and one of them may go."""

import json
import re
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI
from playwright.sync_api import Page, expect

from benchmarks.balanced import Balancer, haproxy
from benchmarks.release import endless_model
from tests.apps import App, health
from tests.page import begin_and_end, bot, questions, send, set_up
from tests.support import programs, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("processes")]

NewPage = Callable[..., Page]
MOST = 2  # answers at once of a node
SOME = re.compile(r"\S[\s\S]{20,}")
# Run in a page: what it shows last, for after its reload.
REMEMBER_SHOWN = """() => setInterval(() => {
  sessionStorage.shown = [...document.querySelectorAll('#conversation [data-testid=bot]')].at(-1)?.innerText ?? '';
}, 10)"""
STORY = "Tell me a story about a robot, a lighthouse and a lost key."


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Short, for a socket's path has at most 107 characters."""
    with tempfile.TemporaryDirectory(prefix="nodes-") as name:
        yield Path(name)


@pytest.fixture(scope="module")
def nodes(folder: Path) -> Iterator[tuple[App, App]]:
    """Two apps whose answers have no end of their own."""
    haproxy()
    with programs() as start, endless_model() as model:
        options = ["--model", model, "--kv-cache-memory-bytes", "100M", "--max-num-seqs", str(MOST)]
        a, b = (App(start, folder / f"log-{name}", *options, TMPDIR=str(folder)) for name in "ab")
        a.wait(200)
        b.wait(200)
        yield a, b


@pytest.fixture(scope="module")
def balancer(folder: Path, nodes: tuple[App, App]) -> Iterator[Balancer]:
    if not haproxy():
        pytest.skip("haproxy is not installed")
    with closing(Balancer(folder, *(f"http://127.0.0.1:{node.port}" for node in nodes))) as balancer:
        wait_until(lambda: health(balancer.port)[0] == 200, 20, "a node behind the balancer")
        yield balancer


def begin(page: Page) -> None:
    """Ask for what does not end, and wait for some of it."""
    set_up(page, max_tokens="1900", temperature="2")
    send(page, STORY)
    expect(bot(page)).to_have_text(SOME)


def node_of(page: Page) -> str:
    """The node that the balancer's cookie names."""
    return next(str(cookie["value"]) for cookie in page.context.cookies() if cookie["name"] == "NODE")


def num_running(node: App) -> int:
    return int(health(node.port)[1]["running"])


def num_queued(node: App) -> int:
    with urllib.request.urlopen(f"{node.url}/metrics") as metrics:
        (number,) = re.findall(rb"^streamspace_requests_queued (\S+)$", metrics.read(), re.MULTILINE)
    return int(float(number))


@pytest.mark.browser
def test_visitors_are_spread_and_answered_by_the_node_that_they_began_with(
    nodes: tuple[App, App], balancer: Balancer, new_page: NewPage
) -> None:
    pages = [new_page(balancer.url), new_page(balancer.url)]
    assert sorted(map(node_of, pages)) == ["a", "b"]
    for page in pages:
        page.bring_to_front()
        begin(page)
        page.close()
        wait_until(lambda: [num_running(node) for node in nodes] == [0, 0], what="the release")


def called(balancer: Balancer) -> Any:
    """The stream of an answer that does not end soon, for a program: its address has one node."""
    url = f"{balancer.url}/gradio_api/call/v2/complete"
    asked = {"prompt": "Once", "max_tokens": 1900, "temperature": 0.0}
    request = urllib.request.Request(url, json.dumps(asked).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as answer:
        event = json.load(answer)["event_id"]
    return urllib.request.urlopen(f"{url}/{event}")


def test_programs_that_go_are_released_from_the_engine_and_from_the_queue(
    nodes: tuple[App, App], balancer: Balancer
) -> None:
    streams = [called(balancer) for _ in range(MOST)]
    for stream in streams:
        assert stream.readline().startswith(b"event: generating")
    assert sorted(map(num_running, nodes)) == [0, MOST]
    waiting = called(balancer)
    wait_until(lambda: sum(map(num_queued, nodes)) == 1, what="the queue")
    waiting.close()  # the balancer ends a connection although it has nothing to send
    wait_until(lambda: not any(map(num_queued, nodes)), what="the empty queue")
    for stream in streams:
        assert stream.readline() and stream.readline()  # goes on
        stream.close()
    wait_until(lambda: not any(map(num_running, nodes)), what="the release")


def test_every_other_entrypoint_is_there(nodes: tuple[App, App], balancer: Balancer) -> None:
    client = OpenAI(base_url=f"{balancer.url}/v1", api_key="-")
    (model,) = client.models.list().data
    with client.completions.create(model=model.id, prompt="Once", max_tokens=1900, stream=True) as stream:
        next(stream)
    wait_until(lambda: not any(map(num_running, nodes)), what="the release")
    asked = {"jsonrpc": "2.0", "id": 1, "method": "tools/call"}
    asked["params"] = {"name": "ask", "arguments": {"question": "Hello", "max_tokens": 5}}
    headers = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    request = urllib.request.Request(f"{balancer.url}/gradio_api/mcp/", json.dumps(asked).encode(), headers)
    with urllib.request.urlopen(request) as answer:
        assert b'"isError":false' in answer.read().replace(b" ", b"")


@pytest.mark.browser
def test_a_node_that_is_drained_keeps_its_visitors_and_gets_no_new_ones(balancer: Balancer, new_page: NewPage) -> None:
    page = new_page(balancer.url)
    set_up(page, max_tokens="5")
    begin_and_end(page, STORY)
    node = node_of(page)
    balancer.command(f"set server by_load/{node} state drain")
    others = [new_page(balancer.url) for _ in range(3)]
    assert node not in map(node_of, others)
    page.bring_to_front()
    begin_and_end(page, STORY)
    assert node_of(page) == node
    balancer.command(f"set server by_load/{node} state ready")


@pytest.mark.browser
def test_the_visitors_of_a_killed_node_go_on_at_the_other(
    nodes: tuple[App, App], balancer: Balancer, new_page: NewPage
) -> None:
    page = new_page(balancer.url)
    begin(page)
    name = node_of(page)
    page.evaluate(REMEMBER_SHOWN)
    nodes["ab".index(name)].process.kill()
    expect(page.locator("#note")).to_contain_text("Interrupted by a reload; Continue takes it up again")
    shown = page.evaluate("sessionStorage.shown")
    assert bot(page).inner_text() == shown and questions(page).count() == 1
    assert node_of(page) != name
    page.bring_to_front()
    page.get_by_role("button", name="Continue").click()
    wait_until(lambda: len(bot(page).inner_text()) > len(shown), what="more of the answer")
    assert bot(page).inner_text().startswith(shown.rstrip()) and questions(page).count() == 1
