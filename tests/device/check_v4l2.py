"""The V4L2 writer against the v4l2loopback driver that is loaded; guest.sh starts this.

Each check prints one line; the first that fails ends the run with its traceback.
"""

import importlib.util
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from check_browser import bgr, seen_by_chromium

from xpcam.devices import list_devices
from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera import VirtualCamera, open_output
from xpcam.virtual_camera.v4l2_ioctl import S_FMT, Linux, i420, pack_format

DEVICE = Path("/dev/video10")
SPARE = Path("/dev/video11")  # a second loopback device, of another name
CAMERA = Path("/dev/video0")  # vivid
SIZE = (640, 360)
COLOURS = ((200, 40, 40), (40, 200, 40), (40, 40, 200), (128, 128, 128))  # BGR of the four quarters
PATIENCE = 300  # seconds; the machine is emulated, perhaps on a busy one
TOLERANCE = 6  # levels: two roundings of YUV


def picture(size: tuple[int, int]) -> Pixels:
    """Four quarters of one colour each."""
    width, height = size
    pixels = np.empty((height, width, 3), np.uint8)
    halves = (
        (slice(0, height // 2), slice(height // 2, height)),
        (slice(0, width // 2), slice(width // 2, width)),
    )
    for number, colour in enumerate(COLOURS):
        pixels[halves[0][number // 2], halves[1][number % 2]] = colour
    return pixels


def same(pixels: Pixels) -> bool:
    """Whether the middle of each quarter has its colour."""
    height, width = pixels.shape[:2]
    centres = [pixels[height * y // 4, width * x // 4] for y in (1, 3) for x in (1, 3)]
    return bool(np.abs(np.array(centres, int) - np.array(COLOURS)).max() <= TOLERANCE)


@contextmanager
def writing(output: VirtualCamera, size: tuple[int, int] = SIZE) -> Iterator[None]:
    """Frames are written to an open output as long as this lasts; then it is closed."""
    stop = threading.Event()
    buffer = output.convert(picture(size))
    output.write(buffer)

    def write() -> None:
        while not stop.wait(0.05):
            output.write(buffer)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        output.close()


@contextmanager
def process(*arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    child = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        yield child
    finally:
        child.kill()
        child.wait()


@contextmanager
def other_writer() -> Iterator[subprocess.Popen[bytes]]:
    """This script as a second process that writes until it is killed."""
    with process(sys.executable, __file__, "write") as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"writing\n"
        yield child


def open_device(size: tuple[int, int] = SIZE) -> VirtualCamera:
    return open_output("auto", size=size, fps=30)


def refusal(spec: str, size: tuple[int, int] = SIZE) -> str:
    """The message with which an output is refused."""
    try:
        output = open_output(spec, size=size, fps=30)
    except OutputError as error:
        print(f"    {error}")
        return str(error)
    output.close()
    raise AssertionError(f"{spec} was opened at {size}, a refusal was wanted")


def read_with_ffmpeg(size: tuple[int, int], frames: int = 3) -> Pixels:
    """The last of some frames, as ffmpeg reads them."""
    command = ("ffmpeg", "-v", "error", "-f", "v4l2", "-i", str(DEVICE), "-frames:v", str(frames))
    raw = subprocess.run(
        (*command, "-f", "rawvideo", "-pix_fmt", "bgr24", "-"),
        capture_output=True,
        check=False,
        timeout=PATIENCE,
    )
    assert raw.returncode == 0, raw.stderr.decode()
    pixels: Pixels = np.frombuffer(raw.stdout, np.uint8).reshape(frames, size[1], size[0], 3)[-1]
    return pixels


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
    with other_writer() as child:
        child.send_signal(signal.SIGKILL)
        child.wait()
    with writing(open_device()):
        assert same(read_with_ffmpeg(SIZE))


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
            assert same(read_with_ffmpeg(SIZE))


def check_pyvirtualcam() -> None:
    """The back end that another package writes for us, and our own after it."""
    if importlib.util.find_spec("pyvirtualcam") is None:
        print("    skipped: pyvirtualcam is not installed")
        return
    with writing(open_output("pyvirtualcam", size=SIZE, fps=30)):
        assert same(read_with_ffmpeg(SIZE))
    with writing(open_device()):
        assert same(read_with_ffmpeg(SIZE))


def check_chromium() -> None:
    """A browser lists the device by its label and shows its colours, at 1280x720."""
    if shutil.which("chromium") is None:
        print("    skipped: chromium is not installed")
        return
    size = (1280, 720)
    with writing(open_device(size), size):
        seen = seen_by_chromium()
    assert seen.get("size"), seen
    assert str(seen["label"]).startswith("Xpression Cam")
    assert np.abs(np.array(bgr(seen["rgb"])) - np.array(COLOURS)).max() <= TOLERANCE, seen


def check_busy() -> None:
    """A living writer, ours or ffmpeg, is named and left alone."""
    with other_writer() as child:
        assert str(child.pid) in refusal(str(DEVICE))
        with closing(open_device()) as spare:  # ours is busy
            print(f"    {spare.description}")
            assert f"Spare ({SPARE})" in spare.description
        assert child.poll() is None
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
        assert same(read_with_ffmpeg((320, 240)))


def check_foreign() -> None:
    """A real camera, and a device that is not there, are refused."""
    assert "vivid" in refusal(str(CAMERA))
    assert "no video device" in refusal("/dev/video99")
    assert "no video device" in refusal("v4l2:/dev/null")


def wait_for(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.2)


def write_forever() -> None:
    output = open_device()
    buffer = output.convert(picture(SIZE))
    output.write(buffer)
    print("writing", flush=True)
    while True:
        output.write(buffer)
        time.sleep(0.05)


def checked(checks: Sequence[Callable[[], None]], wanted: str) -> None:
    """Run those that are wanted ("all", or names with commas between); table.py reads what is printed."""
    for check in checks:
        name = check.__name__.removeprefix("check_")
        if wanted != "all" and name not in wanted.split(","):
            continue
        print(f"  {name}: {check.__doc__}", flush=True)
        check()
        print(f"  {name}: passed", flush=True)


def main() -> None:
    if sys.argv[1] == "write":
        write_forever()
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


if __name__ == "__main__":
    main()
