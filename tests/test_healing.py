"""When to build an engine again, and when a silent one counts as hung."""

from streamspace.healing import MOST_FAILURES, STABLE_S, Failures, Replica, Watchdog
from streamspace.suspects import Blame


def test_engines_that_were_of_no_use_are_built_again_later_and_later_until_a_person_has_to_look() -> None:
    failures, pauses = Failures(), []
    while not (failures := failures.after(lived_s=1, num_answers=0)).are_too_many:
        pauses.append(failures.pause_s)
    assert pauses == [0, 2, 4] and failures.num == MOST_FAILURES


def test_an_engine_that_answered_or_lived_long_begins_a_new_row() -> None:
    row = Failures(MOST_FAILURES - 1)
    assert row.after(lived_s=1, num_answers=1) == row.after(lived_s=STABLE_S, num_answers=0) == Failures(1)
    assert row.after(lived_s=1, num_answers=0).are_too_many


def test_one_visitor_adds_one_failure_to_a_row_and_several_end_it() -> None:
    def died_of(failures: Failures, guilty: str, *others: str) -> Failures:
        return failures.after(1, 0, Blame(frozenset([guilty] if guilty else []), frozenset([guilty, *others])))

    failures = Failures()
    for _ in range(10):
        failures = died_of(failures, "eve", "ada")
    assert failures == Failures(1, frozenset({"eve"}))
    assert died_of(failures, "", "eve", "ada").num == 1  # not known whose it was, but eve was there
    assert failures.after(1, 0).num == 2  # nobody was there: it is the engine's own
    for name in ("ada", "bob", "cid"):
        failures = died_of(failures, name)
    assert failures.are_too_many
    assert failures.after(STABLE_S, 0, Blame(frozenset({"eve"}))) == Failures(1, frozenset({"eve"}))


def looks(watchdog: Watchdog, *looks: tuple[float, int, float]) -> list[bool]:
    """What it says of one replica under a loop that always answers: times, unfinished requests, last steps."""
    return [watchdog.is_hung(now, now, [Replica(num, step)]) for now, num, step in looks]


def test_work_without_a_step_for_too_long_is_a_hang() -> None:
    assert looks(Watchdog(10, now_s=0), (5, 1, 0), (10, 1, 0), (10.1, 1, 0)) == [False, False, True]


def test_steps_and_idleness_are_no_hang_however_long_they_last() -> None:
    assert not any(looks(Watchdog(10, now_s=0), *((now, 1, now - 0.5) for now in range(9, 1000, 9))))
    watchdog = Watchdog(10, now_s=0)
    assert not any(looks(watchdog, *((now, 0, 0) for now in range(1000))))
    # The deadline of the first request after a silence counts from the request.
    assert looks(watchdog, (1009, 1, 0), (1010, 1, 0)) == [False, True]


def test_a_loop_that_does_not_answer_is_no_hung_engine() -> None:
    watchdog, busy = Watchdog(10, now_s=0), [Replica(1, 0)]
    assert not any(watchdog.is_hung(now, 0.5, busy) for now in range(1, 100))  # it answered once, and then hung itself
    # As soon as it answers again, the engine's own silence counts, and goes on where it was.
    assert [watchdog.is_hung(now, now, busy) for now in range(100, 111)] == [*[False] * 9, True, True]


def test_now_and_then_an_answer_of_the_loop_is_enough_to_notice_a_hang_in_the_end() -> None:
    watchdog, busy = Watchdog(10, now_s=0), [Replica(1, 0)]
    verdicts = [watchdog.is_hung(now, now - now % 3, busy) for now in range(1, 40)]
    assert not any(verdicts[:15]) and verdicts[-1]


def test_one_hung_replica_is_noticed_beside_others_that_work() -> None:
    watchdog, idle = Watchdog(10, now_s=0), Replica(0, 0)
    assert [watchdog.is_hung(now, now, [Replica(5, now), idle, Replica(1, 0)]) for now in (5, 10, 11)][-1]
    watchdog = Watchdog(10, now_s=0)
    assert not any(watchdog.is_hung(now, now, [Replica(5, now), idle, idle]) for now in range(1, 100))
