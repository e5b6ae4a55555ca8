"""An output that is changed while pictures go to it: readers keep what they hold, and nothing is lost."""

import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.output_switch import FREE_FOR, Format, OutputSwitch
from xpcam.virtual_camera import Buffer
from xpcam.virtual_camera import lasting as lasting_camera

LARGE = Format("v4l2", (320, 240), 30)
SMALL = Format("v4l2", (160, 120), 15)
GREY: Pixels = np.full((240, 320, 3), 90, np.uint8)


class Device:
    """One device: who opens it first has it; a format that somebody reads stays."""

    def __init__(self) -> None:
        self.holder: Format | None = None
        self.count: int | None = 0
        self.refuses: set[Format] = set()
        self.shown: list[tuple[Format, tuple[int, ...], float | None]] = []
        self.time = 0.0
        self.opened: list[Format] = []

    def open(self, wanted: Format) -> "Output":
        if wanted in self.refuses:
            raise OutputError(f"{wanted.spec} takes no {wanted.size}")
        if wanted.spec in ("v4l2", "auto"):
            if self.holder is not None:
                raise OutputError("the device is busy; close the program that uses it")
            self.holder = wanted
        self.opened.append(wanted)
        return Output(self, wanted)

    def switch(self, wanted: Format = LARGE) -> OutputSwitch:
        return OutputSwitch(self.open, wanted, now=lambda: self.time)


class Output:
    """What is open; it takes pictures of its own size only."""

    fault = ""

    def __init__(self, device: Device, wanted: Format) -> None:
        self._device, self._wanted = device, wanted
        self.watched = not wanted.spec.endswith(".mp4")
        self.description = wanted.spec

    def readers(self) -> int | None:
        return self._device.count

    def convert(self, pixels: Pixels) -> Buffer:
        assert pixels.shape == (*self._wanted.size[::-1], 3)
        return pixels

    def write(self, buffer: Buffer, at: float | None = None) -> None:
        assert buffer.mean() > 40  # never black
        self._device.shown.append((self._wanted, buffer.shape[:2], at))

    def close(self) -> None:
        if self._device.holder is self._wanted:
            self._device.holder = None


@pytest.fixture
def device() -> Device:
    return Device()


def show(output: OutputSwitch, pixels: Pixels = GREY, at: float = 0.0) -> None:
    output.write(output.convert(pixels), at)


def test_a_size_that_somebody_reads_is_kept_and_pictures_are_fitted_into_it(device: Device) -> None:
    output = device.switch()
    device.count = 1
    output.change(SMALL)
    show(output, GREY[::2, ::2])
    assert device.shown[-1][:2] == (LARGE, (240, 320))
    assert "pictures of 160x120 are fitted into it" in output.description
    device.count = 0
    assert output.readers() == 0
    assert device.holder is LARGE  # somebody may only have opened it again
    device.time += FREE_FOR
    assert output.readers() == 0
    assert device.holder is SMALL
    show(output, GREY[::2, ::2])
    assert device.shown[-1][:2] == (SMALL, (120, 160))
    assert output.description == "v4l2"


def test_a_size_that_nobody_reads_is_taken_at_once(device: Device) -> None:
    output = device.switch()
    output.change(SMALL)
    assert device.holder is SMALL
    show(output)  # the picture before the change, still on its way
    assert device.shown[-1][:2] == (SMALL, (120, 160))


def test_a_picture_of_another_shape_lies_within_a_blur_of_itself(device: Device) -> None:
    output = device.switch()
    device.count = None  # nobody knows whether somebody reads
    output.change(Format("v4l2", (320, 120), 30))
    show(output, GREY[:120])
    assert device.shown[-1][:2] == (LARGE, (240, 320))


def test_what_cannot_be_opened_is_refused_and_the_old_one_goes_on(device: Device) -> None:
    output = device.switch()
    device.refuses |= {SMALL, Format("clip.mp4", SMALL.size, 15)}
    with pytest.raises(OutputError, match="takes no"):
        output.change(SMALL)
    with pytest.raises(OutputError, match="takes no"):
        output.change(Format("clip.mp4", SMALL.size, 15))
    assert device.holder is LARGE
    show(output)
    assert device.shown[-1][0] is LARGE


def test_an_output_that_does_not_even_come_back_is_tried_again(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lasting_camera, "RETRY", 0.0)
    output = device.switch()
    device.refuses |= {SMALL, LARGE}
    with pytest.raises(OutputError):
        output.change(SMALL)
    show(output)
    assert "takes no" in output.fault
    device.refuses.clear()
    show(output)
    assert output.fault == ""
    assert device.shown[-1][0] == LARGE


def test_the_same_device_under_another_name_is_not_taken_from_who_reads(device: Device) -> None:
    output = device.switch()
    other = Format("auto", (320, 240), 30)
    device.count = 1
    with pytest.raises(OutputError, match="busy"):
        output.change(other)
    assert device.holder is LARGE
    device.count = 0
    output.change(other)
    assert device.holder is other
    output.change(Format("auto", (320, 240), 30))  # nothing to do
    assert device.opened == [LARGE, other]


def test_a_recording_begun_later_begins_at_nought(device: Device) -> None:
    output = device.switch()
    show(output, at=100.0)
    output.change(Format("clip.mp4", (320, 240), 30))
    show(output, at=101.0)
    show(output, at=101.5)
    assert [at for _, _, at in device.shown] == [100.0, 0.0, 0.5]
    assert device.holder is None
    output.change(Format("clip.mp4", (160, 120), 30))  # a recording keeps its size
    show(output, GREY[::2, ::2], at=102.0)
    assert device.shown[-1] == (Format("clip.mp4", (320, 240), 30), (240, 320), 1.0)


def test_a_picture_of_the_old_output_does_not_reach_the_new_one(device: Device) -> None:
    output = device.switch()
    converted = output.convert(GREY)
    output.change(SMALL)
    output.write(converted)
    assert device.shown == []


def test_changes_while_pictures_go_to_it(device: Device) -> None:
    output, over = device.switch(), threading.Event()
    failed: list[BaseException] = []

    def publish(pixels: Callable[[], Pixels]) -> None:
        while not over.is_set():
            try:
                output.readers()
                show(output, pixels())
            except (AssertionError, OutputError) as error:
                failed.append(error)
                return

    thread = threading.Thread(target=publish, args=(lambda: GREY,))
    thread.start()
    for number in range(200):
        output.change((SMALL, LARGE, Format("none", (64, 64), 30))[number % 3])
        count, began = len(device.shown), time.monotonic()
        while len(device.shown) == count and not failed and time.monotonic() - began < 10:
            time.sleep(0.0005)
    over.set()
    thread.join(10)
    assert not failed
    assert len({one for one, _, _ in device.shown}) == 3
