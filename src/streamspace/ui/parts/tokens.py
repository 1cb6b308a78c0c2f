"""The view of an answer's tokens: how probable each was, and which others might have stood there.

It is made once, when the answer has ended. The model wrote all of its text, so it is escaped here, and the page's
script inserts it as text.
"""

import asyncio
import html
import json
import unicodedata
from collections.abc import Sequence
from typing import Any

import gradio as gr

from streamspace.sampling import Settings
from streamspace.translation import Say
from streamspace.types import Reply, Token
from streamspace.ui.language import say

NUM_RUNNERS_UP = 5
LEVELS = (90, 50, 20, 0)  # percent: a token's class is p and the highest level that it reaches; see page.css
NAMES = {" ": "space", "\n": "line break", "\t": "tab", "\r": "carriage return"}
SIGNS = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}

WAITING = "The tokens and their probabilities come when the text has ended."
USE = "Point at a token, tap it, or go to it with the arrow keys, and see which others might have stood there."


def tokens_switch(elem_id: str) -> gr.Checkbox:
    """The control by which a visitor asks for the view."""
    return gr.Checkbox(
        label="Show token probabilities", elem_id=elem_id,
        info="How likely the model held each token, and which others, before temperature and after the constraint; "
        "a line marks those below 90% (dotted), 50% (dashed) and 20% (double)",
    )  # fmt: skip


def logprobs_for(shows_tokens: Any) -> int | None:
    """The setting for the control's value."""
    return NUM_RUNNERS_UP if shows_tokens is True else None


def tokens_view(elem_id: str) -> gr.HTML:
    """The component of the view, hidden while it is empty."""
    return gr.HTML("", js_on_load="streamspace.tokens.follow(element)", elem_classes="view", elem_id=elem_id)


class TokensView:
    """What the view shows of one answer: nothing, unless its settings ask for tokens."""

    def __init__(self, settings: Settings) -> None:
        self._waits = bool(settings.logprobs)
        self._html = f'<div class="tokens"><p>{say(WAITING)}</p></div>' if self._waits else ""

    async def html(self, reply: Reply) -> str:
        """The view of the answer so far; it has its full height from the start, so that nothing moves at the end."""
        if self._waits and reply.tokens:
            self._html = await asyncio.to_thread(tokens_html, reply.tokens, say)  # 0.1 s for 2,000 tokens
            self._waits = False
        return self._html


def tokens_html(tokens: Sequence[Token], say: Say) -> str:
    """The view of an answer that has ended."""
    options = "".join(_option(token, is_first=not number) for number, token in enumerate(tokens))
    label = html.escape(say("Tokens of the text"))
    return (
        f'<div class="tokens"><div role="listbox" aria-orientation="horizontal" aria-label="{label}">{options}</div>'
        f'<div class="likely" aria-live="polite"><p>{say(USE)}</p></div></div>'
    )


def _option(token: Token, is_first: bool) -> str:
    others = [(*runner_up, "") for runner_up in token.runners_up]
    likely = sorted([(token.text, token.probability, "taken"), *others], key=lambda row: -row[1])
    data = json.dumps([(token_label(text), percent(probability), taken) for text, probability, taken in likely])
    level = next(level for level in LEVELS if 100 * token.probability >= level)
    text = token_label(token.text, keeps_spaces=True)
    return (
        f'<span role="option" aria-selected="false" tabindex="{0 if is_first else -1}" class="p{level}" '
        f'aria-label="{html.escape(f"{spoken(token.text)}, {percent(token.probability)}")}" '
        f'data-likely="{html.escape(data)}">{html.escape(text)}</span>{"<br>" * token.text.endswith(chr(10))}'
    )


def percent(probability: float) -> str:
    """A probability in words: "42.3%", "<0.1%"."""
    return "<0.1%" if probability < 0.0005 else f"{100 * min(1.0, probability):.1f}%"


def token_label(text: str, keeps_spaces: bool = False) -> str:
    """A token's text with signs for invisible characters; `keeps_spaces` leaves spaces beside words as they are."""
    keeps_spaces = keeps_spaces and bool(text.strip())
    return "".join(char if char == " " and keeps_spaces else _sign(char) for char in text) or "∅"


def spoken(text: str) -> str:
    """A token's text for a screen reader, which does not read spaces out."""
    if text.strip():
        return token_label(text.strip(), keeps_spaces=True)
    return " ".join(NAMES.get(char, "space") for char in text)


def _sign(char: str) -> str:
    is_hidden = unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp")  # controls; joiners, marks of direction
    return SIGNS.get(char) or (f"\\u{{{ord(char):x}}}" if is_hidden else char)
