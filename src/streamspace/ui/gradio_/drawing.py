"""How messages are drawn: Gradio's own components do it, and ask the page's modules in static/ first.

Gradio's component for Markdown has no place for another dialect, for formulas as models write them, or for keeping what
a reader does while a text grows, and its Chatbot none for pictures that the browser keeps. So their scripts are served
with a few expressions replaced; so are those of its Blocks and of its begin, for speed, failures and memory.
"""

from pathlib import Path

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import Response

from streamspace.asgi import etag_of, has_it
from streamspace.patching import MissingName

ASSETS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
# What stands in the script → what is served in its place. Without the page's module all is drawn as Gradio draws it.
HOOKS = {
    "import{": "const hooks=()=>globalThis.streamspace?.drawing;import{",
    "a=y.lexer(r),": "a=hooks()?.tokens(y,r,v,()=>{C||w()})??y.lexer(r),",
    # Gradio fetches the grammar of a code block's language. Without that of C, that of C++ fails, and with it fails
    # the drawing of the whole message; so does a connection that is lost just then.
    "={php:[`markup-templating`]}": "={php:[`markup-templating`],cpp:[`c`]}",
    "highlight:async(e,t)=>(await at(t),": "highlight:async(e,t)=>(await at(t).catch(()=>{}),",
    "catch(e){console.error(e)}return n}": (
        "catch(e){console.error(e)}await hooks()?.finish(n,()=>Promise.all([import(`./$katex`),"
        "a(()=>Promise.resolve({}),__vite__mapDeps([0]),import.meta.url)]).then(([e])=>e.default));return n}"
    ),
    "for(let e of D.slice(a,D.length-o))for(let t of e.nodes)t.remove();let e=d.find(e=>e.nodes.length)?.nodes[0];"
    "v.insertBefore(u,e??null)": (
        "let t=D.slice(a,D.length-o),n=d.find(e=>e.nodes.length)?.nodes[0]??null;if(hooks())hooks().replace(v,t,l,n);"
        "else{for(let e of t)for(let t of e.nodes)t.remove();v.insertBefore(u,n)}"
    ),
}


# The same in the script of Gradio's Chatbot.
BUBBLE_HOOKS = {
    "I(r,`data-testid`,u()),": ("globalThis.streamspace?.attachments?.draw(r,C(t)?.metadata),I(r,`data-testid`,u()),"),
}
# The same in that of its Blocks. With each frame it tells every component of every event whether it loads, which takes
# as long as all else that Gradio does for the frame.
BLOCKS_HOOKS = {
    "Object.entries(this.loading_stati.current).map(": (
        "Object.entries(this.loading_stati.current)"
        ".filter(globalThis.streamspace?.pacing.hasOtherStatus(this)??(()=>!0)).map("
    ),
    # It draws each frame that comes, and a slow device cannot.
    "submit_loop:for await(let s of t.data)": (
        "submit_loop:for await(let s of globalThis.streamspace?.pacing.paced(t.data)??t.data)"
    ),
    # The client keeps what an event sent, that is the whole conversation, until the event has ended. Where the stream
    # brings the end before the POST is answered, it would keep that for as long as the page is there.
    "s.type===`status`){s.original_msg": (
        "s.type===`status`){"
        "/complete|error/.test(s.stage)&&delete this.client.event_callbacks[t.data.event_id()];s.original_msg"
    ),
    # It says what failed in a window of its own, over the page's controls.
    "throw this.log_cb(s?._title??`Error`,a||``,o,`error`,": (
        "throw globalThis.streamspace?.failures.show(a||``)||this.log_cb(s?._title??`Error`,a||``,o,`error`,"
    ),
}
# The same in that which begins the page. For as long as the page is there, it would keep the page's scripts as a text,
# and all languages, and have Svelte watch every value of the config, of which none changes: a tenth of its memory.
BEGIN_HOOKS = {
    "await me(S(G).config.i18n_translations)": (
        "await me(Object.fromEntries(Object.entries(S(G).config.i18n_translations)"
        ".filter(([e])=>e===`en`||e.slice(0,2)===navigator.language.slice(0,2))))"
    ),
    "R(M,S(G).get_url_config(),!0),": "R(M,S(G).get_url_config()),",
    "await U(S(M).head),": (
        "await U(S(M).head),[S(M),S(G).config,window.gradio_config].forEach(e=>{e&&(e.head=e.i18n_translations=null)}),"
    ),
}


def drawing_scripts() -> dict[str, str]:
    """The paths of the scripts of Gradio's Blocks, Markdown and Chatbot → the scripts with our hooks in them.

    Raises:
        MissingName: a script is another one than that for which the hooks are written.
    """
    katex = next(ASSETS.glob("katex-*.js")).name
    hooks = {place: hook.replace("$katex", katex) for place, hook in HOOKS.items()}
    return dict(
        [
            _hooked("markdown-code", "draws Markdown", hooks),
            _hooked("Index", "draws messages", BUBBLE_HOOKS),
            _hooked("Blocks", "tells what loads", BLOCKS_HOOKS),
            _hooked("Index", "begins the page", BEGIN_HOOKS),
        ]
    )


def _hooked(name: str, does: str, hooks: dict[str, str]) -> tuple[str, str]:
    """The path and the text of the script of this name in which the hooks have their places."""
    missing = ""
    for path in ASSETS.glob(f"{name}-*.js"):
        script = path.read_text("utf-8")
        absent = [place for place in hooks if place not in script]
        if not absent:
            for place, hook in hooks.items():
                script = script.replace(place, hook, 1)
            return f"/assets/{path.name}", script
        missing = absent[0]
    raise MissingName(f"Gradio {gr.__version__} {does} in another way: its script has no {missing!r}.")


def add_drawing(app: FastAPI) -> None:
    """Serve the scripts in the place of Gradio's own; for an application before the page is mounted on it."""
    for path, script in drawing_scripts().items():
        _serve(app, path, script)


def _serve(app: FastAPI, path: str, script: str) -> None:
    # The path has the version of Gradio's script alone, so a browser must ask each time whether ours is the same.
    headers = {"Cache-Control": "no-cache", "ETag": etag_of(script.encode())}

    @app.get(path, include_in_schema=False)
    def drawing(request: Request) -> Response:
        if has_it(request.headers, headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(script, media_type="text/javascript", headers=headers)
