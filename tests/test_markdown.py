"""Texts as they are shown."""

import random
import time

import pytest

from streamspace.markdown import from_markdown, to_markdown
from streamspace.types import Status


@pytest.mark.parametrize(
    ("text", "markdown"),
    [
        ("<b>bold</b>", "&lt;b>bold&lt;/b>"),
        ("<!-- note --> <?php", "&lt;!-- note --> &lt;?php"),
        ("&lt; &amp; &#60; AT&T", "&amp;lt; &amp;amp; &amp;#60; AT&T"),
        ("1 < 2 && 3 > 2", "1 < 2 && 3 > 2"),
        ("`<i>` and ``a ` <b>``", "`<i>` and ``a ` <b>``"),
        ("```html\n<div>\n\t&lt;\n```\n<div>", "```html\n<div>\n\t&lt;\n```\n&lt;div>"),
        ("~~~\n<div>\n~~~", "~~~\n<div>\n~~~"),
        ("```\nstill open <div>", "```\nstill open <div>"),
        ("a lone ` and <b>\n\nthen `<i>`", "a lone ` and &lt;b>\n\nthen `<i>`"),
    ],
)
def test_html_is_shown_as_written_and_code_is_left_alone(text: str, markdown: str) -> None:
    assert to_markdown(text) == markdown


def test_what_is_shown_can_be_taken_back_whatever_it_was() -> None:
    pieces = [
        "<",
        ">",
        "&",
        "lt;",
        "amp;",
        "&lt;",
        "&amp;",
        "`",
        "```",
        "~~~",
        "\n",
        "\n\n",
        " ",
        "b",
        "/",
        "#1;",
        "\t",
    ]
    chance = random.Random(7)
    for _ in range(20_000):
        text = "".join(chance.choices(pieces, k=chance.randrange(12)))
        assert from_markdown(to_markdown(text)) == text


@pytest.mark.parametrize(
    ("status", "words"),
    [
        (Status("downloading", "Downloading org/m", 1_500_000, 3_000_000), "Downloading org/m: 1.5 MB of 3.0 MB (50%)"),
        (Status("downloading", "Downloading org/m", 10**9, 3 * 10**9), "Downloading org/m: 1.00 GB of 3.00 GB (33%)"),
        (Status("loading", "Warming up", 3, 4), "Warming up (step 4 of 4) …"),
        (Status("ready", "Ready", 4, 4), "Ready"),
        (Status("failed", "No disk space."), "No disk space."),
    ],
)
def test_progress_has_words_and_numbers(status: Status, words: str) -> None:
    assert status.sentence == words


HARD = {
    "runs that all differ": " ".join("`" * length for length in range(1, 1400)),
    "runs that differ by turns": "` `` " * 200_000,
    "fences": "```\n~~~\n" * 125_000,
    "fences that never end": "````\n```\n" * 100_000,
    "blank lines": "\n \t" * 300_000,
    "tags": "<a &lt;" * 140_000,
}


@pytest.mark.parametrize("text", HARD.values(), ids=HARD)
def test_a_million_hard_characters_take_a_moment(text: str) -> None:
    """They come with every frame. Where the time is not linear, a million take minutes; it is a second at most."""
    began_s = time.process_time()
    assert from_markdown(to_markdown(text + "<b>")) == text + "<b>"
    assert time.process_time() - began_s < 20
