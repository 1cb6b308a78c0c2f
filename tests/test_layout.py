"""The first screen: how much of it the conversation has, and that nothing of it needs scrolling."""

import pytest
from playwright.sync_api import Page, expect

from tests.page import NewPage, begin_and_end, box, new_chat, open_sidebar, questions
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
