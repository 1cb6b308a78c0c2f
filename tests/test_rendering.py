"""Texts as people read them: in the chat, in Compare, and while they stream."""

import random
import re
from typing import Any

import pytest
from playwright.sync_api import expect

from streamspace.types import Delta
from tests.fake import apart, deltas
from tests.page import (
    SILENCE_S,
    THINK,
    NewPage,
    begin_and_end,
    bot,
    box,
    column,
    compare,
    open_compare,
    questions,
    send,
    use,
    wait_for_all,
    wait_for_end,
)
from tests.wire import Site

pytestmark = pytest.mark.browser

# A paragraph as a model writes it → selectors and the texts of what they show, in order; `own` is all of its words.
Shown = dict[str, list[Any]]  # strings, or patterns in them
PARAGRAPHS: dict[str, Shown] = {
    "Inline \\( a_1 * b_2 \\), $E = mc^2$ and $x$的值; it costs $5 and then $7, US$9, $HOME/$USER.": {
        "annotation": ["a_1 * b_2", "E = mc^2", "x"],
        "em": [],
    },
    "Above\n\\[\n- \\int_0^1 x\\,dx\n= \\frac{1}{2}\n\\]": {
        "annotation": ["- \\int_0^1 x\\,dx\n= \\frac{1}{2}"],
        "li": [],
    },
    "Dollars $$x < y$$ end": {"annotation": ["x < y"], ".katex-display": [re.compile("x")]},
    "\\begin{align}\na &= b \\\\\n- c &= \\begin{pmatrix} 1 & 2 \\end{pmatrix}\n\\end{align}": {
        ".katex-display": [re.compile("a")],
        ".katex-error": [],
    },
    "`\\(code\\)` and ``$x$``": {"code": ["\\(code\\)", "$x$"], ".katex": []},
    "A refused \\(\\frac{1\\) stays": {"own": ["A refused \\(\\frac{1\\) stays"], ".katex": [], ".katex-error": []},
    "**注意：**这是正文，前文**（测试）**后文，**“重点”**后面，**강조(emphasis)**는 **bold.** *it*": {
        "strong": ["注意：", "（测试）", "“重点”", "강조(emphasis)", "bold."],
        "em": ["it"],
    },
    "大约3~5天，价格100~200元, ~/.config; ~~really struck~~ stays": {"del": ["really struck"]},
    "见 https://example.com/a，然后继续。 https://example.com/b（说明） [中文](https://example.com/c)": {
        "a": ["https://example.com/a", "https://example.com/b", "中文"],
    },
    "Use Map<String, List<Integer>> or <a> and AT&T; 1 < 2 && 3 > 2 &lt; <!-- --> &copy; %%%LATEX_BLOCK_0%%%": {
        "own": [
            "Use Map<String, List<Integer>> or <a> and AT&T; 1 < 2 && 3 > 2 &lt; <!-- --> &copy; %%%LATEX_BLOCK_0%%%"
        ],
    },
    "אני בסדר: `code()`\n\n1. ראשון (one)\n2. שני\n3. last": {
        "p[dir=rtl]": ["אני בסדר: code()"],
        "ol[dir=rtl]": [re.compile("last")],
        "li[dir=rtl]": ["ראשון (one)", "שני"],
        "li[dir=ltr]": ["last"],
    },
    "- [ ] open\n- [x] done\n  - nested\n\n[^1]: A note.": {
        "li li": ["nested"],
        "input:checked": [""],
        "p": ["[^1]: A note."],
    },
    "| wide | table |\n|---|---|\n| " + "cell" * 99 + " | **b** |": {".table-box td strong": ["b"]},
    "```html\n<b>&lt; $x$ \\(y\\)</b>\n```": {"pre code": [re.compile(re.escape("<b>&lt; $x$ \\(y\\)</b>"))]},
    "long" * 300: {},
}
ANSWER = "\n\n---\n\n".join(PARAGRAPHS)  # a rule between them, so that they can be told apart
# What the reader saw meanwhile that nobody should: half of something, or an element that was taken back.
WATCH = """(selector) => {
  window.flashed = [];
  let before = {};
  const look = () => {
    const shown = document.querySelector(selector);
    if (!shown.querySelector('.md p')) return; // the turn has joined the conversation
    const words = document.createElement('div');
    words.append(...[...shown.querySelectorAll('.md')].map((text) => text.cloneNode(true)));
    for (const whole of words.querySelectorAll('code, .katex, .formula')) whole.remove();
    for (const half of words.textContent.match(/\\\\\\(|\\\\\\[|\\$\\$|\\*\\*|~~|`|\\]\\(|\\|-|\\begin/g) ?? [])
      flashed.push(half + ': ' + words.textContent.slice(-60));
    const now = {};
    for (const name of ['p', 'li', 'ol', 'ul', 'table', 'tr', 'pre', 'strong', 'em', 'del', 'a', 'code', 'hr'])
      now[name] = shown.querySelectorAll('.md ' + name).length;
    for (const name in now) if (now[name] < before[name]) flashed.push(name + ' was taken back');
    before = now;
  };
  const all = { subtree: true, childList: true, characterData: true };
  window.watching = new MutationObserver(look);
  watching.observe(document.querySelector(selector), all);
}"""
UNWATCH = "() => { watching.disconnect(); return flashed; }"
# The elements between rules, of each paragraph: selector → texts.
FOUND = """(text, [number, selectors]) => {
  const parts = [[]];
  for (const element of text.children) element.localName === 'hr' ? parts.push([]) : parts.at(-1).push(element);
  const all = (selector) => parts[number].flatMap((element) => [
    ...(element.matches(selector) ? [element] : []), ...element.querySelectorAll(selector)]);
  const own = () => [parts[number].map((element) => element.textContent).join('')];
  return selectors.map((selector) => (selector === 'own' ? own() : all(selector).map((one) => one.textContent)));
}"""


def check_answer(text: Any) -> None:
    """`text` is the element that shows ANSWER."""
    expect(text.locator("hr")).to_have_count(len(PARAGRAPHS) - 1)
    expect(text).to_contain_text("long" * 300)
    for number, (paragraph, shown) in enumerate(PARAGRAPHS.items()):
        found = text.evaluate(FOUND, [number, [*shown]])
        for (selector, expected), texts in zip(shown.items(), found, strict=True):
            are_right = len(texts) == len(expected) and all(
                one.search(got) if isinstance(one, re.Pattern) else one == got.strip()
                for one, got in zip(expected, texts, strict=True)
            )
            assert are_right, (paragraph, selector, texts)
    links = text.locator("a").evaluate_all("all => all.map((link) => link.getAttribute('href'))")
    assert links == ["https://example.com/a", "https://example.com/b", "https://example.com/c"]
    assert text.locator("pre").last.evaluate("code => getComputedStyle(code).direction") == "ltr"


def test_what_models_write_is_shown_in_the_chat_and_in_compare_and_nothing_flashes(
    site: Site, new_page: NewPage
) -> None:
    site.engine.script = [*map(Delta, re.findall("(?s).{1,6}", ANSWER)), Delta("", "stop")]
    site.engine.max_model_len = 100_000
    page = new_page(site.url, viewport={"width": 390, "height": 844})
    expect(page.locator("#send")).to_be_enabled()
    page.evaluate(WATCH, "#live")
    send(page, "Hi")
    check_answer(page.locator("#chat [data-testid=bot] .md"))
    wait_for_end(page)
    assert page.evaluate(UNWATCH) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    for box_of in (".table-box", "pre"):  # what is wide scrolls in its own box
        inside = f"#chat [data-testid=bot] {box_of}"
        assert page.evaluate("(s) => document.querySelector(s).getBoundingClientRect().width", inside) <= 390
    assert page.evaluate("document.querySelector('#chat .table-box').scrollWidth") > 390
    open_compare(page, 2)
    page.evaluate(WATCH, "#column-1")
    compare(page, "Hi")
    wait_for_all(page)
    check_answer(column(page, 1).locator(".answer .md"))
    assert page.evaluate(UNWATCH) == []
    use(page, 1)
    expect(page.locator("#chat [data-testid=bot]")).to_have_count(2)
    check_answer(page.locator("#chat [data-testid=bot] .md").last)
    begin_and_end(page, "Go on.")
    assert [message.text for message in site.engine.conversations[-1]] == ["Hi", ANSWER, "Hi", ANSWER, "Go on."]


TYPED = [
    "class Box:\n    def __init__(self, w):\n        self.w = w * 2 * 3\n# a comment\n\n    __all__ = ['Box']",
    "is List<String> the same as Vec<T> & is &lt; kept? ~a~ $x$ \\(y\\) **b**\n- no list\n1. nor this\n| a |\n|---|",
    "مرحبا، كيف حالك؟\nand **this**",
]
FENCED = "Look:\n\n```python\nx = '<b>'\n```\n# why?\n```\nnever closed"


def test_what_a_visitor_typed_is_shown_as_typed_and_only_fences_are_drawn(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url, permissions=["clipboard-read", "clipboard-write"])
    for number, text in enumerate(TYPED):
        begin_and_end(page, text)
        assert questions(page).nth(number).locator(".md").evaluate("text => text.innerText") == text
        page.get_by_label(re.compile("Cop.* message")).nth(2 * number).click()
        assert page.evaluate("navigator.clipboard.readText()") == text
    assert page.locator("[data-testid=user] .md :not(.typed)").count() == 0
    direction = "text => [getComputedStyle(text).direction, getComputedStyle(text).unicodeBidi]"
    assert questions(page).last.locator(".typed").evaluate(direction) == ["rtl", "plaintext"]
    assert box(page).evaluate(direction)[1] == "plaintext"
    begin_and_end(page, FENCED)
    expect(questions(page).last.locator("pre code")).to_have_text("x = '<b>'")
    expect(questions(page).last.locator(".typed")).to_have_text(["Look:", "# why? ``` never closed"])
    assert [message.text for message in site.engine.conversations[-1][::2]] == [*TYPED, FENCED]
    page.get_by_label("Edit").nth(2).click()  # answers have one, too
    expect(page.locator("#chat textarea")).to_have_value(TYPED[1])
    page.get_by_label("Cancel").click()
    page.get_by_label("Copy conversation").click()
    copied = "\n\n".join(part for text in [*TYPED, FENCED] for part in (f"user: {text}", "assistant: an answer"))
    assert page.evaluate("navigator.clipboard.readText()") == copied


def test_every_button_copies_where_the_browser_has_no_clipboard(site: Site, new_page: NewPage) -> None:
    """As over plain http from another machine. What was copied is pasted into the box."""
    site.engine.script = deltas("Say <b> & **b**\n\n```\ncode\n```")
    page = new_page("about:blank")
    page.add_init_script("delete Navigator.prototype.clipboard")
    page.goto(site.url)
    begin_and_end(page, "Hi")
    expect(bot(page).locator("pre")).to_be_visible()
    for button, expected in {
        "Copy message": "Say <b> & **b**\n\n```\ncode\n```",
        "Copy conversation": "user: Hi\n\nassistant: Say <b> & **b**\n\n```\ncode\n```",
        "copy": "code",
    }.items():
        page.get_by_role("button", name=button, exact=True).last.click()
        box(page).fill("")
        page.keyboard.press("Control+V")
        expect(box(page)).to_have_value(expected)
    page.get_by_role("tab", name="Completion").click()
    page.get_by_label("Prompt 1").fill("a prompt")
    page.get_by_role("button", name="Run 1").click()
    expect(page.locator("#continuation-1 textarea")).to_have_value(re.compile("code"))
    page.locator("#continuation-1 button").first.click()
    page.get_by_label("Prompt 2").fill("")
    page.keyboard.press("Control+V")
    expect(page.get_by_label("Prompt 2")).to_have_value(re.compile(r"Say <b> & \*\*b\*\*"))


SELECT = """() => {
  const text = [...document.querySelectorAll('#live p')].find((p) => p.textContent.startsWith('Select')).firstChild;
  getSelection().setBaseAndExtent(text, 0, text, 6);
  document.querySelector('#live pre').scrollLeft = 50;
}"""
PLACE = "(id) => [String(getSelection()), document.querySelector(id + ' pre')?.scrollLeft]"


def test_what_a_reader_does_outlives_frames_and_the_end_of_the_turn(site: Site, new_page: NewPage) -> None:
    line = "x = " + "1 + " * 100
    more: list[Any] = [Delta(f"{line}\n") for _ in range(4)]
    site.engine.split, site.engine.thinks = THINK, True
    beginning = f"<think>hm</think>Select **this** text.\n\n```python\n{line}\n"
    site.engine.script = [Delta(beginning), 4.0, *apart(more), Delta("```\n\nDone."), 2.0, Delta("", "stop")]
    page = new_page(site.url)
    send(page, "Hi")
    expect(page.locator("#live pre")).to_contain_text("x = 1")
    page.locator("#live").get_by_text("Thought").click()
    page.evaluate("window.kept = document.querySelector('#live pre')")
    page.evaluate(SELECT)
    assert page.evaluate(PLACE, "#live") == ["Select", 50]
    expect(page.locator("#live")).to_contain_text("Done.")
    assert page.evaluate("kept.isConnected")
    assert page.evaluate(PLACE, "#live") == ["Select", 50]
    wait_for_end(page)
    page.wait_for_function("() => document.querySelector('#chat pre')?.scrollLeft === 50")
    assert page.evaluate(PLACE, "#chat") == ["Select", 50]
    expect(page.locator("#chat").get_by_text("hm", exact=True)).to_be_visible()


def test_half_of_a_formula_waits_and_does_not_break_what_follows(site: Site, new_page: NewPage) -> None:
    site.engine.script = [Delta("So \\( x^2"), 1.0, Delta(" \\) and **bo"), SILENCE_S]
    page = new_page(site.url)
    send(page, "Hi")
    expect(bot(page)).to_have_text("So")
    expect(bot(page).locator(".katex")).to_have_count(1)
    assert bot(page).locator(".md").evaluate("text => text.innerText.endsWith(' and')")
    page.get_by_role("button", name="Stop").click()
    wait_for_end(page)
    expect(page.locator("#chat [data-testid=bot]")).to_contain_text("and **bo")  # what came, to its end


PIECES = [
    *"word *it* `co``de` [link](http://a.b/c) ~~old~~ \\(x_1\\) $y^2$ $5 3~5 a_b_c **注意：**后 <b> &lt;".split(),
    *'http://x.y/z 2*3 中文， 1. #tag ! | \\ "q"'.split(),
    "**bold text**",
    "***both***",
]
BLOCKS = [
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
# Every beginning of each text, as the tokens that are drawn of it: texts of which one draws fewer of an element than a
# shorter one did, and texts whose end is not what the whole text is.
TAKEN_BACK = """async (texts) => {
  const { tokens } = streamspace.drawing;
  const marked = await new Promise((resolve) => {
    streamspace.drawing.tokens = (marked, ...rest) => { resolve(marked); return tokens(marked, ...rest); };
  });
  streamspace.drawing.tokens = tokens;
  const draw = (text) => marked.parser(streamspace.dialect.growingTokens(marked, text));
  const count = (html) => Object.groupBy([...html.matchAll(/<([a-z0-9]+)/g)], ([, name]) => name);
  return texts.filter((text) => {
    let before = {};
    const isTakenBack = [...text].some((_, end) => {
      const now = count(draw(text.slice(0, end + 1)));
      const has = Object.keys(before).every((name) => now[name]?.length >= before[name].length);
      before = now;
      return !has;
    });
    return isTakenBack || draw(text + '\\n\\n') !== marked.parser(marked.lexer(text + '\\n\\n'));
  });
}"""


def test_no_beginning_of_a_text_shows_an_element_that_its_end_has_not(site: Site, new_page: NewPage) -> None:
    chance = random.Random(3)
    texts = [
        "\n\n".join(chance.choice(BLOCKS).format(*chance.choices(PIECES, k=3)) for _ in range(3)) for _ in range(300)
    ]
    page = new_page(site.url)
    expect(page.locator("#send")).to_be_enabled()
    page.evaluate(f"(texts) => {{ ({TAKEN_BACK})(texts).then((found) => {{ window.found = found; }}); }}", texts)
    begin_and_end(page, "Hi")  # what is drawn now brings marked
    page.wait_for_function("window.found")
    assert page.evaluate("found") == []
