import pytest

from xpcam.pacing import Slots


class Time:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_slot_is_open_from_half_before_to_half_after() -> None:
    time = Time()
    slots = Slots(10, now=time)
    assert slots.until_open() == 0
    assert slots.until_closed() == pytest.approx(0.05)
    assert slots.take() == 0.0
    assert slots.until_open() == pytest.approx(0.05)
    assert slots.until_closed() == pytest.approx(0.15)


def test_nothing_drifts_however_uneven_the_pictures_come() -> None:
    time = Time()
    slots = Slots(10, now=time)
    for index in range(1000):
        time.now = 100.0 + index * 0.1 + (0.04 if index % 2 else -0.04)
        assert slots.take() == pytest.approx(index * 0.1)
    assert slots.missed == 0


def test_who_comes_late_does_not_catch_up() -> None:
    time = Time()
    slots = Slots(10, now=time)
    slots.take()
    time.now += 1.0
    assert slots.until_open() == slots.until_closed() == 0
    assert slots.take() == pytest.approx(1.0)
    assert slots.missed == 9
    assert slots.until_open() == pytest.approx(0.05)


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(ValueError, match="fps"):
        Slots(0)
