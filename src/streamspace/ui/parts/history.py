"""The Chatbot's value ↔ the conversation. Pure, but for reading an event's data."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, get_args

import gradio as gr

from streamspace.errors import BadRequest
from streamspace.prompt import since_summary
from streamspace.translation import Sentence
from streamspace.types import Message, Reply, Role, Step
from streamspace.ui.gradio_.internals import event_data
from streamspace.ui.language import say

NOTHING = Message("assistant", "")
TOOL = "tool"  # the id of a fold that is no thought
SUMMARY = "summary"  # the id of a question whose answer stands for all that was before
ROLES: dict[str, Role] = {role: role for role in get_args(Role)}
# How components draw a text. Its formulas are drawn by static/drawing.js, which needs the text as it was written.
AS_WRITTEN: dict[str, Any] = {"line_breaks": True, "latex_delimiters": []}
History = list[dict[str, Any]]  # the Chatbot's value; its texts are as they were written


@contextmanager
def from_this_page() -> Iterator[None]:
    """Raise BadRequest for a raw value of the browser that is no conversation of this page."""
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        raise BadRequest("The conversation is not one of this page: reload it to begin a new one.") from None


@dataclass(frozen=True)
class Turn:
    """A question with its answer to come."""

    before: tuple[Message, ...]
    question: Message
    begun: Message = NOTHING  # the first part of the answer, which is there already
    keeps_history: bool = False  # whether the page shows `before` already
    clears_box: bool = False

    @property
    def messages(self) -> tuple[Message, ...]:
        """The conversation that the engine gets."""
        begun = () if self.begun == NOTHING else (self.begun,)
        return (*since_summary(self.before), self.question, *begun)

    def grown(self, reply: Reply) -> Message:
        """The answer so far: `begun` and the reply."""
        folds = tuple([fold for step in reply.steps for fold in folds_of(step)])
        answer = Message("assistant", reply.text, reply.thought, reply.thought_s, folds=folds)
        return answer if self.begun == NOTHING else joined([self.begun, answer])


def folds_of(step: Step) -> Iterator[tuple[str, str, float]]:
    """How a step is shown: a call with its arguments and its result as they are, which draw and load nothing."""
    if step.call is None:
        if step.thought:
            yield say("Thought"), step.thought, step.thought_s
        if step.text:
            yield say("Said before"), step.text, 0.0
        return
    name = re.sub(r"[^\w.-]", "?", step.call.name)[:64]
    title = say(Sentence("Tool {name} failed" if step.is_error else "Tool {name}", name=name))
    parts = [fenced(text) for text in (step.call.arguments, step.text) if text]
    yield title, "\n\n".join(parts), step.seconds


def fenced(text: str) -> str:
    """Text as a block of code, whatever is in it."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return f"{fence}\n{text}\n{fence}"


def chatbot_message(role: Role, text: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    """A message of the Chatbot, in the raw form that Gradio neither trims nor copies."""
    content = [{"type": "text", "text": text}]
    return {"role": role, "metadata": metadata, "content": content, "options": None}


def chatbot_messages(message: Message, is_thinking: bool = False) -> History:
    """A message as one or two of the Chatbot's: a thought is its own message, in a fold before the answer.

    The fold is open while the model `is_thinking` and has not begun to answer.
    """
    both = []
    for title, text, seconds in message.folds:
        metadata = {"title": title, "status": "done", "duration": round(seconds, 1), "id": TOOL}
        both.append(chatbot_message(message.role, text, metadata))
    if message.thought:
        is_open = is_thinking and not message.text
        title, status = (say("Thinking"), "pending") if is_open else (say("Thought"), "done")
        metadata = {"title": title, "status": status, "duration": round(message.thought_s, 1)}
        both.append(chatbot_message(message.role, message.thought, metadata))
    if message.text or not (message.thought or message.folds):
        metadata = {"pictures": [*message.images]} if message.images else {}
        metadata |= {"id": SUMMARY} if message.sums_up else {}
        both.append(chatbot_message(message.role, message.text, metadata or None))
    return both


def history_of(messages: Sequence[Message]) -> History:
    """The Chatbot's value for these messages, without anything that a browser may have added."""
    return [part for message in messages for part in chatbot_messages(message)]


def messages_of(history: Sequence[dict[str, Any]]) -> tuple[Message, ...]:
    """The Chatbot's value as messages; a thought belongs to the answer after it.

    Their images are the ids that the browser gave them, see `with_pixels`.
    """
    messages: list[Message] = []
    thought = NOTHING
    for part in history:
        role, text = ROLES[part["role"]], "".join([item.get("text", "") for item in part["content"]])
        metadata = part.get("metadata") or {}
        if role == "assistant" and metadata.get("title"):
            if metadata.get("id") == TOOL:
                fold = (str(metadata["title"]), text, float(metadata.get("duration") or 0))
                thought = replace(thought, folds=(*thought.folds, fold))
                continue
            thought = replace(thought, thought=text, thought_s=float(metadata.get("duration") or 0))
            continue
        if thought != NOTHING and role != "assistant":  # a thought that was cut off before its answer
            messages.append(thought)
            thought = NOTHING
        ids = _ids(metadata.get("pictures") or ())
        sums_up = role == "user" and metadata.get("id") == SUMMARY
        messages.append(Message(role, text, thought.thought, thought.thought_s, ids, (), "", thought.folds, sums_up))
        thought = NOTHING
    return (*messages, thought) if thought != NOTHING else tuple(messages)


def _ids(values: Sequence[Any]) -> tuple[str, ...]:
    """The ids of pictures; raises TypeError for anything else."""
    if not all(isinstance(value, str) for value in values):
        raise TypeError
    return tuple(values)


def with_pixels(messages: Sequence[Message], pictures: Any) -> list[Message]:
    """The messages with the pixels of their images; those that the browser has lost are left out."""
    urls = pictures["urls"] if pictures else {}
    return [replace(message, images=_ids([urls[id_] for id_ in message.images if id_ in urls])) for message in messages]


def joined(messages: Sequence[Message]) -> Message:
    """An answer in several messages as one."""
    thought, text = ("".join(getattr(part, name) for part in messages) for name in ("thought", "text"))
    folds = tuple(fold for part in messages for fold in part.folds)
    return Message("assistant", text, thought, sum(part.thought_s for part in messages), folds=folds)


def asked_question(box: str, pictures: Any, history: History, event: gr.EventData) -> tuple[History, Message]:
    """The conversation before the question, and the question, by the visitor's action.

    `pictures` is what the browser says of them, see `Attachments`; nothing where no script ran.
    """
    match event_data(event):
        case {"previous_value": _, "index": index, "value": str(value)}:  # edited
            index = index if isinstance(index, int) else index[0]
            return history[:index], _with_content(replace(_question_at(history, index), text=value))
        case {"value": {"text": str(text)}}:  # an example
            return history, Message("user", text)
        case {"index": _}:  # retry
            index = last_question(history)
            return history[:index], _question_at(history, index)
    return history, asked_message(box, pictures)


def asked_message(text: str, pictures: Any) -> Message:
    """What was typed, with the ids of the pictures that are attached; raises BadRequest for nothing at all."""
    return _with_content(Message("user", text, images=_ids(pictures["ids"] if pictures else ())))


def _with_content(question: Message) -> Message:
    if not question.text.strip() and not question.images:
        raise BadRequest("The message is empty: type something first.")
    return question


def _question_at(history: History, index: int) -> Message:
    return next((message for message in messages_of(history[index : index + 1])), Message("user", ""))


def edited_answer(history: History, event: gr.EventData) -> Turn | None:
    """The turn whose answer, or thought, the visitor has edited, to go on from there; None for another action."""
    match event_data(event):
        case {"previous_value": _, "index": index, "value": str(value)}:
            at = index if isinstance(index, int) else index[0]
            if history[at]["role"] != "assistant":
                return None
            first = last_question(history[:at])
            edited = {**history[at], "content": [{"type": "text", "text": value}]}
            question, *begun = messages_of([*history[first:at], edited])
            return Turn(messages_of(history[:first]), question, joined(begun))
    return None


def last_question(history: History) -> int:
    """The index of the last message of the visitor; 0 for an empty conversation."""
    return max((i for i, message in enumerate(history) if message["role"] == "user"), default=0)
