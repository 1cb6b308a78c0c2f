"""Writes src/streamspace/vllm_flags.json from the installed vLLM's own parser: python -m tests.flag_snapshot"""

import argparse
import json
from typing import Any

from streamspace import flags
from streamspace.config import engine_flags
from streamspace.flag_values import SNAPSHOT, vllm_version

WORDS = ("auto", "None", "none", "")
# Values that only one kind takes, the narrowest first: (kind, taken, refused).
PROBES = (
    ("int", ("7",), ("1.5", "8k", "x")),
    ("size", ("7", "8k"), ("x",)),
    ("json", ("{}",), ("x",)),
    ("float", ("7", "1.5"), ("x",)),
)


def takes(action: argparse.Action, value: str) -> bool:
    """Whether vLLM's parser takes this value."""
    read: Any = action.type or str
    try:
        found = read(value)
    except Exception:
        return False
    return not action.choices or found in action.choices


def kind_of(action: argparse.Action) -> str:
    """One of the kinds of `flag_values`; "text" where more is taken than any other kind takes."""
    if action.nargs == 0:
        return "switch"
    for kind, taken, refused in PROBES if not action.choices else ():
        if all(takes(action, value) for value in taken) and not any(takes(action, value) for value in refused):
            return kind
    return "text"


def entry_of(action: argparse.Action) -> dict[str, Any]:
    """What the file says of a flag."""
    kind = kind_of(action)
    choices = [str(choice) for choice in action.choices or ()]
    words = [word for word in WORDS if kind not in ("switch", "text") and takes(action, word)]
    if choices:
        words = [word for word in WORDS if word not in choices and takes(action, word)]
    found = {"names": action.option_strings, "kind": kind, "several": action.nargs in ("+", "*")}
    return {name: value for name, value in {**found, "words": words, "choices": choices}.items() if value}


def snapshot() -> dict[str, Any]:
    """The content of the file."""
    names = set(engine_flags())
    actions: Any = flags._flag_parser()._actions
    entries = [entry_of(action) for action in actions if names.intersection(action.option_strings)]
    return {"version": vllm_version(), "flags": sorted(entries, key=lambda entry: str(entry["names"][-1]))}


def as_text(content: dict[str, Any]) -> str:
    """One flag a line."""
    lines = ",\n".join(json.dumps(entry) for entry in content["flags"])
    return f'{{"version": {json.dumps(content["version"])}, "flags": [\n{lines}\n]}}\n'


if __name__ == "__main__":
    SNAPSHOT.write_text(as_text(snapshot()), encoding="utf-8")
