"""Gradio's names that it does not document: each is still there, and no module but one uses them."""

import ast
import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from fastapi import FastAPI
from gradio_client import Client

from streamspace.patching import require
from streamspace.ui import build_demo, gradio_
from streamspace.ui.gradio_.streams import MOST_QUEUED
from tests.client import JSON, ask
from tests.fake import FakePageEngine, deltas
from tests.support import admission_of, served

UI = Path(__file__).parents[1] / "src" / "streamspace" / "ui"
INTERNALS = ast.parse((UI / "gradio_" / "internals.py").read_text())
# Read, not imported: one missing name must not hide the others.
NAMES: dict[str, dict[str, str]] = next(
    ast.literal_eval(node.value)
    for node in INTERNALS.body
    if isinstance(node, ast.AnnAssign) and node.value and ast.unparse(node.target) == "NAMES"
)
ALL = [(owner, name) for owner, names in NAMES.items() for name in names]
# Attributes in internals.py that are Python's, Starlette's, ours, or in Gradio's documentation.
OTHERS = "Blocks EventData Queue Task add endpoint get items number pop routes scope setdefault strip values"
# Names that other objects have, too.
AMBIGUOUS = "api_name app auth config event_id fn inputs label outputs request"
# What Gradio reads from the environment without documenting it; see ui/__init__.py.
VARIABLES = {
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": "to stop a statistic over all past events after each event",
    "GRADIO_TEMP_DIR": "to keep one user's files out of another's folder",
}


@pytest.fixture(scope="module")
def owners() -> dict[str, Any]:
    """An object of each class whose attributes its instances alone have."""

    def hello(name: str) -> str:
        return name

    with gr.Blocks() as demo:
        html = gr.HTML()
        number = gr.api(hello)["id"]
    gr.mount_gradio_app(FastAPI(), demo, path="/", mcp_server=True)
    messages = importlib.import_module("gradio.server_messages")
    return {
        "gradio.blocks.Blocks": demo,
        "gradio.blocks.Block": html,
        "gradio.block_function.BlockFunction": demo.fns[number],
        "gradio.components.api_component.Api": demo.fns[number].inputs[0],
        "gradio.events.EventData": gr.EventData(None, {}),
        "gradio.mcp.GradioMCPServer": demo.mcp_server_obj,
        "mcp.server.transport_security.RequestBodyLimitMiddleware": demo.mcp_server_obj.manager.asgi_app,
        "gradio.queueing.Queue": demo._queue,
        "gradio.routes.App": demo.app,
        "gradio.server_messages.ProcessCompletedMessage": messages.ProcessCompletedMessage(output={}, success=True),
    }


def found(path: str, purpose: str) -> Any:
    """The module or class of a dotted path."""
    if importlib.util.find_spec(path.rpartition(".")[0]) and not path.rpartition(".")[2][0].isupper():
        return importlib.import_module(path)
    module, _, name = path.rpartition(".")
    return require(importlib.import_module(module), name, purpose)


@pytest.mark.parametrize(("owner", "name"), ALL, ids=[".".join(one) for one in ALL])
def test_a_name_that_gradio_does_not_document_is_still_there(owners: dict[str, Any], owner: str, name: str) -> None:
    purpose = NAMES[owner][name]
    try:
        kind = found(owner, purpose)
    except ImportError:
        pytest.fail(f"gradio {version('gradio')} has no {owner} any more. StreamSpace needs its {name} {purpose}.")
    thing = owners.get(owner, kind)
    if thing is not kind:
        assert isinstance(thing, kind)
    require(thing, name, purpose)


@pytest.mark.parametrize("variable", VARIABLES)
def test_gradio_still_reads_the_variable(variable: str) -> None:
    folder = Path(gr.__file__).parent
    assert any(f'"{variable}"' in file.read_text() for file in folder.glob("*.py")), (
        f"gradio {version('gradio')} reads no {variable} any more. StreamSpace needs it {VARIABLES[variable]}."
    )


def test_gradios_import_makes_no_files_for_editors() -> None:
    """They cost the page a second. The import of this process was that of the app."""
    module = importlib.import_module(gradio_.MODULE)
    assert f"def {gradio_.FUNCTION}(" in Path(str(module.__file__)).read_text(), (
        f"{gradio_.FUNCTION} has another name now"
    )
    assert getattr(module, gradio_.FUNCTION).__module__ == gradio_.__name__


def test_a_page_makes_gradios_application_as_often_as_it_must(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once for the Blocks, once at their end; a tenth of a second each."""
    made: list[Any] = []
    routes = importlib.import_module("gradio.routes")
    create_app = routes.App.create_app

    def counted(*arguments: Any, **options: Any) -> Any:
        made.append(create_app(*arguments, **options))
        return made[-1]

    monkeypatch.setattr(routes.App, "create_app", counted)
    engine = FakePageEngine([])
    demo = build_demo(engine, admission_of(engine))
    assert len(made) == 2
    assert (demo.api_open, require(demo, "_queue", "").max_size) == (False, MOST_QUEUED)


def test_no_name_is_forgotten_in_the_list() -> None:
    imported = {
        f"{node.module}.{alias.name}"
        for node in ast.walk(INTERNALS)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("gradio.")
        for alias in node.names
    }
    listed = {f"{owner}.{name}" for owner, name in ALL}
    assert imported <= listed | set(NAMES)
    used = {node.attr for node in ast.walk(INTERNALS) if isinstance(node, ast.Attribute) and not is_own(node)}
    assert used - {name for _, name in ALL} == set(OTHERS.split())


def is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


def foreign_names() -> Iterator[str]:
    """Yield a sentence for each use of an undocumented name of Gradio's outside internals.py."""
    unique = {name for _, name in ALL} - set(AMBIGUOUS.split())
    for file in sorted(UI.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())) if file.name != "internals.py" else ():
            match node:
                case ast.ImportFrom(module=str(module)) if module == "gradio" or module.startswith("gradio."):
                    yield f"{file.name}:{node.lineno} imports from {module}"
                case ast.Attribute(attr=name) if not is_own(node):
                    is_of_demo = ast.unparse(node.value).endswith("demo") and name in NAMES["gradio.blocks.Blocks"]
                    if name in unique or is_of_demo:
                        yield f"{file.name}:{node.lineno} uses {ast.unparse(node)}"


def test_no_other_module_uses_one() -> None:
    assert list(foreign_names()) == []


@pytest.mark.parametrize("cause", ["an unknown version of mcp", "no package mcp"])
def test_without_an_mcp_server_the_app_goes_on_and_says_so(
    cause: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    if cause == "no package mcp":
        monkeypatch.setitem(sys.modules, "gradio.mcp", None)
    else:
        mcp = importlib.import_module("gradio.mcp")
        monkeypatch.setattr(mcp.GradioMCPServer, "create_mcp_server", lambda self: self.no_such_name)
    with caplog.at_level(logging.WARNING, "streamspace"), served(FakePageEngine(deltas("an| answer"))) as url:
        assert ask(url, "POST", "/gradio_api/mcp/", b"{}", JSON)[0] in (404, 405)
        client = Client(url, verbose=False)
        assert set(client.view_api(return_format="dict")["named_endpoints"]) == {"/chat", "/complete"}
        assert client.predict("Hi", api_name="/chat") == "an answer"
        client.close()
    (record,) = (record for record in caplog.records if record.name.startswith("streamspace"))
    assert record.getMessage().startswith("There is no MCP server at /gradio_api/mcp (")
