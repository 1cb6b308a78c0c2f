"""Nothing that a visitor or the model writes runs as a script, and none of it makes the browser ask another server.

Each payload sets a flag, opens a dialog or asks a server that is not ours if it runs. It comes by every way in which a
text reaches the page; what the page made of it is looked at, too, for a handler runs only when somebody touches it.
"""

import json
import re

import pytest
from playwright.sync_api import Route, expect

from streamspace import frames
from streamspace.types import Delta
from tests.fake import deltas
from tests.inputs import CHAT
from tests.page import NewPage, bot, box, questions, send, set_up, wait_for_end
from tests.payloads import PAYLOADS, watch
from tests.wire import Site

pytestmark = pytest.mark.browser


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames as fast as they come, so that the page draws every beginning of a text."""
    for name in ("FRAME_S", "CHAR_S", "FRAME_COST_S"):
        monkeypatch.setattr(frames, name, 0.0)
    monkeypatch.setattr(frames, "TICK_S", 1e-6)


@pytest.fixture(autouse=True)
def long_context(site: Site) -> None:
    site.engine.max_model_len = 100_000


HALVES = {"first half": [*PAYLOADS][:17], "second half": [*PAYLOADS][17:]}


@pytest.mark.parametrize("piece", [6, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("names", HALVES.values(), ids=HALVES)
def test_an_answer_runs_nothing_while_it_streams_or_after(
    site: Site, new_page: NewPage, names: list[str], piece: int
) -> None:
    """Each answer streams below those before it, which are still there, and is drawn after every few characters."""
    watched = watch(new_page, site.url)
    for number, name in enumerate(names, 1):
        pieces = re.findall(f"(?s).{{1,{piece}}}", PAYLOADS[name])
        steps = [step for text in pieces for step in (Delta(text), 0.004)]
        site.engine.script = [*steps, Delta(" done", "stop")]
        send(watched.page, "Hi")
        expect(watched.page.locator("#chat [data-testid=bot]")).to_have_count(number)
        expect(bot(watched.page)).to_contain_text("done")
        wait_for_end(watched.page)
        watched.check(name)


@pytest.mark.parametrize("names", HALVES.values(), ids=HALVES)
def test_what_a_visitor_writes_runs_nothing_anywhere(site: Site, new_page: NewPage, names: list[str]) -> None:
    """As a message, edited, as a system prompt, asked again, and back in the box."""
    page = (watched := watch(new_page, site.url)).page
    for number, name in enumerate(names, 1):
        send(page, PAYLOADS[name])
        expect(page.locator("#conversation [data-testid=bot]")).to_have_count(number)
        wait_for_end(page)
    watched.check()
    page.get_by_label("Edit").first.click()
    page.locator("#chat textarea").fill("\n\n".join(PAYLOADS.values()))
    page.get_by_label("Submit").click()
    expect(questions(page)).to_have_count(1)
    wait_for_end(page)
    set_up(page, **{"System prompt": "\n".join(PAYLOADS.values())})
    page.get_by_label("Retry").last.click()
    expect(bot(page)).to_have_text("an answer")
    wait_for_end(page)
    watched.check()
    page.get_by_label("Undo").last.click()
    expect(box(page)).not_to_have_value("")
    watched.check()


def test_a_completion_runs_nothing(site: Site, new_page: NewPage) -> None:
    text = "\n".join(PAYLOADS.values())
    site.engine.script = [Delta(text[:99]), Delta(text[99:]), Delta(" done", "stop")]
    page = (watched := watch(new_page, site.url)).page
    page.get_by_role("tab", name="Completion").click()
    page.get_by_label("Prompt 1").fill(text)
    page.get_by_role("button", name="Run 1").click()
    expect(page.locator("#continuation-1 textarea")).to_have_value(re.compile("done"))
    assert page.evaluate("document.querySelectorAll('.completion :is(script, iframe, img)').length") == 0
    watched.check()


def test_a_refusal_that_repeats_a_value_runs_nothing(site: Site, new_page: NewPage) -> None:
    """Made-up requests, because the page's own controls hold no such values."""
    page = (watched := watch(new_page, site.url)).page
    value = ""

    def forge(route: Route) -> None:
        asked = json.loads(route.request.post_data or "{}")
        if len(asked["data"]) == len(CHAT):
            asked["data"][CHAT.index("temperature")] = value[:50]  # a refusal cuts off what is longer
        route.continue_(post_data=json.dumps(asked))

    page.route("**/queue/join*", forge)
    for name in ("handlers", "script", "svg", "frames", "links", "entities"):
        value = PAYLOADS[name]
        send(page, "Hi")
        failure = page.get_by_role("alert").filter(has_text="allowed is a number from 0 to 2")
        expect(failure).to_contain_text(value[:12])
        wait_for_end(page)
        watched.check(name)


BOMBS = {  # of some thousand characters, as an answer of 2048 tokens can have
    "quotes": ">" * 5000,
    "lists": "".join("  " * depth + "- x\n" for depth in range(60)),
    "depth": "- " * 3000 + "x",  # deeper than marked can go
    "spaces": "-" + " " * 6000 + "x",
    "emphasis": "**a *b " * 700,
    "formulas": "\\(a " * 1000 + "\\begin{a}\n" * 300,
    "brackets": "[a](![" * 800,
    "backticks": " ".join("`" * length for length in range(1, 100)),
    "dollars": "$" * 5000,
    "table": "|a" * 20 + "|\n" + "|-" * 20 + "|\n" + ("|b" * 20 + "|\n") * 100,
    "braces": "$$" + "{" * 2000 + "x" + "}" * 2000 + "$$",
    "macros": "$$\\def\\a{\\b\\b}\\def\\b{\\c\\c}\\def\\c{\\a\\a}\\a$$",
    "diagram": "```mermaid\ngraph TD;" + "".join(f"a{n}-->a{n * 7 % 99};" for n in range(300)) + "\n```\n",
}


def test_the_page_goes_on_after_a_text_that_is_hard_to_draw(site: Site, new_page: NewPage) -> None:
    page = (watched := watch(new_page, site.url)).page
    for number, bomb in enumerate(BOMBS.values(), 1):
        site.engine.script = [Delta(bomb[: len(bomb) // 2]), 0.1, Delta(bomb[len(bomb) // 2 :], "stop")]
        send(page, str(number))
        expect(page.locator("#chat [data-testid=user]")).to_have_count(1)
        wait_for_end(page)
        page.get_by_label("Clear").first.click()  # so that each is drawn alone
        expect(page.locator("#chat [data-testid=user]")).to_have_count(0)
    site.engine.script = deltas("an answer")
    send(page, "still there?")
    expect(bot(page)).to_have_text("an answer")
    watched.check()
