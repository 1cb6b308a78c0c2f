"""Our errors as sentences on the page, where static/failures.js shows them; any other exception goes to the log."""

import html
from collections.abc import Iterator
from contextlib import contextmanager

import gradio as gr

from streamspace.errors import ChatError
from streamspace.metrics import count
from streamspace.ui.language import say


@contextmanager
def shown_to_the_visitor() -> Iterator[None]:
    """Turn a ChatError into a gr.Error. Its sentence may hold a visitor's text, so it is escaped."""
    try:
        yield
    except ChatError as error:
        count(error)
        raise gr.Error(html.escape(say(error.sentence), quote=False), print_exception=False) from error
