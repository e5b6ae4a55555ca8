"""The capture thread, with a scripted source and a clock that only waiting moves."""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from xpcam.camera.capture import BACK_OFF, LATE, STALL, Capture, Clock, Grabbed, Source
from xpcam.errors import CameraError


class FakeClock(Clock):
    """Time passes only by waiting; `waiting` looks on at each wait."""

    def __init__(self) -> None:
        self.time = 100.0
        self.waits: list[float] = []
        self.waiting: Callable[[], None] = lambda: None

    def now(self) -> float:
        return self.time

    def wait(self, stop: threading.Event, seconds: float) -> bool:
        self.waits.append(seconds)
        self.waiting()
        self.time += seconds
        return stop.is_set()


class Script:
    """A source that plays a list: pictures, errors to raise, functions to call, and the end."""

    def __init__(self, *steps: Grabbed | Exception | Callable[[], None], description: str = "script") -> None:
        self.description = description
        self.steps = list(steps)
        self.closed = 0

    def read(self) -> Grabbed | None:
        while self.steps:
            step = self.steps.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Grabbed):
                return step
            step()
        return None

    def close(self) -> None:
        self.closed += 1


def shots(levels: Iterable[int], due: Callable[[int], float | None] = lambda _: None) -> list[Grabbed]:
    return [Grabbed(np.full((4, 6, 3), level, np.uint8), 0.001 * level, due(level)) for level in levels]


def test_only_the_newest_frame_is_kept_and_the_others_are_counted() -> None:
    capture = Capture(Script(*shots(range(5))), clock=FakeClock())
    capture.run()
    frame = capture.latest(0)
    assert frame is not None
    assert (frame.sequence, int(frame.pixels[0, 0, 0]), frame.decode_seconds) == (4, 4, 0.004)
    assert capture.dropped == 4
    assert capture.latest(0) is None


def test_a_fetched_frame_is_not_dropped_and_never_handed_out_twice() -> None:
    seen: list[int] = []

    def fetch() -> None:
        frame = capture.latest(0)
        seen.append(-1 if frame is None else frame.sequence)

    capture = Capture(Script(*shots([0]), fetch, fetch, *shots([1]), fetch), clock=FakeClock())
    capture.run()
    assert seen == [0, -1, 1]
    assert capture.dropped == 0


def test_a_source_that_ends_for_good_finishes_and_is_closed() -> None:
    source = Script(*shots([1]))
    capture = Capture(source, clock=FakeClock())
    assert not capture.finished
    capture.run()
    assert capture.finished
    assert source.closed == 1


def test_pictures_are_shown_when_due_and_stamped_then() -> None:
    clock = FakeClock()
    stamps: list[float] = []

    def fetch() -> None:
        frame = capture.latest(0)
        assert frame is not None
        stamps.append(frame.captured_at)

    steps: list[Any] = []
    for shot in shots(range(4), lambda n: (5.0, 5.1, 5.15, 5.5)[n]):  # an uneven frame rate
        steps += [shot, fetch]
    capture = Capture(Script(*steps), clock=clock)
    capture.run()
    assert stamps == pytest.approx([100, 100.1, 100.15, 100.5])


def test_a_late_file_is_stamped_with_the_time_it_was_due() -> None:
    clock = FakeClock()
    stamps: list[float] = []

    def fetch() -> None:
        frame = capture.latest(0)
        assert frame is not None
        stamps.append(frame.captured_at)

    def dawdle() -> None:
        clock.time += 0.3

    first, second = shots([0, 1], lambda n: n * 0.1)
    capture = Capture(Script(first, fetch, dawdle, second, fetch), clock=clock)
    capture.run()
    assert stamps == pytest.approx([100, 100.1])


def test_a_live_picture_keeps_the_time_it_was_delivered() -> None:
    clock = FakeClock()
    delivered = Grabbed(np.zeros((4, 6, 3), np.uint8), 0.02, captured_at=99.9)
    capture = Capture(Script(delivered), clock=clock)
    capture.run()
    frame = capture.latest(0)
    assert frame is not None
    assert frame.captured_at == 99.9
    clock.time += STALL - 0.01
    assert capture.live


def test_a_file_that_is_far_too_late_does_not_rush_to_catch_up() -> None:
    clock = FakeClock()

    def hang() -> None:
        clock.time += LATE + 4

    source = Script(*shots([0, 1], float), hang, *shots([2, 3], float))
    capture = Capture(source, clock=clock)
    capture.run()
    assert clock.waits == pytest.approx([1, 1])  # before 1, and before 3: the clock was set anew at 2


def test_a_lost_source_is_retried_ever_more_slowly_until_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    lives: list[bool] = []
    lost = Script(*shots([0]), CameraError("the cable is out"))

    def close() -> None:
        capture.close()

    back = Script(*shots([7]), close, description="another port")
    answers: list[Source | None] = [None] * 6 + [back]

    def reopen() -> Source:
        lives.append(capture.live)
        answer = answers.pop(0)
        if answer is None:
            raise CameraError("not there")
        return answer

    capture = Capture(lost, reopen, clock)
    got: list[Any] = []
    back.steps.insert(1, lambda: got.append((capture.live, capture.latest(0))))
    capture.run()
    assert clock.waits == [*BACK_OFF, *[BACK_OFF[-1]] * (7 - len(BACK_OFF))]
    assert lives == [False] * 7
    assert got[0][0] is True
    assert got[0][1].sequence == 1
    assert int(got[0][1].pixels[0, 0, 0]) == 7
    assert capture.description == "another port"
    assert (lost.closed, back.closed) == (1, 1)
    messages = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert messages == [
        ("WARNING", "camera: the cable is out; trying to get it back"),
        ("INFO", "camera: back: another port"),
    ]


def test_a_silent_device_is_not_live_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = FakeClock()
    lives: list[bool] = []

    def hang(seconds: float) -> None:
        capture.latest(0)
        lives.append(capture.live)
        clock.time += seconds
        assert capture.latest(0) is None
        assert capture.latest(0) is None
        lives.append(capture.live)

    def close() -> None:
        capture.close()

    source = Script(
        *shots([0]),
        lambda: hang(STALL + 0.1),
        *shots([1]),
        lambda: hang(STALL - 0.1),
        close,
    )
    capture = Capture(source, lambda: pytest.fail("nothing was lost"), clock)
    capture.run()
    assert lives == [True, False, True, True]
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


@pytest.mark.parametrize(
    ("error", "reopen"),
    [
        (CameraError("clip.mp4 breaks off after 1 frames"), None),
        (ZeroDivisionError("a bug"), None),
        (ZeroDivisionError("a bug"), Script),
    ],
)
def test_what_ends_the_thread_is_told_after_the_last_frame(
    error: Exception, reopen: Callable[[], Source] | None
) -> None:
    source = Script(*shots([1]), error)
    capture = Capture(source, reopen, FakeClock())
    capture.run()
    assert capture.latest(0) is not None
    with pytest.raises(type(error), match=str(error)) as caught:
        capture.latest(0)
    assert caught.traceback[-1].name == "read"  # where it happened
    assert not capture.finished  # or who saw no frame in time would take it for a good end
    assert source.closed == 1


def test_a_source_that_cannot_even_be_freed_ends_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("device is gone")

    source = Script()
    monkeypatch.setattr(source, "close", fail)
    capture = Capture(source, clock=FakeClock())
    capture.run()
    with pytest.raises(OSError, match="device is gone"):
        capture.latest(0)


def test_what_goes_wrong_while_closing_is_no_failure() -> None:
    def close() -> None:
        capture.close()

    capture = Capture(Script(close, OSError("interrupted")), clock=FakeClock())
    capture.run()
    assert capture.latest(0) is None
    assert not capture.finished


def test_the_end_of_a_file_is_no_silence() -> None:
    clock = FakeClock()
    capture = Capture(Script(*shots([0])), clock=clock)
    capture.run()
    clock.time += 60
    assert capture.live
    assert capture.finished


def test_close_wakes_who_waits_and_frees_the_source() -> None:
    gate = threading.Event()

    def wait() -> None:
        gate.wait(30)

    source = Script(wait)
    capture = Capture(source)
    capture.start()
    answers: list[object] = []
    waiter = threading.Thread(target=lambda: answers.append(capture.latest(30)))
    waiter.start()
    gate.set()
    capture.close()
    waiter.join(30)
    assert answers == [None]
    assert source.closed == 1
