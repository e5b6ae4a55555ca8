"""The V4L2 writer against the v4l2loopback driver that is loaded; checks.py calls this.

Each check prints one line; the first that fails ends the run with its traceback. A program takes an emulated
processor seconds to start: ffmpeg reads where that is what is checked, v4l2-ctl elsewhere.
"""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from check_browser import bgr, seen_by_chromium
from checking import checked
from four_colours import (
    COLOURS,
    DEVICE,
    PATIENCE,
    SIZE,
    TOLERANCE,
    open_device,
    other_writer,
    read,
    read_with_ffmpeg,
    same,
    writing,
)

from xpcam.devices import list_devices
from xpcam.errors import OutputError
from xpcam.virtual_camera import open_output
from xpcam.virtual_camera.v4l2_ioctl import S_FMT, Linux, i420, pack_format

SPARE = Path("/dev/video11")  # a second loopback device, of another name
CAMERA = Path("/dev/video0")  # vivid
FLAGS = (  # of what has nothing to do with cameras
    "--disable-extensions",
    "--disable-component-update",
    "--disable-background-networking",
    "--disable-sync",
    "--disable-default-apps",
    "--disable-features=Translate,MediaRouter,OptimizationHints",
)


def refusal(spec: str, size: tuple[int, int] = SIZE) -> str:
    """The message with which an output is refused."""
    try:
        output = open_output(spec, size=size, fps=30)
    except OutputError as error:
        print(f"    {error}")
        return str(error)
    output.close()
    raise AssertionError(f"{spec} was opened at {size}, a refusal was wanted")


def check_lifecycle() -> None:
    """Start, first frame, readers see the colours, stop; twice."""
    for _ in range(2):
        with writing(open_device()):
            device = next(d for d in list_devices() if d.path == DEVICE)
            assert device.capture
            assert device.label == "Xpression Cam"
            assert same(read_with_ffmpeg(SIZE))


def check_hd() -> None:
    """1280x720, and what v4l2-ctl says of it."""
    size = (1280, 720)
    with writing(open_device(size), size):
        assert same(read_with_ffmpeg(size))
        said = subprocess.run(
            ("v4l2-ctl", "-d", str(DEVICE), "--all"), capture_output=True, check=False, timeout=PATIENCE
        ).stdout
        text = " ".join(said.decode().split())
        for wanted in ("1280/720", "YU12", "Frames per second: 30.000", "Colorspace : sRGB"):
            assert wanted in text, said.decode()


def check_killed() -> None:
    """A writer killed without warning leaves a device that starts again."""
    with other_writer() as pid:
        os.kill(pid, signal.SIGKILL)
    with writing(open_device()):
        assert same(read(SIZE))


def check_stuck() -> None:
    """A program that wrote without STREAMON and left; 0.12.7 is stuck then."""
    kernel = Linux()
    descriptor = kernel.open(DEVICE)
    kernel.ioctl(descriptor, S_FMT, pack_format(i420(*SIZE)))
    for _ in range(3):
        kernel.write(descriptor, memoryview(bytes(SIZE[0] * SIZE[1] * 3 // 2)))
    kernel.close(descriptor)
    stuck = not next(d for d in list_devices() if d.path == DEVICE).output
    print(f"    stuck: {stuck}")
    assert stuck == (sys.argv[1] == "0.12.7")
    for _ in range(2):
        with writing(open_device()):
            assert same(read(SIZE))


def check_pyvirtualcam() -> None:
    """The back end that another package writes for us, and our own after it."""
    if importlib.util.find_spec("pyvirtualcam") is None:
        print("    skipped: pyvirtualcam is not installed")
        return
    with writing(open_output("pyvirtualcam", size=SIZE, fps=30)):
        assert same(read_with_ffmpeg(SIZE))
    with writing(open_device()):
        assert same(read(SIZE))


def check_chromium() -> None:
    """A browser lists the device by its label and shows its colours, at 1280x720."""
    if shutil.which("chromium") is None:
        print("    skipped: chromium is not installed")
        return
    size = (1280, 720)
    with writing(open_device(size), size):
        seen = seen_by_chromium(flags=FLAGS)
    assert seen.get("size"), seen
    assert str(seen["label"]).startswith("Xpression Cam")
    assert np.abs(np.array(bgr(seen["rgb"])) - np.array(COLOURS)).max() <= TOLERANCE, seen


def check_busy() -> None:
    """A living writer, ours or ffmpeg, is named and left alone."""
    with other_writer() as pid:
        assert str(pid) in refusal(str(DEVICE))
        with closing(open_device()) as spare:  # ours is busy
            print(f"    {spare.description}")
            assert f"Spare ({SPARE})" in spare.description
        os.kill(pid, 0)  # it lives
        assert same(read_with_ffmpeg(SIZE))
    source = ("-re", "-f", "lavfi", "-i", f"color=c=gray:size={SIZE[0]}x{SIZE[1]}:rate=10")
    with process("ffmpeg", "-v", "error", *source, "-pix_fmt", "yuv420p", "-f", "v4l2", str(DEVICE)) as child:
        wait_for(lambda: next(d for d in list_devices() if d.path == DEVICE).capture)
        assert f"ffmpeg {child.pid}" in refusal(str(DEVICE))
    with writing(open_device()):
        assert same(read_with_ffmpeg(SIZE))


def check_other_size() -> None:
    """A reader holds the old size: another is refused in words, the same one works."""
    with writing(open_device()):
        reader = subprocess.Popen(
            ("v4l2-ctl", "-d", str(DEVICE), "--stream-mmap", "--stream-count=100000"),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(3)
        assert reader.poll() is None
    try:
        if reader.poll() is None:
            message = refusal(str(DEVICE), (320, 240))
            assert "640x360" in message
            assert "320x240" in message
            assert str(reader.pid) in message
        else:
            print("    the reader left with the writer")
        with writing(open_device()):
            time.sleep(1)
    finally:
        reader.kill()
        reader.wait()
    with writing(open_device((320, 240)), (320, 240)):
        assert same(read((320, 240)))


def check_foreign() -> None:
    """A real camera, and a device that is not there, are refused."""
    assert "vivid" in refusal(str(CAMERA))
    assert "no video device" in refusal("/dev/video99")
    assert "no video device" in refusal("v4l2:/dev/null")


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.2)


def main() -> None:
    checks = (
        check_lifecycle,
        check_hd,
        check_killed,
        check_stuck,
        check_pyvirtualcam,
        check_chromium,
        check_busy,
        check_other_size,
        check_foreign,
    )
    checked(checks, sys.argv[2])
