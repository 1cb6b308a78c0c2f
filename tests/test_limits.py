"""Who is answered, who waits and who is refused; and that every entrypoint asks."""

import asyncio
import json
import random
import urllib.request
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing, suppress
from typing import Any

import pytest
from gradio_client import Client
from gradio_client.exceptions import AppError

from streamspace import limits, visitors
from streamspace.chat import stream_chat, stream_completion
from streamspace.config import load_config
from streamspace.errors import BadRequest, QueueFull, TooManyAnswers, TooManyAtAddress, TooManyRequests
from streamspace.frames import BEAT_S, Pacer
from streamspace.limits import Limits, Queue
from streamspace.sampling import Settings
from streamspace.server import Server
from streamspace.types import Delta, Message
from streamspace.ui import build_demo
from streamspace.ui.gradio_.endpoints import complete_arguments
from streamspace.visitors import Visitor, client_of
from tests.fake import FakeEngine, FakePageEngine, deltas
from tests.inputs import call_values
from tests.support import admission_of, served, wait_until
from tests.wire import LONG, Json, Site, Tab, completed

ANNA, BEN, CLEO = (Visitor(name, f"{name}'s address") for name in ("Anna", "Ben", "Cleo"))


class Clock:
    now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Work:
    """An answer that ends when it is told to; `seen` is what its visitor got."""

    def __init__(self, queue: Queue, visitor: Visitor, capacity: int | None = 1, weight: int = 1) -> None:
        self.seen: list[str] = []
        self.end = asyncio.Event()
        self.is_closed = False
        self.task = asyncio.create_task(self._follow(queue, visitor, capacity, weight))

    async def _follow(self, queue: Queue, visitor: Visitor, capacity: int | None, weight: int) -> None:
        admitted = queue.admit(visitor, self._answer(), capacity, lambda place: f"place {place}", weight)
        async with aclosing(admitted) as items:
            async for item in items:
                if item not in self.seen:  # a place is told again and again
                    self.seen.append(item)

    async def _answer(self) -> AsyncGenerator[str, None]:
        try:
            yield "text"
            await self.end.wait()
        finally:
            self.is_closed = True


async def settled() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_as_many_as_the_engine_takes_run_and_the_others_move_up_in_their_order() -> None:
    async def act() -> None:
        queue = Queue(Limits())
        works = [Work(queue, visitor, capacity=2) for visitor in (ANNA, BEN, CLEO, ANNA)]
        await settled()
        assert [work.seen for work in works] == [["text"], ["text"], ["place 1"], ["place 2"]]
        works[1].end.set()
        await settled()
        assert works[2].seen == ["place 1", "text"] and works[3].seen == ["place 2", "place 1"]
        for work in works:
            work.end.set()
        await asyncio.wait_for(asyncio.gather(*(work.task for work in works)), 2)
        assert works[3].seen == ["place 2", "place 1", "text"]

    asyncio.run(act())


def test_who_leaves_the_line_or_an_answer_makes_room() -> None:
    async def act() -> None:
        queue = Queue(Limits(answers_per_visitor=1))
        anna, ben, cleo = (Work(queue, visitor) for visitor in (ANNA, BEN, CLEO))
        await settled()
        for leaving in (ben, anna):
            leaving.task.cancel()
            with suppress(asyncio.CancelledError):
                await leaving.task
        await settled()
        assert cleo.seen == ["place 2", "place 1", "text"] and anna.is_closed and ben.seen == ["place 1"]
        again = Work(queue, ANNA, capacity=None)  # both have none under way now
        await settled()
        assert again.seen == ["text"]
        cleo.end.set()
        again.end.set()
        await asyncio.gather(cleo.task, again.task)

    asyncio.run(act())


def test_a_visitor_has_so_many_answers_at_once_waiting_ones_too() -> None:
    async def act() -> None:
        queue = Queue(Limits(answers_per_visitor=2))
        works = [Work(queue, ANNA) for _ in range(2)]
        await settled()
        refused, other = Work(queue, ANNA), Work(queue, BEN)
        with pytest.raises(TooManyAnswers, match="At most 2 answers at once for each visitor"):
            await refused.task
        await settled()
        assert refused.seen == [] and other.seen == ["place 2"]
        for work in (*works, other):
            work.end.set()
        await asyncio.gather(*(work.task for work in (*works, other)))

    asyncio.run(act())


def test_invented_names_and_many_tabs_of_one_address_are_four_visitors_at_most() -> None:
    async def act() -> None:
        queue = Queue(Limits(answers_per_visitor=2))
        tabs = [Work(queue, Visitor(f"session {number}", "1.1.1.1"), capacity=None) for number in range(1000)]
        other = Work(queue, Visitor("session 0", "2.2.2.2"), capacity=None)  # has such a name, too
        await settled()
        assert sum(tab.seen == ["text"] for tab in tabs) == queue.num_running - 1 == limits.TABS * 2
        assert other.seen == ["text"]
        with pytest.raises(TooManyAtAddress, match="At most 8 answers at once for one address"):
            await tabs[-1].task
        for work in (*tabs[:8], other):
            work.end.set()
        await asyncio.gather(*(work.task for work in (*tabs[:8], other)))
        again = Work(queue, Visitor("session 1000", "1.1.1.1"), capacity=None)
        again.end.set()
        await again.task
        assert again.seen == ["text"]
        await asyncio.gather(*(tab.task for tab in tabs), return_exceptions=True)

    asyncio.run(act())


def test_a_name_that_is_anothers_address_takes_nothing_from_it() -> None:
    async def act() -> None:
        queue = Queue(Limits(answers_per_visitor=1))
        attacker, victim = (
            Work(queue, Visitor("5.5.5.5", "1.1.1.1"), None),
            Work(queue, Visitor("5.5.5.5", "5.5.5.5"), None),
        )
        await settled()
        assert victim.seen == ["text"]
        for work in (attacker, victim):
            work.end.set()
        await asyncio.gather(attacker.task, victim.task)

    asyncio.run(act())


@pytest.mark.parametrize(
    ("address", "counted"),
    [
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:1.2.3.4", "1.2.3.4"),
        ("1.2.3.4", "1.2.3.4"),
        ("unknown", "unknown"),
        ("x" * 100_000, "x" * 64),
    ],
)
def test_neighbours_of_one_ipv6_network_are_one_visitor(address: str, counted: str) -> None:
    assert client_of({"client": (address, 1)}) == Visitor(counted, counted)


def test_an_answer_of_several_parts_is_one_of_its_visitor_but_needs_room_for_all() -> None:
    async def act() -> None:
        queue = Queue(Limits(answers_per_visitor=1, queue_length=2))
        first, four, last = (
            Work(queue, visitor, capacity=4, weight=weight) for visitor, weight in ((ANNA, 1), (BEN, 4), (CLEO, 1))
        )
        await settled()
        assert (first.seen, four.seen, last.seen) == (["text"], ["place 1"], ["place 2"])  # which it does not overtake
        with pytest.raises(QueueFull, match="2 requests wait already"):
            await Work(queue, Visitor("Dora", "Dora's"), capacity=4).task
        with pytest.raises(TooManyAnswers):
            await Work(queue, BEN, capacity=4).task
        first.end.set()
        await settled()
        assert four.seen == ["place 1", "text"] and last.seen == ["place 2", "place 1"]
        four.end.set()
        await settled()
        assert last.seen == ["place 2", "place 1", "text"]
        last.end.set()
        await asyncio.gather(first.task, four.task, last.task)

    asyncio.run(act())


def test_what_is_more_than_the_engine_takes_runs_alone() -> None:
    async def act() -> None:
        queue = Queue(Limits())
        four, other = Work(queue, ANNA, capacity=2, weight=4), Work(queue, BEN, capacity=2)
        await settled()
        assert four.seen == ["text"] and other.seen == ["place 1"]
        for work in (four, other):
            work.end.set()
        await asyncio.wait_for(asyncio.gather(four.task, other.task), 2)
        assert other.seen == ["place 1", "text"]

    asyncio.run(act())


def test_a_move_wakes_those_that_are_near_and_the_others_learn_their_place_with_the_next_beat() -> None:
    async def act() -> None:
        queue = Queue(Limits())
        works = [Work(queue, Visitor(str(number), "")) for number in range(13)]
        await settled()
        assert works[-1].seen == ["place 12"]
        works[0].end.set()
        await settled()
        assert [works[number].seen[-1] for number in (1, 2, 11)] == ["text", "place 1", "place 10"]
        assert works[-1].seen == ["place 12"]
        await asyncio.sleep(BEAT_S + 0.1)
        assert works[-1].seen == ["place 12", "place 11"]
        for work in works:
            work.end.set()
        await asyncio.wait_for(asyncio.gather(*(work.task for work in works)), 2)
        assert works[-1].seen[-1] == "text" and (queue.num_waiting, queue.num_running) == (0, 0)

    asyncio.run(act())


def test_a_far_place_is_told_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"BEAT_S": 0.01, "FAR": 1, "FAR_S": LONG}.items():
        monkeypatch.setattr(limits, name, value)
    told: Counter[int] = Counter()

    async def answer() -> AsyncGenerator[None, None]:
        await asyncio.sleep(LONG)
        yield

    async def wait(visitor: Visitor) -> None:
        async for _ in queue.admit(visitor, answer(), 1, lambda place: told.update([place])):
            pass

    async def act() -> None:
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            tasks = [group.create_task(wait(visitor)) for visitor in (ANNA, BEN, CLEO)]
            while told[1] < 5:
                await asyncio.sleep(0.01)
            for task in reversed(tasks):
                task.cancel()

    queue = Queue(Limits())
    asyncio.run(act())
    assert told[2] == 1


def test_one_whose_turn_has_come_and_who_leaves_before_it_runs_makes_room() -> None:
    async def answer() -> AsyncGenerator[str, None]:
        yield "text"

    async def act() -> None:
        queue = Queue(Limits())
        first, second, third = (queue.admit(visitor, answer(), 1, str) for visitor in (ANNA, BEN, CLEO))
        assert [await anext(each) for each in (first, second, third)] == ["text", "1", "2"]
        await first.aclose()
        assert (queue.num_waiting, queue.num_running) == (1, 1)  # of the second, which nobody has asked for since
        await second.aclose()
        assert (queue.num_waiting, queue.num_running) == (0, 1)
        assert await anext(third) == "text"
        await third.aclose()
        assert (queue.num_waiting, queue.num_running) == (0, 0)

    asyncio.run(act())


async def writing() -> AsyncGenerator[str, None]:
    while True:
        yield "text"


@pytest.mark.parametrize("seed", range(5))
def test_all_have_the_places_that_a_sweep_over_the_whole_queue_gives(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever comes or goes, whatever it needs, and whatever an engine took that was there when it came."""
    for name in ("BEAT_S", "FAR_S"):
        monkeypatch.setattr(limits, name, 0.0)
    chance = random.Random(seed)

    async def act() -> None:
        queue, answers = Queue(Limits()), dict[Any, tuple[int, int]]()  # by answer, its weight and the capacity
        running, waiting = list[Any](), list[Any]()
        for _ in range(200):
            if answers and chance.random() < 0.5:
                answer = chance.choice([*answers])
                await answer.aclose()
                del answers[answer]
                running, waiting = ([one for one in those if one is not answer] for those in (running, waiting))
            else:
                capacity = chance.choice([6, 6, 6, 4, 9])
                weight = chance.choice([1, 1, 2, 4, 12])
                answer = queue.admit(ANNA, writing(), capacity, str, weight)
                answers[answer] = min(weight, capacity), capacity
                waiting.append(answer)
                await anext(answer)
            num_wanted, before = sum(answers[one][0] for one in running), waiting
            waiting = []
            for one in before:
                weight, capacity = answers[one]
                (running if num_wanted + weight <= capacity else waiting).append(one)
                num_wanted += weight
            assert [await anext(one) for one in waiting] == [str(place + 1) for place in range(len(waiting))]
            assert [await anext(one) for one in running] == ["text"] * len(running)
            assert queue.num_waiting == len(waiting) and queue.num_running == sum(answers[one][0] for one in running)
        for one in answers:
            await one.aclose()
        assert (queue.num_waiting, queue.num_running) == (0, 0)

    asyncio.run(act())


def test_a_departure_costs_the_same_however_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, has_room = Counter[str](), Queue._has_room

    def counted(queue: Queue, *of: Any) -> bool:
        asked["room"] += 1
        return has_room(queue, *of)

    async def act() -> None:
        queue = Queue(Limits())
        answers = [queue.admit(ANNA, writing(), 1, str) for _ in range(300)]
        for answer in answers:
            await anext(answer)
        monkeypatch.setattr(Queue, "_has_room", counted)
        for place in (0, 150, 1):
            await answers.pop(place).aclose()
        assert asked["room"] == 1  # of the one whose turn has come
        for answer in answers:
            await answer.aclose()

    asyncio.run(act())


def test_a_full_queue_refuses_but_an_idle_engine_does_not() -> None:
    async def act() -> None:
        queue = Queue(Limits(queue_length=1))
        works = [Work(queue, ANNA), Work(queue, BEN)]
        await settled()
        with pytest.raises(QueueFull, match="The queue is full, 1 request waits already"):
            await Work(queue, CLEO).task
        for work in works:
            work.end.set()
        await asyncio.gather(*(work.task for work in works))
        last = Work(queue, CLEO)
        last.end.set()
        await last.task
        assert last.seen == ["text"]

    asyncio.run(act())


def test_an_address_asks_so_often_a_minute_and_is_told_when_again() -> None:
    async def act() -> None:
        clock = Clock()
        queue = Queue(Limits(requests_per_minute=2), clock)

        async def ask(visitor: Visitor) -> None:
            work = Work(queue, visitor)
            work.end.set()
            await work.task

        await ask(ANNA)
        clock.now_s += 20
        await ask(ANNA)
        with pytest.raises(TooManyRequests, match="At most 2 requests a minute are answered here: try again in 40 s"):
            await ask(ANNA)
        await ask(BEN)
        clock.now_s += 40
        await ask(ANNA)

    asyncio.run(act())


def test_addresses_are_forgotten_the_longest_silent_one_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(visitors, "MOST_ADDRESSES", 3)

    async def act() -> None:
        clock = Clock()
        queue = Queue(Limits(requests_per_minute=1), clock)

        async def ask(address: str) -> None:
            work = Work(queue, Visitor(address, address))
            work.end.set()
            await work.task

        for address in "abc":
            await ask(address)
        with pytest.raises(TooManyRequests):
            await ask("a")
        await ask("d")
        await ask("a")  # which was forgotten for "d"
        with pytest.raises(TooManyRequests):
            await ask("c")
        assert len(queue._asked._times) == 3
        clock.now_s += 60
        await ask("e")
        assert [*queue._asked._times] == ["e"]

    asyncio.run(act())


def test_a_prompt_has_at_most_so_many_tokens_and_older_turns_go_first() -> None:
    engine = FakeEngine(deltas("ok"))
    engine.max_prompt_tokens = 4

    async def last(replies: AsyncGenerator[Any, None]) -> Any:
        async with aclosing(replies) as stream:
            return [reply async for reply in stream][-1]

    turns = (Message("user", "one two three"), Message("assistant", "four"), Message("user", "five six"))
    reply = asyncio.run(last(stream_chat(engine, turns, Settings(), Pacer())))
    assert reply.text == "ok" and reply.num_left_out == 2
    long = "one two three four five"
    for stream in (
        stream_chat(engine, (Message("user", long),), Settings(), Pacer()),
        stream_completion(engine, long, Settings(), Pacer()),
    ):
        with pytest.raises(BadRequest, match="it comes to 5 tokens, and at most 4 are allowed here"):
            asyncio.run(last(stream))


def test_an_answer_ends_with_its_time() -> None:
    engine = FakeEngine([Delta("so far"), LONG])
    engine.max_seconds = 0.3

    async def act() -> list[Any]:
        async with aclosing(stream_completion(engine, "Hi", Settings(), Pacer())) as stream:
            return [(reply.text, reply.finish_reason) async for reply in stream]

    assert asyncio.run(act())[-1] == ("so far", "time")
    assert engine.num_closed_early == 1


def test_a_space_is_stricter_than_a_machine_of_ones_own() -> None:
    ours, space = load_config((), {}), load_config((), {"SPACE_ID": "o/n"})
    assert (ours.answers_per_visitor, ours.requests_per_minute, ours.max_seconds) == (0, 0, 3600)
    assert (space.answers_per_visitor, space.requests_per_minute, space.max_seconds) == (1, 30, 300)


@pytest.mark.parametrize(
    ("environ", "peer", "address"),
    [
        ({"SPACE_ID": "o/n"}, "10.16.3.7", "2.2.2.2"),
        ({"SPACE_ID": "o/n"}, "3.3.3.3", "3.3.3.3"),  # not the Space's proxy
        ({}, "10.16.3.7", "10.16.3.7"),
        ({}, "127.0.0.1", "2.2.2.2"),  # a proxy of one's own on the same machine
        ({"FORWARDED_ALLOW_IPS": "10.1.1.1"}, "10.1.1.1", "2.2.2.2"),
        ({"FORWARDED_ALLOW_IPS": "10.1.1.1", "SPACE_ID": "o/n"}, "10.16.3.7", "10.16.3.7"),
    ],
)
def test_only_behind_a_known_proxy_the_last_forwarded_address_counts(
    environ: dict[str, str], peer: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of repeated headers, too: those before the last address are the visitor's own words."""
    monkeypatch.delenv("FORWARDED_ALLOW_IPS", raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    seen: list[Visitor] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(client_of(scope))

    engine = FakePageEngine()
    engine.config = load_config((), {"MODEL_ID": str(engine.config.model), **environ})
    config = Server(app, engine).config
    config.load()
    forwarded = [(b"x-forwarded-for", b"9.9.9.9"), (b"x-forwarded-for", b"1.1.1.1, 2.2.2.2")]
    scope: Any = {"type": "http", "client": (peer, 1), "headers": forwarded}
    asyncio.run(config.loaded_app(scope, None, None))
    assert seen == [Visitor(address, address)]


# Every entrypoint


@pytest.fixture
def open_site() -> Iterator[Callable[..., Site]]:
    """Serves the page with these options and variables, on an engine that takes one request at a time."""
    open_ones: list[Any] = []

    def serve(*options: str, **environ: str) -> Site:
        engine = FakePageEngine()
        engine.config = load_config(options, {"MODEL_ID": str(engine.config.model), **environ})
        engine.capacity = 1
        demo = build_demo(engine, admission_of(engine))
        serving = served(engine, demo)
        open_ones.append(serving)
        return Site(serving.__enter__(), engine, demo)

    yield serve
    for serving in open_ones:
        serving.__exit__(None, None, None)


def refusal(tab: Tab, ask: Callable[[Tab], str]) -> str:
    event_id = ask(tab)
    return str(completed(list(tab.stream()), event_id)["output"]["error"])


@pytest.mark.parametrize("ask", [Tab.ask, Tab.complete], ids=["chat", "completion"])
def test_a_tab_with_an_answer_under_way_gets_no_second_one(
    open_site: Callable[..., Site], ask: Callable[[Tab], str]
) -> None:
    site = open_site("--answers-per-visitor", "1")
    site.engine.script = [Delta("a"), LONG]
    tab = Tab(site)
    tab.ask()
    reading = iter(tab.stream())
    next(reading)
    second = ask(tab)
    end = next(message for message in reading if message["msg"] == "process_completed")
    assert end["event_id"] == second and end["output"]["error"].startswith("At most 1 answer at once for each")
    assert site.engine.num_running == 1


def test_a_script_with_new_names_gets_four_answers_at_once_from_all_its_ipv6_addresses(
    open_site: Callable[..., Site], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORWARDED_ALLOW_IPS", "127.0.0.1")
    site = open_site("--answers-per-visitor", "1")
    site.engine.capacity = None
    site.engine.script = [Delta("a"), LONG]
    tabs = [Tab(site) for _ in range(12)]
    streams = []
    for number, tab in enumerate(tabs):
        asked: Json = {"data": call_values(complete_arguments(), prompt="Hi"), "session_hash": tab.session}
        asked["fn_index"] = site.number("complete")
        # What stands before the last address is forged; a proxy may also write a header of its own.
        forged = {"X-Forwarded-For": f"9.9.9.{number}, 2001:db8:0:1::{number}"}
        assert tab.post("queue/join", json.dumps(asked).encode(), **forged)[0] == 200
        streams.append(tab.stream())
    ends = [next(m for m in stream if m["msg"] in ("process_generating", "process_completed")) for stream in streams]
    assert [end["success"] for end in ends] == [True] * 4 + [False] * 8
    assert {end["output"]["error"] for end in ends[4:]} == {
        "At most 4 answers at once for one address: wait until one has ended."
    }
    for stream in streams:
        stream.close(reset=True)
    wait_until(lambda: not site.engine.num_running, what="the release")


def test_a_waiting_visitor_sees_the_place_and_is_answered(open_site: Callable[..., Site]) -> None:
    site = open_site()
    site.engine.script = [Delta("a"), LONG]
    first, second = Tab(site), Tab(site)
    first.ask()
    reading = first.stream()
    next(iter(reading))
    wait_until(lambda: site.engine.num_running, what="the first answer")
    second.ask()
    messages = iter(second.stream())
    assert any("Waiting in the queue: place 1" in json.dumps(message) for message in messages)
    site.engine.script = deltas("b")
    reading.close()
    assert "b" in json.dumps(completed(list(messages))["output"]["data"][2])


def test_the_named_endpoints_are_no_way_round(open_site: Callable[..., Site]) -> None:
    site = open_site("--requests-per-minute", "2")
    site.engine.script = deltas("a")
    Tab(site).answer()
    client = Client(site.url, verbose=False)
    assert client.predict("Hi", api_name="/chat") == "a"
    with pytest.raises(AppError, match="At most 2 requests a minute"):
        client.predict("Hi", api_name="/complete")
    body = json.dumps({"data": call_values(complete_arguments(), prompt="Hi")}).encode()
    status, _, text = Tab(site).post("call/complete", body)
    assert status == 200 and refused_by_call(site, json.loads(text)["event_id"])
    assert refusal(Tab(site), Tab.ask).startswith("At most 2 requests a minute")


def refused_by_call(site: Site, event_id: str) -> bool:
    with urllib.request.urlopen(f"{site.url}/gradio_api/call/complete/{event_id}") as stream:
        return b"At most 2 requests a minute" in stream.read()


def test_on_a_space_visitors_are_told_apart_by_what_the_proxy_says(open_site: Callable[..., Site]) -> None:
    site = open_site("--requests-per-minute", "1", SPACE_ID="o/n")
    site.engine.script = deltas("a")

    def ask_from(forwarded: str) -> str | None:
        tab = Tab(site)
        asked: Json = {"data": call_values(complete_arguments(), prompt="Hi"), "session_hash": tab.session}
        asked["fn_index"] = site.number("complete")
        tab.post("queue/join", json.dumps(asked).encode(), **{"X-Forwarded-For": forwarded})
        error: str | None = completed(list(tab.stream()))["output"].get("error")
        return error

    assert ask_from("9.9.9.9, 1.1.1.1") is None and ask_from("2.2.2.2") is None
    assert "At most 1 request a minute" in str(ask_from("8.8.8.8, 1.1.1.1"))
