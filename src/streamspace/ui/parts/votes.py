"""Thumbs on the answers of the chat, a sentence with them, and the choice of Compare as a pair."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import gradio as gr

from streamspace.chat import ServedEngine
from streamspace.checks import check_text
from streamspace.prompt import conversation
from streamspace.sampling import Settings
from streamspace.translation import Sentence
from streamspace.types import Message
from streamspace.ui.failures import shown_to_the_visitor
from streamspace.ui.gradio_.internals import event_data
from streamspace.ui.gradio_.streams import RAW, StreamingBlocks
from streamspace.ui.language import LANGUAGE, say
from streamspace.ui.parts.history import from_this_page, messages_of
from streamspace.ui.parts.inputs import Inputs
from streamspace.votes import Votes, row

NOTICE = (
    "A thumb on an answer sends that answer, the conversation before it, its settings and your words below to the "
    "private dataset {dataset} of this page's owner. Nothing about you is sent, and nothing without a thumb."
)
PAIR_NOTICE = (
    "“Use this answer” also sends the message and the answers, as chosen and rejected, to the private dataset "
    "{dataset} of this page's owner. Nothing about you is sent."
)
KEPT = "Thank you: the vote is kept."


def add_thumbs(
    demo: StreamingBlocks, engine: ServedEngine, history: gr.Chatbot, inputs: Inputs, check: Callable[..., Settings]
) -> None:
    """Have the chat take votes, below the components that are there, if the operator wants them."""
    if (votes := demo.votes) is None:
        return
    gr.Markdown(Sentence(NOTICE, dataset=engine.config.feedback_dataset), elem_id="votes-notice")
    words = gr.Textbox(label="Why (sent with your next vote)", max_lines=3, max_length=2000, elem_id="votes-words")
    kept = gr.HTML("", elem_id="votes-kept")

    async def vote(event: gr.EventData, said: str, *values: Any) -> AsyncGenerator[list[Any], None]:
        """Keep the vote on one answer."""
        with shown_to_the_visitor():
            if event_data(event)["liked"] == "":  # a second click on the same thumb
                yield [said, ""]
                return
            votes.check()
            given = inputs.split(values)
            settings = check(given)
            why = check_text("The message", said)
            speaks = LANGUAGE.get()
            with from_this_page():
                prompt, answer = _voted(given["history"], event_data(event)["index"])
                liked = "up" if event_data(event)["liked"] is True else "down"
            messages = conversation(check_text("The system prompt", given["system_prompt"]), prompt)
            new = row(engine.config, messages, settings, speaks, vote=liked, words=why, answer=answer)
            await asyncio.to_thread(votes.add, new)
            yield ["", say(Sentence(KEPT))]

    history.like(vote, [words, *inputs.components], [words, kept], **RAW)
    demo.stream(vote)


def _voted(history: list[dict[str, Any]], index: Any) -> tuple[Sequence[Message], str]:
    """The conversation before the answer that begins at this message of the history, and its text."""
    begin = int(index[0] if isinstance(index, list) else index)
    after = (at for at in range(begin, len(history)) if history[at]["role"] == "user")
    *before, answer = messages_of(history[: next(after, len(history))])
    if history[begin]["role"] != "assistant" or answer.role != "assistant" or not before:
        raise ValueError("a vote is on an answer")
    return before, answer.text


def add_choice(demo: StreamingBlocks, engine: ServedEngine, uses: Sequence[gr.Button], inputs: Sequence[Any]) -> None:
    """Have each button keep its answer as chosen; `inputs` are the question, the system prompt, the answers."""
    if (votes := demo.votes) is None:
        return
    gr.Markdown(Sentence(PAIR_NOTICE, dataset=engine.config.feedback_dataset), elem_id="pairs-notice")
    kept = gr.HTML("", elem_id="pairs-kept")
    for number, use in enumerate(uses):
        handler = _chooser(engine, votes, number)
        use.click(handler, [*inputs], kept, **RAW)
        demo.stream(handler)


def _chooser(engine: ServedEngine, votes: Votes, number: int) -> Callable[..., AsyncGenerator[str, None]]:
    async def choose(question: str, system: str, *answers: str) -> AsyncGenerator[str, None]:
        """Keep each pair of the chosen answer and another one."""
        with shown_to_the_visitor():
            votes.check()
            asked = [Message("user", check_text("The message", question))]
            prompt = conversation(check_text("The system prompt", system), asked)
            texts = [check_text("The message", answer) for answer in answers]
            speaks = LANGUAGE.get()
            for other in dict.fromkeys(texts[:number] + texts[number + 1 :]):
                if other and other != texts[number]:
                    pair = row(engine.config, prompt, None, speaks, chosen=texts[number], rejected=other)
                    await asyncio.to_thread(votes.add, pair)
            yield say(Sentence(KEPT))

    return choose
