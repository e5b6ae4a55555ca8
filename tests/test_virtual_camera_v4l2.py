"""The V4L2 writer against models of the drivers; tests/device runs it against the drivers themselves."""

import errno
import logging
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from loopback import DEVICE, LOOPBACK, FakeDriver, TwoDevices

from xpcam.devices import Holder
from xpcam.errors import OutputError
from xpcam.virtual_camera import v4l2_ioctl as v4l2
from xpcam.virtual_camera.v4l2 import V4l2Camera, open_v4l2

SIZE = (64, 48)
READER = Holder(77, "firefox")


@pytest.fixture(params=["0.12.7", "0.13.2", "0.15.0"])
def driver(request: pytest.FixtureRequest) -> FakeDriver:
    return FakeDriver(request.param)


def open_camera(driver: FakeDriver, size: tuple[int, int] = SIZE, path: Path = LOOPBACK) -> V4l2Camera:
    return V4l2Camera(path, size=size, fps=30, kernel=driver)


def grey(size: tuple[int, int] = SIZE) -> np.ndarray:
    return np.full((size[1], size[0], 3), 128, np.uint8)


def refused(driver: FakeDriver, action: Callable[[], object]) -> str:
    """The one line of an OutputError, after which nothing of ours is left open."""
    with pytest.raises(OutputError) as caught:
        action()
    assert not driver.open_
    message = str(caught.value)
    assert "\n" not in message
    assert message
    return message


def test_frames_arrive_and_the_device_is_given_back(driver: FakeDriver) -> None:
    camera = open_camera(driver)
    assert camera.description == "Xpression Cam (/dev/video10), 64x48 I420 at 30 fps"
    camera.write(camera.convert(grey()))
    assert [len(frame) for frame in driver.frames] == [64 * 48 * 3 // 2]
    camera.close()
    camera.close()
    assert not driver.open_
    assert not driver.stuck


def test_ten_restarts(driver: FakeDriver) -> None:
    for _ in range(10):
        camera = open_camera(driver)
        camera.write(camera.convert(grey()))
        camera.close()
    assert len(driver.frames) == 10


def test_a_device_left_stuck_is_freed(driver: FakeDriver) -> None:
    foreign = driver.open(LOOPBACK)
    driver.write(foreign, memoryview(b"x"))
    driver.close(foreign)
    assert driver.stuck == (driver.version == "0.12.7")
    camera = open_camera(driver)
    camera.write(camera.convert(grey()))
    camera.close()
    assert driver.devices()[1].output


def test_a_living_writer_is_not_taken_for_a_stuck_device(driver: FakeDriver) -> None:
    foreign = driver.open(LOOPBACK)
    driver.write(foreign, memoryview(b"x"))
    driver.holders = [Holder(4242, "obs")]
    with pytest.raises(OutputError, match=r"obs 4242"):
        open_camera(driver)
    assert driver.open_ == {foreign}
    assert v4l2.STREAMON not in driver.calls


def test_a_stuck_device_that_cannot_be_freed(driver: FakeDriver) -> None:
    driver.device_ = replace(DEVICE, output=False)
    assert "modprobe -r v4l2loopback" in refused(driver, lambda: open_camera(driver))


def test_our_own_second_writer_is_told_of_the_first(driver: FakeDriver) -> None:
    driver.locked, driver.holders = True, [Holder(99, "xpcam")]
    message = refused(driver, lambda: open_camera(driver))
    assert "/dev/video10" in message
    assert "xpcam 99" in message


def test_another_size_while_a_reader_holds_the_old_one(driver: FakeDriver) -> None:
    driver.format, driver.reader, driver.holders = v4l2.i420(32, 24), True, [READER]
    message = refused(driver, lambda: open_camera(driver))
    assert "32x24 YU12" in message
    assert "64x48 YU12" in message
    assert "firefox 77" in message
    assert "--size 32x24" in message


def test_the_same_size_while_a_reader_holds_it(driver: FakeDriver) -> None:
    driver.format, driver.reader, driver.holders = v4l2.i420(*SIZE), True, [READER]
    camera = open_camera(driver)
    camera.write(camera.convert(grey()))
    assert len(driver.frames) == 1


@pytest.mark.parametrize("code", [errno.ENODEV, errno.EIO])
def test_a_device_that_vanishes_while_writing(driver: FakeDriver, code: int) -> None:
    camera = open_camera(driver)
    driver.write_error = code
    with pytest.raises(OutputError, match=os.strerror(code)):
        camera.write(camera.convert(grey()))
    camera.close()
    assert not driver.open_
    with pytest.raises(OutputError, match="is closed"):
        camera.write(camera.convert(grey()))


def test_a_frame_of_which_a_part_was_taken(driver: FakeDriver) -> None:
    camera = open_camera(driver)
    driver.short = 100
    with pytest.raises(OutputError, match=r"took 4508 of a frame's 4608 bytes"):
        camera.write(camera.convert(grey()))


def test_a_real_camera_is_refused(driver: FakeDriver) -> None:
    message = refused(driver, lambda: open_camera(driver, path=Path("/dev/video0")))
    assert "HD Webcam" in message
    assert "uvcvideo" in message


def test_a_device_that_does_not_exist(driver: FakeDriver) -> None:
    message = refused(driver, lambda: open_camera(driver, path=Path("/dev/video99")))
    assert "use /dev/video10" in message


def test_permission(driver: FakeDriver) -> None:
    driver.device_ = replace(DEVICE, output=False, problem=os.strerror(errno.EACCES))
    assert "usermod -aG video" in refused(driver, lambda: open_camera(driver))


def test_odd_size(driver: FakeDriver) -> None:
    assert "--size 64x48" in refused(driver, lambda: open_camera(driver, (65, 49)))


def test_a_module_without_exclusive_caps_is_warned_of(
    driver: FakeDriver, caplog: pytest.LogCaptureFixture
) -> None:
    driver.device_ = replace(DEVICE, capture=True)
    with caplog.at_level(logging.WARNING):
        open_camera(driver)
    assert "exclusive_caps=1" in caplog.text


def test_a_reader_that_stayed_is_not_taken_for_missing_exclusive_caps(
    driver: FakeDriver, caplog: pytest.LogCaptureFixture
) -> None:
    driver.device_, driver.holders = replace(DEVICE, capture=True), [READER]
    open_camera(driver)
    assert not caplog.text


def test_rate_and_format_as_the_kernel_reads_them(driver: FakeDriver) -> None:
    V4l2Camera(LOOPBACK, size=SIZE, fps=29.97, kernel=driver)
    assert np.frombuffer(driver.rate, np.uint32)[3:5].tolist() == [100, 2997]  # seconds a frame
    assert driver.format == v4l2.Format(64, 48, v4l2.FOURCC_I420, 4608)
    packed = v4l2.pack_format(driver.format)
    pix = np.frombuffer(packed[8:56], np.uint32).tolist()  # struct v4l2_pix_format, on 64 bits
    assert pix == [64, 48, 0x32315559, 1, 64, 4608, 8, 0xFEEDCAFE, 0, 1, 2, 2]
    numbers = [v4l2.G_FMT, v4l2.S_FMT, v4l2.STREAMON, v4l2.S_PARM]
    assert numbers == [0xC0D05604, 0xC0D05605, 0x40045612, 0xC0CC5616]


def test_auto_takes_the_labelled_device(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    other = replace(DEVICE, path=Path("/dev/video2"), label="OBS Virtual Camera")
    listed = driver.devices()
    monkeypatch.setattr(driver, "devices", lambda: [other, *listed])
    assert open_v4l2(size=SIZE, fps=30, kernel=driver).path == LOOPBACK


def test_auto_takes_any_other_free_one(driver: FakeDriver) -> None:
    driver.device_ = replace(DEVICE, label="Dummy video device")
    assert open_v4l2(size=SIZE, fps=30, kernel=driver).path == LOOPBACK


def test_auto_without_any_says_what_to_do(driver: FakeDriver) -> None:
    driver.device_ = replace(DEVICE, loopback=False)
    message = refused(driver, lambda: open_v4l2(size=SIZE, fps=30, kernel=driver))
    assert 'modprobe v4l2loopback exclusive_caps=1 video_nr=10 card_label="Xpression Cam"' in message
    assert "v4l2loopback-dkms" in message


def test_auto_makes_a_device_where_it_may(driver: FakeDriver, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    driver.device_, driver.may_add = replace(DEVICE, loopback=False, label="gone"), 0
    assert open_v4l2(size=SIZE, fps=30, kernel=driver).path == LOOPBACK
    assert driver.device_.label == "Xpression Cam"
    assert "made /dev/video10; sudo v4l2loopback-ctl delete /dev/video10 takes it away" in caplog.text


def test_auto_says_how_to_make_one_where_it_may_not(driver: FakeDriver) -> None:
    driver.device_, driver.may_add = replace(DEVICE, loopback=False), errno.EACCES
    message = refused(driver, lambda: open_v4l2(size=SIZE, fps=30, kernel=driver))
    assert 'sudo v4l2loopback-ctl add -x 1 -n "Xpression Cam"' in message


def test_auto_says_why_none_was_free(driver: FakeDriver) -> None:
    driver.locked, driver.holders = True, [Holder(99, "xpcam")]
    assert "xpcam 99" in refused(driver, lambda: open_v4l2(size=SIZE, fps=30, kernel=driver))


@pytest.mark.parametrize("version", ["0.12.7", "0.13.2", "0.15.0"])
@pytest.mark.parametrize("why", ["locked", "streams"])
def test_auto_takes_another_where_ours_is_busy_and_names_both(
    version: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    driver = TwoDevices(version, holders=[Holder(99, "ffmpeg")])
    if why == "locked":
        driver.locked = True
    else:
        driver.writer = 7
    camera = open_v4l2(size=SIZE, fps=30, kernel=driver)
    assert camera.path == Path("/dev/video2")
    assert "OBS Virtual Camera (/dev/video2)" in camera.description
    (told,) = caplog.records
    assert told.levelname == "WARNING"
    for part in (
        "taking /dev/video2 (OBS Virtual Camera) instead",
        "/dev/video10",
        "Xpression Cam",
        "ffmpeg 99",
    ):
        assert part in told.getMessage()
    camera.close()
    assert not driver.open_


def test_auto_prefers_ours_where_both_are_free(caplog: pytest.LogCaptureFixture) -> None:
    assert open_v4l2(size=SIZE, fps=30, kernel=TwoDevices("0.15.0")).path == LOOPBACK
    assert not caplog.records


def test_auto_says_a_wrong_size_once() -> None:
    with pytest.raises(OutputError) as caught:
        open_v4l2(size=(65, 48), fps=30, kernel=TwoDevices("0.15.0"))
    assert str(caught.value).count("must be even") == 1
