"""What is said to visitors, in their language."""

import re
from dataclasses import replace

import pytest

from streamspace import errors
from streamspace.sampling import Settings, check_settings
from streamspace.summary import NUMBERS_S, Summary
from streamspace.translation import catalog, language_of, say_in
from streamspace.types import Metrics, Reply

say = say_in("zh")


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("zh-CN,zh;q=0.9,en;q=0.8", "zh"),
        ("zh", "zh"),
        ("de-DE,de;q=0.9,zh;q=0.8,en;q=0.7", "zh"),
        ("en-US,en;q=0.9,zh;q=0.8", "en"),
        ("fr", "en"),
        ("*", "en"),
        ("", "en"),
    ],
)
def test_the_language_is_the_first_of_the_browsers_that_is_spoken(header: str, language: str) -> None:
    assert language_of(header) == language


def test_values_are_kept_and_sentences_within_sentences_are_said_too() -> None:
    assert say("Send") == "发送"
    assert say("Waiting in the queue: place 3 …") == "排队中：第 3 位……"
    assert say("Cut off by a limit: max_tokens is 9.") == "因限制而截断：max_tokens 为 9。"
    assert say("nobody's sentence") == "nobody's sentence"
    assert say_in("en")("Send") == "Send"
    long = "Ended before the stop string " + "x" * 10_000 + "."
    assert say(long) == long


def test_a_text_between_braces_is_no_template() -> None:
    assert say("Ended before the stop string '{limit} \\1'.") == "在停止字符串 '{limit} \\1' 之前结束。"


def test_every_translation_uses_the_names_of_its_sentence() -> None:
    names = re.compile(r"\{\w+\}")
    for english, chinese in catalog("zh").items():
        assert sorted(set(names.findall(english))) == sorted(set(names.findall(chinese))), english


CHAT_ERRORS = [
    errors.TooManyRequests(30, 12.4),
    errors.TooManyAnswers(1),
    errors.TooManyAnswers(3),
    errors.QueueFull(256),
    errors.PromptTooLong(2048),
    errors.PromptTooLong(2048, 3000),
    errors.EngineNotReady("Warming up"),
    errors.EngineRestarting(),
    errors.EngineStopped(),
    errors.RequestFailed(),
]


@pytest.mark.parametrize("error", CHAT_ERRORS, ids=lambda error: type(error).__name__)
def test_what_a_visitor_is_refused_with_is_chinese_to_a_chinese_reader(error: errors.ChatError) -> None:
    said = say(str(error))
    assert not re.search(r"[A-Za-z]{3,}", said.replace("token", "")), said


def test_a_bad_setting_is_refused_in_the_same_language() -> None:
    with pytest.raises(errors.BadRequest) as refused:
        check_settings({"top_k": 2.5}, Settings(), 100)
    assert say(str(refused.value)) == "top_k 为 2.5；应为 0 到 1000 之间的整数。"


def test_the_whole_line_is_said() -> None:
    metrics = Metrics(84, 64, 256, queued_s=0.5, prefill_s=0.02, decode_s=1.0)
    reply = Reply("text", "length", num_left_out=2, ttft_s=0.04, elapsed_s=1.3, metrics=metrics)
    for one in (reply, replace(reply, finish_reason=None, elapsed_s=2 + NUMBERS_S)):
        html = Summary(Settings(), 300, 2048, say).html(one)
        words = re.sub(r"<[^>]*>", "", html)
        assert not re.search(
            r"[A-Za-z]{3,}", words.replace("token", "").replace("max_tokens", "").replace("max_s", "")
        ), words
