"""What models write, as people read it: each text of tests/snippets.py in the page."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as tried_with
from hypothesis import strategies as st
from playwright.sync_api import Page, expect

from tests.page import NewPage, begin_and_end, bring_in, exported, open_sidebar, told
from tests.snippets import SNIPPETS
from tests.wire import Site

pytestmark = pytest.mark.browser

# Any text that is no blank, without what no box of a browser can hold: a carriage return.
PIECES = [
    *'\\ ` * _ ~ # > - | $ [ ] ( ) < & { } " \n 你 ， א 👩‍👩‍👧'.split(" "),
    "```",
    "$$",
    "\\[",
    "\n\n",
    "  \n",
    "    ",
    "&lt;",
    "http://a.b",
]
SIGNS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\0"), max_size=9)
TEXTS = st.lists(st.sampled_from(PIECES) | SIGNS, min_size=1, max_size=12).map("".join).filter(str.strip)


def file_of(texts: Sequence[str]) -> str:
    """An export with one conversation, which has these answers."""
    turns = [
        ({"role": "user", "content": f"Say {number}."}, {"role": "assistant", "content": text})
        for number, text in enumerate(texts)
    ]
    conversation = {"title": "any", "system_prompt": "", "updated": "2026-01-01T00:00:00Z"}
    conversation["messages"] = [message for turn in turns for message in turn]  # type: ignore[assignment]
    return json.dumps({"format": "streamspace-conversations", "version": 1, "conversations": [conversation]})


# The texts of what the selectors find in each answer; "formulas" and "own" as tests/snippets.py has them.
FOUND = """(all) => [...document.querySelectorAll('#chat [data-testid=bot]')].map((message, number) => {
  const text = message.querySelector('.md');
  const words = text.cloneNode(true);
  for (const button of words.querySelectorAll('button')) button.remove();
  const find = (selector) => [...words.querySelectorAll(selector)].map((one) => one.textContent.trim());
  return all[number].map((selector) =>
    selector === 'own' ? [words.textContent.trim().replace(/\\n+/g, '')]
      : find(selector === 'formulas' ? 'annotation' : selector));
})"""


def assert_shown(page: Page) -> None:
    expect(page.locator("#chat [data-testid=bot]")).to_have_count(len(SNIPPETS))
    expect(page.locator("#chat .formula:not(:has(.katex))")).to_have_count(1)  # the one that KaTeX refuses
    all_found = page.evaluate(FOUND, [list(shown) for shown in SNIPPETS.values()])
    wrong = {
        (text, selector): texts
        for (text, shown), found in zip(SNIPPETS.items(), all_found, strict=True)
        for (selector, expected), texts in zip(shown.items(), found, strict=True)
        if len(texts) != len(expected) or any(one and one != got for one, got in zip(expected, texts, strict=True))
    }
    assert wrong == {}


# What "Copy message" leaves in the clipboard, and what the box holds after "Edit", of each answer in turn, or of some.
COPIED = """async () => {
  const copied = [];
  for (const button of document.querySelectorAll('#chat .message-buttons-left [aria-label="Copy message"]')) {
    button.click();
    await new Promise((resolve) => setTimeout(resolve, 20));
    copied.push(await navigator.clipboard.readText());
  }
  return copied;
}"""
EDITED = """async (step) => {
  const until = async (find) => {
    for (let tries = 0; tries < 500; tries++) {
      const found = find();
      if (found) return found;
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    throw new Error('nothing to be found by ' + find);
  };
  const edited = [];
  const buttons = () => document.querySelectorAll('#chat .message-buttons-left [aria-label="Edit"]');
  const all = buttons().length;
  for (let number = 0; number < all; number += step) {
    buttons()[number].click();
    const box = await until(() => document.querySelector('#chat .message textarea'));
    edited.push(box.value);
    (await until(() => document.querySelector('#chat [aria-label="Cancel"]'))).click();
    await until(() => !document.querySelector('#chat .message textarea') && buttons().length === all);
  }
  return edited;
}"""


def assert_kept(site: Site, page: Page, other: Page, texts: list[str], step: int = 1) -> None:
    """Copied, edited, sent, exported and brought in by another visitor, each text of a page is what it was.

    Of `step` texts one is edited, because the page is drawn anew for that.
    """
    assert page.evaluate(COPIED) == texts
    assert page.evaluate(EDITED, step) == texts[::step]
    begin_and_end(page, "Go on.")
    sent = [message.text for message in site.engine.conversations[-1]]
    assert sent[1::2] == texts
    open_sidebar(page)
    file = exported(page, page.get_by_role("button", name="Export all").click)
    bring_in(other, file)
    expect(told(other)).to_have_text("Conversations imported: 1.")
    begin_and_end(other, "And on.")
    assert [message.text for message in site.engine.conversations[-1]] == [*sent, "an answer", "And on."]


def visitor(site: Site, new_page: NewPage, texts: list[str]) -> Page:
    """The page of somebody who has brought in a conversation with these answers."""
    page = new_page(site.url, permissions=["clipboard-read", "clipboard-write"])
    bring_in(page, ("texts.json", file_of(texts)))
    expect(told(page)).to_have_text("Conversations imported: 1.")
    return page


def test_each_is_shown_as_it_is_meant_and_kept_as_it_was_written(site: Site, new_page: NewPage) -> None:
    site.engine.max_model_len = 100_000
    page = visitor(site, new_page, list(SNIPPETS))
    assert_shown(page)
    assert_kept(site, page, new_page(site.url), list(SNIPPETS))


@pytest.mark.slow
def test_any_text_is_kept_as_it_was_written(site: Site, new_page: NewPage) -> None:
    site.engine.max_model_len = 1_000_000

    @tried_with(
        max_examples=20,
        deadline=None,
        database=None,
        phases=[Phase.generate],
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(TEXTS, min_size=100, max_size=100))
    def keeps(texts: list[str]) -> None:
        page, other = visitor(site, new_page, texts), new_page(site.url)
        assert_kept(site, page, other, texts, step=20)
        page.close()
        other.close()

    keeps()
