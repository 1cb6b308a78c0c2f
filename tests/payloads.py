"""Texts that run a script or ask another server wherever the page lets them, and a watch over a page for that."""

import re
from dataclasses import dataclass, field

from playwright.sync_api import Dialog, Page, Route

from tests.page import NewPage

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
    "latex by brackets": f"\\(\\href{{javascript:{RUN}}}{{a}}\\) \\[\\text{{{IMG}}}\\] \\({IMG}\\)",
    "tables": f"| {IMG} | [a](javascript:{RUN}) |\n|---|---|\n| $${IMG}$$ | ![x]({CANARY}/t.png) |\n",
    "labels": f'[a [{IMG}]](javascript:{RUN}) [d [e](javascript:{RUN})]({CANARY}/o"onclick="{RUN})',
    "comments": f"<!-->{IMG}--> <![CDATA[{IMG}]]> <?x {IMG}?>",
    "nested": f"<scr<script>ipt>{RUN}</scr</script>ipt> <{IMG}> > <b\n> onclick={RUN}>",
    "titles": f'<noscript><p title="</noscript>{IMG}"></noscript><textarea></textarea>{IMG}',
}
# What runs, or would as soon as somebody touches it. Diagrams have styles of their own.
LIVE = r"""() => [...document.querySelectorAll('#conversation .message *, .failure *, .toast-wrap *')].filter(e =>
  /^(script|iframe|object|embed|base|meta|link|form)$/i.test(e.localName)
  || e.localName === 'style' && !e.closest('svg')
  || [...e.attributes].some(a => /^on/i.test(a.name) || e.localName !== 'img'
    && /^(href|src|action|formaction|xlink:href)$/i.test(a.name)
    && /^[\s\x00-\x1f]*(javascript:|vbscript:|data:text)/i.test(a.value)))
  .map(e => e.outerHTML.slice(0, 300))"""


# The mouse on, and the keyboard in, everything of a message.
TOUCH = """() => {
  for (const element of document.querySelectorAll('#conversation .message :is(a, p, img, svg, details)'))
    for (const name of ['mouseover', 'focus']) element.dispatchEvent(new Event(name, { bubbles: true }));
}"""


@dataclass
class Watch:
    """A page, and what ran in it or left it."""

    page: Page
    seen: list[str] = field(default_factory=list)

    def check(self, name: str = "") -> None:
        """Fail on anything that ran or could, after the mouse was everywhere; `name` says in what."""
        self.page.evaluate(TOUCH)
        self.page.wait_for_timeout(100)  # what was set off may take a moment
        found = (self.page.evaluate("window.__pwned"), self.page.evaluate(LIVE), self.seen)
        assert found == (None, [], []), name


def watch(new_page: NewPage, url: str) -> Watch:
    """Open a page, and watch it from its beginning."""
    page = new_page("about:blank")
    watch = Watch(page)

    def dismiss(dialog: Dialog) -> None:
        watch.seen.append(f"dialog {dialog.message}")
        dialog.dismiss()

    def refuse(route: Route) -> None:
        watch.seen.append(f"request {route.request.url}")
        route.abort()

    page.on("dialog", dismiss)
    # What the page's own policy keeps back is no request yet.
    page.route(re.compile(f"^(?!{re.escape(url)}|data:|blob:)"), refuse)
    page.goto(url)
    return watch
