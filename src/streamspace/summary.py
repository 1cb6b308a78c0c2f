"""The summary below an answer: live, where it is; then how it ended; and what was measured. Pure."""

import html

from streamspace.sampling import Settings
from streamspace.translation import Say
from streamspace.types import Metrics, Reply

NUMBERS_S = 0.5  # how long numbers stand at least, while text comes
NEARLY_FULL = 0.8  # of the context: the meter says so by its colour
CUT = ("length", "time", "interrupted")  # ways to end after which there may be more


class Summary:
    """The summary of one answer."""

    def __init__(self, settings: Settings, max_seconds: float, max_model_len: int | None, say: Say = str) -> None:
        self._settings = settings
        self._max_seconds = max_seconds
        self._max_model_len = max_model_len  # tokens
        self._say = say
        self._numbers = ""
        self._due_s = 0.0

    def html(self, reply: Reply) -> str:
        """The summary of the answer so far. Numbers change twice a second at most, until the last ones.

        Class "cut" marks an answer that can be continued, "numbers" what was measured.
        """
        sentences = [state(reply, self._settings, self._max_seconds), reply.verdict, notice(reply)]
        words = " ".join(self._say(sentence) for sentence in sentences if sentence)
        if reply.metrics and (reply.finish_reason or reply.elapsed_s >= self._due_s):
            self._due_s = reply.elapsed_s + NUMBERS_S
            words_of_numbers = " · ".join(map(self._say, numbers(reply)))
            self._numbers = f'<span class="numbers">{words_of_numbers}{self._meter(reply.metrics)}</span>'
        cut = ' class="cut"' if reply.finish_reason in CUT else ""
        return (f"<span{cut}>{html.escape(words)}</span> " if words else "") + self._numbers

    def _meter(self, metrics: Metrics) -> str:
        """How much of the context is used; and whether the next answer will have to leave out the oldest messages."""
        if not self._max_model_len:
            return ""
        used, most = metrics.num_prompt_tokens + metrics.num_tokens, self._max_model_len
        words = f"context {used:,} of {most:,} tokens"
        if used + min(self._settings.max_tokens, most // 2) > most:
            words += ": the next answer will leave out the oldest messages"
        words = self._say(words)
        levels = f'max="{most}" high="{NEARLY_FULL * most:g}" optimum="0" value="{used}"'
        return f' · {words} <meter {levels} aria-label="{words}"></meter>'


def state(reply: Reply, settings: Settings, max_seconds: float) -> str:
    """Where the answer is, or how it ended, in words; empty while its text comes."""
    match reply.finish_reason:
        case None:
            return _on_its_way(reply)
        case "length":
            return f"Cut off{_where(reply)} by a limit: {_limit(reply, settings)}."
        case "time":
            return f"Cut off{_where(reply)} by a limit: an answer may take {max_seconds:g} s here."
        case "interrupted":
            return "Interrupted: the engine stopped before the answer was complete; Continue takes it up again."
        case _ if reply.stop is not None:
            return f"Ended before the stop string {reply.stop!r}."
    return "Ended after the thought, without an answer." if reply.thought and not reply.text else "Ended."


def numbers(reply: Reply) -> list[str]:
    """What was measured of an answer with metrics: tokens, seconds, tokens/s, TTFT, waiting and prompt."""
    metrics, parts = reply.metrics, []
    assert metrics is not None
    parts.append(f"{metrics.num_tokens:,} tokens in {_seconds(reply.elapsed_s)}")
    if metrics.tokens_per_s:
        parts.append(f"{metrics.tokens_per_s:,.0f} tokens/s")
    if reply.ttft_s is not None:
        parts.append(f"TTFT {_seconds(reply.ttft_s)}")
    if (queued_s := reply.queued_s + metrics.queued_s) >= 0.1:
        parts.append(f"queued {_seconds(queued_s)}")
    cached = f", {metrics.num_cached_tokens:,} of them cached" if metrics.num_cached_tokens else ""
    parts.append(f"prompt {metrics.num_prompt_tokens:,} tokens{cached}")
    return parts


def notice(reply: Reply) -> str:
    """A sentence if the context had no room for all of the conversation, else nothing."""
    if not reply.num_left_out:
        return ""
    return f"The oldest {reply.num_left_out} messages were left out, because the context is full."


def _on_its_way(reply: Reply) -> str:
    if reply.place:
        return f"Waiting in the queue: place {reply.place} …"
    if reply.is_held_up:
        return "The engine is being restarted; this waits until it is back …"
    if reply.is_queued:
        return "Waiting in the engine's queue …"
    if reply.text:
        return ""
    if reply.thought:
        return "Thinking …"
    if reply.num_prompt_tokens:
        return f"Reading the prompt (prefill of {reply.num_prompt_tokens:,} tokens) …"
    return "" if reply.metrics else "Waiting …"


def _where(reply: Reply) -> str:
    return " inside the thought" if reply.thought and not reply.text else ""


def _limit(reply: Reply, settings: Settings) -> str:
    if reply.metrics is None:
        return f"max_tokens is {settings.max_tokens}, or the context is full"
    return (
        f"max_tokens is {settings.max_tokens}"
        if reply.metrics.num_tokens >= settings.max_tokens
        else "the context is full"
    )


def _seconds(seconds: float) -> str:
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    return f"{seconds:.2f} s" if seconds < 10 else f"{seconds:.1f} s"
