"""Nothing that a visitor or the model writes runs as a script, and none of it makes the browser ask another server.

Each payload sets a flag, opens a dialog or asks a server that is not ours if it runs. It comes by every way in which a
text reaches the page; what the page made of it is looked at, too, for a handler runs only when somebody touches it.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import Dialog, Page, Route, expect

from streamspace import frames
from streamspace.types import Delta
from tests.fake import FakePageEngine, deltas
from tests.inputs import CHAT
from tests.support import served
from tests.test_page import NewPage, bot, box, questions, send, set_up, wait_for_end

pytestmark = pytest.mark.browser

RUN = "window.__pwned=1;alert(1)"
CANARY = "http://canary.invalid"
IMG = f"<img src=x onerror={RUN}>"
PAYLOADS = {
    "script": f"<script>{RUN}</script><ScRiPt src={CANARY}/x.js></sCrIpT><script\n>{RUN}</script\n>",
    "handlers": f'<img src=x onerror="{RUN}"><body onload="{RUN}"><details open ontoggle="{RUN}">x</details>',
    "no quotes": f"<img/src/onerror={RUN}><input autofocus onfocus={RUN}><p onmouseover={RUN}>touch</p>",
    "svg": f'<svg onload="{RUN}"><script>{RUN}</script><animate onbegin="{RUN}" attributeName=x dur=1s></svg>',
    "svg use": f'<svg><use href="data:image/svg+xml,<svg id=x onload={RUN}>#x"/><a xlink:href="javascript:{RUN}">x</a>',
    "math": f'<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=1 onerror={RUN}&gt;">',
    "frames": f'<iframe src="javascript:{RUN}"></iframe><iframe srcdoc="<script>parent.{RUN}</script>"></iframe>',
    "objects": f'<object data="javascript:{RUN}"></object><embed src="{CANARY}/e"><base href="{CANARY}/">',
    "styles": f"<style>@import '{CANARY}/s';</style><p style=\"background:url({CANARY}/b)\">x</p>",
    "sheets": f"<link rel=stylesheet href={CANARY}/s><link rel=prefetch href={CANARY}/p>",
    "forms": f'<form action="javascript:{RUN}"><button formaction="javascript:{RUN}">press</button></form>',
    "refresh": f'<meta http-equiv=refresh content="0;url=javascript:{RUN}"><meta http-equiv=refresh content=0;{CANARY}',
    "links": f"[a](javascript:{RUN}) [b](JaVaScRiPt&colon;{RUN}) [c](data:text/html,{IMG}) <javascript:{RUN}>",
    "odd links": f"[a](\x01javascript:{RUN}) [b](java\tscript:{RUN}) [c](vbscript:1) [d][e]\n\n[e]: javascript:{RUN}",
    "images": f'![a](javascript:{RUN}) ![b](x"onerror="{RUN}) ![c]({CANARY}/c.png) ![d][e]\n\n[e]: {CANARY}/d.png',
    "broken images": f"![\"onerror='{RUN}'](x) ![a](x '\"onerror={RUN}') [![a]({CANARY}/l)](javascript:{RUN})",
    "entities": f"&lt;img src=x onerror={RUN}&gt; &#60;script&#62;{RUN}&#60;/script&#62; &amp;lt;script&amp;gt;{RUN}",
    "fence": f"```html\n{IMG}\n```\n{IMG}\n~~~\n</code></pre>{IMG}",
    "fence names": f'```">{IMG}\nx\n```\n```<script>{RUN}</script>\nx\n```',
    "fences that differ": f"````\n```\n{IMG}\n`{IMG}\n\n- ```\n{IMG}",
    "code that is none": f"`a\n\n{IMG}` \\`{IMG}\\` <a title='`'>{IMG}",
    "code in a tag": f"<a href='`' onclick='{RUN}'>`{IMG}",
    "mermaid": f'```mermaid\ngraph TD;A["{IMG}"]-->B;click A href "javascript:{RUN}"\n```\n',
    "mermaid html": f"```mermaid\n</div>{IMG}<img src={CANARY}/m><script>{RUN}</script>\n```\n",
    "mermaid labels": f'```mermaid\ngraph TD;A["<img src={CANARY}/n><iframe src=javascript:{RUN}>"]-->B\n```\n',
    "latex": f"$$\\href{{javascript:{RUN}}}{{a}} \\url{{javascript:{RUN}}} \\htmlClass{{x}}{{b}}$$",
    "latex images": f"$$\\includegraphics{{{CANARY}/i.png}} \\htmlStyle{{background:url({CANARY}/s)}}{{x}}$$",
    "latex html": f"$${IMG}$$ $$\\text{{</span><script>{RUN}</script>}}$$",
    "latex in code": f"```\n$${IMG}$$\n``` `$${IMG}$$`",
    "latex marks": f"%%%LATEX_BLOCK_0%%% $${IMG}$$ %%%LATEX_BLOCK_7%%%",
    "comments": f"<!-->{IMG}--> <![CDATA[{IMG}]]> <?x {IMG}?>",
    "nested": f"<scr<script>ipt>{RUN}</scr</script>ipt> <{IMG}> > <b\n> onclick={RUN}>",
    "titles": f'<noscript><p title="</noscript>{IMG}"></noscript><textarea></textarea>{IMG}',
}
# What runs, or would as soon as somebody touches it. Diagrams have styles of their own.
LIVE = r"""() => [...document.querySelectorAll('#conversation .message *, .toast-wrap *')].filter(e =>
  /^(script|iframe|object|embed|base|meta|link|form)$/i.test(e.localName)
  || e.localName === 'style' && !e.closest('svg')
  || [...e.attributes].some(a => /^on/i.test(a.name) || e.localName !== 'img'
    && /^(href|src|action|formaction|xlink:href)$/i.test(a.name)
    && /^[\s\x00-\x1f]*(javascript:|vbscript:|data:text)/i.test(a.value)))
  .map(e => e.outerHTML.slice(0, 300))"""


@dataclass
class Watch:
    """A page, and what ran in it or left it."""

    page: Page
    seen: list[str] = field(default_factory=list)

    def check(self) -> None:
        """Fail on anything that ran or could, after the mouse was everywhere."""
        for element in self.page.locator("#conversation .message :is(a, p, img, svg, details)").all()[:20]:
            element.dispatch_event("mouseover")
            element.dispatch_event("focus")
        self.page.wait_for_timeout(100)
        assert self.page.evaluate("window.__pwned") is None
        assert self.page.evaluate(LIVE) == []
        assert self.seen == []


@pytest.fixture
def open_watched(new_page: NewPage) -> Callable[[str], Watch]:
    def open_page(url: str) -> Watch:
        page = new_page("about:blank")
        watch = Watch(page)

        def dismiss(dialog: Dialog) -> None:
            watch.seen.append(f"dialog {dialog.message}")
            dialog.dismiss()

        def ask(route: Route) -> None:
            if route.request.url.startswith(url) or route.request.url.startswith(("data:", "blob:")):
                route.continue_()
            else:
                watch.seen.append(f"request {route.request.url}")
                route.abort()

        page.on("dialog", dismiss)
        page.route("**/*", ask)
        page.goto(url)
        return watch

    return open_page


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames as fast as they come, so that the page draws every beginning of a text."""
    for name in ("FRAME_S", "CHAR_S", "FRAME_COST_S"):
        monkeypatch.setattr(frames, name, 0.0)
    monkeypatch.setattr(frames, "TICK_S", 1e-6)


@pytest.fixture(scope="module")
def page_engine() -> FakePageEngine:
    engine = FakePageEngine(deltas("an answer"))
    engine.max_model_len = 100_000
    return engine


@pytest.fixture(scope="module")
def url(page_engine: FakePageEngine) -> Iterator[str]:
    with served(page_engine) as url:
        yield url


@pytest.mark.parametrize("payload", PAYLOADS.values(), ids=PAYLOADS)
def test_an_answer_runs_nothing_while_it_streams_or_after(
    page_engine: FakePageEngine, url: str, open_watched: Callable[[str], Watch], payload: str
) -> None:
    page_engine.script = [step for char in payload for step in (Delta(char), 0.004)] + [Delta(" done", "stop")]
    watch = open_watched(url)
    send(watch.page, "Hi")
    expect(bot(watch.page)).to_contain_text("done")
    wait_for_end(watch.page)
    watch.check()


@pytest.mark.parametrize("part", [range(0, 17), range(17, len(PAYLOADS))], ids=["first half", "second half"])
def test_what_a_visitor_writes_runs_nothing_anywhere(
    page_engine: FakePageEngine, url: str, open_watched: Callable[[str], Watch], part: range
) -> None:
    """As a message, edited, as a system prompt, asked again, and back in the box."""
    page_engine.script = deltas("an answer")
    page = (watch := open_watched(url)).page
    for number, payload in enumerate([*PAYLOADS.values()][part.start : part.stop], 1):
        send(page, payload)
        expect(page.locator("#conversation [data-testid=bot]")).to_have_count(number)
        wait_for_end(page)
    watch.check()
    page.get_by_label("Edit").first.click()
    page.locator("#chat textarea").fill("\n\n".join(PAYLOADS.values()))
    page.get_by_label("Submit").click()
    expect(questions(page)).to_have_count(1)
    wait_for_end(page)
    set_up(page, **{"System prompt": "\n".join(PAYLOADS.values())})
    page.get_by_label("Retry").last.click()
    expect(bot(page)).to_have_text("an answer")
    wait_for_end(page)
    watch.check()
    page.get_by_label("Undo").last.click()
    expect(box(page)).not_to_have_value("")
    watch.check()


def test_a_completion_runs_nothing(page_engine: FakePageEngine, url: str, open_watched: Callable[[str], Watch]) -> None:
    text = "\n".join(PAYLOADS.values())
    page_engine.script = [Delta(text[:99]), Delta(text[99:]), Delta(" done", "stop")]
    page = (watch := open_watched(url)).page
    page.get_by_role("tab", name="Completion").click()
    page.get_by_label("Prompt 1").fill(text)
    page.get_by_role("button", name="Run 1").click()
    expect(page.locator("#continuation-1 textarea")).to_have_value(re.compile("done"))
    assert page.evaluate("document.querySelectorAll('.completion :is(script, iframe, img)').length") == 0
    watch.check()


@pytest.mark.parametrize("name", ["handlers", "script", "svg", "frames", "links", "entities"])
def test_a_refusal_that_repeats_a_value_runs_nothing(url: str, open_watched: Callable[[str], Watch], name: str) -> None:
    """A made-up request, because the page's own controls hold no such values."""
    page = (watch := open_watched(url)).page

    def forge(route: Route) -> None:
        asked = json.loads(route.request.post_data or "{}")
        if len(asked["data"]) == len(CHAT):
            asked["data"][CHAT.index("temperature")] = PAYLOADS[name][:50]  # a refusal cuts off what is longer
        route.continue_(post_data=json.dumps(asked))

    page.route("**/queue/join*", forge)
    send(page, "Hi")
    expect(page.get_by_text("allowed is a number from 0 to 2").first).to_be_visible()
    watch.check()


BOMBS = {  # of some thousand characters, as an answer of 2048 tokens can have
    "quotes": ">" * 5000,
    "lists": "".join("  " * depth + "- x\n" for depth in range(60)),
    "emphasis": "**a *b " * 700,
    "brackets": "[a](![" * 800,
    "backticks": " ".join("`" * length for length in range(1, 100)),
    "dollars": "$" * 5000,
    "table": "|a" * 20 + "|\n" + "|-" * 20 + "|\n" + ("|b" * 20 + "|\n") * 100,
    "braces": "$$" + "{" * 2000 + "x" + "}" * 2000 + "$$",
    "macros": "$$\\def\\a{\\b\\b}\\def\\b{\\c\\c}\\def\\c{\\a\\a}\\a$$",
    "diagram": "```mermaid\ngraph TD;" + "".join(f"a{n}-->a{n * 7 % 99};" for n in range(300)) + "\n```\n",
}


def test_the_page_goes_on_after_a_text_that_is_hard_to_draw(
    page_engine: FakePageEngine, url: str, open_watched: Callable[[str], Watch]
) -> None:
    page = (watch := open_watched(url)).page
    for number, bomb in enumerate(BOMBS.values(), 1):
        page_engine.script = [Delta(bomb[: len(bomb) // 2]), 0.1, Delta(bomb[len(bomb) // 2 :], "stop")]
        send(page, str(number))
        expect(page.locator("#chat [data-testid=user]")).to_have_count(number)
        wait_for_end(page)
    page_engine.script = deltas("an answer")
    send(page, "still there?")
    expect(bot(page)).to_have_text("an answer")
    watch.check()
