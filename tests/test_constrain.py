"""Constraints: what is refused and where, what the engine makes of those that are not, and what the page says of it."""

import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import jsonschema
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError
from playwright.sync_api import Page, expect

from streamspace.constraint import check_constraint, verdict
from streamspace.errors import BadRequest
from streamspace.types import Constraint, Reply
from streamspace.ui.parts.constraint import CHOICES, REGEX, SCHEMA
from tests.hostile import CONSTRAINTS
from tests.page import fill_setting
from tests.support import Running, wait_until

PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 120},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "null"}
    for _ in range(levels):
        schema = {"items": schema}
    return schema


LONG = [{"type": "array", "maxItems": 1000, "items": {"type": "string", "maxLength": n}} for n in range(90)]


@pytest.mark.parametrize(
    ("kind", "value", "sentence"),
    [
        ("json", "{\n  x", "The schema is not JSON: Expecting property name enclosed in double quotes in line 2, co"),
        ("json", "[]", "The schema is no JSON object"),
        ("json", "", "The schema is empty."),
        ("json", 5, "The schema is no JSON object"),
        ("json", '{"properties": {"a": {"type": "int"}}}', "The schema is wrong at $.properties.a.type: 'int' is not"),
        ("json", {"items": {"minimum": "1"}}, "The schema is wrong at $.items.minimum: '1' is not of type 'number'."),
        ("json", {"$ref": "http://127.0.0.1/x"}, "The schema is wrong at $.$ref: a $ref must begin with #"),
        ("json", {"anyOf": [{"minItems": 10**5}]}, "The schema is wrong at $.anyOf[0].minItems: minItems may be 1000"),
        ("json", {"x-guidance": {"lenient": True}}, "The schema is wrong at $.x-guidance"),
        ("json", {"type": "array", "uniqueItems": True}, "The schema cannot be used: Unimplemented keys"),
        ("json", {"oneOf": [{"const": 1}, {"const": "1"}, {}]}, "The schema cannot be used: oneOf constraints are not"),
        ("json", {"anyOf": LONG}, "The schema cannot be used: grammar size (number of symbols) too big"),
        ("json", {"$ref": "#"}, "The schema cannot be used: no text can ever fit it."),
        ("json", {"type": "string", "pattern": "(?=a)"}, "The schema cannot be used: look-around"),
        ("json", nested(180), "The schema is nested too deeply."),
        ("json", '{"items": ' * 750 + "}", "The schema is not JSON: Expecting value in line 1, column 7501."),
        ("json", '{"const": ' + "1" * 5000 + "}", "The schema holds a number that is too long."),
        ("json", {"enum": ["x" * 8000]}, "The schema has 8014 characters; at most 8000 are allowed."),
        ("regex", "ab(?=c)", "The regex cannot be used at character 3: look-around, including look-ahead"),
        ("regex", r"(a)\1", "The regex cannot be used at character 4: backreferences are not supported."),
        ("regex", "[a-", "The regex cannot be used at character 1: unclosed character class."),
        ("regex", "(" * 501, "The regex has 501 characters; at most 500 are allowed."),
        ("regex", None, "The regex is a NoneType; it must be a string."),
        ("choice", "\n\n", "The list of choices is empty."),
        ("choice", [1], "The list of choices must be a list of strings."),
        ("choice", ["x"] * 501, "The list of choices has 501; at most 500 are allowed."),
        ("lark", "start: x", "There is no such constraint; there are json, regex, choice."),
        ([], "", "There is no such constraint"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_refused_with_its_place(kind: Any, value: Any, sentence: str) -> None:
    with pytest.raises(BadRequest) as refused:
        check_constraint(kind, value)
    assert str(refused.value).startswith(sentence) and str(refused.value).endswith(".")


DATE = Constraint("regex", r"\d{4}-\d{2}")
SCHEMED = Constraint("json", json.dumps(PERSON))


@pytest.mark.parametrize(
    ("constraint", "reply", "words"),
    [
        (DATE, Reply("2024-12", "stop"), "Matches the regex."),
        (DATE, Reply("2024-1", "length"), "No match of the regex: it was cut off before it was complete."),
        (DATE, Reply("2024-1", "stop", stop="2"), "No match of the regex: it was cut off before it was complete."),
        (DATE, Reply("2024-1", "stop"), "No match of the regex: it ended before it was complete."),
        (DATE, Reply("2024-123", "stop"), "No match of the regex from character 8 on: '3'."),
        (Constraint("choice", '["yes", "no"]'), Reply("no", "stop"), "One of the choices."),
        (Constraint("choice", '["yes", "no"]'), Reply("na", "stop"), "None of the choices from character 2 on: 'a'."),
        (SCHEMED, Reply('{"name": "世界", "age": 3}\n', "stop"), "Valid against the schema."),
        (
            SCHEMED,
            Reply('{"name": "世界", "age": 300}', "stop"),
            "Not valid against the schema from character 25 on: '0}'.",
        ),
        (
            SCHEMED,
            Reply('{"name": "世', "length"),
            "Not valid against the schema: it was cut off before it was complete.",
        ),
    ],
)  # fmt: skip
def test_the_verdict_says_what_is_wrong(constraint: Constraint, reply: Reply, words: str) -> None:
    assert verdict(constraint, reply) == words


@pytest.mark.parametrize(("kind", "value"), CONSTRAINTS.values(), ids=CONSTRAINTS)
def test_nothing_takes_long_to_check(kind: str, value: Any) -> None:
    """Where a check is not bounded, these take from minutes to for ever; as it is, three seconds on a quick machine."""
    began_s = time.process_time()
    with suppress(BadRequest):  # a refusal, too, has to come soon
        constraint = check_constraint(kind, value)
        for text in ("ab" * 5000, "[" * 100_000, '{"a":' * 1000):
            assert verdict(constraint, Reply(text, "length"))
    assert time.process_time() - began_s < 10


@pytest.fixture
def listener() -> Iterator[tuple[int, list[Any]]]:
    """The port of a server that nobody should ask, and who did."""
    asked: list[Any] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            while True:
                try:
                    asked.append(server.accept())
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        yield server.getsockname()[1], asked


def test_nothing_that_a_schema_names_is_fetched(listener: tuple[int, list[Any]]) -> None:
    port, asked = listener
    url = f"http://127.0.0.1:{port}/schema.json"
    for schema in (
        {"$ref": url},
        {"$schema": url, "type": "string"},
        {"$id": url, "$ref": "other.json"},
        {"$id": url, "$dynamicRef": url},
        {"$id": url, "$ref": "#/$defs/x"},
    ):
        with pytest.raises(BadRequest):
            check_constraint("json", schema)
    socket.create_connection(("127.0.0.1", port)).close()
    wait_until(lambda: len(asked) == 1, what="the one connection, which is ours")


@pytest.fixture(scope="module")
def client(running: Running) -> Iterator[Client]:
    client = Client(running.url, verbose=False)
    yield client
    client.close()


def complete(client: Client, prompt: str, **given: Any) -> str:
    return str(client.predict(prompt, api_name="/complete", **{"max_tokens": 200, "temperature": 1, **given}))


@pytest.mark.parametrize("seed", range(5))
def test_a_constraint_holds_whatever_the_model_knows(client: Client, seed: int) -> None:
    for schema in (PERSON, json.loads(SCHEMA)):
        answer = json.loads(complete(client, "A person:", json_schema=schema, seed=seed))
        jsonschema.validate(answer, schema)
    assert re.fullmatch(REGEX, complete(client, "It was on", regex=REGEX, seed=seed))
    assert complete(client, "The future is", choice=CHOICES.split("\n"), seed=seed) in CHOICES.split("\n")
    assert complete(client, "你好", choice=["世界", "朋友", '"\\n'], seed=seed) in ("世界", "朋友", '"\\n')


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"regex": "a", "choice": ["a"]}, "Give one of json_schema, regex and choice, not several."),
        ({"regex": "a("}, "The regex cannot be used at character 2: unclosed group."),
        ({"json_schema": {"type": "array", "uniqueItems": True}}, "The schema cannot be used: Unimplemented keys"),
        ({"regex": "a\0b"}, "The regex cannot be used: it holds the character NUL."),
    ],
)
def test_an_endpoint_refuses_in_a_sentence(client: Client, given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(AppError, match=re.escape(sentence)):
        complete(client, "Hi", **given)


def test_no_constraint_stops_or_breaks_the_engine(running: Running, client: Client) -> None:
    refused = {}
    for case, (kind, value) in CONSTRAINTS.items():
        name = "json_schema" if kind == "json" else kind
        try:
            complete(client, "Once upon a time", max_tokens=30, **{name: value})
        except AppError as error:
            refused[case] = str(error)
    assert refused.keys() == {"no end", "patterns of patterns"}, refused
    assert refused["no end"] == "The engine gave up on this constraint, which is too complex: make it simpler."
    assert running.engine.status.stage == "ready"
    wait_until(lambda: running.is_idle, what="an idle engine")
    assert complete(client, "Yes or no?", choice=["yes", "no"]) in ("yes", "no")


NewPage = Callable[..., Page]


def open_constrain(running: Running, new_page: NewPage) -> Page:
    page = new_page(running.url)
    page.get_by_role("tab", name="Completion").click()
    expect(page.get_by_role("button", name="Run 1")).to_be_enabled()
    page.get_by_role("button", name="Constrain").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#constraint-kind")).to_be_visible()
    return page


def note(page: Page) -> Any:
    return page.locator(".completion .note").first


def run(page: Page) -> None:
    page.get_by_role("button", name="Run 1").click()


@pytest.mark.browser
def test_each_kind_has_an_example_that_works_and_is_chosen_by_the_keyboard(running: Running, new_page: NewPage) -> None:
    page = open_constrain(running, new_page)
    kinds = page.locator("#constraint-kind input")

    def is_reached() -> bool:
        # Gradio mounts what is in a fold when it is opened, and a key that comes before is lost.
        page.get_by_role("button", name="Constrain").focus()
        page.keyboard.press("Tab")
        return bool(kinds.first.evaluate("input => input === document.activeElement"))

    wait_until(is_reached, what="the focus on the first kind")
    boxes = [page.locator(f"#constraint-{kind} textarea") for kind in ("json", "regex", "choice")]
    for chosen, words in enumerate(["Valid against the schema.", "Matches the regex.", "One of the choices."]):
        expect(kinds.nth(chosen)).to_be_focused()
        page.keyboard.press("Tab")  # to the next kind: for Gradio each is a group of its own
        expect(kinds.nth(chosen + 1)).to_be_focused()
        page.keyboard.press("Space")
        for number, box in enumerate(boxes):
            expect(box).to_be_visible(visible=number == chosen)
        run(page)
        expect(note(page)).to_contain_text(words)
        page.locator("#constraint-kind input:checked").focus()
    page.locator("#constraint-kind input").first.check()
    run(page)
    expect(note(page)).to_contain_text("max_tokens is 100")
    expect(note(page)).not_to_contain_text("choices")


@pytest.mark.browser
def test_a_cut_answer_says_why_it_is_not_valid(running: Running, new_page: NewPage) -> None:
    page = open_constrain(running, new_page)
    page.get_by_label("JSON schema", exact=True).first.check()
    page.get_by_role("button", name="Settings").last.click()
    fill_setting(page.locator("#completion-settings"), "max_tokens", "3")
    run(page)
    words = "Cut off by a limit: max_tokens is 3. Not valid against the schema: it was cut off before it was complete."
    expect(note(page)).to_contain_text(words)


@pytest.mark.browser
def test_a_schema_that_is_wrong_is_refused_with_its_place_and_can_be_mended(
    running: Running, new_page: NewPage
) -> None:
    page = open_constrain(running, new_page)
    page.get_by_label("JSON schema", exact=True).first.check()
    box = page.locator("#constraint-json textarea")
    box.fill('{"type": "object", "properties": {"<b>": {"type": "int"}}}')
    run(page)
    expect(
        page.get_by_text("The schema is wrong at $.properties['<b>'].type: 'int' is not one of").first
    ).to_be_visible()
    box.fill('{"type": "boolean"}')
    run(page)
    expect(page.locator("#continuation-1 textarea")).to_have_value(re.compile("^(true|false)$"))
