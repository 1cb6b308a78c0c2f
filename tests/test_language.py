"""The page in Chinese and in English, by the browser's language."""

import re
from dataclasses import replace

import gradio as gr
import pytest
from playwright.sync_api import expect

from streamspace.config import Adapter
from streamspace.sampling import Settings
from streamspace.translation import Sentence, say_with
from streamspace.types import Delta, Metrics, Status
from streamspace.ui import build_demo, language
from streamspace.ui.language import spoken, translated
from streamspace.ui.tabs.chat import EXAMPLES
from tests.fake import FakePageEngine, deltas
from tests.page import NewPage, send, wait_for_end
from tests.support import admission_of
from tests.wire import Site

SAME = {
    *vars(Settings()),
    "StreamSpace",
    "vLLM",
    "# StreamSpace\n**streamspace-tiny**",
    *(example.text for example in EXAMPLES),
}  # vLLM's names, in every language, and questions, each in its own
WIDE = {"width": 1366, "height": 768}


def test_every_label_of_the_page_is_said_in_chinese() -> None:
    left = set()
    engine = FakePageEngine()
    engine.config = replace(engine.config, adapters=(Adapter("pirate", "org/pirate"),))
    blocks = build_demo(engine, admission_of(engine)).blocks.values()
    for block in (block for block in blocks if block.get_block_name() != "api"):
        for name in spoken(block):
            text = getattr(block, name, None)
            if isinstance(text, str) and re.search(r"[A-Za-z]", text) and "__i18n__" not in text and text not in SAME:
                left.add(text)
    assert not left


@pytest.mark.browser
def test_a_chinese_browser_gets_a_chinese_page(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = [Delta("so far"), 100.0]
    engine.status = Status("ready", Sentence("Ready: the context holds {number} tokens", number=1000))
    page = new_page(site.url, locale="zh-CN")
    expect(page.get_by_role("tab", name="对话")).to_be_visible()
    expect(page.locator("#heading")).to_contain_text("streamspace-tiny")
    expect(page.locator("#status")).to_contain_text("已就绪：上下文可容纳 1000 个 token")
    send(page, "你好")
    expect(page.locator("#live")).to_contain_text("so far")
    page.get_by_role("button", name="停止").click()
    expect(page.locator("#note")).to_contain_text("已由你停止。")
    engine.script = deltas(", so good")
    page.get_by_role("button", name="继续", exact=True).click()
    wait_for_end(page)
    expect(page.locator("#note")).to_contain_text("已结束。")
    send(page, " ")
    expect(page.get_by_text("消息为空：请先输入内容。").first).to_be_visible()


@pytest.mark.browser
def test_choices_mean_the_same_in_chinese(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.thinks = True
    page = new_page(site.url, locale="zh-CN")
    fold = page.locator("#settings > button")
    fold.click()
    expect(page.get_by_label("按模型默认", exact=True)).to_be_checked()
    send(page, "你好")
    wait_for_end(page)
    page.get_by_label("开", exact=True).check()
    for _ in range(2):  # it is made anew when the fold opens
        fold.click()
    expect(page.get_by_label("开", exact=True)).to_be_checked()
    send(page, "你好")
    wait_for_end(page)
    assert [settings.enable_thinking for settings in engine.settings] == [None, True]


def test_no_choice_is_a_word_of_the_page_which_the_browser_would_translate() -> None:
    engine = FakePageEngine()
    demo = build_demo(engine, admission_of(engine))
    words = demo.labels.translations["zh"]
    choices = [choice for block in demo.blocks.values() for choice in getattr(block, "choices", None) or ()]
    assert "on" in words and ("on", "true") in choices
    assert not [value for _, value in choices if value in words]


def test_labels_have_every_language_under_all_of_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    catalogs = {
        "xx": {"Send": "Zend", "Prompt {number}": "{number}. Pronto"},
        "zh": {"Send": "发送", "Stop": "停止", "Prompt {number}": "提示词 {number}"},
    }
    monkeypatch.setattr(language, "LANGUAGES", tuple(catalogs))
    monkeypatch.setattr(language, "catalog", catalogs.__getitem__)
    monkeypatch.setattr(language, "say_in", lambda name: say_with(catalogs[name]))
    monkeypatch.setattr(language, "locales", {"xx": ["xx", "xx-YY"], "zh": ["zh", "zh-TW"]}.__getitem__)
    with gr.Blocks() as demo:
        send, prompt = gr.Button("Send"), gr.Textbox(label=Sentence("Prompt {number}", number=2))
        gr.Button("Stop")
        box = gr.Textbox("Send", label="none of ours")
    words = translated(demo).translations
    assert words["xx-YY"] == words["xx"] == {"Send": "Zend", "Stop": "Stop", "Prompt 2": "2. Pronto"}
    assert words["zh-TW"] == {"Send": "发送", "Stop": "停止", "Prompt 2": "提示词 2"}
    assert words["en"] == {text: text for text in words["xx"]}
    assert "__i18n__" in str(send.value) and "Prompt 2" in str(prompt.label) and box.value == "Send"


@pytest.mark.browser
def test_a_comparison_is_told_in_chinese(site: Site, new_page: NewPage) -> None:
    rate = Metrics(9, 0, 11, 0.0, 0.1, 0.1)
    site.engine.script = [Delta("an answer", "stop", metrics=rate)]
    page = new_page(site.url, locale="zh-CN")
    page.get_by_role("tab", name="比较").click()
    expect(page.locator("#column-2")).to_contain_text("第 2 列")
    page.get_by_label("抽样", exact=True).check()
    page.get_by_role("button", name="比较").click()
    expect(page.locator("#together")).to_contain_text("3 列同时生成：合计 300 token/秒。")
    expect(page.locator("#together")).to_contain_text("100 token/秒。合计是它的 3.0 倍。")
    page.locator("#column-2").get_by_role("button", name="采用这个回答").click()
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("an answer")


# In which half of the window each of these stands.
HALVES = """() => ['#sidebar', '#sidebar button', '.attach', '#send'].map((name) => {
  const { left, right } = document.querySelector(name).getBoundingClientRect();
  return left + right < innerWidth ? 'left' : 'right';
})"""


@pytest.mark.browser
def test_an_arabic_browser_gets_the_page_mirrored(site: Site, new_page: NewPage) -> None:
    site.engine.script = deltas("An answer: `code()`\n\n- one\n\nإجابة: **نعم**.")
    site.engine.status = Status("ready", Sentence("Ready: the context holds {number} tokens", number=1000))
    page = new_page(site.url, locale="ar", viewport=WIDE)
    expect(page.get_by_role("tab", name="الدردشة")).to_be_visible()
    assert page.evaluate("[document.dir, document.documentElement.lang]") == ["rtl", "ar"]
    expect(page.locator("#status")).to_contain_text("جاهز: يتسع السياق لعدد 1000 من الرموز")
    page.wait_for_timeout(400)  # the sidebar moves
    assert page.evaluate(HALVES) == ["right", "right", "right", "left"]
    send(page, "ما هذا؟")
    wait_for_end(page)
    expect(page.locator("#note")).to_contain_text("انتهت.")
    panel, talk = (page.locator(each).bounding_box() for each in ("#chat .top-panel", "#conversation"))
    assert panel and talk and panel["x"] - talk["x"] < 16
    direction = "element => getComputedStyle(element).direction"
    for text, wanted in (("An answer:", "ltr"), ("one", "ltr"), ("إجابة", "rtl"), ("code()", "ltr")):
        assert page.locator("#chat .md").get_by_text(text).last.evaluate(direction) == wanted, text
    assert page.locator("#message textarea").evaluate(direction) == "rtl"
    site.engine.script = deltas("أخرى")
    page.get_by_label("إعادة المحاولة").click()  # Gradio's own word
    pager = page.get_by_role("group", name="صيغ هذه الجولة")
    expect(pager).to_have_text("‹2/2›")
    pager.get_by_role("button", name="الصيغة السابقة").press("ArrowRight")
    expect(pager).to_have_text("‹1/2›")


@pytest.mark.browser
def test_a_german_browser_gets_the_page_as_it_is_in_english(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url, locale="de-DE", viewport=WIDE)
    expect(page.get_by_role("button", name="Senden")).to_be_enabled()
    page.wait_for_timeout(400)  # the sidebar moves
    assert page.evaluate("[document.dir, document.documentElement.lang]") == ["", "de"]
    assert page.evaluate(HALVES) == ["left", "left", "left", "right"]


@pytest.mark.browser
def test_other_browsers_get_an_english_page(site: Site, new_page: NewPage) -> None:
    site.engine.script = deltas("Done.")
    page = new_page(site.url, locale="it-IT")
    send(page, "Bonjour")
    wait_for_end(page)
    expect(page.locator("#note")).to_contain_text("Ended.")
    expect(page.get_by_role("button", name="Send")).to_be_visible()
