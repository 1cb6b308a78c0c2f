"""The page in the visitor's language: labels by Gradio's own i18n, which follows the browser; the rest by `words`."""

import json
from contextvars import ContextVar

import gradio as gr

from streamspace.translation import catalog, say_in
from streamspace.ui.gradio_.internals import components_of

LANGUAGE: ContextVar[str] = ContextVar("language", default="en")  # of whoever asks; set by Streams for its events
CHINESE = ("zh", "zh-CN", "zh-TW")  # as browsers name it
SPOKEN = ("label", "info", "placeholder")  # what of a component is read by people

# What the page's own scripts say: `say(text)`, in the browser's language.
SAY = """<script>
window.say = ((sentences) => (text) => (navigator.language.startsWith('zh') && sentences[text]) || text)(%s);
</script>""" % json.dumps(dict(catalog("zh")), ensure_ascii=False).replace("</", "<\\/")  # noqa: UP031  # braces are JavaScript's


def say(text: str) -> str:
    """The text in the language of whoever asks."""
    return say_in(LANGUAGE.get())(text)


def translated(demo: gr.Blocks) -> gr.I18n:
    """Mark what people read of every component, so that the browser shows it in its language; returns how."""
    chinese: dict[str, str] = {}
    for block in components_of(demo):
        says_its_value = isinstance(block, gr.Button | gr.Markdown)  # of others it is the visitor's
        for name in (*SPOKEN, "value") if says_its_value else SPOKEN:
            text = getattr(block, name, None)
            if isinstance(text, str) and (other := say_in("zh")(text)) != text:
                chinese[text] = other
                setattr(block, name, str(gr.I18n()(text)))
        for text, _ in getattr(block, "choices", None) or ():  # which the browser looks up by themselves
            if (other := say_in("zh")(text)) != text:
                chinese[text] = other
    return gr.I18n(en={text: text for text in chinese}, **dict.fromkeys(CHINESE, chinese))
