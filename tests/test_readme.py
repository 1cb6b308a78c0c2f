"""The README's claims about the configuration, against the code."""

import re
from pathlib import Path

from streamspace.config import OPTIONS, defaults

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
ROWS = re.findall(r"^\| `(--[a-z-]+)` \| `([A-Z_]+)` \| (.*?) \| (.*?) \|$", README, re.MULTILINE)


def test_the_table_has_every_option_with_its_variable_and_meaning() -> None:
    assert [(flag, env, text) for flag, env, _, text in ROWS] == [
        (option["flag"], option["env"], option["help"]) for option in OPTIONS.values()
    ]


def test_the_tables_defaults_are_the_real_ones() -> None:
    shown = {flag: default for flag, _, default, _ in ROWS}
    real = defaults({})
    assert shown["--max-tokens"] == str(real["max_tokens"])
    assert shown["--port"] == str(real["port"])
    assert shown["--host"] == f"{real['host']}, on a Space {defaults({'SPACE_ID': 'o/n'})['host']}"
    space = defaults({"SPACE_ID": "o/n"})
    for name in ("max_seconds", "answers_per_visitor", "queue_length", "requests_per_minute"):
        assert shown[f"--{name.replace('_', '-')}"] == f"{real[name]}, on a Space {space[name]}"
    assert shown["--max-prompt-tokens"] == str(real["max_prompt_tokens"])
    assert shown["--hang-timeout"] == f"60, on a CPU {defaults({'CUDA_VISIBLE_DEVICES': ''})['hang_timeout']}"
    assert not real["share"] and not real["system_prompt"] and real["revision"] is real["hf_token"] is None


def test_every_module_is_in_the_map() -> None:
    package = Path(__file__).parents[1] / "src" / "streamspace"
    modules = {path.stem for path in package.iterdir() if path.suffix in ("", ".py") and path.stem[:2] != "__"}
    table = README[README.index("| module |") :].partition("\n\n")[0]
    assert modules == {name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])}
