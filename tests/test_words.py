"""The operator's own words: what is taken, and what is refused in one sentence at the start."""

import json
import re
from pathlib import Path

import pytest

from streamspace.config import load_config
from streamspace.errors import ConfigError
from streamspace.words import Example, Words, read_words

GIVEN = {
    "title": "Ask Ada",
    "description": "About **engines**.",
    "examples": ["What is a loom?", {"text": "Be brief.", "system_prompt": "One word."}],
    "system_prompts": {"Poet": "You rhyme."},
    "caveat": "She errs.",
    "links": {"Imprint": "https://example.org/imprint"},
    "accent": "teal",
    "prompts": ["Once upon", "And then"],
}
READ = Words(
    "Ask Ada",
    "About **engines**.",
    (Example("What is a loom?"), Example("Be brief.", "One word.")),
    (("Poet", "You rhyme."),),
    "She errs.",
    (("Imprint", "https://example.org/imprint"),),
    "teal",
    ("Once upon", "And then"),
)


def test_the_words_stand_in_the_variable_or_in_a_file(tmp_path: Path) -> None:
    text = json.dumps(GIVEN, indent=1)
    (tmp_path / "page.json").write_text(text, "utf-8")
    for value in (text, f"\n {text}", str(tmp_path / "page.json")):
        assert read_words(value) == READ
        assert load_config((), {"PAGE": value}).page == load_config(("--page", value), {}).page == READ
    assert load_config((), {}).page == read_words("{}") == Words()


def test_a_favicon_is_a_small_file_of_a_kind_that_browsers_show(tmp_path: Path) -> None:
    def favicon(name: str, content: bytes) -> str | None:
        (tmp_path / name).write_bytes(content)
        return load_config((), {"PAGE": json.dumps({"favicon": str(tmp_path / name)})}).page.favicon

    for name, content in {"a.png": b"\x89PNG...", "a.svg": b"<svg/>", "a.ico": b"\0\0\1\0.."}.items():
        assert favicon(name, content) == str(tmp_path / name)
    for name, content in {"a.txt": b"<", "b.png": b"GIF8", "b.svg": b"<" * (2**18 + 1), "c.png": b""}.items():
        with pytest.raises(ConfigError, match=r"PAGE: favicon is .*; allowed is the name of a file here, .png, .ico"):
            favicon(name, content)


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("nowhere.json", "PAGE is 'nowhere.json', which is no file of text here, nor a JSON object itself."),
        ("{", "PAGE is no JSON: Expecting property name"),
        ('{"a":' * 100_000, "PAGE is no JSON: "),
        ('{"titel": "x"}', "PAGE has 'titel'; allowed are title, description, examples,"),
        ('{"title": 7}', "PAGE: title is 7; allowed is a text of 1 to 20000 characters."),
        ('{"title": "a\\nb"}', 'PAGE: title is "a\\nb"; allowed is a text of one line.'),
        ('{"description": ""}', 'PAGE: description is ""; allowed is a text of 1 to'),
        ('{"examples": "x"}', 'PAGE: examples is "x"; allowed is a list of texts'),
        ('{"examples": ["a", 3]}', "PAGE: examples[1] is 3; allowed is a text of 1"),
        ('{"examples": [{"txt": "a"}]}', 'PAGE: examples[0] is {"txt": "a"}; allowed is a text, or {"text"'),
        ('{"system_prompts": ["a"]}', 'PAGE: system_prompts is ["a"]; allowed is an object'),
        ('{"system_prompts": {"a": 1}}', "PAGE: system_prompts.a is 1; allowed is a text"),
        ('{"links": {"a": "javascript:alert(1)"}}', 'PAGE: links.a is "javascript:alert(1)"; allowed is an address'),
        ('{"links": {"a": "https://x.org/) <b>"}}', "PAGE: links.a is"),
        ('{"favicon": "nowhere.png"}', 'PAGE: favicon is "nowhere.png"; allowed is the name of a file here'),
        ('{"prompts": []}', "PAGE: prompts is []; allowed is a list of 1 to 8 texts"),
        ('{"prompts": ["a", 3]}', "PAGE: prompts[1] is 3; allowed is a text of 1"),
        ('{"accent": "plaid"}', 'PAGE: accent is "plaid"; allowed is slate, gray'),
    ],
)
def test_what_is_not_allowed_is_refused_by_name(value: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(sentence)}.*$"):
        load_config((), {"PAGE": value})
