"""The page's dialect of Markdown by marked alone: against CommonMark's specification, and while a text grows."""

import json
import random
import re
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

NODE = Path(__file__).parent / "node"
EXAMPLE = re.compile(r"^`{32} example\n(.*?)^\.\n(.*?)^`{32}$|^#{1,6} *([^\n]*)$", re.DOTALL | re.MULTILINE)
RAW_HTML = {"HTML blocks", "Raw HTML"}  # sections
BLOCKS = "p|ul|ol|li|blockquote|h1|h2|h3|h4|h5|h6|hr|br"

# Examples of CommonMark 0.31.2 by their numbers.
HTML = {
    21,
    31,
    201,
    308,
    309,
    344,
    475,
    476,
    477,
    491,
    494,
    524,
    536,
    642,
    643,
}  # raw HTML of other sections: it is words here
OTHER_ELEMENTS = {
    12: r"\[ and \] are marks of a formula",
    **dict.fromkeys((602, 608, 611, 612), "an address is a link without brackets, too, as on GitHub"),
    # marked's own:
    236: "code that is indented in a quote goes on behind it",
    237: "a fence in a quote goes on behind it",
    497: "an address may have one bracket too many",
    507: "a no-break space ends an address",
    533: "a link to a note, in emphasis, in another one",
    540: "names of notes are compared by small letters alone",
}
OTHER_WORDS = {
    **dict.fromkeys((25, 26, 27, 37, 38, 39, 40, 41), "entities are words, as tags are"),
    # marked's own:
    **dict.fromkeys((2, 6, 133, 278), "a blank more or less at the beginning of code or of an item"),
}


class Elements(HTMLParser):
    """The tags of an HTML text, with the targets of links and pictures, and its words."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self.is_code = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        targets = [unquote(value or "") for name, value in attrs if name in ("href", "src", "start")]
        self.tags.append(f"<{' '.join([tag, *targets])}>")
        self.words.append(f"<{tag}>")
        self.is_code |= tag == "pre"

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)

    def handle_endtag(self, tag: str) -> None:
        self.tags.append(f"</{tag}>")
        self.words.append(f"</{tag}>")
        self.is_code &= tag != "pre"

    def handle_data(self, data: str) -> None:
        self.words.append(data.strip("\n") if self.is_code else re.sub(r"\s+", " ", data))

    @property
    def text(self) -> str:
        """The words and where they stand; blanks beside a block do not count."""
        return re.sub(rf"\s*(</?(?:{BLOCKS})>)\s*", r"\1", "".join(self.words))


def draw(what: str, texts: list[str]) -> list[str]:
    done = subprocess.run(
        ["node", "draw.mjs", what], input=json.dumps(texts), capture_output=True, text=True, cwd=NODE, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return list(json.loads(done.stdout))


def examples() -> dict[int, tuple[str, str]]:
    """Number → Markdown and HTML of each example without raw HTML."""
    whole = (NODE / "node_modules/commonmark-spec/spec.txt").read_text("utf-8").split("<!-- END TESTS -->")[0]
    found, section, number = {}, "", 0
    for match in EXAMPLE.finditer(whole.replace("→", "\t")):
        markdown, html, title = match.groups()
        section = title or section
        number += title is None
        if title is None and section not in RAW_HTML and number not in HTML:
            found[number] = (markdown, html)
    assert number == 652
    return found


def test_commonmarks_examples_have_the_elements_that_it_says() -> None:
    numbers = examples()
    drawn = draw("whole", [markdown for markdown, _ in numbers.values()])
    elements, words = set(), set()
    for (number, (_, html)), ours in zip(numbers.items(), drawn, strict=True):
        got, expected = Elements(ours), Elements(html)
        if got.tags != expected.tags:
            elements.add(number)
        elif got.text != expected.text:
            words.add(number)
    assert (elements, words) == (set(OTHER_ELEMENTS), set(OTHER_WORDS))
    assert 1 - len(elements) / len(numbers) >= 0.98


def test_brackets_of_a_label_are_its_own() -> None:
    texts = [f"[{'[' * depth}x{']' * depth}](y)" for depth in range(4)]
    assert draw("whole", texts) == [f'<p><a href="y">{"[" * depth}x{"]" * depth}</a></p>\n' for depth in range(4)]


def test_brackets_do_not_hold_up_the_browser() -> None:
    """Each level of links in links is read twice, so that 22 of them took half a minute."""
    nested = ["[" * depth + "x" + "](y)" * depth for depth in (5, 60, 200)]
    many = ["[" * 20_000, "[`" * 10_000, "[\\]" * 7_000, "[a [b [c]]](d) " * 2_000, "$$" * 10_000]
    drawn = draw("whole", [*nested, *many])
    assert [html.count("<a ") for html in drawn] == [1, 1, 1, 0, 0, 0, 2_000, 0]


PIECES = [
    *"word *it* `co``de` [link](http://a.b/c) ~~old~~ \\(x_1\\) $y^2$ $5 3~5 a_b_c **注意：**后 <b> &lt;".split(),
    *'http://x.y/z 2*3 中文， 1. #tag ! | \\ "q" [[1]](http://n.o/) [a[b]'.split(),
    "**bold text**",
    "***both***",
]
SHAPES = [
    "{}",
    "{} {}\n{}",
    "# {}",
    "- {}\n- {}\n  - {}",
    "1. {}\n2. {}",
    "> {} {}",
    "```js\nx = `1`\n```",
    "| a | b |\n|---|---|\n| {} | **d** |",
    "\\[\nx\n- y\n\\]",
    "$$\nz = 1\n$$",
    "- [ ] {}\n- [x] {}",
    "---",
    "\\begin{{cases}} a \\\\ b \\end{{cases}}",
]


def test_no_beginning_of_a_text_shows_an_element_that_its_end_has_not() -> None:
    chance = random.Random(3)
    texts = [
        "\n\n".join(chance.choice(SHAPES).format(*chance.choices(PIECES, k=3)) for _ in range(3)) for _ in range(1000)
    ]
    assert draw("growing", texts) == []
