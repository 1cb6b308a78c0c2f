"""When to build an engine again, and when a silent one counts as hung."""

from streamspace.healing import MOST_FAILURES, STABLE_S, Failures, Watchdog


def test_engines_that_were_of_no_use_are_built_again_later_and_later_until_a_person_has_to_look() -> None:
    failures, pauses = Failures(), []
    while not (failures := failures.after(lived_s=1, num_answers=0)).are_too_many:
        pauses.append(failures.pause_s)
    assert pauses == [0, 2, 4] and failures.num == MOST_FAILURES


def test_an_engine_that_answered_or_lived_long_begins_a_new_row() -> None:
    row = Failures(MOST_FAILURES - 1)
    assert row.after(lived_s=1, num_answers=1) == row.after(lived_s=STABLE_S, num_answers=0) == Failures(1)
    assert row.after(lived_s=1, num_answers=0).are_too_many


def test_work_without_a_step_for_too_long_is_a_hang() -> None:
    watchdog = Watchdog(10, now_s=0)
    assert not watchdog.is_hung(5, num_unfinished=1, last_step_s=0)
    assert not watchdog.is_hung(10, num_unfinished=1, last_step_s=0)
    assert watchdog.is_hung(10.1, num_unfinished=1, last_step_s=0)


def test_steps_and_idleness_are_no_hang_however_long_they_last() -> None:
    watchdog = Watchdog(10, now_s=0)
    assert not any(watchdog.is_hung(now, num_unfinished=1, last_step_s=now - 9) for now in range(9, 1000, 9))
    watchdog = Watchdog(10, now_s=0)
    assert not any(watchdog.is_hung(now, num_unfinished=0, last_step_s=0) for now in range(1000))
    # The deadline of the first request after a silence counts from the request.
    assert not watchdog.is_hung(1009, num_unfinished=1, last_step_s=0)
    assert watchdog.is_hung(1010, num_unfinished=1, last_step_s=0)
