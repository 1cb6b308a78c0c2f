"""What the README and docs/ claim about options, modules, commands and files, against the project itself."""

import re
from pathlib import Path

import pytest

from streamspace.config import OPTIONS, defaults

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
MACHINES = (ROOT / "docs" / "machines.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(--[a-z-]+)` \| `([A-Z_]+)` \| (.*?) \| (.*?) \|$", CONFIGURATION, re.MULTILINE)
MOST_WORDS = 900


def test_the_readme_is_short() -> None:
    body = (ROOT / "README.md").read_text(encoding="utf-8").partition("\n# ")[2]
    assert 300 < len(body.split()) <= MOST_WORDS


def test_the_table_has_every_option_with_its_variable_and_meaning() -> None:
    assert [(flag, env, text) for flag, env, _, text in ROWS] == [
        (option["flag"], option["env"], option["help"]) for option in OPTIONS.values()
    ]


def test_the_tables_defaults_are_the_real_ones() -> None:
    told = {flag: default for flag, _, default, _ in ROWS}
    real = defaults({})
    assert told["--max-tokens"] == str(real["max_tokens"])
    assert told["--port"] == str(real["port"])
    assert told["--host"] == f"{real['host']}, on a Space {defaults({'SPACE_ID': 'o/n'})['host']}"
    space = defaults({"SPACE_ID": "o/n"})
    limits = ("answers_per_visitor", "queue_length", "requests_per_minute", "connections_per_address")
    for name in ("max_seconds", *limits):
        assert told[f"--{name.replace('_', '-')}"] == f"{real[name]}, in public {space[name]}"
    assert told["--max-prompt-tokens"] == str(real["max_prompt_tokens"])
    assert told["--hang-timeout"] == f"60, on a CPU {defaults({'CUDA_VISIBLE_DEVICES': ''})['hang_timeout']}"
    assert not real["share"] and not real["system_prompt"] and real["revision"] is real["hf_token"] is None


def test_every_module_is_in_the_map() -> None:
    package = ROOT / "src" / "streamspace"
    modules = {path.relative_to(package).with_suffix("").as_posix() for path in package.rglob("*.py")}
    modules = {name for name in modules if not name.endswith(("__init__", "__main__"))}
    rows = [line for line in ARCHITECTURE.splitlines() if line.startswith("| `")]
    mapped = {name for row in rows for name in re.findall(r"`([\w/]+)`", row.split("|")[1])}
    assert modules - mapped == set() and {name for name in mapped if "/" in name} - modules == set()


def test_every_machine_and_folder_names_its_test() -> None:
    rows = re.findall(r"^\| .+ \| .+ \| `(\w+)\.(\w+)` \|$", MACHINES, re.MULTILINE)
    assert len(rows) >= 40
    sources = {name: (ROOT / "tests" / f"{name}.py").read_text(encoding="utf-8") for name, _ in rows}
    assert [test for name, test in rows if f"def {test}(" not in sources[name]] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_make_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    asked = set(re.findall(r"\bmake ([a-z][a-z-]*)(?=[` \n])", page.read_text(encoding="utf-8")))
    assert {name for name in asked if name in page.read_text(encoding="utf-8").split("`")} - targets == set()


def test_the_glossary_has_at_most_twenty_words() -> None:
    glossary = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    words = re.findall(r"^\| ([a-z]+) \| \S", glossary, re.MULTILINE)[1:]
    assert 10 <= len(words) == len(set(words)) <= 20
