"""Who reads a v4l2loopback device, and what is written while nobody does."""

import struct
from pathlib import Path

import numpy as np
import pytest
from loopback import LOOPBACK, FakeDriver

from xpcam.demand import Demand, Wanted
from xpcam.devices import Holder
from xpcam.live import NAP
from xpcam.virtual_camera import v4l2_ioctl as v4l2
from xpcam.virtual_camera.v4l2 import V4l2Camera
from xpcam.virtual_camera.v4l2_readers import LOOK_AGAIN, LOOKED_OVER

SIZE = (64, 48)
READER = Holder(77, "firefox")


@pytest.fixture(params=["0.12.7", "0.13.2", "0.15.0"])
def driver(request: pytest.FixtureRequest) -> FakeDriver:
    return FakeDriver(request.param)


def open_camera(driver: FakeDriver) -> V4l2Camera:
    return V4l2Camera(LOOPBACK, size=SIZE, fps=30, kernel=driver)


def grey() -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), 128, np.uint8)


def test_nothing_is_converted_while_nobody_reads(driver: FakeDriver) -> None:
    clock = 0.0
    camera = V4l2Camera(LOOPBACK, size=SIZE, fps=30, kernel=driver, now=lambda: clock)
    for tick in range(300):  # ten seconds
        clock = tick / 30
        camera.write(camera.convert(grey()))
    assert 10 <= len(driver.frames) <= 12  # the first at once, then one a second
    driver.reader, driver.holders = True, [READER]
    for _ in range(10):
        camera.write(camera.convert(grey()))
    assert 20 <= len(driver.frames) <= 22


def test_the_readers_are_known_of_every_version(driver: FakeDriver) -> None:
    camera = open_camera(driver)
    assert camera.readers() == 0
    driver.reader, driver.holders = True, [READER]
    assert camera.readers() == 1
    driver.reader, driver.holders = False, []
    assert camera.readers() == 0
    camera.close()
    assert camera.readers() == 0


def test_a_program_that_holds_the_device_is_found_once_not_again_and_again(driver: FakeDriver) -> None:
    clock = 0.0
    camera = V4l2Camera(LOOPBACK, size=SIZE, fps=30, kernel=driver, now=lambda: clock)
    before = driver.walks
    driver.holders = [READER]  # by read(), say, of which no driver tells
    assert camera.readers() == (1 if driver.version == "0.12.7" else 0)
    clock = LOOKED_OVER
    assert [camera.readers() for _ in range(100)] == [1] * 100
    assert driver.walks == before + 1
    clock = LOOK_AGAIN + 1
    assert camera.readers() == 1
    assert driver.walks == before + 2


@pytest.mark.parametrize("every", [3, 15, 30])
def test_a_program_that_polls_opens_the_camera_once_at_most(every: float, driver: FakeDriver) -> None:
    """It has the device open for 0.4 s every few seconds; 0.12.7 takes the first visit for a reader."""
    clock = 0.0
    camera = V4l2Camera(LOOPBACK, size=SIZE, fps=30, kernel=driver, now=lambda: clock)
    demand = Demand(camera.readers, 10, lambda: clock)
    wanted = []
    for tick in range(round(300 / NAP)):
        clock = tick * NAP
        driver.holders = [READER] if clock > 1 and clock % every < 0.4 else []
        wanted.append(demand.wanted() is Wanted.LIVE)
    assert wanted.count(True) * NAP <= (11 if driver.version == "0.12.7" else 0)
    driver.holders = [READER]  # among them one that stays
    for tick in range(round(1.5 / NAP)):
        clock = 300 + tick * NAP
        wanted.append(demand.wanted() is Wanted.LIVE)
    assert wanted[-1]


@pytest.mark.parametrize(("others", "wanted"), [(0, 2), (1, None)])
def test_programs_of_another_user(others: int, wanted: int | None, driver: FakeDriver) -> None:
    """/proc hides who they are: with a single loopback device they must be readers of it."""
    clock = 0.0
    camera = V4l2Camera(LOOPBACK, size=SIZE, fps=30, kernel=driver, now=lambda: clock)
    driver.other_devices = others
    driver.open_ |= {7, 8}
    camera.readers()
    clock = LOOKED_OVER
    assert camera.readers() == wanted


def test_readers_are_unknown_where_sysfs_does_not_tell() -> None:
    driver = FakeDriver("0.12.7", tells_opened=False)
    assert open_camera(driver).readers() is None


def test_how_often_it_is_open_is_unknown_without_the_driver() -> None:
    if not Path("/sys/module/v4l2loopback").exists():
        assert v4l2.Linux().opened() is None
        with pytest.raises(FileNotFoundError):
            v4l2.Linux().add("Xpression Cam")


class Events(v4l2.Linux):
    """The event calls of v4l2loopback from 0.13: a subscription begins with how it stands."""

    def __init__(self) -> None:
        self.reading = False
        self.waiting: list[int] | None = None

    def ioctl(self, descriptor: int, request: int, buffer: bytearray) -> None:
        if request == v4l2.UNSUBSCRIBE_EVENT:
            self.waiting = None
        elif request == v4l2.SUBSCRIBE_EVENT:
            assert struct.unpack("=8I", buffer) == (0x10E00001, 0, 1, 0, 0, 0, 0, 0)
            self.waiting = [1, 0, int(self.reading)]  # older events come first
        else:
            assert request == v4l2.DQEVENT
            assert self.waiting
            struct.pack_into("=I4xI60xI", buffer, 0, 0x10E00001, self.waiting.pop(0), len(self.waiting))

    def _event_waits(self, descriptor: int) -> bool:
        return bool(self.waiting)


def test_the_last_event_counts() -> None:
    kernel = Events()
    assert kernel.readers(3) == 0
    kernel.reading = True
    assert kernel.readers(3) == 1


def test_a_file_that_is_no_device_tells_nothing(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file, pytest.raises(OSError, match="ioctl"):
        v4l2.Linux().readers(file.fileno())
