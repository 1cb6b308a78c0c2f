"""The page's scripts and styles as files: how they are put together, and what they share with the server."""

import json
import random
import re
import subprocess
from pathlib import Path

import pytest

from streamspace.translation import catalog
from streamspace.ui.assets import MODULES, STATIC, call, head, said

SCRIPTS = {path.stem: path.read_text("utf-8") for path in STATIC.glob("*.js")}
NODE = ["node", "--input-type=module", "--eval"]
BROWSER = "globalThis.document = { addEventListener() {} }; globalThis.navigator = { clipboard: {}, language: 'en' };"
RUN_INPUT = 'import { readFileSync } from "node:fs"; (0, eval)(readFileSync(0, "utf8"))'  # too long for an argument
EXPORTS = "console.log(JSON.stringify(Object.entries(streamspace).map(([name, all]) => [name, Object.keys(all)])))"
ENTITIES = "& &lt; &amp; &amp;lt; &#60; &é; &你; &x lt; amp; ;".split()
CODE = ["`", "``", "```", "~~~", "~~~~", "\n```\n", "\n   ~~~"]
PIECES = [*ENTITIES, *CODE, *"< <b> </b> <!-- > é 你 👩 a".split(), *" \n\t\r\u2028", "\n\n", "    "]


def node(program: str, text: str = "") -> str:
    """What a program prints that reads this text."""
    done = subprocess.run([*NODE, program], input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_page_gets_every_module_after_those_that_it_imports() -> None:
    assert sorted(MODULES) == sorted(SCRIPTS)
    for number, module in enumerate(MODULES):
        assert {*re.findall(r'from "\./(\w+)\.js"', SCRIPTS[module])} <= {*MODULES[:number]}


def test_the_modules_stand_in_the_page_as_they_do_in_their_files() -> None:
    script = head({"catalogs": {"</script>": "<!--"}}).removeprefix("<script>").removesuffix("</script>")
    assert "</script" not in script
    page = dict(json.loads(node(RUN_INPUT, f"{BROWSER}{script};{EXPORTS}")))
    assert page.pop("catalogs") == ["</script>"]
    assert list(page) == MODULES
    for module, exports in page.items():
        assert exports == re.findall(r"^export .*?(?:class|const|function\*?) (\w+)", SCRIPTS[module], re.MULTILINE)


def test_an_event_calls_a_function_that_is_there() -> None:
    assert call("chat.stop") == "(...inputs) => streamspace.chat.stop(...inputs)"
    with pytest.raises(LookupError, match=r"static/chat\.js exports no go"):
        call("chat.go")


def test_every_sentence_of_the_scripts_is_said_in_chinese() -> None:
    sentences = {text for script in SCRIPTS.values() for text in re.findall(r'\bsay\(\s*"([^"]+)"', script)}
    assert len(sentences) > 40
    assert sentences <= {*said(catalog("zh"), "")}


def test_no_python_file_holds_a_script() -> None:
    for path in STATIC.parent.rglob("*.py"):
        source = path.read_text("utf-8")
        assert not re.search(r"document\.|addEventListener|\{ display:|<style", source), path


def test_an_exported_text_comes_back_whatever_it_was() -> None:
    rng = random.Random(0)
    texts = ["".join(rng.choices(PIECES, k=rng.randint(0, 24))) for _ in range(20_000)]
    program = (
        f'import {{ fromMarkdown, toMarkdown }} from "{STATIC}/markdown.js";import {{ readFileSync }} from "node:fs";'
        "console.log(JSON.stringify(JSON.parse(readFileSync(0)).map((text) => fromMarkdown(toMarkdown(text)))))"
    )
    assert json.loads(node(program, json.dumps(texts))) == texts


def test_pure_functions() -> None:
    """The unit tests of tests/js, by Node's own runner."""
    tests = sorted(str(path) for path in (Path(__file__).parent / "js").glob("*.test.js"))
    done = subprocess.run(["node", "--test", *tests], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout
