"""A picture of four colours: written to the loopback device, and read from it by other programs."""

import multiprocessing
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path

import cv2
import numpy as np

from xpcam.frame import Pixels
from xpcam.virtual_camera import VirtualCamera, open_output

DEVICE = Path("/dev/video10")
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


def open_device(size: tuple[int, int] = SIZE) -> VirtualCamera:
    return open_output("auto", size=size, fps=30)


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


def write_forever(parent: Connection) -> None:
    output = open_device()
    buffer = output.convert(picture(SIZE))
    output.write(buffer)
    parent.send("writing")
    while True:
        output.write(buffer)
        time.sleep(0.05)


@contextmanager
def other_writer() -> Iterator[int]:
    """A second process that writes until it is killed; its number."""
    fork = multiprocessing.get_context("fork")
    here, there = fork.Pipe()
    child = fork.Process(target=write_forever, args=(there,))
    child.start()
    try:
        assert here.recv() == "writing"
        assert child.pid is not None
        yield child.pid
    finally:
        child.kill()
        child.join()


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


def read(size: tuple[int, int], frames: int = 3) -> Pixels:
    """The last of some frames, as v4l2-ctl reads them."""
    width, height = size
    command = ("v4l2-ctl", "-d", str(DEVICE), "--stream-mmap=3", f"--stream-count={frames}", "--stream-to=-")
    raw = subprocess.run(command, capture_output=True, check=False, timeout=PATIENCE)
    assert raw.returncode == 0, raw.stderr.decode()
    planes = np.frombuffer(raw.stdout, np.uint8).reshape(frames, height * 3 // 2, width)[-1]
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YUV2BGR_I420), np.uint8)
