"""Votes on answers: what is kept of them, where, and that none is lost."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from huggingface_hub import HfApi
from playwright.sync_api import expect

from streamspace.config import load_config
from streamspace.errors import BadRequest, ConfigError, TooManyVotes
from streamspace.sampling import Settings
from streamspace.types import Message
from streamspace.ui import build_demo
from streamspace.ui.parts.history import history_of
from streamspace.visitors import VISITOR, Visitor
from streamspace.votes import MOST_A_MINUTE, MOST_CHARS, Votes, row
from tests.fake import FakePageEngine, deltas
from tests.hub import Fault
from tests.page import NewPage, begin_and_end, compare, open_compare, use, wait_for_all
from tests.space_hub import SpaceHub
from tests.support import admission_of, wait_until
from tests.wire import served_site

PROMPT = [Message("system", "Be kind."), Message("user", "Hello?")]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[SpaceHub]:
    with SpaceHub({}) as hub:
        yield hub


def votes_at(hub: SpaceHub, folder: Path, most_a_minute: int = MOST_A_MINUTE) -> Votes:
    return Votes("me/votes", folder, HfApi(endpoint=hub.url, token="hf_me"), most_a_minute)


def rows(hub: SpaceHub) -> list[dict[str, Any]]:
    """All rows of the dataset, as `datasets` reads them: each line of each file."""
    repo = hub.repos["dataset", "me/votes"]
    names = [name for name in repo.files if name.startswith("data/") and name.endswith(".jsonl")]
    return [json.loads(line) for name in names for line in repo.files[name].decode().splitlines()]


def has_lines(path: Path, least: int) -> bool:
    return path.exists() and path.read_text().count("\n") >= least


def is_connected(votes: Votes) -> bool:
    return votes._scheduler is not None


def test_a_vote_is_in_a_private_dataset_after_the_stop(hub: SpaceHub, tmp_path: Path) -> None:
    votes = votes_at(hub, tmp_path)
    votes.start()
    wait_until(lambda: is_connected(votes), 20, "the hub")
    config = load_config((), {"MODEL_ID": "org/model", "MODEL_REVISION": "v1"})
    votes.add(row(config, PROMPT, Settings(temperature=0.5), "zh", vote="up", words="Good", answer="Hi…"))
    votes.add(row(config, PROMPT, None, "en", chosen="Hi.", rejected="No."))
    votes.stop(30)
    assert hub.repos["dataset", "me/votes"].private
    up, pair = rows(hub)
    assert up.keys() == pair.keys(), "one table"
    assert {key: up[key] for key in ("vote", "words", "answer", "model", "revision", "language")} == {
        "vote": "up", "words": "Good", "answer": "Hi…", "model": "org/model", "revision": "v1", "language": "zh",
    }  # fmt: skip
    assert up["prompt"] == [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hello?"}]
    assert json.loads(up["settings"])["temperature"] == 0.5
    assert (pair["chosen"], pair["rejected"], pair["vote"]) == ("Hi.", "No.", "")
    assert {type(value) for key, value in pair.items() if key != "prompt"} == {str}


def test_votes_wait_for_a_hub_that_is_down_and_come_with_the_next_start(
    hub: SpaceHub, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "streamspace.votes")  # vLLM's server imports what silences all loggers
    hub.always = [Fault("POST", "create", status=500, body=b"broken")]
    first = votes_at(hub, tmp_path)
    first.start()
    wait_until(lambda: "me/votes cannot be reached" in caplog.text, 20, "the failure")
    first.add({"id": "one"})
    first.stop()
    hub.always = []
    second = votes_at(hub, tmp_path)
    second.start()
    wait_until(lambda: is_connected(second), 20, "the hub")
    second.add({"id": "two"})
    second.stop(30)
    assert sorted(each["id"] for each in rows(hub)) == ["one", "two"]


def test_floods_and_giants_are_refused(hub: SpaceHub, tmp_path: Path) -> None:
    votes = votes_at(hub, tmp_path, most_a_minute=2)
    VISITOR.set(Visitor("tab", "192.0.2.1"))
    votes.check()
    votes.check()
    with pytest.raises(TooManyVotes, match="At most 2 votes a minute"):
        votes.check()
    VISITOR.set(Visitor("tab", "192.0.2.2"))
    votes.check()
    with pytest.raises(BadRequest, match="cannot be kept"):
        votes.add({"answer": "x" * 4 * MOST_CHARS})
    votes._num_bytes = 10**9
    with pytest.raises(BadRequest, match="too many votes"):
        votes.add({"answer": "x"})


def test_a_vote_that_cannot_be_written_is_refused_not_lost(hub: SpaceHub, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRequest, match="cannot be kept now"):
        votes_at(hub, tmp_path / "file").add({"id": "one"})


@pytest.mark.parametrize("num_votes", [8, pytest.param(200, marks=pytest.mark.slow)])
def test_killed_twice_none_is_lost_and_none_is_there_twice(hub: SpaceHub, tmp_path: Path, num_votes: int) -> None:
    """50 visitors; what was acknowledged before a SIGKILL counts, however little of it had reached the hub."""
    command = [sys.executable, "-m", "tests.voters", hub.url, str(tmp_path / "votes")]
    environ = {**os.environ, "HF_HUB_DISABLE_XET": "1", "PYTHONPATH": "src:."}
    for life in ("a", "b", "c"):
        log = tmp_path / f"{life}.log"
        process = subprocess.Popen([*command, str(log), "50", str(num_votes)], env=environ)
        if life == "c":
            assert process.wait(300) == 0
            continue
        wait_until(partial(has_lines, log, 50 * num_votes // 3), 120, "votes")
        process.kill()
        process.wait()
    acknowledged = [name for life in "abc" for name in (tmp_path / f"{life}.log").read_text().split("\n")[:-1]]
    there = [each["id"] for each in rows(hub)]
    assert len(there) == len(set(there)) and set(acknowledged) <= set(there)
    assert len(acknowledged) >= 50 * num_votes


# The page


def handler_of(demo: Any, name: str) -> Any:
    return next(fn.fn for fn in demo.fns.values() if getattr(fn.fn, "__name__", "") == name)


def page_with(votes: Votes | None, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(Votes, "of", lambda config: votes)
    engine = FakePageEngine()
    return build_demo(engine, admission_of(engine))


def asked(demo: Any, handler: Any, event: Any, **values: Any) -> list[Any]:
    """What the handler answers, with the first values of the page for all that is not given here."""
    fn = next(fn for fn in demo.fns.values() if fn.fn is handler)
    inputs = [values.get(getattr(each, "elem_id", None) or "", getattr(each, "value", None)) for each in fn.inputs]

    async def run() -> list[Any]:
        first = [event] if event is not None else []
        return [each async for each in handler(*first, *inputs)]

    return asyncio.run(run())


def test_without_a_dataset_the_page_has_no_thumbs(monkeypatch: pytest.MonkeyPatch) -> None:
    demo = page_with(None, monkeypatch)
    assert not [block for block in demo.blocks.values() if "votes" in str(getattr(block, "elem_id", ""))]
    assert Votes.of(load_config((), {})) is None


def test_a_thumb_keeps_the_conversation_before_it_and_nothing_else(
    hub: SpaceHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    demo = page_with(votes_at(hub, tmp_path), monkeypatch)
    history = history_of(
        [
            Message("user", "One?"), Message("assistant", "First.", thought="Hm"),
            Message("user", "Two?"), Message("assistant", "Second."),
        ]
    )  # fmt: skip
    thumbed = gr.EventData(None, {"index": 1, "value": ["First."], "liked": False})
    vote = handler_of(demo, "vote")
    (answer,) = asked(demo, vote, thumbed, **{"chat": history, "votes-words": "Too short", "message": "unsent"})
    assert answer == ["", "Thank you: the vote is kept."]
    (kept,) = [json.loads(line) for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert (kept["vote"], kept["words"], kept["answer"]) == ("down", "Too short", "First.")
    assert kept["prompt"] == [{"role": "user", "content": "One?"}]
    assert "Second" not in str(kept) and "unsent" not in str(kept)
    undone = gr.EventData(None, {"index": 1, "value": ["First."], "liked": ""})
    assert asked(demo, vote, undone, **{"chat": history, "votes-words": "Hm"}) == [["Hm", ""]]
    for index in (0, 99, "x", None):
        forged = gr.EventData(None, {"index": index, "liked": True})
        with pytest.raises(gr.Error, match="not one of this page"):
            asked(demo, vote, forged, **{"chat": history, "votes-words": ""})
    assert sum(path.read_text().count("\n") for path in tmp_path.iterdir()) == 1


def test_the_choice_of_compare_is_kept_as_pairs(hub: SpaceHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from streamspace.ui.parts.votes import _chooser

    votes = votes_at(hub, tmp_path)
    choose = _chooser(FakePageEngine(), votes, 1)

    async def run() -> list[str]:
        return [said async for said in choose("Which?", "", "a", "b", "c", "", "a")]

    assert asyncio.run(run()) == ["Thank you: the vote is kept."]
    kept = [json.loads(line) for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert [(each["chosen"], each["rejected"]) for each in kept] == [("b", "a"), ("b", "c")]


def test_a_dataset_needs_an_owner() -> None:
    with pytest.raises(ConfigError, match="FEEDBACK_DATASET is 'votes'; allowed is a dataset's id, owner/name"):
        load_config((), {"FEEDBACK_DATASET": "votes"})


def test_the_time_of_a_vote_is_to_the_minute() -> None:
    kept = row(load_config((), {}), PROMPT, None, "en", vote="up")
    assert kept["time"] == time.strftime("%Y-%m-%dT%H:%M:00Z", time.strptime(kept["time"], "%Y-%m-%dT%H:%M:%SZ"))


@pytest.mark.browser
def test_a_visitor_votes_in_the_chat_and_in_compare(
    hub: SpaceHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_page: NewPage
) -> None:
    monkeypatch.setattr(Votes, "of", lambda config: votes_at(hub, tmp_path))

    def kept() -> list[dict[str, Any]]:
        return [json.loads(line) for path in tmp_path.iterdir() for line in path.read_text().splitlines()]

    with served_site(FakePageEngine(deltas("A |good| answer."))) as site:
        page = new_page(site.url)
        expect(page.locator("#send")).to_be_enabled()
        for each in ("#votes-notice", "#votes-words"):  # before there is an answer they would take room from the chat
            expect(page.locator(each)).to_be_hidden()
        begin_and_end(page, "First question")
        expect(page.locator("#votes-notice")).to_be_visible()
        expect(page.locator("#votes-notice")).to_contain_text("Nothing about you is sent, and nothing without a thumb.")
        page.locator("#votes-words textarea").fill("Short and right")
        page.locator("#chat").get_by_label("Like", exact=True).click()
        expect(page.locator("#votes-kept")).to_have_text("Thank you: the vote is kept.")
        expect(page.locator("#votes-words textarea")).to_have_value("")
        (up,) = kept()
        assert (up["vote"], up["answer"], up["words"]) == ("up", "A good answer.", "Short and right")
        assert up["prompt"] == [{"role": "user", "content": "First question"}]
        open_compare(page, 2)
        compare(page)
        wait_for_all(page)
        use(page, 1)
        expect(page.locator("#pairs-kept")).to_have_text("Thank you: the vote is kept.")
