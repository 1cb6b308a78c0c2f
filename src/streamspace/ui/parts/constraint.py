"""The controls for the constraint of a continuation, and their values as a Constraint."""

import asyncio
from collections.abc import Sequence
from typing import Any

import gradio as gr

from streamspace.constraint import KINDS, check_constraint
from streamspace.types import Constraint

SCHEMA = """{
  "type": "object",
  "properties": {
    "title": {"type": "string", "maxLength": 40},
    "year": {"type": "integer", "minimum": 1900, "maximum": 2100},
    "genre": {"enum": ["fable", "mystery", "romance"]}
  },
  "required": ["title", "year", "genre"],
  "additionalProperties": false
}"""
REGEX = r" [A-Z][a-z]{2,9} \d{1,2}, (19|20)\d{2}"
CHOICES = " bright\n uncertain\n already here"


class ConstraintPanel:
    """A choice of the kind, and a box for each kind; gradio.css shows only the chosen one. Made inside Blocks."""

    def __init__(self) -> None:
        kinds = [("None", "none"), ("JSON schema", "json"), ("Regex", "regex"), ("Choice", "choice")]
        self.components: list[Any] = [
            gr.Radio(kinds, value="none", label="What the continuations have to be", elem_id="constraint-kind"),
            _box(SCHEMA, "JSON schema", "json", "Types, ranges, lengths, enum, pattern, anyOf and $ref to #/$defs/…"),
            _box(REGEX, "Regex", "regex", "The whole continuation matches it; no look-around, no backreferences"),
            _box(CHOICES, "Choices", "choice", "One a line; spaces count, and most continuations begin with one"),
        ]

    async def check(self, values: Sequence[Any]) -> Constraint | None:
        """The values of the components as a Constraint; raises BadRequest for one that cannot be used."""
        kind, *texts = values
        if kind == "none":
            return None
        text = texts[KINDS.index(kind)] if kind in KINDS else None
        return await asyncio.to_thread(check_constraint, kind, text)


def _box(example: str, label: str, kind: str, info: str) -> gr.Textbox:
    return gr.Textbox(
        example, label=label, info=info, elem_id=f"constraint-{kind}", elem_classes="code",
        lines=max(2, example.count("\n") + 1), max_lines=16,
    )  # fmt: skip
