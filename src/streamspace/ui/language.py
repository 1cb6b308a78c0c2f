"""The page in the visitor's language: labels by Gradio's own i18n, which follows the browser; the rest by `words`."""

from contextvars import ContextVar

import gradio as gr

from streamspace.translation import say_in

LANGUAGE: ContextVar[str] = ContextVar("language", default="en")  # of whoever asks; set by Streams for its events
CHINESE = ("zh", "zh-CN", "zh-TW")  # as browsers name it
SPOKEN = ("label", "info", "placeholder")  # what of a component is read by people


def say(text: str) -> str:
    """The text in the language of whoever asks."""
    return say_in(LANGUAGE.get())(text)


def translated(demo: gr.Blocks) -> gr.I18n:
    """Mark what people read of every component, so that the browser shows it in its language; returns how."""
    chinese: dict[str, str] = {}
    for block in demo.blocks.values():
        if block.get_block_name() == "api":  # a named endpoint's parameters, for clients
            continue
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
