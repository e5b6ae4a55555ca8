"""Engines that fail and are loaded again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from faces import face
from poison import poisoned

from xpcam.errors import EngineError
from xpcam.frame import FaceParams, Frame, Pixels
from xpcam.inference.reloading import BACK_OFF
from xpcam.tracking.reloading import ReloadingTracker


class Tracker:
    def __init__(self) -> None:
        self.works = True
        self.closed = False
        self.resets = 0

    def track(self, frame: Frame) -> FaceParams | None:
        if not self.works:
            raise EngineError("the graphics driver was reset")
        return face()

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        return [face()]

    def reset(self) -> None:
        self.resets += 1


class Machine:
    def __init__(self) -> None:
        self.loaded: list[Tracker] = []
        self.attempts = 0
        self.broken = False
        self.time = 0.0

    @contextmanager
    def open(self) -> Iterator[Tracker]:
        self.attempts += 1
        if self.broken:
            raise EngineError("the engine does not load")
        tracker = Tracker()
        self.loaded.append(tracker)
        yield tracker
        tracker.closed = True

    def tracker(self) -> ReloadingTracker:
        return ReloadingTracker(self.open, now=lambda: self.time)


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def works(tracker: ReloadingTracker) -> bool:
    try:
        return tracker.track(poisoned(0)) is not None
    except EngineError:
        return False


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_three_failures_and_it_works_again_each_time(machine: Machine) -> None:
    with machine.tracker() as tracker:
        for times in range(1, 4):
            assert works(tracker)
            machine.loaded[-1].works = False
            with pytest.raises(EngineError, match="reset"):
                tracker.track(poisoned(0))
            assert machine.loaded[-1].closed
            until(lambda: works(tracker))
            assert len(machine.loaded) == times + 1
            assert len(tracker.locate(poisoned(0).pixels)) == 1
            tracker.reset()
            assert machine.loaded[-1].resets == 1
    assert all(loaded.closed for loaded in machine.loaded)


def test_engines_that_do_not_load_are_tried_less_and_less_often(machine: Machine) -> None:
    with machine.tracker() as tracker:
        machine.loaded[-1].works = False
        machine.broken = True
        assert not works(tracker)
        for attempt in range(2, 7):
            machine.time += BACK_OFF[min(attempt - 2, len(BACK_OFF) - 1)]
            until(lambda: refused(tracker))
            for _ in range(20):
                assert not works(tracker)
            assert machine.attempts == attempt
        machine.broken = False
        machine.time += BACK_OFF[-1]
        until(lambda: works(tracker))


def refused(tracker: ReloadingTracker) -> bool:
    """Whether the attempt that was under way has failed."""
    try:
        tracker.track(poisoned(0))
    except EngineError as error:
        return "does not load" in str(error)
    return False


def test_the_first_time_they_have_to_load(machine: Machine) -> None:
    machine.broken = True
    with pytest.raises(EngineError, match="does not load"):
        machine.tracker()


def test_engines_that_are_loading_at_the_end_are_freed(machine: Machine) -> None:
    with machine.tracker() as tracker:
        machine.loaded[-1].works = False
        assert not works(tracker)
        works(tracker)  # begins to load
    assert all(loaded.closed for loaded in machine.loaded)
