"""How Markdown is drawn: Gradio's own component does it, and asks the page's module static/drawing.js first.

Gradio's component has no place for another dialect of Markdown, for formulas as models write them, or for keeping what
a reader does while a text grows. So its script is served with a few expressions replaced.
"""

from pathlib import Path

import gradio as gr
from fastapi import FastAPI
from fastapi.responses import Response

from streamspace.patching import MissingName

ASSETS = Path(gr.__file__).parent / "templates" / "frontend" / "assets"
# What stands in the script → what is served in its place. Without the page's module all is drawn as Gradio draws it.
HOOKS = {
    "import{": "const hooks=()=>globalThis.streamspace?.drawing;import{",
    "a=y.lexer(r),": "a=hooks()?.tokens(y,r,v,()=>{C||w()})??y.lexer(r),",
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


def drawing_script() -> tuple[str, str]:
    """The path of the script of Gradio's component for Markdown, and the script with HOOKS in it.

    Raises:
        MissingName: the script is another one than that for which HOOKS are written.
    """
    files, katex = ([*ASSETS.glob(f"{name}-*.js")] for name in ("markdown-code", "katex"))
    script = files[0].read_text("utf-8") if len(files) == len(katex) == 1 else ""
    for place, hook in HOOKS.items():
        if place not in script:
            raise MissingName(f"Gradio {gr.__version__} draws Markdown in another way: its script has no {place!r}.")
        script = script.replace(place, hook.replace("$katex", katex[0].name), 1)
    return f"/assets/{files[0].name}", script


def add_drawing(app: FastAPI) -> None:
    """Serve the script in the place of Gradio's own; for an application before the page is mounted on it."""
    path, script = drawing_script()

    @app.get(path, include_in_schema=False)
    def drawing() -> Response:
        return Response(script, media_type="text/javascript", headers={"Cache-Control": "no-cache"})
