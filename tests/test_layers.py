"""The one-way imports of the package and its three borders: each outside library is known where it has to be."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

# Each module may import those to its left; ui is a folder, whose files may also import each other.
ORDER = (
    "patching translation errors faults process environment starts forkserver amx threads hardware preloaded "
    "flag_values types words mcp_servers config fits checks prompt pictures asgi constraint sampling thoughts "
    "summary frames on_demand metrics visitors connections limits suspects healing reasons stats model_files "
    "hub_internals hub_failures download space_files space_plan space_hub space votes vllm_internals cpu_worker "
    "tokenizer reasoning tool_calls flags llm openai_vllm engine chat toolbox openai_server operator_routes ui "
    "server terminal __main__"
).split()
# torch because it is as slow to import as vLLM, which only the loading thread may pay for. What vLLM does not document
# is vllm_internals' alone.
BORDERS = {
    "huggingface_hub": ("download", "hub_internals", "hub_failures", "space_hub", "votes"),
    "llguidance": ("constraint",),
    "torch": ("amx", "llm", "cpu_worker"),
    "vllm": ("llm", "flags", "openai_vllm", "reasoning", "tokenizer", "tool_calls", "vllm_internals", "cpu_worker"),
    "gradio": ("ui",),
    "prometheus_client": ("metrics",),
}
# chat gets the engine handed in, behind a Protocol, so that it and all above it can be tried without vLLM.
FORBIDDEN = {("chat", "reasoning"), ("chat", "flags"), ("chat", "llm"), ("chat", "engine"), ("chat", "openai_vllm")}

# The only modules that have names of another package which it does not document, and what that package is.
INTERNALS = ("ui/gradio_/internals.py", "vllm_internals.py", "hub_internals.py")
NOT_YET: set[str] = set()
DOCUMENTED = {"os._exit"}


def imports(tree: ast.AST, package: list[str]) -> Iterator[str]:
    """Yield the dotted name of everything imported, inside functions too; `package` is where the file lies."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                yield from (alias.name for alias in node.names)
            case ast.ImportFrom():
                above = package[: len(package) - node.level + 1] if node.level else []
                source = [*above, *filter(None, [node.module])]
                # Each name with its source: it may be a module (`from streamspace import engine`).
                yield from (".".join([*source, alias.name]) for alias in node.names)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(name)), *_],
            ):
                yield name


def problems(root: Path) -> list[str]:
    """Say what is wrong in the tree: a sentence for each import against the order or across a border."""
    package = root / "src" / "streamspace"
    files = [*sorted(package.rglob("*.py")), *root.glob("app.py")]
    return [sentence for file in files for sentence in problems_of(file, package)]


def problems_of(file: Path, package: Path) -> Iterator[str]:
    inside = file.is_relative_to(package)
    path = file.relative_to(package.parent if inside else file.parent).with_suffix("").parts
    module = path[1] if inside else "app"
    if module == "__init__":  # of the package itself: everyone imports it, so it may import none of ours
        rank = 0
    elif inside and module not in ORDER:
        yield f"{module} has no place in ORDER"
        return
    else:
        rank = ORDER.index(module) if inside else len(ORDER)

    for name in imports(ast.parse(file.read_bytes()), list(path[:-1])):
        head, *rest = name.split(".")
        if module not in BORDERS.get(head, (module,)):
            yield f"{module} imports {head}, which belongs to {BORDERS[head][0]}"
        if head != "streamspace" or not rest or rest[0] == module:
            continue
        if rest[0] not in ORDER:
            if inside and rest[0] != "__version__":
                yield f"{module} imports {name}, which has no place in ORDER"
        elif ORDER.index(rest[0]) >= rank:
            yield f"{module} imports {rest[0]}, which comes after it"
        elif (module, rest[0]) in FORBIDDEN:
            yield f"{module} imports {rest[0]}, which it gets handed in"


def private_names(tree: ast.AST) -> Iterator[str]:
    """Yield each name with a leading underscore that belongs to another package or to an object of another class."""
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(attr=name, value=value) if is_private(name):
                if ast.unparse(value) not in ("self", "cls") and ast.unparse(node) not in DOCUMENTED:
                    yield ast.unparse(node)
            case ast.Import() | ast.ImportFrom():
                yield from (name for name in imports(node, []) if any(map(is_private, name.split("."))))


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


def test_private_names_are_in_the_modules_for_them_alone() -> None:
    package = ROOT / "src" / "streamspace"
    files = {file.relative_to(package).as_posix(): ast.parse(file.read_bytes()) for file in package.rglob("*.py")}
    used = {path: [*private_names(tree)] for path, tree in files.items() if path not in (*INTERNALS, *NOT_YET)}
    assert {path: names for path, names in used.items() if names} == {}
    patching = {path for path, tree in files.items() if "streamspace.patching.patch" in imports(tree, [])}
    assert patching <= {*INTERNALS, *NOT_YET}


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("from a._b import c", ["a._b.c"]),
        ("from a.b import _c", ["a.b._c"]),
        ("import a._b", ["a._b"]),
        ("x = page._queue.size", ["page._queue"]),
        ("self._engine._llm = 1", ["self._engine._llm"]),
        ("from __future__ import a\nself._own = cls._own\nx.__dict__\nos._exit(1)", []),
    ],
)
def test_a_private_name_is_found(text: str, names: list[str]) -> None:
    assert [*private_names(ast.parse(text))] == names


def test_the_package_keeps_its_order_and_borders() -> None:
    assert (ROOT / "src" / "streamspace").is_dir()
    assert problems(ROOT) == []


def test_the_openai_api_needs_no_gradio() -> None:
    program = "import sys, streamspace.openai_server; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], env={"PYTHONPATH": str(ROOT / "src")}).returncode == 0


def tree(root: Path, **files: str) -> Path:
    """Lay a package out under `root`: `ui__chat` stands for ui/chat.py, `app` for the app.py beside src/."""
    for name, text in {"errors": "", "ui____init__": "", **files}.items():
        folder = root if name == "app" else root / "src" / "streamspace"
        file = folder / (name.replace("__", "/", 1) if name.startswith("ui__") else name)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.with_suffix(".py").write_text(text)
    return root


def test_a_good_tree_has_no_problems(tmp_path: Path) -> None:
    good = tree(
        tmp_path,
        __init__="",
        config="import argparse\nfrom streamspace import errors\nfrom streamspace.errors import ConfigError",
        download="def fetch():\n    from huggingface_hub import snapshot_download",
        llm="import torch\nimport streamspace.config\nfrom vllm.v1.engine.async_llm import AsyncLLM",
        engine="def load():\n    from streamspace import llm",
        chat="from . import errors\nfrom .config import Config",
        ui____init__="import gradio as gr\nfrom streamspace.ui.chat import tab\nfrom .completion import other",
        ui__chat="from gradio.themes import Base\nfrom ..chat import stream\nfrom . import completion",
        ui__completion="",
        __main__="from streamspace.engine import holder",
        app="from streamspace.ui import build",
    )
    assert problems(good) == []


@pytest.mark.parametrize(
    ("module", "text", "sentence"),
    [
        ("config", "from streamspace.engine import flags", "config imports engine, which comes after it"),
        ("config", "import streamspace.engine", "config imports engine, which comes after it"),
        ("config", "from streamspace import engine", "config imports engine, which comes after it"),
        ("config", "from . import engine", "config imports engine, which comes after it"),
        ("config", "from .engine import flags", "config imports engine, which comes after it"),
        ("config", "def late():\n    from .engine import flags", "config imports engine, which comes after it"),
        ("errors", "def late():\n    import vllm", "errors imports vllm, which belongs to llm"),
        ("chat", "from vllm.outputs import RequestOutput", "chat imports vllm, which belongs to llm"),
        (
            "chat",
            "import importlib\nimportlib.import_module('vllm')",
            "chat imports vllm, which belongs to llm",
        ),
        ("chat", "__import__('gradio')", "chat imports gradio, which belongs to ui"),
        ("chat", "from streamspace.engine import holder", "chat imports engine, which it gets handed in"),
        ("engine", "import huggingface_hub", "engine imports huggingface_hub, which belongs to download"),
        ("engine", "from streamspace.ui.chat import tab", "engine imports ui, which comes after it"),
        ("engine", "import streamspace.tools", "engine imports streamspace.tools, which has no place in ORDER"),
        ("engine", "import vllm", "engine imports vllm, which belongs to llm"),
        ("ui__chat", "from ..server import app", "ui imports server, which comes after it"),
        ("ui__chat", "import vllm", "ui imports vllm, which belongs to llm"),
        ("utils", "", "utils has no place in ORDER"),
        ("__init__", "from .errors import ChatError", "__init__ imports errors, which comes after it"),
        ("app", "import gradio", "app imports gradio, which belongs to ui"),
    ],
)
def test_a_bad_import_is_named(tmp_path: Path, module: str, text: str, sentence: str) -> None:
    assert problems(tree(tmp_path, **{module: text})) == [sentence]
