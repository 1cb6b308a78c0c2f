"""The page's scripts and styles: files of static/, in the forms that Gradio takes.

Gradio takes scripts as text. So all modules go into the page's head as one script. There each module is a property of
the global object `streamspace`, and its imports become look-ups in that object.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from string import Template

from fastapi import FastAPI
from fastapi.responses import FileResponse

STATIC = Path(__file__).with_name("static")
STYLES = [STATIC / f"{name}.css" for name in ("page", "engine", "conversations", "gradio")]
MODULES = (  # each after the modules that it imports
    "language dom clipboard markdown text_files dialect feed gradio_dom failures direction sidebar drawing pacing "
    "reader stop pictures pdf typed_tokens conversation_versions conversation_records conversation_link "
    "conversation_store conversation_list attachments aloud export_button chat compare versions arrival dialogs code "
    "code_sheet conversations keyboard engine status tokens"
).split()
_COMMENT = re.compile(r"^ *(?://.*|/\*\*(?:[^*]|\*(?!/))*\*/)\n", re.MULTILINE)  # for readers of the file
_IMPORT = re.compile(r'^import (?:\* as )?(\w+|\{[^}]*\}) from "\./(\w+)\.js";$', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async )?(?:class|const|function\*?) (\w+))", re.MULTILINE)


def head(values: Mapping[str, object]) -> str:
    """The script of the page's head; the modules find the values, as JSON, in `streamspace`."""
    data = json.dumps(values, ensure_ascii=False).replace("<", "\\u003c")
    return "\n".join([f"<script>\nglobalThis.streamspace = {data};", *map(_module, MODULES), "</script>"])


def said(templates: Mapping[str, str], markup: str) -> dict[str, str]:
    """Those of a language's templates that the scripts use, or that stand in this markup, which they translate."""
    texts = "\0".join([*map(_source, MODULES), markup])
    return {english: other for english, other in templates.items() if english in texts}


def call(function: str) -> str:
    """The `js` of an event: a function of a module, as "chat.stop", with the event's inputs as its arguments."""
    module, name = function.split(".")
    if name not in _EXPORT.findall(_source(module)):
        raise LookupError(f"static/{module}.js exports no {name}")
    return f"(...inputs) => streamspace.{function}(...inputs)"


def add_pdf_reader(app: FastAPI) -> None:
    """Serve pdf.js, which a page loads when a visitor attaches a PDF."""
    for path in (STATIC / "pdfjs").glob("*.mjs"):
        _serve(app, path)


def _serve(app: FastAPI, path: Path) -> None:
    @app.get(f"/pdfjs/{path.name}", include_in_schema=False)
    def script() -> FileResponse:
        return FileResponse(path, media_type="text/javascript", headers={"Cache-Control": "public, max-age=86400"})


def template(name: str) -> Template:
    """A file of static/ with $names in it."""
    return Template((STATIC / name).read_text("utf-8"))


@cache
def _source(module: str) -> str:
    return (STATIC / f"{module}.js").read_text("utf-8")


def _module(name: str) -> str:
    source = _source(name)
    exports = ", ".join(_EXPORT.findall(source))
    body = _EXPORT.sub("", _IMPORT.sub(r"const \1 = streamspace.\2;", _COMMENT.sub("", source)))
    return f'streamspace.{name} = (() => {{\n"use strict";\n{body}return {{ {exports} }};\n}})();'
