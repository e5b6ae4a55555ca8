from dataclasses import dataclass, field

import pytest

from xpcam.virtual_camera.clock import PacingClock


@dataclass
class FakeTime:
    """A clock that only sleeping and `pass_` move."""

    seconds: float = 1000.0
    sleeps: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.sleeps.append(seconds)
        self.seconds += seconds

    def pass_(self, seconds: float) -> None:
        self.seconds += seconds


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


def make(time: FakeTime, fps: float) -> PacingClock:
    return PacingClock(fps, now=time.now, sleep=time.sleep)


def test_first_tick_is_now(time: FakeTime) -> None:
    assert make(time, 30).wait() == 1000
    assert time.sleeps == []


def test_ticks_lie_on_the_grid_however_long_the_work_takes(time: FakeTime) -> None:
    clock = make(time, 10)
    ticks = []
    for work in (0.01, 0.09, 0.05, 0.0, 0.02):
        ticks.append(clock.wait())
        time.pass_(work)
    assert ticks == pytest.approx([1000.0, 1000.1, 1000.2, 1000.3, 1000.4])
    assert clock.missed == 0


def test_an_hour_does_not_drift(time: FakeTime) -> None:
    clock = make(time, 29.97)
    count = 3600 * 30
    for _ in range(count):
        last = clock.wait()
        time.pass_(0.004)
    assert last == pytest.approx(1000 + (count - 1) / 29.97, abs=1e-6)
    assert time.seconds == pytest.approx(last + 0.004, abs=1e-6)
    assert clock.missed == 0


def test_a_little_late_is_not_missed(time: FakeTime) -> None:
    clock = make(time, 10)
    clock.wait()
    time.pass_(0.15)  # the tick at 0.1 is late, the one at 0.2 not yet due
    assert clock.wait() == pytest.approx(1000.1)
    assert time.sleeps == []
    assert clock.wait() == pytest.approx(1000.2)
    assert time.sleeps == pytest.approx([0.05])
    assert clock.missed == 0


def test_a_stall_is_skipped_and_counted_not_caught_up(time: FakeTime) -> None:
    clock = make(time, 10)
    clock.wait()
    time.pass_(1.05)
    assert clock.wait() == pytest.approx(1001.0)  # at once, for the newest tick that is due
    assert clock.missed == 9
    assert time.sleeps == []
    assert clock.wait() == pytest.approx(1001.1)  # then the grid again: one sleep, no burst
    assert time.sleeps == pytest.approx([0.05])
    assert clock.missed == 9


def test_a_woken_sleep_does_not_shift_the_grid(time: FakeTime) -> None:
    clock = PacingClock(10, now=time.now, sleep=lambda seconds: time.pass_(seconds / 2))
    assert [clock.wait() for _ in range(3)] == pytest.approx([1000.0, 1000.1, 1000.2])


@pytest.mark.parametrize("fps", [0, -1, float("nan")])
def test_impossible_rates(fps: float) -> None:
    with pytest.raises(ValueError, match="fps"):
        PacingClock(fps)
