"""Gradio's own markup has the names on which our scripts and styles rely: it documents none of them."""

import re
from collections.abc import Iterator

import gradio
import pytest
from playwright.sync_api import Page, Route, expect

from streamspace.patching import MissingName
from streamspace.types import Delta, Metrics
from streamspace.ui.assets import STATIC
from streamspace.ui.gradio_ import drawing
from tests.client import ask
from tests.fake import FakePageEngine
from tests.page import NewPage, send
from tests.support import served
from tests.wire import Site

# Where the page has each name, and what of ours hangs on it.
FIRST = {
    ".gradio-container .main.app > .wrap > footer": "the page fills the window, and no more",
    ".main > .wrap > .contain > .column > .tabs > #chat-tab > .column": "the conversation takes what is left of it",
    ".tabs > .tab-wrapper": "the tabs take as little as they can",
    "#heading .md > h1": "the head stands in one line",
    "#sidebar.open .sidebar-content": "no key reaches a sidebar that is shut",
    "#head ~ .tabs #chat-tab": "on a phone the head stands beside the sidebar's button",
    "#chat-tab:has(#sidebar) #said": "a drawer shows what was said of its conversations",
    "#sidebar > .toggle-button": "a script opens and shuts the sidebar",
    "#chat .placeholder-content > .examples": "the examples stand in the middle",
    "#status .html-container": "no padding around the state",
    "#chat-tab-button": "Use opens the chat's tab",
    "#compare-tab-button": "a click on Compare goes into its box",
    "[role=tabpanel] #compose": "Stop and Clear look at their own tab",
    "#message textarea": "the keyboard goes into the message box",
    "button.stop#stop": "a click on Stop waits until Gradio can cancel",
    "#conversation > .column": "both Chatbots stand at the end of the conversation",
    "#conversation .block": "Chatbots without a frame of their own",
    "#chat .bubble-wrap": "Chatbots without a background of their own",
    "#chat .placeholder": "the padding of an empty chat",
    "#chat .examples .example": "an example reads in its own direction",
    **{f'{name}[dir="ltr"]': "an Arabic page is mirrored" for name in (".block", "span")},
}
PENDING = {"[role=tabpanel] .note .translucent": "a click on Stop waits until Gradio can cancel"}
LIVE = {
    "#live [data-testid=bot]": "Stop knows whether the answer has begun",
    "#live [data-testid=user]": "what a visitor typed is shown as typed",
    "#live .message": "the turn under way is shown",
    "#live .message-wrap": "a conversation on an Arabic page is mirrored",
    "#live .icon-button-wrapper.top-panel": "the turn under way has no buttons above it",
    '[data-testid="status-tracker"]': "no tag of Gradio's covers the chat",
}
ENDED = {
    "#chat .message": "an empty chat is higher",
    "#chat .user-row + .message-buttons": "versions of a question stand beside its buttons",
    '#chat .md [align="right"]': "numbers of a table stand at their right",
    "#chat .message-buttons": "no buttons below messages while an answer is under way",
    "#chat .bot-row + .message-buttons > .icon-button-wrapper": "an answer can be read aloud",
    "#chat .top-panel button": "a click on Clear waits until Gradio can cancel",
    "#chat .icon-button-wrapper.top-panel": "the conversation is exported by a button above it",
    "#chat .message-buttons-right .icon-button-wrapper": "buttons at the edge of an Arabic page's questions",
    **{f"#chat .message.{role}": "the square corner of a mirrored message" for role in ("user", "bot")},
}
SETTINGS = {
    **{f"#settings {name}": "sliders fill from the right" for name in ("[type=range]", ".reset-button")},
    "#settings > .label-wrap": "the name of a fold and its sign stand in one line",
    "#settings .tab-like-container > [type=number]": "a number has room for a finger, and is not cut",
    "#view-code.sm": "small buttons have room for a finger",
    "#settings > button.open": "a key opens the settings, and does not shut them",
    "#settings .temperature [type=number]": "a key goes to the temperature",
}
EDITED = {
    "#chat .edit-textarea": "a short question is edited in a box with room",
    "#chat .message-row.user-row textarea": "Enter asks an edited question, and begins a new line in an answer",
    "#chat .message-row:has(textarea) + .message-buttons > .icon-button-wrapper > button + button":
        "Enter presses Submit and Esc Cancel",
}  # fmt: skip
COMPARE = {
    "#compare-welcome .row": "the examples are of one size",
    "#columns > .column": "columns beside each other",
    "#columns .own .form": "a column's settings stand in two columns",
    "#columns .answer .md > *": "Use is there once there is an answer",
    '#compare-number [value="3"]:checked': "as many columns as were chosen",
    '#compare-kind [value="settings"]:checked': "settings of columns, or of samples",
}
COMPLETION = {
    "#run-all .stop": "Stop is not red while nothing runs",
    '#constrain [value="json"]': "a kind of constraint shows its own box only",
    "#constrain .code textarea": "code stands from the left",
}


@pytest.fixture
def engine() -> FakePageEngine:
    return FakePageEngine(
        [Delta("so far"), 3.0, Delta(" done\n\n|a|\n|-:|\n|1|", "stop", metrics=Metrics(1, 0, 2, 0.0, 0.1, 0.1))]
    )


@pytest.fixture
def page(engine: FakePageEngine, new_page: NewPage) -> Iterator[Page]:
    with served(engine) as url:
        yield new_page(url)


def check(page: Page, names: dict[str, str]) -> None:
    for selector, purpose in names.items():
        try:
            page.locator(selector).first.wait_for(state="attached", timeout=5000)
        except Exception:
            pytest.fail(f"Gradio {gradio.__version__} has no {selector}, which is for: {purpose}")


@pytest.mark.browser
def test_the_page_has_the_names(page: Page) -> None:
    expect(page.locator("#send")).to_be_enabled()
    assert page.evaluate("[gradio_config.head, gradio_config.i18n_translations]") == [
        None,
        None,
    ]  # it need not keep them
    check(page, FIRST)
    held: list[Route] = []
    page.route("**/queue/join**", lambda route: held.append(route))
    send(page, "one")
    check(page, PENDING)
    for route in held:
        route.continue_()
    page.unroute("**/queue/join**")
    expect(page.locator("#live")).to_contain_text("so far")
    check(page, LIVE)
    expect(page.locator("#compose.busy")).to_have_count(0)
    check(page, ENDED)
    page.get_by_label("Edit").first.click()
    check(page, EDITED)
    page.get_by_label("Cancel").click()
    page.locator("#settings > button").click()
    check(page, SETTINGS)
    page.get_by_role("tab", name="Compare").click()
    page.locator("#compare-run").click()
    check(page, COMPARE)
    page.get_by_role("tab", name="Completion").click()
    page.locator("#constrain > button").click()
    check(page, COMPLETION)


def test_the_scripts_that_draw_messages_have_the_places_for_our_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    scripts = drawing.drawing_scripts()
    assert all((drawing.ASSETS.parent / path[1:]).is_file() for path in scripts)
    both = "".join(scripts.values())
    hooks = (
        "hooks()?.tokens(",
        "hooks()?.finish(",
        "hooks().replace(",
        "attachments?.draw(",
        ".paced(",
        ".hasOtherStatus(",
        "failures.show(",
        "delete this.client.event_callbacks[",
        "e.i18n_translations=null",
        "get_url_config()),oe(",
    )
    assert [both.count(hook) for hook in hooks] == [1] * 10
    with monkeypatch.context() as patched:
        patched.setitem(drawing.HOOKS, "renamed()", "")
        with pytest.raises(
            MissingName, match=r"Gradio [\d.]+ draws Markdown in another way: its script has no 'renamed\(\)'"
        ):
            drawing.drawing_scripts()
    monkeypatch.setitem(drawing.BUBBLE_HOOKS, "gone()", "")
    with pytest.raises(MissingName, match=r"draws messages in another way: its script has no "):
        drawing.drawing_scripts()


def test_a_browser_that_has_a_script_with_hooks_need_not_fetch_it_again(site: Site) -> None:
    for path, script in drawing.drawing_scripts().items():
        status, headers, text = ask(site.url, "GET", path, is_whole=True)
        assert (status, text, headers["Cache-Control"]) == (200, script, "no-cache")
        for tag, wanted in ((headers["ETag"], 304), (f"W/{headers['ETag']}", 304), ('"another"', 200)):
            assert ask(site.url, "GET", path, headers={"If-None-Match": tag})[0] == wanted


def test_only_two_files_know_the_names() -> None:
    names = r"container|translucent|top-panel|bubble|\.placeholder|\.message\b|-buttons|data-testid|tabpanel|tab-button"
    for pattern, own, paths in (
        (names + r"|\.(column|block|form|md)\b|:checked", "gradio.css", STATIC.glob("*.css")),
        (rf'["`][^"`\n]*({names})', "gradio_dom.js", STATIC.glob("*.js")),
    ):
        assert [path.name for path in paths if re.search(pattern, path.read_text("utf-8"))] == [own]
