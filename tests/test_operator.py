"""What the operator may do while the app runs: the model is changed, and nobody else can change it."""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from streamspace import fits
from streamspace.config import BUNDLED_MODEL
from streamspace.errors import StreamSpaceError
from streamspace.fits import Machine
from streamspace.operator_routes import Start, check_model
from tests.apps import App, health
from tests.client import JSON, ask
from tests.fake import FakePageEngine
from tests.page import begin_and_end, bot, questions, set_up
from tests.support import programs, served

NewPage = Callable[..., Page]


@pytest.mark.parametrize(
    ("options", "left"),
    [
        ([], []),
        (["--port", "8000"], ["--port", "8000"]),
        (["--model", "org/one", "--port", "8000"], ["--port", "8000"]),
        (["--model=org/one", "--revision=main", "--max-model-len", "512"], ["--max-model-len", "512"]),
        (["--seed", "1", "--revision", "main"], ["--seed", "1"]),
    ],
)
def test_another_model_keeps_the_other_options(options: list[str], left: list[str]) -> None:
    start = Start(options, {"MODEL_ID": "org/one", "MODEL_REVISION": "main", "HOME": "/root"}).with_model("org/two")
    assert start == Start(left, {"MODEL_ID": "org/two", "HOME": "/root"})


def refusal(model: str, *options: str) -> str:
    """Why the app would not start with this model; empty if it may."""
    try:
        check_model(Start([*options], {"HF_HUB_OFFLINE": "1"}).with_model(model))
    except StreamSpaceError as error:
        return str(error)
    return ""


def test_a_model_is_looked_at_before_the_one_at_work_ends(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert refusal(str(BUNDLED_MODEL)) == ""
    assert refusal("").startswith("The model is empty; it must be a hub id")
    assert "'no such/model name'" in refusal("no such/model name")
    assert str(tmp_path) in refusal(str(tmp_path))  # an empty folder
    assert refusal(str(BUNDLED_MODEL), "--port", "many").startswith("--port is 'many'")
    monkeypatch.setattr(fits, "machine", lambda environ, is_empty: Machine(0, 1000))
    assert refusal(str(BUNDLED_MODEL)).startswith("The model streamspace-tiny does not fit: it needs at least")


def change(url: str, body: Any, headers: dict[str, str] = JSON) -> tuple[int, str]:
    status, _, text = ask(url, "POST", "/model", json.dumps(body).encode(), headers)
    return status, json.loads(text).get("detail", "")


def test_nobody_else_changes_the_model() -> None:
    engine = FakePageEngine()
    right = {"model": str(BUNDLED_MODEL), "key": engine.operator_key}
    with served(engine) as url:
        assert change(url, {**right, "key": "guessed"}) == (403, "The operator's key is not the one in the log.")
        assert change(url, {"model": "org/name"}) == (400, "The body must have the texts model and key.")
        assert change(url, right, {"Content-Type": "text/plain"})[0] == 400  # as a form of another site sends it
        assert (
            change(url, right, {**JSON, "Accept-Language": "zh"} | {"Host": "page.example", "Origin": "http://x"})[0]
            == 403
        )
        assert ask(url, "GET", "/model")[0] in (404, 405)
        assert change(url, {**right, "model": " "}, {**JSON, "Accept-Language": "zh"})[1].startswith("模型为空")


@pytest.mark.browser
@pytest.mark.xdist_group("processes")
def test_the_operator_changes_the_model_in_the_page(new_page: NewPage, tmp_path: Path) -> None:
    other = shutil.copytree(BUNDLED_MODEL, tmp_path / "another-model")
    with programs() as start:
        app = App(start, tmp_path / "log", "--model", str(BUNDLED_MODEL), "--max-model-len", "1024")
        app.wait(200)
        page = new_page(app.url)
        set_up(page, max_tokens="8")
        begin_and_end(page, "Hello")
        shown = bot(page).inner_text()
        page.get_by_role("tab", name="Engine").click()
        page.get_by_text("Change the model").click()
        form = page.locator("#engine form")
        form.get_by_label("Model").fill("no such model")
        (key,) = re.findall(r"The operator's key, .*: (\S+)", app.written)
        form.get_by_label("The operator's key").fill(key)
        form.get_by_role("button").click()
        expect(form.locator("output")).to_contain_text("'no such model'")
        assert health(app.port)[0] == 200
        form.get_by_label("Model").fill(str(other))
        form.get_by_role("button").click()
        expect(page.locator("#heading")).to_contain_text("another-model", timeout=240_000)
        app.wait(200)
        assert health(app.port)[1]["model"] == "another-model" and app.process.poll() is None
        assert bot(page).inner_text() == shown
        begin_and_end(page, "Hello")
        assert questions(page).count() == 2
