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


@pytest.mark.parametrize("camera", [10, 15, 24, 25, 30, 60])
def test_every_slot_is_filled_whatever_the_rate_of_the_camera(camera: int) -> None:
    time = Time()
    slots = Slots(30, now=time)
    frame, published = 0, 0
    while time.now < 110.0:
        time.now += slots.until_open()
        due = 100.0 + frame / camera
        if due <= time.now + slots.until_closed():
            time.now = max(time.now, due)
            frame = int((time.now - 100.0) * camera) + 1  # the newest one: older ones are dropped
        else:
            time.now += slots.until_closed() + 1e-4  # nothing came: repeat at the end of the slot
        slots.take()
        published += 1
    assert published == pytest.approx(300, abs=2)
    assert slots.missed == 0


@pytest.mark.parametrize("late", [0.003, 0.010, 0.016])
def test_the_grid_moves_to_meet_a_camera_whose_pictures_come_too_early(late: float) -> None:
    time = Time()
    slots = Slots(30, now=time)
    slots.take()
    waits = []
    for frame in range(1, 100):
        arrived = 100.0 + (frame - 1) / 30 + late
        time.now = max(time.now, arrived)
        time.now += slots.until_open()
        waits.append(time.now - arrived)
        slots.take(arrived)
    assert waits[0] > 0.0005
    assert max(waits[-30:]) < 0.002


def test_a_camera_of_another_rate_does_not_drive_the_output() -> None:
    time = Time()
    slots = Slots(30, now=time)
    for _ in range(600):
        time.now += slots.until_open()
        newest = 100.0 + int((time.now - 100.0) * 50) / 50
        slots.take(newest)
    assert time.now - 100.0 == pytest.approx(20.0, abs=0.1)


def test_a_rate_must_be_positive() -> None:
    with pytest.raises(ValueError, match="fps"):
        Slots(0)
