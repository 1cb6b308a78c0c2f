"""The summary below an answer: its progress or how it ended, and what was measured. Pure."""

import html

from streamspace.sampling import Settings
from streamspace.translation import Say, Sentence
from streamspace.types import Metrics, Reply

NUMBERS_S = 0.5  # the shortest time between two changes of the numbers, while text comes
NEARLY_FULL = 0.8  # of the context: the meter changes its colour here
CUT = ("length", "time", "interrupted")  # finish reasons of an answer that can be continued


class Summary:
    """The summary of one answer."""

    def __init__(
        self, settings: Settings, max_seconds: float, max_model_len: int | None, say: Say = str, is_first: bool = False
    ) -> None:
        self._settings = settings
        self._max_seconds = max_seconds
        self._max_model_len = max_model_len  # tokens
        self._is_first = is_first  # there are no older turns that a full context could leave out
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
            measured = " · ".join(map(self._say, numbers(reply, reply.metrics)))
            self._numbers = f'<span class="numbers">{measured}{self._meter(reply.metrics)}</span>'
        cut = ' class="cut"' if reply.finish_reason in CUT and not self._fills_context(reply) else ""
        return (f"<span{cut}>{html.escape(words)}</span> " if words else "") + self._numbers

    def _fills_context(self, reply: Reply) -> bool:
        """Whether this turn alone fills the context, so that Continue would only be refused."""
        metrics, most = reply.metrics, self._max_model_len
        used = metrics.num_prompt_tokens + metrics.num_tokens if metrics else 0
        return self._is_first and most is not None and used >= most

    def _meter(self, metrics: Metrics) -> str:
        """How much of the context is used, and whether the next answer will leave out the oldest messages."""
        if not self._max_model_len:
            return ""
        used, most = metrics.num_prompt_tokens + metrics.num_tokens, self._max_model_len
        meter, full = Sentence("context {used:,} of {most:,} tokens", used=used, most=most), ""
        if used + min(self._settings.max_tokens, most // 2) > most:
            meter = Sentence("{meter}: the next answer will leave out the oldest messages", meter=meter)
            full = ' class="full"'
        words = self._say(meter)
        levels = f'max="{most}" high="{NEARLY_FULL * most:g}" optimum="0" value="{used}"'
        return f' · {words} <meter{full} {levels} aria-label="{words}"></meter>'


def state(reply: Reply, settings: Settings, max_seconds: float) -> str:
    """The answer's progress, or how it ended, in words; empty while its text comes."""
    match reply.finish_reason:
        case None:
            return _on_its_way(reply)
        case "length":
            return _cut_off(reply, _limit(reply, settings))
        case "time":
            return _cut_off(reply, Sentence("an answer may take {seconds:g} s here", seconds=max_seconds))
        case "interrupted" if reply.failure:
            return reply.failure
        case "interrupted":
            words = "Interrupted: the engine stopped before the answer was complete; Continue takes it up again."
            return Sentence(words)
        case _ if reply.stop is not None:
            return Sentence("Ended before the stop string {stop!r}.", stop=reply.stop)
        case _ if reply.thought and not reply.text:
            return Sentence("Ended after the thought, without an answer.")
    return Sentence("Ended.")


def numbers(reply: Reply, metrics: Metrics) -> list[Sentence]:
    """What was measured of an answer: tokens, seconds, tokens/s, TTFT, waiting and prompt."""
    parts = [
        Sentence(
            "{number:,} {number:|token|tokens} in {time}", number=metrics.num_tokens, time=_seconds(reply.elapsed_s)
        )
    ]
    if metrics.tokens_per_s:
        parts.append(Sentence("{rate:,.0f} tokens/s", rate=metrics.tokens_per_s))
    if reply.ttft_s is not None:
        parts.append(Sentence("TTFT {time}", time=_seconds(reply.ttft_s)))
    if (queued_s := reply.queued_s + metrics.queued_s) >= 0.1:
        parts.append(Sentence("queued {time}", time=_seconds(queued_s)))
    number, cached = metrics.num_prompt_tokens, metrics.num_cached_tokens
    prompt = Sentence("prompt {number:,} {number:|token|tokens}", number=number)
    if cached:
        prompt = Sentence("prompt {number:,} tokens, {cached:,} of them cached", number=number, cached=cached)
    return [*parts, prompt]


def notice(reply: Reply) -> str:
    """A sentence if the context had no room for all of the conversation, else nothing."""
    template = "The oldest {number} {number:|message was|messages were} left out, because the context is full."
    return Sentence(template, number=reply.num_left_out) if reply.num_left_out else ""


def _on_its_way(reply: Reply) -> str:
    if reply.place:
        return Sentence("Waiting in the queue: place {place} …", place=reply.place)
    if reply.is_held_up:
        return Sentence("The engine is being restarted; this waits until it is back …")
    if reply.is_queued:
        return Sentence("Waiting in the engine's queue …")
    if reply.text:
        return ""
    if reply.thought:
        return Sentence("Thinking …")
    if reply.num_prompt_tokens:
        return Sentence(
            "Reading the prompt (prefill of {number:,} {number:|token|tokens}) …", number=reply.num_prompt_tokens
        )
    return "" if reply.metrics else Sentence("Waiting …")


def _cut_off(reply: Reply, limit: Sentence) -> Sentence:
    if reply.thought and not reply.text:
        return Sentence("Cut off inside the thought by a limit: {limit}.", limit=limit)
    return Sentence("Cut off by a limit: {limit}.", limit=limit)


def _limit(reply: Reply, settings: Settings) -> Sentence:
    if reply.metrics is None:
        return Sentence("max_tokens is {number}, or the context is full", number=settings.max_tokens)
    if reply.metrics.num_tokens >= settings.max_tokens:
        return Sentence("max_tokens is {number}", number=settings.max_tokens)
    return Sentence("the context is full")


def _seconds(seconds: float) -> Sentence:
    if seconds < 1:
        return Sentence("{number:.0f} ms", number=1000 * seconds)
    return Sentence("{number:.2f} s" if seconds < 10 else "{number:.1f} s", number=seconds)
