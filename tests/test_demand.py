"""When somebody looks: on a clock of the test's own, with readers that come, poll and go."""

from collections.abc import Callable

import pytest

from xpcam.demand import GLANCE, Demand, Wanted

TICK = 0.05
TIMEOUT = 10.0


def asked(readers: Callable[[float], int | None], seconds: float, timeout: float = TIMEOUT) -> list[Wanted]:
    """What is wanted, asked every tick from 0 on, where `readers(at)` read."""
    clock = 0.0
    demand = Demand(lambda: readers(clock), timeout, lambda: clock)
    found = []
    for tick in range(round(seconds / TICK)):
        clock = tick * TICK
        found.append(demand.wanted())
    return found


def openings(found: list[Wanted]) -> int:
    """How often the camera opens."""
    live = [wanted is Wanted.LIVE for wanted in found]
    return sum(now and not before for before, now in zip([False, *live], live, strict=False))


def test_nobody_looks() -> None:
    assert set(asked(lambda at: 0, 60)) == {Wanted.NOTHING}


def test_a_reader_sees_something_at_once_and_the_camera_soon() -> None:
    found = asked(lambda at: int(at >= 1), 5)
    came = found.index(Wanted.IDLING)
    assert came == round(1 / TICK)
    assert 0 < (found.index(Wanted.LIVE) - came) * TICK <= GLANCE + TICK
    assert set(found[found.index(Wanted.LIVE) :]) == {Wanted.LIVE}


def test_the_camera_stays_for_the_timeout_and_no_longer() -> None:
    found = asked(lambda at: int(at < 3), 30)
    awake = found.count(Wanted.LIVE) * TICK
    assert awake == pytest.approx(3 + TIMEOUT - GLANCE, abs=4 * TICK)
    assert found[-1] is Wanted.NOTHING


@pytest.mark.parametrize("glance", [TICK, GLANCE - TICK / 2])
def test_a_program_that_looks_every_few_seconds_wakes_nothing(glance: float) -> None:
    found = asked(lambda at: int(at % 3 > 3 - glance), 300)
    assert Wanted.LIVE not in found
    assert Wanted.IDLING in found


def test_who_is_there_at_the_start_stays() -> None:
    assert set(asked(lambda at: 1, 5)) == {Wanted.LIVE}


def test_a_program_that_reads_a_little_every_few_seconds_makes_no_flapping() -> None:
    assert openings(asked(lambda at: int(at % 4 < 0.5), 300)) == 1


def test_one_that_glances_does_not_keep_the_camera_open() -> None:
    found = asked(lambda at: int(at < 3 or at % 3 < 0.1), 60)
    assert openings(found) == 1
    assert found.count(Wanted.LIVE) * TICK < 3 + TIMEOUT + 3 * TICK


def test_what_is_unknown_counts_as_somebody() -> None:
    found = asked(lambda at: None, 30)
    assert set(found) == {Wanted.LIVE}


def test_a_timeout_of_0_never_sleeps() -> None:
    assert set(asked(lambda at: 0, 60, timeout=0)) == {Wanted.LIVE}
