"""A v4l2loopback device whose size is changed, against models of the drivers: who reads it loses nothing."""

import itertools

import numpy as np
import pytest
from loopback import LOOPBACK, FakeDriver

from xpcam.devices import Holder
from xpcam.frame import Pixels
from xpcam.output_switch import FREE_FOR, Format, OutputSwitch
from xpcam.virtual_camera import VirtualCamera
from xpcam.virtual_camera.lasting import LastingCamera
from xpcam.virtual_camera.v4l2 import V4l2Camera

FIRST, OTHER = Format("v4l2", (64, 48), 30), Format("v4l2", (128, 96), 30)


@pytest.fixture(params=["0.12.7", "0.13.2", "0.15.0"])
def driver(request: pytest.FixtureRequest) -> FakeDriver:
    return FakeDriver(request.param)


def grey(wanted: Format) -> Pixels:
    return np.full((*wanted.size[::-1], 3), 128, np.uint8)


def bytes_of(wanted: Format) -> int:
    return wanted.size[0] * wanted.size[1] * 3 // 2


def test_a_reader_keeps_its_format_and_the_device_is_not_closed_under_it(driver: FakeDriver) -> None:
    clock = itertools.count(0.0, 1.0)

    def opened(wanted: Format) -> VirtualCamera:
        return LastingCamera(
            lambda: V4l2Camera(
                LOOPBACK, size=wanted.size, fps=wanted.fps, kernel=driver, now=lambda: next(clock)
            )
        )

    output = OutputSwitch(opened, FIRST, now=lambda: next(clock))
    driver.reader, driver.holders = True, [Holder(77, "firefox")]
    output.write(output.convert(grey(FIRST)))
    assert output.readers() == 1
    (ours,) = driver.open_
    output.change(OTHER)
    output.write(output.convert(grey(OTHER)))
    assert driver.open_ == {ours}
    assert set(map(len, driver.frames)) == {bytes_of(FIRST)}
    assert set(driver.frames[-1][: 64 * 48]) == set(driver.frames[0][: 64 * 48])  # as bright as before
    driver.reader, driver.holders = False, []
    for _ in range(int(FREE_FOR) + 3):
        output.readers()
    assert driver.open_ != {ours}
    assert (driver.format.width, driver.format.height) == OTHER.size
    assert not driver.stuck
    output.write(output.convert(grey(OTHER)))
    assert len(driver.frames[-1]) == bytes_of(OTHER)
    output.close()
    assert not driver.open_
