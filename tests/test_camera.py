"""Opening a camera by index, path or label, with a made-up machine and a fake OpenCV."""

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
from videos import write_video

from xpcam.camera import opening as camera
from xpcam.camera import webcam
from xpcam.devices import OUR_LABEL, Device, Holder
from xpcam.errors import CameraError


class FakeOpenCV:
    """Gives so many pictures, then none."""

    def __init__(self, pictures: int = 10**6, opened: bool = True, damaged: Iterable[int] = ()) -> None:
        self.left, self.opened, self.damaged = pictures, opened, set(damaged)
        self.settings: dict[int, float] = {cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*"YUYV")}
        self.grabs = 0
        self.decoding: Callable[[], None] = lambda: None
        self.released = False

    def isOpened(self) -> bool:  # noqa: N802
        return self.opened

    def set(self, propId: int, value: float, /) -> bool:  # noqa: N803
        self.settings[propId] = value
        return True

    def get(self, propId: int, /) -> float:  # noqa: N803
        return self.settings.get(propId, 0.0)

    def grab(self) -> bool:
        self.grabs += 1
        self.left -= 1
        return self.left >= 0

    def retrieve(self) -> tuple[bool, Any]:
        self.decoding()
        if self.grabs in self.damaged:
            return False, None
        width = int(self.settings[cv2.CAP_PROP_FRAME_WIDTH])
        height = int(self.settings[cv2.CAP_PROP_FRAME_HEIGHT])
        return True, np.full((height, width, 3), 9, np.uint8)

    def release(self) -> None:
        self.released = True


def device(number: int = 0, label: str = "Cam", **changes: Any) -> Device:
    values: dict[str, Any] = {
        "path": Path(f"/dev/video{number}"),
        "label": label,
        "driver": "uvcvideo",
        "bus": f"usb-{number}",
        "capture": True,
        "output": False,
        "formats": ("YUYV", "MJPG"),
        "loopback": False,
    }
    return Device(**(values | changes))


def machine(
    *devices: Device, backend: Callable[[str], FakeOpenCV] | None = None, held_by: Iterable[Holder] = ()
) -> camera.Machine:
    return camera.Machine(lambda: list(devices), lambda _: list(held_by), backend or (lambda _: FakeOpenCV()))


def refusal(spec: str, *arguments: Any, **options: Any) -> str:
    with pytest.raises(CameraError) as caught:
        camera.open_camera(spec, machine=machine(*arguments, **options))
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.mark.parametrize("spec", ["2", "/dev/video2", "Good Cam: HD", "good cam: hd"])
def test_a_webcam_is_found_by_index_path_and_label(spec: str) -> None:
    asked: list[str] = []

    def make(path: str) -> FakeOpenCV:
        asked.append(path)
        return FakeOpenCV()

    others = device(0, "other"), device(1, "Good Cam: HD", capture=False)
    opened = camera.open_camera(spec, machine=machine(*others, device(2, "Good Cam: HD"), backend=make))
    frame = opened.latest(30)
    opened.close()
    assert asked == ["/dev/video2"]
    assert frame is not None
    assert frame.pixels.shape == (720, 1280, 3)
    assert opened.description == "Good Cam: HD (/dev/video2): 1280x720 MJPG at 30 fps"


@pytest.mark.parametrize(
    ("size", "formats", "wanted"),
    [
        ((1280, 720), ("YUYV", "MJPG"), "MJPG"),
        ((640, 480), ("YUYV", "MJPG"), "YUYV"),
        ((1280, 720), ("YUYV",), "YUYV"),
    ],
)
def test_mjpeg_is_preferred_from_720p_up(
    size: tuple[int, int], formats: tuple[str, ...], wanted: str
) -> None:
    backend = FakeOpenCV()
    opened = camera.open_camera(
        "0", size=size, machine=machine(device(formats=formats), backend=lambda _: backend)
    )
    opened.close()
    assert opened.description == f"Cam (/dev/video0): {size[0]}x{size[1]} {wanted} at 30 fps"
    assert backend.settings[cv2.CAP_PROP_BUFFERSIZE] == 2
    assert backend.released


def test_a_picture_is_stamped_when_it_came_not_when_it_was_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    backend = FakeOpenCV()
    opened = webcam.open_webcam(device(), (64, 48), 30, lambda _: [], lambda _: backend)
    backend.decoding = lambda: now.append(now[-1] + 0.25)
    clock = SimpleNamespace(monotonic=lambda: now[-1], perf_counter=lambda: now[-1])
    monkeypatch.setattr(webcam, "time", clock)
    _, decode_seconds, captured_at = opened.read()
    assert (captured_at, decode_seconds) == (100, 0.25)


@pytest.mark.parametrize("spec", ["1", "01"])
@pytest.mark.parametrize("platform", ["darwin", "win32"])
def test_where_no_cameras_are_listed_an_index_opens_one(
    platform: str, spec: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xpcam.camera.capture.BACK_OFF", (0.0,))
    asked: list[int] = []

    def video_capture(index: int) -> FakeOpenCV:
        asked.append(index)
        return FakeOpenCV(pictures=3 if len(asked) == 1 else 10**6)

    monkeypatch.setattr(cv2, "VideoCapture", video_capture)
    elsewhere = camera.Machine(list, lambda _: [], platform=platform)
    opened = camera.open_camera(spec, machine=elsewhere)
    assert opened.description == "camera 1: 1280x720 YUYV at 30 fps"
    assert not opened.shareable
    while len(asked) < 2 or not opened.live:  # lost after two pictures, and found again
        opened.latest(1)
    opened.close()
    assert asked == [1, 1]


def test_where_no_cameras_are_listed_the_message_says_how_to_name_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda index: FakeOpenCV(opened=False))
    elsewhere = camera.Machine(list, lambda _: [], platform="darwin")
    with pytest.raises(CameraError, match="^camera 3 opens but gives no picture"):
        camera.open_camera("3", machine=elsewhere)
    with pytest.raises(CameraError, match="'Logitech'; a camera goes by its index here: 0, 1, ...$"):
        camera.open_camera("Logitech", machine=elsewhere)


def test_only_the_demo_and_files_may_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("0", "Good Cam"):
        write_video(tmp_path / "clip.mp4").rename(tmp_path / name)
    cameras = machine(device(0, "Good Cam"))
    kept: dict[str, bool] = {}
    for spec in ("0", "Good Cam", "good cam", "/dev/video0", "./0", "demo"):
        opened = camera.open_camera(spec, machine=cameras)
        opened.close()
        kept[spec] = opened.shareable
    assert kept == {
        "0": False,
        "Good Cam": False,
        "good cam": False,
        "/dev/video0": False,
        "./0": True,
        "demo": True,
    }


def test_a_few_damaged_pictures_are_skipped() -> None:
    backend = FakeOpenCV(damaged=range(2, 8))
    opened = camera.open_camera("0", machine=machine(device(), backend=lambda _: backend))
    assert opened.latest(30) is not None
    assert opened.live
    opened.close()


def test_an_unplugged_webcam_is_found_again_under_another_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xpcam.camera.capture.BACK_OFF", (0.0,))
    present = [device(5, "Cam", bus="usb-9"), device(0, "Cam", bus="usb-1")]
    opened_paths: list[str] = []

    def make(path: str) -> FakeOpenCV:
        opened_paths.append(path)
        if len(opened_paths) == 1:
            present[1] = device(7, "Cam", bus="usb-1")
            return FakeOpenCV(pictures=3)
        return FakeOpenCV()

    opened = camera.open_camera(
        "/dev/video0", machine=camera.Machine(lambda: list(present), lambda _: [], make)
    )
    while len(opened_paths) < 2 or not opened.live:
        opened.latest(1)
    opened.close()
    assert opened_paths == ["/dev/video0", "/dev/video7"]
    assert opened.description.startswith("Cam (/dev/video7)")


def test_an_index_without_a_device_lists_what_there_is() -> None:
    message = refusal("4", device(0, "Cam"), device(1, "Cam", capture=False), device(2, OUR_LABEL))
    assert message == "no camera /dev/video4; this machine has /dev/video0 (Cam)"


def test_no_camera_at_all_names_the_ways_out() -> None:
    assert refusal("0") == (
        "no camera /dev/video0; this machine has none: plug one in, or use --camera demo or a video file"
    )


def test_an_unknown_label_lists_what_there_is() -> None:
    message = refusal("Logitech", device(0, "Cam"))
    assert message == "no camera or video file is called 'Logitech'; this machine has /dev/video0 (Cam)"


@pytest.mark.parametrize("spec", ["/dev/null", "/dev/video", "/dev/no-such-thing"])
def test_a_device_that_is_no_video_device(spec: str) -> None:
    assert refusal(spec, device(0, "Cam")) == f"no camera {spec}; this machine has /dev/video0 (Cam)"


@pytest.mark.parametrize("spec", ["3", "/dev/video3", OUR_LABEL])
def test_our_own_output_is_no_camera(spec: str) -> None:
    ours = device(3, OUR_LABEL, loopback=True)
    assert "is where our own pictures come out" in refusal(spec, ours)


def never(path: str) -> FakeOpenCV:
    raise AssertionError(f"{path} was opened")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("4", "no camera /dev/video4"),
        ("Logitech", "no camera or video file is called 'Logitech'"),
        (OUR_LABEL, "is where our own pictures come out"),
        ("no-such-file.mp4", "no camera or video file is called"),
    ],
)
def test_what_is_no_camera_is_known_without_opening_any(spec: str, expected: str) -> None:
    there = machine(device(0, "Cam"), device(3, OUR_LABEL, loopback=True), backend=never)
    with pytest.raises(CameraError, match=expected):
        camera.check_camera(spec, there)


@pytest.mark.parametrize("spec", ["0", "Cam", "demo", "rtsp://host/stream", __file__])
def test_what_is_a_camera_is_not_opened_to_know_it(spec: str) -> None:
    camera.check_camera(spec, machine(device(0, "Cam"), backend=never))


def test_a_busy_webcam_names_who_holds_it() -> None:
    message = refusal(
        "0",
        device(),
        backend=lambda _: FakeOpenCV(0),
        held_by=[Holder(812, "zoom"), Holder(os.getpid(), "me")],
    )
    assert message == (
        "/dev/video0 (Cam) is busy: zoom (process 812) holds it; close that, or choose another camera"
    )


def test_a_webcam_that_gives_nothing_though_nobody_holds_it() -> None:
    backend = FakeOpenCV(opened=False)
    assert "opens but gives no picture" in refusal("0", device(), backend=lambda _: backend)
    assert backend.released


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"capture": False, "problem": "Permission denied"}, "sudo usermod -aG video $USER"),
        ({"capture": False, "problem": "No such device"}, "cannot be opened: No such device"),
        ({"capture": False}, "takes no pictures"),
        ({"capture": False, "output": True, "loopback": True}, "nothing writes to"),
    ],
)
def test_a_device_that_cannot_be_a_camera(changes: dict[str, Any], expected: str) -> None:
    assert expected in refusal("0", device(**changes))
