"""The line about an answer."""

from dataclasses import replace

import pytest

from streamspace.sampling import Settings
from streamspace.summary import Summary, numbers, state
from streamspace.translation import Sentence
from streamspace.types import Metrics, Reply

SETTINGS = Settings(max_tokens=9)
METRICS = Metrics(
    num_prompt_tokens=1234, num_cached_tokens=1024, num_tokens=256, queued_s=0.0, prefill_s=0.03, decode_s=1.275
)


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (Reply(place=3), "Waiting in the queue: place 3 …"),
        (Reply(is_held_up=True), "The engine is being restarted; this waits until it is back …"),
        (Reply(num_prompt_tokens=84, is_queued=True), "Waiting in the engine's queue …"),
        (Reply(num_prompt_tokens=1084), "Reading the prompt (prefill of 1,084 tokens) …"),
        (Reply(), "Waiting …"),  # one of several, before its turn
        (Reply(metrics=METRICS), ""),
        (Reply(thought="Hm"), "Thinking …"),
        (Reply("text"), ""),
        (Reply("text", "stop"), "Ended."),
        (Reply("", "stop", thought="Hm"), "Ended after the thought, without an answer."),
        (Reply("text", "stop", stop="<b>"), "Ended before the stop string '<b>'."),
        (Reply("text", "length"), "Cut off by a limit: max_tokens is 9, or the context is full."),
        (Reply("text", "length", metrics=replace(METRICS, num_tokens=9)), "Cut off by a limit: max_tokens is 9."),
        (Reply("text", "length", metrics=replace(METRICS, num_tokens=8)), "Cut off by a limit: the context is full."),
        (Reply("", "time", thought="Hm"), "Cut off inside the thought by a limit: an answer may take 300 s here."),
        (
            Reply("text", "interrupted"),
            "Interrupted: the engine stopped before the answer was complete; Continue takes it up again.",
        ),
    ],
)
def test_the_state_is_said_in_words(reply: Reply, words: str) -> None:
    assert state(reply, SETTINGS, 300) == words


def test_the_numbers_are_the_engines_and_what_was_waited() -> None:
    reply = Reply("text", ttft_s=0.0412, elapsed_s=1.32, metrics=METRICS)
    measured = "256 tokens in 1.32 s · 200 tokens/s · TTFT 41 ms"
    assert " · ".join(numbers(reply, METRICS)) == f"{measured} · prompt 1,234 tokens, 1,024 of them cached"
    waited, metrics = replace(reply, queued_s=2.0), replace(METRICS, queued_s=0.5, num_cached_tokens=0)
    assert " · ".join(numbers(waited, metrics)) == f"{measured} · queued 2.50 s · prompt 1,234 tokens"


def test_numbers_stand_for_half_a_second_and_the_last_ones_are_right() -> None:
    line = Summary(SETTINGS, 300, 2048)
    early, later, due, last = (
        line.html(Reply("text", finish_reason, elapsed_s=elapsed_s, metrics=replace(METRICS, num_tokens=num_tokens)))
        for finish_reason, elapsed_s, num_tokens in (
            (None, 0.1, 10),
            (None, 0.5, 20),
            (None, 0.7, 30),
            ("stop", 0.8, 40),
        )
    )
    assert "10 tokens" in early and early == later
    assert "30 tokens" in due and "40 tokens" in last and "Ended." in last


@pytest.mark.parametrize(
    ("is_first", "num_tokens", "is_cut"), [(True, 814, False), (True, 813, True), (False, 814, True)]
)
def test_an_answer_that_fills_the_context_alone_offers_no_continue(
    is_first: bool, num_tokens: int, is_cut: bool
) -> None:
    reply = Reply("text", "length", metrics=replace(METRICS, num_tokens=num_tokens))
    html = Summary(SETTINGS, 300, 2048, is_first=is_first).html(reply)
    assert ('<span class="cut">' in html) == is_cut


def test_what_interrupted_an_answer_is_said() -> None:
    reply = Reply("text", "interrupted", failure=Sentence("The engine could not finish this answer; try again."))
    assert state(reply, SETTINGS, 300) == "The engine could not finish this answer; try again."
    assert '<span class="cut">' in Summary(SETTINGS, 300, 2048).html(reply)


def test_an_answer_that_was_cut_can_be_told_by_its_class_and_nothing_in_the_line_is_html() -> None:
    line = Summary(SETTINGS, 300, 2048)
    assert '<span class="cut">' in line.html(Reply("text", "length"))
    assert "cut" not in line.html(Reply("text", "stop"))
    assert "&lt;b&gt;" in line.html(Reply("text", "stop", stop="<b>"))


def test_the_meter_tells_before_it_happens_that_messages_will_be_left_out() -> None:
    line = Summary(SETTINGS, 300, 2048)
    roomy = line.html(Reply("text", "stop", metrics=METRICS))
    assert "context 1,490 of 2,048 tokens <meter" in roomy and 'value="1490"' in roomy and "leave out" not in roomy
    full = line.html(Reply("text", "stop", metrics=replace(METRICS, num_tokens=806)))
    assert "context 2,040 of 2,048 tokens: the next answer will leave out the oldest messages" in full
    left_out = line.html(Reply("text", "stop", num_left_out=4, metrics=METRICS))
    assert "The oldest 4 messages were left out, because the context is full." in left_out


@pytest.mark.parametrize(("num_tokens", "is_full"), [(24, False), (25, True)])
def test_the_next_answer_needs_half_of_the_context_at_most(num_tokens: int, is_full: bool) -> None:
    metrics = replace(METRICS, num_prompt_tokens=1000, num_tokens=num_tokens)
    html = Summary(Settings(max_tokens=2000), 300, 2048).html(Reply("text", "stop", metrics=metrics))
    assert ("leave out" in html) == is_full


def test_there_is_no_meter_while_the_size_of_the_context_is_unknown() -> None:
    html = Summary(SETTINGS, 300, None).html(Reply("text", "stop", elapsed_s=1.0, metrics=METRICS))
    assert html.endswith("1,024 of them cached</span>")


@pytest.mark.parametrize(
    ("elapsed_s", "words"), [(0.8, "800 ms"), (1.0, "1.00 s"), (9.99, "9.99 s"), (10.0, "10.0 s"), (75.25, "75.2 s")]
)
def test_seconds_have_three_digits_or_a_tenth(elapsed_s: float, words: str) -> None:
    assert numbers(Reply("text", elapsed_s=elapsed_s), METRICS)[0] == f"256 tokens in {words}"


def test_an_answer_without_a_word_has_just_ended_and_nothing_was_left_out() -> None:
    assert state(Reply("", "stop"), SETTINGS, 300) == "Ended."
    assert Summary(SETTINGS, 300, None).html(Reply("", "stop")) == "<span>Ended.</span> "
