"""Constraints: checked before a request goes to the engine, and again against the answer. Pure.

A visitor's schema or regex can be made to take any time in Python's `re` and in jsonschema. So llguidance, which comes
with vLLM, does both checks: it reads a text once, counts its steps, and gives up at its limits. Nothing that a schema
refers to is ever fetched.
"""

import json
import time
from collections.abc import Iterator
from typing import Any, get_args

import jsonschema
from llguidance import LLMatcher, LLParserLimits, LLTokenizer, grammar_from

from streamspace.errors import BadRequest
from streamspace.translation import Sentence
from streamspace.types import Constraint, ConstraintKind, Reply

KINDS: tuple[ConstraintKind, ...] = get_args(ConstraintKind)
# Within these sizes vLLM's own check, on the event loop, takes at most 15 ms; typical input a tenth.
MOST_CHARS = {"json": 8_000, "regex": 500, "choice": 20_000}
MOST_CHOICES = 500
MOST_ITEMS = 1_000  # of an array in a schema: its grammar has a rule for each
LIMITS = LLParserLimits(
    max_grammar_size=20_000, initial_lexer_fuel=200_000, step_max_items=5_000, step_lexer_fuel=50_000,
    verbose_errors=False,
)  # fmt: skip
COUNTS = ("minItems", "maxItems", "minProperties", "maxProperties")
CHECK_S = 1.0  # for an answer; one of 2000 tokens takes 10 ms
BYTES = LLTokenizer("byte")  # a token is a byte

NAMES = {"json": Sentence("schema"), "regex": Sentence("regex"), "choice": Sentence("list of choices")}
VALID = {
    "json": Sentence("Valid against the schema."),
    "regex": Sentence("Matches the regex."),
    "choice": Sentence("One of the choices."),
}
NOT_VALID = {
    "json": Sentence("Not valid against the schema"),
    "regex": Sentence("No match of the regex"),
    "choice": Sentence("None of the choices"),
}


def check_constraint(kind: Any, value: Any) -> Constraint:
    """A visitor's constraint: a JSON schema as text or parsed, a regex, or choices as a list or one a line.

    Takes some milliseconds, and 0.2 s for a hostile value: call it in a thread.

    Raises:
        BadRequest: there is no such kind, or the value cannot be used; the sentence says where it is wrong.
    """
    if kind not in KINDS:
        raise BadRequest("There is no such constraint; there are {kinds}.", kinds=", ".join(KINDS))
    texts = {"json": _schema, "regex": _regex, "choice": _choices}
    constraint = Constraint(kind, texts[kind](value))
    try:
        matcher = _matcher(constraint)
        matcher.compute_bitmask()  # also detects a grammar that no text can start
        error = matcher.get_error()
    except ValueError as broken:
        error = str(broken)
    if error:
        raise _refusal(kind, error)
    return constraint


def verdict(constraint: Constraint, reply: Reply) -> Sentence:
    """Whether an answer that has ended matches its constraint, in a sentence. Takes CHECK_S at most."""
    text = reply.text.strip() if constraint.kind == "json" else reply.text
    name, not_valid = NAMES[constraint.kind], NOT_VALID[constraint.kind]
    matcher, data, end_s = _matcher(constraint), text.encode(errors="replace"), time.monotonic() + CHECK_S
    for number, byte in enumerate(data):
        is_right = matcher.consume_token(byte)
        if time.monotonic() > end_s or (not is_right and "too many" in matcher.get_error()):
            return Sentence("The {constraint} is too complex to check the answer against it.", constraint=name)
        if not is_right:
            where = len(data[:number].decode(errors="ignore"))
            template, wrong = "{fault} from character {number} on: {text!r}.", text[where : where + 20]
            return Sentence(template, fault=not_valid, number=where + 1, text=wrong)
    if matcher.is_accepting():
        return VALID[constraint.kind]
    if reply.finish_reason != "stop" or reply.stop is not None:
        return Sentence("{fault}: it was cut off before it was complete.", fault=not_valid)
    return Sentence("{fault}: it ended before it was complete.", fault=not_valid)


def _matcher(constraint: Constraint) -> LLMatcher:
    if constraint.kind == "json":
        grammar = LLMatcher.grammar_from_json_schema(constraint.value, defaults={"whitespace_flexible": True})
    else:
        grammar = grammar_from(constraint.kind, constraint.value)
    return LLMatcher(BYTES, grammar, log_level=0, limits=LIMITS)


def _schema(value: Any) -> str:
    try:
        schema = json.loads(_text("json", value)) if isinstance(value, str) else value
        if not isinstance(schema, dict):
            raise BadRequest("The schema is no JSON object: it must begin with { and end with }.")
        text = _text("json", json.dumps(schema))
        for place, key, item in _entries(schema):
            if key == "$ref" and isinstance(item, str) and not item.startswith("#"):
                raise _wrong(place, Sentence("a $ref must begin with #, nothing else is fetched"))
            if key in COUNTS and isinstance(item, int) and item > MOST_ITEMS:
                raise _wrong(place, Sentence("{key} may be {most} at most", key=key, most=MOST_ITEMS))
            if key == "x-guidance":
                raise _wrong(place, Sentence("x-guidance does not work here"))
        draft = jsonschema.validators.validator_for(schema, default=jsonschema.Draft202012Validator)
        # Without formats: checking one compiles a pattern by `re`, which can take long.
        draft.check_schema(schema, format_checker=jsonschema.FormatChecker(formats=()))
    except json.JSONDecodeError as error:
        template = "The schema is not JSON: {reason} in line {line}, column {column}."
        raise BadRequest(template, reason=error.msg, line=error.lineno, column=error.colno) from None
    except jsonschema.SchemaError as error:
        cause = error.context[0] if error.context else error  # the first of several alternatives
        raise _wrong(cause.json_path, cause.message[:200]) from None
    except RecursionError:
        raise BadRequest("The schema is nested too deeply.") from None
    except ValueError:  # an integer with more digits than Python reads
        raise BadRequest("The schema holds a number that is too long.") from None
    return text


def _wrong(place: str, reason: str) -> BadRequest:
    return BadRequest("The schema is wrong at {place:.100}: {reason}.", place=place, reason=reason)


def _entries(value: Any, place: str = "$") -> Iterator[tuple[str, str, Any]]:
    """Yield the path, key and value of each item of a parsed schema, the outer before the inner."""
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        here = f"{place}.{key}" if isinstance(key, str) else f"{place}[{key}]"
        yield here[:100], str(key), item
        yield from _entries(item, here)


def _regex(value: Any) -> str:
    regex = _text("regex", value)
    if "\0" in regex:
        raise BadRequest("The regex cannot be used: it holds the character NUL.")
    return regex


def _choices(value: Any) -> str:
    choices = value.split("\n") if isinstance(value, str) else value
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise BadRequest("The list of choices must be a list of strings.")
    choices = [choice for choice in choices if choice]
    if len(choices) > MOST_CHOICES:
        template = "The list of choices has {number}; at most {most} are allowed."
        raise BadRequest(template, number=len(choices), most=MOST_CHOICES)
    return _text("choice", json.dumps(choices) if choices else "")


def _text(kind: str, value: Any) -> str:
    name, most = NAMES[kind], MOST_CHARS[kind]
    if not isinstance(value, str):
        raise BadRequest("The {name} is a {kind}; it must be a string.", name=name, kind=type(value).__name__)
    if not value.strip():
        raise BadRequest("The {constraint} is empty.", constraint=name)
    if len(value) > most:
        template = "The {constraint} has {number} characters; at most {most} are allowed."
        raise BadRequest(template, constraint=name, number=len(value), most=most)
    return value


def _refusal(kind: str, error: str) -> BadRequest:
    """llguidance's reason in one sentence; for a regex with the position that it marks."""
    lines, name = error.split("\n"), NAMES[kind]
    if error.startswith("NoExtension"):
        return BadRequest("The {constraint} cannot be used: no text can ever fit it.", constraint=name)
    pointers = (line.index("^") - 3 for line in lines if "^" in line and not line.strip(" ^"))
    pointed = next(pointers, None) if kind == "regex" else None
    why = next((line.removeprefix("error: ") for line in lines if line.startswith("error: ")), lines[0])
    reason = why.partition(". ")[0].rstrip(".")[:200]
    if not pointed:
        return BadRequest("The {constraint} cannot be used: {reason}.", constraint=name, reason=reason)
    template = "The {constraint} cannot be used at character {number}: {reason}."
    return BadRequest(template, constraint=name, number=pointed, reason=reason)
