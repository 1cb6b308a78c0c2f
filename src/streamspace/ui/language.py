"""The page in the visitor's language: labels by Gradio's i18n, which follows the browser; all else by `say`."""

from contextvars import ContextVar
from typing import Any

import gradio as gr

from streamspace.translation import LANGUAGES, Sentence, catalog, locales, say_in
from streamspace.ui.gradio_.internals import components_of

LANGUAGE: ContextVar[str] = ContextVar("language", default="en")  # the visitor's; Streams sets it for its events
SPOKEN = ("label", "info", "placeholder")  # the attributes of a component that people read


def say(text: str) -> str:
    """The text in the visitor's language."""
    return say_in(LANGUAGE.get())(text)


def translated(demo: gr.Blocks) -> gr.I18n:
    """Mark the texts of every component for translation by the browser; returns the translations."""
    texts: set[str] = set()
    for block in components_of(demo):
        for name in spoken(block):
            text = block.constructor_args.get(name)  # still a Sentence; the attribute is a str
            if isinstance(text, str) and _has_translation(text):
                texts.add(text)
                setattr(block, name, str(gr.I18n()(text)))
        choices = getattr(block, "choices", None) or ()  # the browser translates them without a mark
        texts.update(text for text, _ in choices if _has_translation(text))
    others = {each: {str(text): say_in(each)(text) for text in texts} for each in LANGUAGES}
    named = {locale: others[each] for each in LANGUAGES for locale in locales(each)}
    return gr.I18n(en={str(text): str(text) for text in texts}, **named)


def spoken(block: Any) -> tuple[str, ...]:
    """The attributes of a component that people read; most components have a value of the visitor's own."""
    return (*SPOKEN, "value") if isinstance(block, gr.Button | gr.Markdown) else SPOKEN


def _has_translation(text: str) -> bool:
    template = text.template if isinstance(text, Sentence) else text
    return any(template in catalog(each) for each in LANGUAGES)
