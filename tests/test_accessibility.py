"""axe-core finds nothing serious in any tab, in light and dark; what streams does not shift the page."""

from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from streamspace.translation import say_in
from streamspace.types import Delta, Metrics
from tests.fake import deltas
from tests.page import NewPage, begin_and_end, open_sidebar, send, wait_for_end
from tests.support import SHIFTS
from tests.wire import Site

pytestmark = pytest.mark.browser
AXE = Path(__file__).parent / "node" / "node_modules" / "axe-core" / "axe.min.js"
TABS = ("Chat", "Completion", "Compare", "Engine")
CODE = '''

```python
@cache
def words(of: str, number=3) -> list[str]:  # a comment
    """What it does."""
    return [f"{len(of)}", None, True, *of.split()] if of != "a" else []
```

```html
<!-- a comment --><a href="https://example.com" class="b">&amp;</a><style>a:hover { color: red !important; }</style>
```

'''
METRICS = Metrics(84, 64, 40, queued_s=0.0, prefill_s=0.03, decode_s=1.0)


def findings(page: Page) -> list[str]:
    """What axe-core calls serious or critical: the rule, and where."""
    page.add_script_tag(path=AXE)
    found: list[dict[str, Any]] = page.evaluate("axe.run().then((results) => results.violations)")
    return [
        f"{one['id']}: {node['target']} {node['any'][0]['message'] if node['any'] else ''}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize(("scheme", "language"), [("light", "en"), ("dark", "en"), ("light", "ar")])
def test_axe_finds_nothing_serious(site: Site, new_page: NewPage, scheme: str, language: str) -> None:
    engine = site.engine
    engine.script = [Delta(f"An answer with `code`. {CODE}"), Delta("And more.", "length", metrics=METRICS)]
    engine.thinks = True
    page = new_page(site.url, color_scheme=scheme, locale=language)
    begin_and_end(page, "Hello")
    expect(page.locator("#chat .token.comment").first).to_be_visible()
    open_sidebar(page)
    left = {}
    for tab in TABS:
        page.get_by_role("tab", name=say_in(language)(tab)).click()
        for fold in page.get_by_role("button", name="▼").all():
            fold.click()
        page.wait_for_timeout(300)  # folds and tabs fade in, and what is half there has half the contrast
        left[tab] = findings(page)
    assert not any(left.values()), left


@pytest.mark.parametrize("width", [1280, 390])
def test_a_streaming_answer_shifts_nothing(site: Site, new_page: NewPage, width: int) -> None:
    words = [Delta("word " * 5, metrics=METRICS) for _ in range(40)]
    engine = site.engine
    engine.script = [*words, Delta("Done.", "stop", metrics=METRICS)]
    page = new_page(site.url, viewport={"width": width, "height": 844})
    begin_and_end(page, "Hello")
    page.evaluate(SHIFTS)
    send(page, "Again")
    wait_for_end(page)
    expect(page.locator("#note")).to_contain_text("Ended.")
    assert page.evaluate("shift") <= 0.02


def test_a_conversation_is_had_by_keyboard_alone(site: Site, new_page: NewPage) -> None:
    engine = site.engine
    engine.script = deltas("An answer.")
    page = new_page(site.url)
    expect(page.locator("#message textarea")).to_be_focused()
    page.keyboard.type("Hello")
    page.keyboard.press("Enter")
    expect(page.locator("#chat [data-testid=bot]")).to_have_text("An answer.")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Send")).to_be_focused()
    page.get_by_role("button", name="Settings").first.focus()
    page.keyboard.press("Enter")
    expect(page.get_by_label("System prompt").first).to_be_visible()
