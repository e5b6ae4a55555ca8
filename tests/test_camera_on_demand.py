"""A camera that is opened when somebody looks: closed in between, tried again where it does not open."""

import threading
import time
from collections.abc import Callable

import pytest
from poison import PoisonedCamera

from xpcam.camera.capture import BACK_OFF
from xpcam.camera.on_demand import CameraOnDemand
from xpcam.errors import CameraError
from xpcam.frame import Frame

PATIENCE = 10.0


class Machine:
    """Opens cameras, or does not."""

    def __init__(self) -> None:
        self.opened: list[PoisonedCamera] = []
        self.failures = 0
        self.asked = 0
        self.may_open = threading.Event()
        self.may_open.set()
        self.time = 0.0
        self.camera = CameraOnDemand(self.open, now=lambda: self.time)

    def open(self) -> PoisonedCamera:
        self.asked += 1
        assert self.may_open.wait(PATIENCE)
        if self.failures:
            self.failures -= 1
            raise CameraError("the camera is busy; close Zoom")
        self.opened.append(PoisonedCamera(lambda n: True, frames=10**6))
        return self.opened[-1]

    def until(self, true: Callable[[Frame | None], bool]) -> None:
        """Fetch until it is true of what came."""
        deadline = time.monotonic() + PATIENCE
        while not true(self.camera.latest(0.01)):
            assert time.monotonic() < deadline

    def frame(self) -> None:
        self.until(lambda frame: frame is not None)


@pytest.fixture
def machine() -> Machine:
    return Machine()


def test_it_is_closed_until_woken_and_again_after(machine: Machine) -> None:
    assert machine.camera.latest(0) is None
    assert not machine.opened
    for number in range(3):
        machine.camera.wake()
        machine.camera.wake()
        machine.frame()
        assert len(machine.opened) == number + 1
        machine.camera.sleep()
        assert machine.camera.asleep
        assert machine.opened[-1].closed
        assert machine.camera.latest(0) is None
    machine.camera.close()
    assert machine.asked == 3


def test_nobody_waits_for_it_to_open(machine: Machine) -> None:
    machine.may_open.clear()
    machine.camera.wake()
    assert machine.camera.latest(0.01) is None
    machine.camera.sleep()  # and one that comes too late is closed
    machine.may_open.set()
    machine.camera.wake()
    machine.frame()
    assert [camera.closed for camera in machine.opened] == [True, False]
    machine.camera.close()
    assert machine.opened[-1].closed


def test_one_that_does_not_open_at_first_is_an_error(machine: Machine) -> None:
    machine.failures = 1
    machine.camera.wake()
    with pytest.raises(CameraError, match="busy"):
        machine.until(lambda frame: False)


def test_one_that_does_not_open_later_is_tried_again_less_and_less_often(
    machine: Machine, caplog: pytest.LogCaptureFixture
) -> None:
    machine.camera.sleep()
    machine.failures = 7
    machine.camera.wake()
    for attempt in range(1, 8):
        machine.until(lambda frame, left=7 - attempt: machine.failures == left)  # type: ignore[misc]
        machine.until(lambda frame: machine.camera.latest(0.01) is None)
        assert machine.asked == attempt
        machine.time += BACK_OFF[min(attempt - 1, len(BACK_OFF) - 1)] - 0.01
        machine.camera.latest(0)
        assert machine.asked == attempt, "asked too early"
        machine.time += 0.02
    machine.frame()
    assert caplog.text.count("close Zoom; the target idles, and it is tried again") == 1
    machine.camera.close()


def test_frames_that_were_dropped_are_counted_over_all_openings(machine: Machine) -> None:
    for _ in range(2):
        machine.camera.wake()
        machine.frame()
        machine.opened[-1].dropped = 3
        assert machine.camera.dropped in (3, 6)
        machine.camera.sleep()
    assert machine.camera.dropped == 6
    machine.camera.close()
