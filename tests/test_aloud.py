"""Answers read aloud by the browser's voices, of which the browser of the tests has none."""

import pytest
from playwright.sync_api import Page, expect

from streamspace.types import Delta
from tests.fake import deltas
from tests.page import SILENCE_S, NewPage, begin, begin_and_end, new_chat, wait_for_end
from tests.wire import Site

pytestmark = pytest.mark.browser
ANSWER = "# The *end*\n\nSay **hello** and `wait`:\n\n```python\nprint(1)\n```\n\n- $a + b$\n- 42\n\n---"
# Voices of the machine, and one that sends what it reads to a server. `window.said` has what is read.
VOICES = """(langs) => {
  const voices = langs.map((lang) => ({ lang, localService: !lang.endsWith('XX'), default: false }));
  window.said = [];
  window.SpeechSynthesisUtterance = class extends EventTarget {
    constructor(text) { super(); this.text = text; }
  };
  Object.assign(speechSynthesis, {
    getVoices: () => voices,
    speak: (utterance) => window.said.push(utterance),
    cancel: () => { window.said.length = 0; },
  });
  speechSynthesis.dispatchEvent(new Event('voiceschanged'));
}"""
SAID = "window.said.map(({ text, lang, voice }) => [text, lang, voice.lang])"


def with_voices(page: Page, *langs: str) -> Page:
    page.evaluate(VOICES, langs)
    return page


def test_an_answer_is_read_by_its_words_until_it_is_stopped(site: Site, new_page: NewPage) -> None:
    site.engine.script = deltas(ANSWER)
    page = with_voices(new_page(site.url), "en-XX", "en_GB", "zh-CN")
    begin_and_end(page, "one")
    button = page.get_by_role("button", name="Read aloud")
    expect(button).to_have_attribute("aria-pressed", "false")
    expect(page.locator("#chat .katex")).to_be_visible()
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    words = ["The end", "Say hello and wait:", "a+b", "42"]
    assert page.evaluate(SAID) == [[text, "en", "en_GB"] for text in words]
    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    assert page.evaluate(SAID) == []

    button.click()
    page.evaluate("window.said.at(-1).dispatchEvent(new Event('end'))")
    expect(button).to_have_attribute("aria-pressed", "false")

    site.engine.script = deltas("你好，hi。")
    begin_and_end(page, "two")
    expect(button).to_have_count(2)
    button.last.click()
    assert page.evaluate(SAID) == [["你好，hi。", "zh", "zh-CN"]]
    new_chat(page)
    assert page.evaluate(SAID) == []
    expect(button).to_have_count(0)


def test_stop_stops_the_voice_too(site: Site, new_page: NewPage) -> None:
    page = with_voices(new_page(site.url), "en-US")
    begin_and_end(page, "one")
    page.get_by_role("button", name="Read aloud").click()
    site.engine.script = [Delta("so"), SILENCE_S]
    begin(page, "two", "so")
    assert page.evaluate(SAID) == [["an answer", "en", "en-US"]]
    page.locator("#stop").click()
    wait_for_end(page)
    assert page.evaluate(SAID) == []


def test_an_answer_without_a_voice_of_this_machine_has_no_button(site: Site, new_page: NewPage) -> None:
    page = with_voices(new_page(site.url), "en-XX", "fr-FR")
    begin_and_end(page, "one")
    expect(page.get_by_role("button", name="Copy message")).to_have_count(2)
    expect(page.locator(".aloud")).to_have_count(0)
    with_voices(page, "en-US")
    expect(page.locator(".aloud")).to_have_count(1)
