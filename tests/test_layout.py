"""The first screen: how much of it the conversation has, and that nothing of it needs scrolling."""

import pytest
from playwright.sync_api import Page, expect

from streamspace.types import Delta
from tests.fake import deltas
from tests.page import NewPage, begin_and_end, box, new_chat, open_compare, open_sidebar, questions
from tests.wire import Site

pytestmark = pytest.mark.browser
SIZES = ((1366, 768), (1280, 720), (390, 844), (360, 640))
# The share of the window's height that the conversation has; whether the box is whole; how far the page scrolls.
FIRST_SCREEN = """() => {
  const [talk, box] = ['#conversation', '#compose'].map((name) => document.querySelector(name).getBoundingClientRect());
  const root = document.documentElement;
  return {
    share: talk.height / innerHeight,
    isWhole: box.top >= talk.bottom && box.bottom <= innerHeight && box.left >= 0 && box.right <= innerWidth,
    scrolls: [root.scrollWidth - innerWidth, root.scrollHeight - innerHeight],
  };
}"""

# WCAG's contrast of a colour of one element, or of a part of it, with its background.
CONTRAST = """([element, part, name]) => {
  const light = (colour) => {
    const [red, green, blue] = colour.match(/[\\d.]+/g).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4);
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const one = document.querySelector(element);
  const under = light(getComputedStyle(one).backgroundColor);
  const over = light(getComputedStyle(one, part)[name]);
  return (Math.max(over, under) + 0.05) / (Math.min(over, under) + 0.05);
}"""


def check(page: Page) -> None:
    found = page.evaluate(FIRST_SCREEN)
    assert found["share"] >= 0.7 and found["isWhole"] and found["scrolls"] == [0, 0], (page.viewport_size, found)


def test_the_conversation_has_most_of_every_screen_and_the_box_is_whole(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url, viewport={"width": 1366, "height": 768})
    open_sidebar(page)
    for _ in range(2):  # empty, and with an answer and its summary
        for width, height in SIZES:
            page.set_viewport_size({"width": width, "height": height})
            if width < 769:
                page.locator("#sidebar [aria-expanded]").first.click()  # it was open
            page.wait_for_timeout(400)  # the sidebar moves
            check(page)
            if width < 769:
                page.locator("#sidebar [aria-expanded]").first.click()
        page.set_viewport_size({"width": 1366, "height": 768})
        begin_and_end(page, "Hello")


def test_a_browser_remembers_whether_its_sidebar_was_open_and_a_phone_has_a_drawer(
    site: Site, new_page: NewPage
) -> None:
    page = new_page(site.url, viewport={"width": 1366, "height": 768})
    toggle = page.get_by_role("button", name="Sidebar")
    expect(toggle).to_have_attribute("aria-expanded", "true")
    begin_and_end(page, "one")
    toggle.click()
    expect(page.get_by_role("button", name="New chat")).to_be_hidden()  # where no key reaches it either
    page.reload()
    expect(page.locator("#send")).to_be_enabled()
    expect(toggle).to_have_attribute("aria-expanded", "false")
    toggle.click()
    page.set_viewport_size({"width": 390, "height": 844})
    page.reload()
    expect(page.locator("#send")).to_be_enabled()
    expect(toggle).to_have_attribute("aria-expanded", "false")  # it would cover the chat
    expect(questions(page)).to_have_text("one")
    new_chat(page)
    expect(toggle).to_have_attribute("aria-expanded", "false")
    expect(box(page)).to_be_focused()
    open_sidebar(page)
    page.locator("#conversations").get_by_role("button", name="one", exact=True).click()
    expect(toggle).to_have_attribute("aria-expanded", "false")
    page.set_viewport_size({"width": 1366, "height": 768})
    page.reload()
    expect(toggle).to_have_attribute("aria-expanded", "true")  # the drawer's state is none to remember


def test_headings_and_bold_words_have_the_pages_own_font(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url)
    expect(page.locator("#chat h2")).to_be_visible()
    page.wait_for_function("() => document.fonts.status === 'loaded'")
    devtools = page.context.new_cdp_session(page)
    for domain in ("DOM", "CSS"):
        devtools.send(f"{domain}.enable")
    root = devtools.send("DOM.getDocument")["root"]["nodeId"]
    for selector in ("h1", "h2", "strong", "#send"):
        node = devtools.send("DOM.querySelector", {"nodeId": root, "selector": selector})["nodeId"]
        fonts = devtools.send("CSS.getPlatformFontsForNode", {"nodeId": node})["fonts"]
        assert fonts and all(font["isCustomFont"] for font in fonts), (selector, fonts)


@pytest.mark.parametrize(("width", "language"), [(768, "en"), (390, "en"), (360, "en"), (390, "ar")])
def test_a_drawer_leaves_a_strip_of_the_page_which_shuts_it(
    site: Site, new_page: NewPage, width: int, language: str
) -> None:
    page = new_page(site.url, viewport={"width": width, "height": 844}, locale=language)
    begin_and_end(page, "one")
    open_sidebar(page)
    page.wait_for_timeout(400)  # it moves
    drawer = page.locator("#sidebar").bounding_box()
    assert drawer and drawer["width"] == min(320, width - 48)
    assert drawer["x"] == (width - drawer["width"] if language == "ar" else 0)
    page.mouse.click(drawer["x"] + 160, 800)  # an empty place in the drawer
    expect(page.locator("#sidebar.open")).to_have_count(1)
    # What was said of its conversations is beside them, and can be undone there.
    page.locator("#conversations [data-does=menu]").click()
    page.locator("#conversations [data-does=remove]").click()
    expect(page.locator("#conversations [data-does=open]")).to_have_count(0)
    page.locator("#said button").click()
    expect(page.locator("#conversations [data-does=open]")).to_have_count(1)
    page.mouse.click(24 if language == "ar" else width - 24, 400)
    expect(page.locator("#sidebar.open")).to_have_count(0)
    expect(questions(page)).to_have_text("one")


def test_versions_and_an_edited_question_keep_to_the_edge_of_the_question(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url)
    begin_and_end(page, "Hi")
    site.engine.script = deltas("another")
    page.get_by_label("Retry").click()
    versions, buttons = page.locator("#chat .versions"), page.locator("#chat .user-row + * .icon-button-wrapper")
    expect(versions).to_be_visible()
    shown, beside, message = (each.bounding_box() for each in (versions, buttons, page.locator("#chat .user.message")))
    assert shown and beside and message
    assert beside["x"] + beside["width"] == message["x"] + message["width"]
    assert shown["x"] + shown["width"] <= beside["x"] and shown["y"] < beside["y"] + beside["height"]
    page.get_by_label("Edit").first.click()
    edit = page.locator("#chat textarea").bounding_box()
    assert edit and edit["width"] >= 380  # for two letters it had 160 pixels


def test_a_table_is_aligned_as_its_model_wrote_it_and_has_quiet_lines(site: Site, new_page: NewPage) -> None:
    site.engine.script = [Delta("| name | rate |\n|:-:|-:|\n| a | 1 |", "stop")]
    page = new_page(site.url)
    begin_and_end(page, "Hi")
    open_compare(page, 2)
    page.locator("#compare-run").click()
    look = "(cells) => cells.map((cell) => [getComputedStyle(cell).textAlign, getComputedStyle(cell).borderTopColor])"
    expect(page.locator("#columns td")).to_have_count(4)
    quiet = page.locator("#conversation").evaluate("(each) => getComputedStyle(each).borderTopColor")
    for where, num_columns in (("#chat", 1), ("#columns", 2)):
        assert page.locator(f"{where} td").evaluate_all(look) == [["center", quiet], ["right", quiet]] * num_columns


def test_a_comparison_that_has_not_begun_keeps_no_room_for_answers(site: Site, new_page: NewPage) -> None:
    page = open_compare(new_page(site.url), 2)
    column, settings, fold = (
        page.locator("#column-1"),
        page.locator("#column-1 .own").first,
        page.locator("#compare-shared"),
    )
    ends = [box["y"] + box["height"] for each in (column, settings, fold) if (box := each.bounding_box())]
    begin = column.bounding_box()
    assert begin and ends[0] - ends[1] <= 16 and begin["y"] - ends[2] <= 16
    page.locator("#compare-run").click()
    expect(page.locator("#columns .answer").first).to_have_text("an answer")
    answer = page.locator("#columns .answer").first.bounding_box()
    assert answer and answer["height"] >= 352  # what comes later moves nothing


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_what_a_box_is_for_and_what_can_be_ticked_can_be_seen(site: Site, new_page: NewPage, scheme: str) -> None:
    page = new_page(site.url, color_scheme=scheme)
    open_sidebar(page)
    page.get_by_role("tab", name="Engine").click()
    expect(page.locator(".engine [name=model]")).to_have_count(1)
    open_compare(page, 2)
    page.locator("#compare-measures input").uncheck()
    for each in ("#message textarea", "#conversations [type=search]", ".engine [name=model]"):
        hint, typed = (page.evaluate(CONTRAST, [each, part, "color"]) for part in ("::placeholder", None))
        assert 4.5 <= hint < typed, each
    for each in ("#compare-number [value='3']", "#compare-measures input"):
        assert page.evaluate(CONTRAST, [each, None, "borderTopColor"]) >= 3, each


def test_a_button_beside_a_long_title_stays_in_one_line(site: Site, new_page: NewPage) -> None:
    page = new_page(site.url, viewport={"width": 390, "height": 844}, locale="zh-CN")
    begin_and_end(page, "什么是连续批处理？请用表格说明，并举几个例子。")
    open_sidebar(page)
    page.locator("#conversations [data-does=menu]").click()
    page.locator("#conversations [data-does=link]").click()
    close = page.locator("dialog .close").bounding_box()
    assert close and close["width"] > close["height"]
