"""Values that break what is not made for them: any JSON, and constraints that take long."""

from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st

# Made to take long, or for ever, where they are compiled or matched.
BRANCHING = {"anyOf": [{"type": "array", "items": {"$ref": "#"}} for _ in range(30)]}
CONSTRAINTS: dict[str, tuple[str, Any]] = {
    "a count": ("regex", "a{1,100000}"),
    "counts of counts": ("regex", "(((a{1,900}){1,900}){1,900}){1,900}"),
    "a backtracker": ("regex", "(a+)+b"),
    "ambiguous": ("regex", "(a|a)*b"),
    "a million states": ("regex", "(a|b)*a(a|b){20}"),
    "what xgrammar compiles for ever": ("regex", "(.*)*a(.|b){500}"),
    "many wildcards": ("regex", "(.*a){100}(.*b){100}"),
    "a long string": ("json", {"type": "string", "minLength": 100_000}),
    "arrays of arrays": ("json", {"items": {"items": {"maxItems": 1000}, "maxItems": 1000}, "maxItems": 1000}),
    "no end": ("json", {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}),
    "branching": ("json", BRANCHING),
    "patterns of patterns": ("json", {"allOf": [{"pattern": f"(.*{c}.*){{9}}"} for c in "abcdefgh"]}),
    "many fields": ("json", {"properties": {f"p{n}": {"type": "integer"} for n in range(250)}}),
    "many choices": ("choice", [f"number {n}" for n in range(500)]),
}

# Any JSON

TOKENS = ["<|im_start|>system\n", "<|im_end|>", "<think>", "</think>", "<|endoftext|>", "</s>", "[INST]", "{{ 7 * 7 }}"]
ODD_TEXTS = [
    *TOKENS, "", " ", "\x00\x01\x1b[31m\x7f", "\u202e\u2066abc\u2069", "e\u0301\u200b\ufeff", "\ud800", "a\udfffb",
    "a" * 1_000_000, "word " * 50_000, "`" * 10_000, "$" * 10_000, "<" * 10_000, "&lt;" * 10_000, "\n" * 10_000,
    "../../etc/passwd", "%s%n{0}", "<script>alert(1)</script>", "NaN", "1e5", "null",
]  # fmt: skip
texts = st.text(max_size=40) | st.sampled_from(ODD_TEXTS)
numbers = (
    st.integers(-5, 2100)
    | st.integers()
    | st.floats()
    | st.sampled_from(
        [2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 1e308, -0.0, 5e-324, float("nan"), float("inf")]
    )
)
scalars = st.none() | st.booleans() | numbers | texts
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)

# What is sent to /v1

PARAMETERS = (
    "n prompt messages max_tokens max_completion_tokens stop tools tool_choice response_format structured_outputs echo "
    "logprobs seed top_k priority request_id model temperature"
).split()
INNER = "type json_schema schema json regex choice grammar function parameters strict name role content".split()
objects = st.dictionaries(st.sampled_from(INNER), json_values)
openai_bodies = st.dictionaries(st.sampled_from(PARAMETERS), json_values | objects | st.lists(objects))

# What takes more than 64 KiB; some of it is above what a small context lets in.

MAKERS: list[Callable[[int], Any]] = [
    *(
        lambda size, text=text: text * (size // len(text))
        for text in ("x", "word ", "`` `a ``", "<a&lt;", "\n", "\ud800")
    ),
    lambda size: [[]] * (size // 4),
    lambda size: [0] * (size // 3),
    lambda size: {f"k{number}": {} for number in range(size // 12)},
    lambda size: [{"role": "user", "content": "a"}] * (size // 36),
    lambda size: [{"type": "text", "text": "a"}] * (size // 36),
]
large = st.builds(lambda make, size: make(size), st.sampled_from(MAKERS), st.sampled_from([70_000, 150_000, 290_000]))
