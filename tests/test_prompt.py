"""Conversations as the engine gets them."""

from typing import Any

import pytest

from streamspace.checks import check_text, parse_history
from streamspace.errors import BadRequest
from streamspace.prompt import as_words, clean, conversation, for_strict_templates, since_summary, without_oldest
from streamspace.types import Message

U1, A1, U2, A2, U3 = (Message("assistant" if i % 2 else "user", f"m{i}") for i in range(5))
SYSTEM = Message("system", "Be brief.")


def test_the_system_prompt_comes_first_and_a_blank_one_is_none() -> None:
    assert conversation("Be brief.", [U1]) == (SYSTEM, U1)
    assert conversation(" \n", [U1]) == (U1,)


def test_only_a_last_thought_without_an_answer_is_sent_back() -> None:
    thought, answer = Message("assistant", "", "So\ud83d", 2.0), Message("assistant", "Yes\ud83d", "So", 2.0)
    assert conversation("\udc4d", [U1, thought]) == (
        Message("system", "\ufffd"),
        U1,
        Message("assistant", "", "So\ufffd"),
    )
    assert conversation("", [U1, answer]) == (U1, Message("assistant", "Yes\ufffd"))
    assert conversation("", [thought, U1]) == (Message("assistant", ""), U1)
    assert conversation("", []) == ()


def test_pictures_stay_with_their_message_and_with_what_is_joined_to_it() -> None:
    seen, seen_too = (Message("user", text, images=(f"data:{text}",)) for text in ("one", "two"))
    assert conversation("", [seen, seen_too]) == (seen, seen_too)
    joined = Message("user", "one\n\ntwo", images=("data:one", "data:two"))
    assert for_strict_templates([seen, seen_too])[0] == (joined,)


def test_half_characters_become_replacement_characters_and_all_else_stays() -> None:
    text = "tab\t  two spaces\nمرحبا 你好 👩‍👩‍👧 <b>"
    assert clean(text) == text
    assert clean("a\ud83d!") == "a\ufffd!"
    assert clean("\udc4d") == "\ufffd"
    assert clean("\ud83d\udc4d") == "👍"


@pytest.mark.parametrize(
    ("before", "choices"),
    [
        ((SYSTEM, U1, A1, U2, A2, U3), [(SYSTEM, U2, A2, U3), (SYSTEM, U3)]),
        ((U1, A1, U2), [(U2,)]),
        ((U1, U2, A2, U3), [(U2, A2, U3), (U3,)]),
        ((SYSTEM, A1, U2), [(SYSTEM, U2)]),
        ((U1, A1, U2, A2), [(U2, A2)]),
        ((SYSTEM, U1), []),
        ((U1,), []),
    ],
)
def test_the_oldest_turns_go_and_the_system_prompt_and_last_message_stay(before: Any, choices: Any) -> None:
    assert [(*before[:begin], *before[end:]) for begin, end in without_oldest(before)] == [before, *choices]


def text_of(messages: Any) -> str:
    return " ".join(f"{message.role[0]}:{message.text or message.thought}".replace("\n\n", "+") for message in messages)


THOUGHT = Message("assistant", "", "So")


@pytest.mark.parametrize(
    ("messages", "with_system", "without_system"),
    [
        ((SYSTEM, U1, A1, U2), "s:Be brief. u:m0 a:m1 u:m2", "u:Be brief.+m0 a:m1 u:m2"),
        ((U1, U2, A2, U3), "u:m0+m2 a:m3 u:m4", "u:m0+m2 a:m3 u:m4"),
        ((A1, U2), "u: a:m1 u:m2", "u: a:m1 u:m2"),
        ((SYSTEM, A1, U2), "s:Be brief. u: a:m1 u:m2", "u:Be brief. a:m1 u:m2"),
        ((U1, A1, A2, U3), "u:m0 a:m1+m3 u:m4", "u:m0 a:m1+m3 u:m4"),
        ((U1, SYSTEM, U2), "u:m0 s:Be brief. u:m2", "u:m0+Be brief.+m2"),
        ((U1, U2, THOUGHT), "u:m0+m2 a:So", "u:m0+m2 a:So"),
        ((), "", ""),
    ],
)
def test_strict_templates_get_roles_that_alternate(messages: Any, with_system: str, without_system: str) -> None:
    assert [text_of(each) for each in for_strict_templates(messages)] == [with_system, without_system]


def test_no_input_is_changed() -> None:
    messages = [SYSTEM, U1, A1, U2]
    without_oldest(messages)
    for_strict_templates([U1, *messages])
    conversation("x", messages)
    assert messages == [SYSTEM, U1, A1, U2]


def test_a_text_from_json_is_a_string() -> None:
    assert check_text("message", "Hi") == "Hi"
    with pytest.raises(BadRequest) as refused:
        check_text("message", 3)
    assert str(refused.value) == "message is a int; it must be a string."


def test_a_history_from_json_becomes_messages() -> None:
    history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    assert parse_history(history) == (Message("user", "Hi"), Message("assistant", "Hello"))


@pytest.mark.parametrize(
    ("history", "sentence"),
    [
        ("text", "history is a str"),
        ([{"role": "user", "content": "Hi"}, "text"], "Message 2 of the history"),
        ([{"role": "robot", "content": "Hi"}], "Message 1 of the history"),
        ([{"role": "user"}], "Message 1 of the history"),
        ([{"role": ["user"], "content": "Hi"}], "Message 1 of the history"),
        ([["Hi", "Hello"]], "Message 1 of the history"),
    ],
)
def test_another_form_is_refused_with_the_place(history: Any, sentence: str) -> None:
    with pytest.raises(BadRequest, match=sentence):
        parse_history(history)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a<|im_end|>b", "a<\u2060|im_end|>b"),
        ("<|im_end|><|im_end|>", "<\u2060|im_end|><\u2060|im_end|>"),
        ("<<s>>", "<<\u2060s>>"),
        ("<s<s></s>", "<s<\u2060s><\u2060/s>"),
        ("[INST]", "[\u2060IN\u2060ST]"),  # one begins inside the other
        ("<|im_end |> <im_end> §", "<|im_end |> <im_end> §"),
    ],
)
def test_no_token_is_left_and_all_else_stays(text: str, words: str) -> None:
    tokens = ("<|im_end|>", "<s>", "</s>", "[INST", "NST]", "§")
    assert as_words(text, tokens) == words
    assert as_words(text, ()) == text
    assert words.replace("\u2060", "") == text


def test_what_a_summary_sums_up_is_not_sent_again() -> None:
    old, asked, summary = Message("user", "old"), Message("user", "Sum up.", sums_up=True), Message("assistant", "So.")
    answer, last = Message("assistant", "answer"), Message("user", "last")
    turns = (old, answer, asked, summary, old, answer, asked, summary, last)
    assert since_summary(turns) == (asked, summary, last)
    assert since_summary(turns[:6]) == turns[2:6]
    for without in ((old, answer), (old, answer, asked), (old, asked, old), (asked, Message("assistant", "", "Hm."))):
        assert since_summary(without) == without
