"""Every English sentence and label that the source has for visitors, found without running it."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from streamspace import errors
from streamspace.sampling import PARAMETERS

SOURCE = Path(errors.__file__).parent
# What only programs are refused with, which read no Accept-Language: it stays English.
ENGLISH = ("openai_server.py", "asgi.py", "guard.py", "mcp.py")
# First arguments that are no templates of ours: vLLM's own words, a template's own copy, the beginning of a sentence
# that goes on in the middle of another, and what stands in the table of parameters.
FOREIGN = (
    *("_sentence(error)", "self.template", "words[0].lower() + words[1:]"),
    *("parameter.info", "PARAMETERS['enable_thinking'].info"),
)


def kinds(error: type[errors.StreamSpaceError]) -> Iterator[type[errors.StreamSpaceError]]:
    """An error's class and all below it."""
    yield error
    for kind in error.__subclasses__():
        yield from kinds(kind)


REFUSALS = {kind.__name__ for kind in kinds(errors.ChatError)}
BARE = {kind.__name__ for kind in kinds(errors.ChatError) if kind.__init__ is errors.StreamSpaceError.__init__}


def trees() -> Iterator[tuple[Path, ast.AST]]:
    """Each Python file of the package, parsed."""
    for path in sorted(SOURCE.rglob("*.py")):
        yield path, ast.parse(path.read_bytes())


def templates() -> Iterator[str]:
    """Each template of a Sentence or of a refusal, and each text that is said as it is.

    Raises:
        AssertionError: one is put together where it is used, so that no translation of it can be found.
    """
    yield from (parameter.info for parameter in PARAMETERS.values())
    for path, tree in trees():
        names = constants_by_name(tree)
        for call in calls(tree) if path.name not in ENGLISH else ():
            found = [*texts(call.args[0], names)]
            is_variable = ast.unparse(call.func) == "say" and not isinstance(call.args[0], ast.JoinedStr)
            where = f"{path.name}:{call.lineno}: {ast.unparse(call.args[0])} is no template"
            assert found or is_variable or ast.unparse(call.args[0]) in FOREIGN, where
            yield from found


def calls(tree: ast.AST) -> Iterator[ast.Call]:
    """The calls that have a template as their first argument."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Name(name), args=[_, *_]) if name in {"Sentence", "say", *BARE}:
                yield node
            case ast.ClassDef(name=name) if name in REFUSALS:
                for inner in ast.walk(node):
                    if isinstance(inner, ast.Call) and ast.unparse(inner.func) == "super().__init__" and inner.args:
                        yield inner


def texts(node: ast.AST, names: dict[str, list[str]]) -> Iterator[str]:
    """The strings that an argument may be."""
    match node:
        case ast.Constant(value=str(text)):
            yield text
        case ast.IfExp(body=one, orelse=other):
            yield from texts(one, names)
            yield from texts(other, names)
        case ast.Call(func=ast.Name("Sentence"), args=[inner, *_]):
            yield from texts(inner, names)
        case ast.Name(name):
            yield from names.get(name, [])


def constants_by_name(tree: ast.AST) -> dict[str, list[str]]:
    """The strings that the file gives to each name."""
    found: dict[str, list[str]] = {}
    for node in ast.walk(tree):
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=ast.Constant(value=str(text))):
                found.setdefault(name, []).append(text)
    return found


def scripts() -> str:
    """All that the page's scripts may hold: the files, and the strings of the Python files."""
    files = [path.read_text("utf-8") for path in sorted((SOURCE / "ui").rglob("*.js"))]
    return "\0".join([*files, *strings()])


def strings() -> Iterator[str]:
    """Each string of the Python files, docstrings among them."""
    for _, tree in trees():
        yield from (n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str))


def script_texts() -> Iterator[str]:
    """The templates of the scripts: `say("…")`, also with values."""
    yield from re.findall(r'\bsay\(\s*"([^"]+)"', scripts())
