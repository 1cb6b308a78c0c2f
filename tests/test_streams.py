"""Streams on the wire: what goes over the two routes of Gradio's protocol, from the page on a scripted engine."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain
from typing import Any

import gradio as gr
import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from streamspace import connections, faults, frames
from streamspace.errors import EngineStopped
from streamspace.types import Delta
from streamspace.ui import build_demo
from streamspace.ui.gradio_ import streams
from streamspace.ui.gradio_.endpoints import complete_arguments
from streamspace.ui.parts.history import History, chatbot_message
from tests.fake import FakePageEngine, apart, deltas
from tests.inputs import CHAT, COMPLETION, call_values, page_values
from tests.support import AT_ONCE_S, admission_of, served, wait_until
from tests.wire import (
    ASK,
    LONG,
    Site,
    Stream,
    Tab,
    added_up,
    completed,
    generating,
    kinds,
    served_site,
)


@pytest.fixture(autouse=True)
def prompt_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Streams that close with their last event, so that no test waits for it."""
    monkeypatch.setattr(streams, "LINGER_S", 0.01)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames as fast as they come."""
    monkeypatch.setattr(frames, "FRAME_S", 0.0)
    monkeypatch.setattr(frames, "TICK_S", 1e-6)
    monkeypatch.setattr(frames, "CHAR_S", 0.0)
    monkeypatch.setattr(frames, "FRAME_COST_S", 0.0)


def text_of(live: History) -> str:
    """The answer in the chat's third output."""
    return str(live[1]["content"][0]["text"]) if len(live) > 1 else ""


TEXTS = {
    "plain": "Once |upon |a time.",
    "code": "Look:\n\n```|python\nif a <| b:\n\treturn '&lt|;b>'\n``|`\n\nDone.",
    "html": "A <|b>tag</|b>, &am|p; and <script|>alert(1)</script>",
    "code that was none": "a `<b|>` and `<|i> &|amp; more",
    "emoji": "👩|\u200d👩|\u200d👧 🇨|🇳 👍|🏽",
    "combining": "e|\u0301 a|\u0308 |\u200b|\ufeff مرحبا| שלום",
    "line ends": "a\r|\nb\r\n|\tc\t\t|\n\n\n|   d  ",
    "empty deltas": "|a||b|",
    "nothing": "",
    "many": "|".join(f"{n} " for n in range(300)),
}


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("merged", [False, True], ids=["each", "merged"])
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_the_frames_add_up_to_the_completed_value(
    tab: Tab, text: str, merged: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_WAITING", 2 if merged else 1000)
    tab.site.engine.script = deltas(text)
    messages = tab.answer()
    values = added_up(messages)
    end = completed(messages)
    assert end["success"] is True
    assert values[0][0] == "" and {str(value[1]) for value in values} == {str(streams.UNCHANGED)}
    if not merged:
        assert len(values) > len([part for part in text.split("|") if part])
    # What completes is the last frame, whole.
    assert end["output"]["data"] == values[-1]
    assert end["output"]["data"][2] == [
        chatbot_message("user", "Hi"),
        chatbot_message("assistant", text.replace("|", "")),
    ]
    assert kinds(messages)[0] == "process_starts" and kinds(messages)[-2:] == ["process_completed", "close_stream"]


def test_every_prefix_is_a_frame_at_an_even_pace(tab: Tab) -> None:
    tab.site.engine.script = apart(deltas("a|b|c"))
    seen = [text_of(values[2]) for values in added_up(tab.answer())]
    assert seen == ["", "a", "ab", "abc"]


@pytest.mark.usefixtures("quick")
def test_a_slow_reader_gets_fewer_frames_and_the_whole_text(tab: Tab) -> None:
    parts = [f"{n:05}" * 20_000 for n in range(150)]  # more than the sockets between hold
    tab.site.engine.script = deltas("|".join(parts))
    tab.complete()
    stream = tab.stream(receive_bytes=4096)
    most = 0

    def seen() -> bool:
        nonlocal most
        most = max(most, tab.site.num_waiting(tab.session))
        return bool(tab.site.engine.num_started) and not tab.site.engine.num_running

    wait_until(seen, what="the end of the answer")
    most = max(most, tab.site.num_waiting(tab.session))
    assert streams.MOST_WAITING <= most <= streams.MOST_WAITING + 2  # the last frame, and the end
    messages = list(stream)
    assert len(generating(messages)) < len(parts) / 2
    assert completed(messages)["output"]["data"] == ["".join(parts)]
    assert added_up(messages)[-1] == ["".join(parts)]


@pytest.mark.usefixtures("quick")
def test_the_first_frame_is_never_merged(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    """It alone empties the box, and takes away what is answered again."""
    monkeypatch.setattr(streams, "MOST_WAITING", 1)
    tab.site.engine.script = [*deltas("a|b|c|d")]
    tab.ask()
    wait_until(lambda: tab.site.engine.num_started and not tab.site.engine.num_running, what="the answer")
    messages = list(tab.stream())
    assert generating(messages)[0]["output"]["data"][0] == ""
    assert text_of(completed(messages)["output"]["data"][2]) == "abcd"


def test_what_came_before_a_failure_is_sent_before_it(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_WAITING", 2)  # so that the last text could not be sent when it came
    monkeypatch.setattr(faults, "EVERY_S", 0.0)  # another test looks for the next traceback
    tab.site.engine.script = [Delta("so "), Delta("far"), ZeroDivisionError()]
    tab.ask()
    wait_until(lambda: tab.site.engine.num_started and not tab.site.engine.num_running, what="the failure")
    messages = list(tab.stream())
    assert text_of(added_up(messages)[-1][2]) == "so far"
    end = completed(messages)
    assert end["success"] is False and "data" not in end["output"]
    assert end["output"] == {"error": None}


def test_an_answer_that_the_engine_breaks_off_is_whole_so_far_and_marked(tab: Tab) -> None:
    tab.site.engine.script = [Delta("so "), Delta("far"), EngineStopped()]
    end = completed(tab.answer())
    assert end["success"] is True
    live, note = end["output"]["data"][2:4]
    assert text_of(live) == "so far" and "Interrupted" in note and 'class="cut"' in note


def test_an_answer_that_takes_too_long_is_cut_with_the_limit_and_can_be_continued(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tab.site.engine, "max_seconds", 0.2)
    tab.site.engine.script = [Delta("so far"), LONG]
    live, note = completed(tab.answer())["output"]["data"][2:4]
    assert text_of(live) == "so far" and "an answer may take 0.2 s here" in note and 'class="cut"' in note


def test_an_error_of_ours_that_nobody_foresaw_shows_nothing_of_itself(
    tab: Tab, caplog: pytest.LogCaptureFixture
) -> None:
    tab.site.engine.script = [Delta("so far"), RuntimeError("the secret of /etc/passwd")]
    messages = tab.answer()
    assert text_of(added_up(messages)[-1][2]) == "so far"
    end = completed(messages)
    assert end["success"] is False and end["output"] == {"error": None}
    assert "secret" not in json.dumps(messages) and "Traceback" not in json.dumps(messages)
    assert "the secret" in caplog.text  # the operator is told


def test_a_refusal_changes_nothing_on_the_page(tab: Tab, caplog: pytest.LogCaptureFixture) -> None:
    messages = tab.answer("   ", history=[chatbot_message("user", "before")])
    assert kinds(messages) == ["process_starts", "process_completed", "close_stream"]
    end = completed(messages)
    assert end["success"] is False and end["output"]["error"] == "The message is empty: type something first."
    assert not caplog.records


@pytest.mark.parametrize("reset", [True, False], ids=["RST", "FIN"])
@pytest.mark.parametrize("begun", [True, False], ids=["in mid-answer", "before the first token"])
def test_leaving_closes_the_run_at_once(tab: Tab, reset: bool, begun: bool) -> None:
    tab.site.engine.script = [*([Delta("a")] if begun else []), LONG]
    tab.ask()
    stream = tab.stream()
    messages = iter(stream)
    next(message for message in messages if message["msg"] == "process_generating")
    if begun:
        next(message for message in messages if '"a"' in json.dumps(message))
    stream.close(reset)
    wait_until(lambda: tab.site.engine.num_closed_early == 1, AT_ONCE_S, "the close")


def test_a_visitor_who_never_reads_loses_its_run(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "READER_S", 0.1)
    tab.site.engine.script = [Delta("a"), LONG]
    tab.ask()
    wait_until(lambda: tab.site.engine.num_closed_early == 1, AT_ONCE_S, "the close")


@pytest.mark.usefixtures("quick")
def test_a_reader_who_takes_nothing_any_more_loses_its_run_and_is_told(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "READER_S", 0.5)
    part = "x" * 1_000_000  # which fills the sockets between at once
    tab.site.engine.script = [step for _ in range(100) for step in (Delta(part), 0.05)]
    tab.complete()
    stream = tab.stream(receive_bytes=4096)
    wait_until(lambda: tab.site.engine.num_closed_early == 1, AT_ONCE_S, "the close")
    messages = list(stream)
    assert completed(messages)["output"]["error"].startswith("The answer was ended, because nothing of it was read")
    assert part in added_up(messages)[-1][0]


@pytest.mark.usefixtures("quick")
def test_a_reader_whose_machine_takes_nothing_any_more_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    """Long before the buffers on the way are full, which is all that the server itself can see."""
    monkeypatch.setattr(connections, "GONE_S", 1)
    engine = FakePageEngine([step for _ in range(2000) for step in (Delta("a word "), 0.005)])
    with served_site(engine) as site:
        reader = Tab(site)
        reader.ask()
        stream = reader.stream(receive_bytes=4096)
        wait_until(lambda: engine.num_closed_early == 1, AT_ONCE_S, "the cut")
        assert engine.num_running == 0
        stream.close()


@pytest.mark.parametrize("reset", [False, True])
def test_a_reader_whose_own_body_never_ends_reads_and_is_missed(tab: Tab, reset: bool) -> None:
    tab.site.engine.script = [Delta("a"), 0.3, Delta("b"), LONG]
    tab.ask()
    stream = tab.stream(headers="Content-Length: 100000\r\n")
    stream.socket.sendall(b"{")
    messages = iter(stream)
    next(message for message in messages if message["msg"] == "process_generating")
    stream.socket.sendall(b"{" * 50_000)
    next(message for message in messages if '"b"' in json.dumps(message))
    stream.close(reset)
    wait_until(lambda: tab.site.engine.num_closed_early == 1, 2, "the close")


def test_a_reader_has_all_the_time(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "READER_S", 0.2)
    tab.site.engine.script = [Delta("a"), 0.3, *deltas("b|c")]
    assert text_of(completed(tab.answer())["output"]["data"][2]) == "abc"


def test_a_reader_who_comes_a_little_later_misses_nothing(tab: Tab) -> None:
    tab.site.engine.script = deltas("a|b|c")
    tab.ask()
    wait_until(lambda: tab.site.engine.num_started and not tab.site.engine.num_running, what="the answer")
    messages = list(tab.stream())
    assert text_of(completed(messages)["output"]["data"][2]) == "abc" and kinds(messages)[0] == "process_starts"


@pytest.mark.parametrize("way", ["served", "left", "never read", "never read to its end"])
def test_nothing_is_remembered_of_a_visitor(tab: Tab, way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    tab.site.engine.script = [Delta("a"), LONG] if way in ("left", "never read") else deltas("a")
    reads = way in ("served", "left")
    if not reads:
        monkeypatch.setattr(streams, "READER_S", 0.1)
    tab.ask()
    if reads:
        stream = tab.stream()
        messages = iter(stream)
        next(messages)
        list(messages) if way == "served" else stream.close(reset=True)
    wait_until(lambda: not tab.site.remembers(tab.session), AT_ONCE_S, "forgetting")


def test_a_visitor_who_lost_the_connection_can_go_on(tab: Tab) -> None:
    tab.site.engine.script = [Delta("a"), LONG]
    tab.ask()
    stream = tab.stream()
    next(iter(stream))
    stream.close(reset=True)
    wait_until(lambda: tab.site.engine.num_closed_early == 1, AT_ONCE_S, "the close")
    tab.site.engine.script = deltas("b")
    messages = tab.answer()
    assert text_of(completed(messages)["output"]["data"][2]) == "b" and kinds(messages)[-1] == "close_stream"


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("goes", [True, False], ids=["the older one goes", "the older one stays silent"])
def test_a_newer_reader_takes_over_and_the_end_of_the_older_one_ends_nothing(tab: Tab, goes: bool) -> None:
    tab.site.engine.script = [Delta("a"), 0.4, Delta("b"), 0.4, Delta("c", "stop")]
    tab.ask()
    older = tab.stream()
    next(message for message in older if '"a"' in json.dumps(message))
    newer = iter(tab.stream())
    seen = [next(message) for message in [newer] * 2]
    if goes:
        older.close(reset=True)
    seen += newer
    assert kinds(seen)[0] == "process_starts" and kinds(seen)[-2:] == ["process_completed", "close_stream"]
    values = added_up(seen)
    assert values[0][0] == ""  # the first frame, which empties the box, is sent anew
    assert values[-1] == completed(seen)["output"]["data"] and text_of(values[-1][2]) == "abc"
    assert tab.site.engine.num_closed_early == 0


def test_the_older_of_two_readers_is_told_that_its_stream_is_closed(tab: Tab) -> None:
    tab.site.engine.script = [Delta("a"), 0.3, Delta("b", "stop")]
    tab.ask()
    older = iter(tab.stream())
    next(older)
    newer = tab.stream()
    assert kinds(list(older))[-1] == "close_stream"
    assert text_of(completed(list(newer))["output"]["data"][2]) == "ab"


def test_an_event_that_ends_at_once_reaches_the_newer_reader_too(tab: Tab) -> None:
    """The older one, whose machine is gone, takes all of it before the newer one comes."""
    tab.site.engine.script = [Delta("a"), 0.5, Delta("b", "stop")]
    first = tab.ask()
    older = tab.stream()
    next(iter(older))
    refused = tab.ask("   ")
    next(message for message in older if message["msg"] == "process_completed")
    messages = list(tab.stream())
    assert completed(messages, refused)["output"]["error"].startswith("The message is empty")
    assert text_of(completed(messages, first)["output"]["data"][2]) == "ab"


def test_a_loss_that_is_noticed_late_ends_what_was_read_and_not_what_was_asked_since(tab: Tab) -> None:
    tab.site.engine.script = [Delta("a"), LONG]
    tab.ask()
    older = tab.stream()
    next(message for message in older if '"a"' in json.dumps(message))
    tab.site.engine.script = [Delta("so "), 0.3, Delta("on", "stop")]
    asked_since = tab.complete()
    older.close(reset=True)
    wait_until(lambda: tab.site.engine.num_closed_early == 1, AT_ONCE_S, "the close of the first")
    messages = list(tab.stream())
    assert completed(messages, asked_since)["output"]["data"] == ["so on"]
    assert kinds(messages)[-1] == "close_stream" and tab.site.engine.num_closed_early == 1


def test_what_was_asked_since_is_released_if_nobody_comes_for_it(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "AGAIN_S", 0.5)
    monkeypatch.setattr(streams, "READER_S", 1.0)
    tab.site.engine.script = [Delta("a"), LONG]
    tab.ask()
    older = tab.stream()
    next(iter(older))
    tab.complete()
    older.close(reset=True)
    wait_until(lambda: tab.site.engine.num_closed_early == 2, AT_ONCE_S, "the release of both")
    wait_until(lambda: not tab.site.remembers(tab.session), AT_ONCE_S, "forgetting")


def test_cancel_ends_the_run_and_the_stream(tab: Tab) -> None:
    tab.site.engine.script = [Delta("a"), LONG]
    event_id = tab.ask()
    messages = iter(tab.stream())
    next(message for message in messages if message["msg"] == "process_generating")
    wanted = {"session_hash": tab.session, "fn_index": tab.site.number(ASK), "event_id": event_id}
    status, _, _ = tab.post("cancel", json.dumps(wanted).encode())
    assert status == 200 and tab.site.engine.num_closed_early == 1
    rest = list(messages)
    assert kinds(rest)[-2:] == ["process_completed", "close_stream"] and completed(rest)["success"] is True


def test_two_events_share_one_stream_that_closes_after_both(tab: Tab) -> None:
    *begin, end = deltas("a|b|c|d|e")
    tab.site.engine.script = [*begin, 2.0, end]  # while the second is asked for and answered
    first = tab.ask()
    messages = iter(tab.stream())
    seen = [next(messages)]
    wait_until(lambda: tab.site.engine.num_started, what="the first answer's beginning")
    tab.site.engine.script = deltas("f")
    second = tab.complete()
    seen += messages
    assert [message["event_id"] for message in seen if message["msg"] == "process_completed"] == [second, first]
    assert text_of(completed(seen, first)["output"]["data"][2]) == "abcde"
    assert completed(seen, second)["output"]["data"] == ["f"]
    assert kinds(seen).count("close_stream") == 1


@pytest.fixture
def mixed() -> Iterator[Tab]:
    """A session at a page with an event that Gradio runs itself."""

    def plain(text: str) -> str:
        return text[::-1]

    engine = FakePageEngine()
    demo = build_demo(engine, admission_of(engine))
    with demo:
        gr.api(plain, api_name="plain")
    with served(engine, demo) as url:
        yield Tab(Site(url, engine, demo))


@pytest.mark.parametrize("text", ["a|b|c|d|e|f", "a"], ids=["ours ends last", "Gradio's ends last"])
def test_an_event_of_gradios_own_shares_the_stream(mixed: Tab, text: str) -> None:
    mixed.site.engine.script = deltas(text)
    ours, gradios = mixed.ask(), mixed.join("plain", ["Hi"])
    messages = list(mixed.stream())
    whole = text.replace("|", "")
    assert text_of(completed(messages, ours)["output"]["data"][2]) == whole
    assert completed(messages, gradios)["output"]["data"] == ["iH"]
    assert kinds(messages).count("close_stream") == 1 and kinds(messages)[-1] == "close_stream"


def test_an_event_of_gradios_own_is_served_alone(mixed: Tab) -> None:
    mixed.join("plain", ["Hi"])
    assert completed(list(mixed.stream()))["output"]["data"] == ["iH"]
    assert Stream(mixed.site, mixed.call("plain", data=["Hi"])).read()[-1] == ("complete", ["iH"])


# Calls by plain HTTP


@pytest.mark.parametrize("path", ["complete", "v2/complete"])
def test_a_call_gives_the_text_so_far_under_names_of_events(tab: Tab, path: str) -> None:
    tab.site.engine.script = apart(deltas("a|b|c"))
    by_name = {"prompt": "Hi", "temperature": 0.5} if path.startswith("v2/") else {}
    events = Stream(tab.site, tab.call(path, **by_name)).read()
    frames = [("generating", [text]) for text in ("a", "ab", "abc")]
    assert [event for event in events if event[1] != [""]] == [*frames, ("complete", ["abc"])]
    assert tab.site.engine.settings[-1].temperature == (0.5 if by_name else 0.8)


def test_a_call_that_fails_ends_with_the_text_so_far_and_the_error(tab: Tab) -> None:
    tab.site.engine.script = [Delta("so far"), EngineStopped()]
    *_, generated, (name, data) = Stream(tab.site, tab.call()).read()
    assert generated == ("generating", ["so far"])
    assert name == "error" and data["error"].startswith("The engine stopped before the answer was complete")


def test_a_call_is_ended_when_its_reader_goes(tab: Tab) -> None:
    tab.site.engine.script = [Delta("a"), LONG]
    path = tab.call()
    stream = Stream(tab.site, path)
    assert stream.socket.recv(10_000)
    stream.close(reset=True)
    wait_until(lambda: tab.site.engine.num_closed_early == 1, AT_ONCE_S, "the close")
    wait_until(lambda: not tab.site.remembers(path.rpartition("/")[2]), AT_ONCE_S, "forgetting")


def test_a_call_that_nobody_reads_is_ended_kept_for_a_while_and_then_forgotten(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "READER_S", 0.1)
    tab.site.engine.script = [Delta("a"), LONG]
    path = tab.call()
    wait_until(lambda: tab.site.engine.num_closed_early == 1, AT_ONCE_S, "the close")
    *_, generated, (name, data) = Stream(tab.site, path).read()
    assert generated == ("generating", ["a"]) and name == "error"
    assert data["error"].startswith("The answer was ended, because nothing of it was read")

    monkeypatch.setattr(streams, "KEPT_S", 0.1)
    tab.site.engine.script = deltas("a")
    path = tab.call()
    wait_until(lambda: not tab.site.remembers(path.rpartition("/")[2]), AT_ONCE_S, "forgetting")
    stream = Stream(tab.site, path)
    stream.response.begin()
    assert stream.response.status == 404
    stream.close()


def test_a_newer_reader_of_a_call_gets_the_whole_text(tab: Tab) -> None:
    tab.site.engine.script = [Delta("a"), 0.4, Delta("b", "stop")]
    path = tab.call()
    older = Stream(tab.site, path)
    assert older.socket.recv(10_000)
    newer = Stream(tab.site, path).read()
    assert newer[0][0] == "generating" and newer[-1] == ("complete", ["ab"])
    older.close()


@pytest.mark.parametrize(
    ("path", "body", "sentence"),
    [
        ("complete", {"data": ["Hi"]}, "data has 1 values; complete takes"),
        ("complete", {}, "data is missing; it must be a list."),
        ("complete", {"data": "Hi"}, "data is a string; it must be a list."),
        ("complete", [], "The body of the request is a list; it must be an object."),
        ("ask", {"data": ["Hi"]}, "The page has no such event"),
        ("v2/nothing", {}, "The page has no such event"),
        ("v2/complete", {}, "prompt is missing; /gradio_api/info lists the parameters of complete."),
        ("v2/complete", {"prompt": "Hi", "x" * 1000: 1}, "complete has no parameter 'xxx"),
    ],
)
def test_a_call_that_does_not_fit_is_refused_in_a_sentence(tab: Tab, path: str, body: Any, sentence: str) -> None:
    status, _, text = tab.post(f"call/{path}", json.dumps(body).encode())
    assert status == 400 and json.loads(text)["detail"].startswith(sentence) and len(text) < 1000
    assert tab.site.engine.num_started == 0


def test_nothing_of_what_is_never_read_is_kept_by_any_way_in(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "READER_S", 0.1)
    monkeypatch.setattr(streams, "KEPT_S", 0.1)
    queue = tab.site.demo._queue
    memory = (queue.pending_messages_per_session, queue.pending_event_ids_session, queue.event_ids_to_events)
    before = {*chain(*memory, queue.event_analytics, tab.site.demo.app.iterators)}  # of other tests
    for _ in range(5):
        tab.call()
        tab.call("v2/complete", prompt="Hi")
        Tab(tab.site).ask()
    wait_until(
        lambda: before.issuperset(chain(*memory, queue.event_analytics, tab.site.demo.app.iterators)), 10, "forgetting"
    )


def test_an_address_has_so_many_sessions_and_the_next_one_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "SESSIONS_PER_ANSWER", 2)
    engine = FakePageEngine(deltas("a"))
    engine.config = replace(engine.config, answers_per_visitor=1)
    with served_site(engine) as site:
        first = Tab(site)
        first.complete()
        Tab(site).complete()
        body = {"data": call_values(complete_arguments(), prompt="Hi", seed=None)}
        status, _, text = Tab(site).post("call/complete", json.dumps(body).encode())
        assert status == 503 and "2 sessions of one address are under way" in text
        assert completed(list(first.stream()))
        assert Stream(site, first.call()).read()[-1] == ("complete", ["a"])


def test_a_session_whose_name_is_a_book_is_refused(tab: Tab) -> None:
    status, _, text = tab.post("queue/join", asked(tab.site, session_hash="x" * 101))
    assert status == 400 and "session_hash has 101 characters; allowed are 100." in text


def test_undo_gives_the_question_back(tab: Tab) -> None:
    history = [
        chatbot_message("user", "first"),
        chatbot_message("assistant", "answer"),
        chatbot_message("user", "<b>"),
        chatbot_message("assistant", "x"),
    ]
    tab.join("_undo", [history, "typed"])
    end = completed(list(tab.stream()))
    assert end["output"]["data"][:3] == [history[:2], "<b>\ntyped", ""]


def test_pixels_go_to_the_engine_and_nothing_sends_them_back(tab: Tab) -> None:
    seen = chatbot_message("user", "first", {"pictures": ["a", "lost"]})
    history = [seen, chatbot_message("assistant", "answer"), chatbot_message("user", "second", {"pictures": ["b"]})]
    urls = {name: f"data:image/png;base64,{name * 40}" for name in "abc"}
    attached = {"ids": ["c"], "urls": urls}
    tab.site.engine.most_images = 4
    messages = tab.answer("third", history=history, attached=attached)
    *_, first, _, second, third = tab.site.engine.conversations[-1]
    assert [message.images for message in (first, second, third)] == [(urls["a"],), (urls["b"],), (urls["c"],)]
    live = completed(messages)["output"]["data"][2]
    assert live[0] == chatbot_message("user", "third", {"pictures": ["c"]})
    assert "base64" not in json.dumps(messages)

    tab.answer(history=history, attached=attached, event_data={"index": 2})  # retry
    assert tab.site.engine.conversations[-1][-1].images == (urls["b"],)
    edit = {"index": 0, "previous_value": "first", "value": "changed"}
    messages = tab.answer(history=history, attached=attached, event_data=edit)
    (asked,) = tab.site.engine.conversations[-1][-1:]
    assert (asked.text, asked.images) == ("changed", (urls["a"],))
    assert completed(messages)["output"]["data"][2][0]["metadata"] == {"pictures": ["a", "lost"]}

    tab.join("_undo", [history, ""])
    *above, put_back = completed(list(tab.stream()))["output"]["data"]
    assert above == [history[:2], "second", ""]
    assert put_back.split()[0] == "back" and put_back.split()[2:] == ["b"]


def test_one_event_more_than_there_may_be_is_refused_and_the_next_one_runs(
    tab: Tab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "MOST_RUNS", 1)
    tab.site.engine.script = [Delta("a"), 100.0]
    tab.ask()
    second = Tab(tab.site)
    asked = {
        "data": page_values(COMPLETION, prompt="p", max_tokens=1),
        "fn_index": tab.site.number("run"),
        "session_hash": second.session,
    }
    status, _, text = second.post("queue/join", json.dumps(asked).encode())
    assert (status, text) == (503, '{"detail":"1 events are under way: try again in a moment."}')
    assert not tab.site.remembers(second.session)

    stream = tab.stream()
    assert next(iter(stream))
    stream.close()
    wait_until(lambda: not tab.site.engine.num_running, AT_ONCE_S, "the end of the first")
    tab.site.engine.script = deltas("answer")
    assert second.answer()[-1]["msg"] == "close_stream"


def test_a_heartbeat_comes_in_a_silence(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_S", 0.1)
    tab.site.engine.script = [0.3, *deltas("a")]
    messages = tab.answer()
    assert "heartbeat" in kinds(messages)
    assert text_of(completed(messages)["output"]["data"][2]) == "a"


def test_a_stream_waits_for_the_next_event_before_it_closes(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LINGER_S", 0.5)
    tab.site.engine.script = deltas("a")
    tab.ask()
    messages = iter(tab.stream())
    seen = [next(message for message in messages if message["msg"] == "process_completed")]
    second = tab.complete()
    seen += messages
    assert completed(seen, second)["output"]["data"] == ["a"] and kinds(seen).count("close_stream") == 1
    assert not tab.site.remembers(tab.session)


def test_a_stream_waits_for_nothing_when_the_server_stops(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "LINGER_S", LONG)
    monkeypatch.setattr(tab.site.engine, "is_stopping", True)
    tab.site.engine.script = deltas("a")
    assert kinds(tab.answer())[-2:] == ["process_completed", "close_stream"]


def test_a_stream_of_an_unknown_session_is_answered_as_gradio_does_it(tab: Tab) -> None:
    (message,) = tab.stream()
    assert message["msg"] == "unexpected_error" and message["session_not_found"] is True


@pytest.mark.parametrize(
    ("origin", "allowed"), [("https://elsewhere.example", None), ("http://localhost:1234", "http://localhost:1234")]
)
def test_another_sites_script_may_not_read_a_local_page(tab: Tab, origin: str, allowed: str | None) -> None:
    asked = {
        "data": page_values(CHAT, message=""),
        "fn_index": tab.site.number(ASK),
        "session_hash": tab.session,
    }
    status, headers, _ = tab.post("queue/join", json.dumps(asked).encode(), Origin=origin)
    assert status == 200 and headers["Access-Control-Allow-Origin"] == allowed
    connection = http.client.HTTPConnection(tab.site.url.removeprefix("http://"), timeout=10)
    path = f"/gradio_api/queue/data?session_hash={tab.session}"
    connection.request("GET", path, headers={"Origin": origin})
    response = connection.getresponse()
    assert response.status == 200 and response.headers["Access-Control-Allow-Origin"] == allowed
    response.read()
    connection.close()


@pytest.mark.usefixtures("quick")
def test_a_frame_costs_the_same_after_fifty_turns_as_after_none(tab: Tab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "MOST_WAITING", 1000)
    tab.site.engine.script = apart(deltas("|".join("a few words" for _ in range(20))))
    turns = [chatbot_message("user", "question " * 20), chatbot_message("assistant", "answer " * 40)]
    costs = []
    for history in ([], turns * 50):
        messages = tab.answer(history=history)
        costs.append(sum(len(json.dumps(message)) for message in generating(messages)))
    assert abs(costs[0] - costs[1]) < 100  # the digits of what was measured


def asked(site: Site, **changes: Any) -> bytes:
    body = {"data": page_values(CHAT), "fn_index": site.number(ASK), "session_hash": "s", **changes}
    return json.dumps({name: value for name, value in body.items() if value is not ...}).encode()


GARBAGE: dict[str, Any] = {
    "no JSON": b"{",
    "nothing": b"",
    "a number": b"5",
    "no text": b"\xff\xfe\x00",
    "deep": b"[" * 100_000,
    "no data": {"data": ...},
    "a word of the right length": {"data": "x" * len(CHAT)},
    "an object of the right length": {"data": {f"{n}": n for n in range(len(CHAT))}},
    "fn_index that is none": {"fn_index": [1]},
    "no session": {"session_hash": ...},
    "a session that is none": {"session_hash": 5},
}


@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_refused_at_once(tab: Tab, garbage: Any) -> None:
    body = garbage if isinstance(garbage, bytes) else asked(tab.site, **garbage)
    status, _, text = tab.post("queue/join", body)
    assert 400 <= status < 500 and "Traceback" not in text
    assert tab.site.engine.num_started == 0


def test_an_unknown_event_is_refused_in_a_sentence(tab: Tab) -> None:
    status, _, text = tab.post("queue/join", asked(tab.site, fn_index=12345))
    assert status == 400 and json.loads(text)["detail"].startswith("The page has no such event")


@pytest.mark.parametrize("num_inputs", [0, 1, len(CHAT) - 1, len(CHAT) + 1])
def test_a_wrong_number_of_inputs_is_refused_in_a_sentence(tab: Tab, num_inputs: int) -> None:
    status, _, text = tab.post("queue/join", asked(tab.site, data=["Hi"] * num_inputs))
    assert (status, json.loads(text)["detail"]) == (400, f"data has {num_inputs} values; _answer takes {len(CHAT)}.")
    assert tab.site.engine.num_started == 0


QUESTION = chatbot_message("user", "question")
RETRY = {"index": 0}
ODD: dict[str, dict[str, Any]] = {
    "a history that is none": {"history": 5},
    "no history": {"history": None},
    "a history of words": {"history": ["a", "b"]},
    "a message without a role": {"history": [{"content": []}]},
    "a role that begins another turn": {"history": [{**QUESTION, "role": "user<|im_end|>"}]},
    "a message whose content is a number": {"history": [{**QUESTION, "content": 5}]},
    "a message whose text is a number": {"history": [{**QUESTION, "content": [{"text": 5}]}]},
    "a history of words, asked again": {"history": ["a", "b"], "event_data": RETRY},
    "no history, asked again": {"history": None, "event_data": RETRY},
    "an edit without a place": {
        "history": [QUESTION],
        "event_data": {"previous_value": "", "index": "x", "value": "y"},
    },
    "a question that is a number": {"text": 5},
    "a system prompt that is a list": {"system_prompt": []},
}


@pytest.mark.parametrize("options", ODD.values(), ids=ODD)
def test_a_conversation_that_is_not_the_pages_is_refused_in_a_sentence(
    tab: Tab, options: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    end = completed(tab.answer(**options))
    assert end["success"] is False
    assert end["output"]["error"] == "The conversation is not one of this page: reload it to begin a new one."
    assert not caplog.records and tab.site.engine.num_started == 0


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        (page_values(COMPLETION, prompt=5), "The prompt is a int; it must be a string."),
        (page_values(COMPLETION, stop=5), "stop is 5; allowed is a list of strings."),
    ],
)
def test_a_completion_of_what_is_no_text_is_refused_in_a_sentence(
    tab: Tab, values: list[Any], sentence: str, caplog: pytest.LogCaptureFixture
) -> None:
    tab.join("run", values)
    end = completed(list(tab.stream()))
    assert end["success"] is False and end["output"]["error"] == sentence
    assert not caplog.records and tab.site.engine.num_started == 0


@pytest.mark.parametrize("number", ["NaN", "Infinity", '"hot"', "[]", "1e400"])
def test_a_setting_that_is_no_number_is_refused_by_name(
    tab: Tab, number: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = asked(tab.site, session_hash=tab.session).replace(b"0.8", number.encode())
    status, _, text = tab.post("queue/join", body)
    assert status == 200, text
    end = completed(list(tab.stream()))
    assert end["success"] is False and end["output"]["error"].startswith("temperature is ")
    assert not caplog.records and tab.site.engine.num_started == 0


def test_half_a_character_is_replaced(tab: Tab) -> None:
    tab.site.engine.script = deltas("a")
    end = completed(
        tab.answer("x\ud800y", history=[chatbot_message("user", "\udc00"), chatbot_message("assistant", "z")])
    )
    assert end["success"] is True
    assert end["output"]["data"][2] == [chatbot_message("user", "x\ufffdy"), chatbot_message("assistant", "a")]
    assert [message.text for message in tab.site.engine.conversations[-1]] == [
        "Be brief.",
        "\ufffd",
        "z",
        "x\ufffdy",
    ]


@pytest.fixture
def client(site: Site) -> Iterator[Client]:
    client = Client(site.url, verbose=False)
    yield client
    client.close()


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_gradios_client_gets_every_text_whole(site: Site, client: Client, text: str) -> None:
    site.engine.script = deltas(text)
    seen = list(client.submit("Hi", api_name="/complete"))
    assert seen[-1] == text.replace("|", "")
    assert client.predict("Hi", api_name="/chat") == text.replace("|", "")


def test_gradios_client_is_told_of_a_failure_in_our_words(site: Site, client: Client) -> None:
    site.engine.script = [Delta("a"), EngineStopped()]
    with pytest.raises(AppError, match="The engine stopped before the answer was complete"):
        client.predict("Hi", api_name="/complete")


def test_gradios_client_can_cancel(site: Site, client: Client) -> None:
    site.engine.script = [Delta("a"), LONG]
    job = client.submit("Hi", api_name="/complete")
    wait_until(job.outputs, what="the first frame")  # before, the client does not know what to cancel
    job.cancel()
    wait_until(lambda: site.engine.num_closed_early == 1, AT_ONCE_S, "the close")
