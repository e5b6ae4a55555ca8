"""The whole daemon from vivid to v4l2loopback: asleep until somebody reads, and one reader that sees no gap.

Runs in the emulated machine after check_v4l2.py. Figures are printed; bounds hold on any machine.
"""

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from check_v4l2 import DEVICE, checked
from outside import Daemon, Seen, darkest, differ, longest_freeze

from xpcam.devices import list_devices
from xpcam.virtual_camera.v4l2 import V4l2Camera

SIZE = (320, 240)
CAMERA = "video0"
PATIENCE = 900.0  # seconds; the machine is emulated
IDLE_TIMEOUT = 2.0
LONGEST = 0.5  # seconds without a new picture
BLACK, OTHER = 24, 20  # levels of luma


def wait_for(true: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not true():
        assert time.monotonic() < deadline, f"waited {PATIENCE:.0f} s for {what}"
        time.sleep(0.05)


@contextmanager
def daemon() -> Iterator[Daemon]:
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        command = (sys.executable, str(Path(__file__).with_name("cheap_daemon.py")), "start")
        places = ("--target", f"{folder}/faces", "--camera", f"/dev/{CAMERA}", "--output", str(DEVICE))
        size = (
            "--size",
            f"{SIZE[0]}x{SIZE[1]}",
            "--fps",
            "10",
            "--idle-timeout",
            str(IDLE_TIMEOUT),
            "--no-control",
        )
        with (
            log.open("wb") as file,
            subprocess.Popen((*command, *places, *size), stdout=file, stderr=file) as child,
        ):
            running = Daemon(child, log, CAMERA)
            try:
                wait_for(lambda: child.poll() is not None or listed(), "the device to be listed")
                wait_for(lambda: child.poll() is not None or running.slept, "its first sleep")
                assert child.poll() is None
                yield running
            except AssertionError:
                print(running.log, flush=True)
                raise
            finally:
                child.terminate()


def listed() -> bool:
    return next(device for device in list_devices() if device.path == DEVICE).capture


class Reader:
    """v4l2-ctl: the luma of every picture that it got, and when."""

    def __init__(self) -> None:
        command = ("v4l2-ctl", "-d", str(DEVICE), "--stream-mmap=3", "--stream-to=-")
        self.child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        self.seen: Seen = []
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        width, height = SIZE
        nbytes = width * height * 3 // 2
        assert self.child.stdout is not None
        while len(raw := self.child.stdout.read(nbytes)) == nbytes:
            luma = np.frombuffer(raw, np.uint8)[: width * height].reshape(height, width)
            self.seen.append((time.monotonic(), luma[::2, ::2].copy()))

    def got(self, pictures: int) -> bool:
        return len(self.seen) > pictures

    def close(self) -> None:
        self.child.kill()
        self._thread.join()
        self.child.communicate()


@contextmanager
def reader() -> Iterator[Reader]:
    reading = Reader()
    try:
        yield reading
    finally:
        reading.close()


def woken(running: Daemon, times: int) -> bool:
    return len(running.wakes_ms()) == times


def reloaded(running: Daemon, times: int) -> bool:
    return running.reloads() == times


def check_readers() -> None:
    """who has the device open is known: a program that only holds it, one that streams, nobody"""
    with closing(V4l2Camera(DEVICE, size=SIZE, fps=10)) as camera:
        pixels = np.zeros((SIZE[1], SIZE[0], 3), np.uint8)
        camera.write(camera.convert(pixels))
        assert camera.readers() == 0
        for held in (
            ["sh", "-c", f"exec 3<{DEVICE}; read nothing"],
            ["v4l2-ctl", "-d", str(DEVICE), "--stream-mmap"],
        ):
            child = subprocess.Popen(held, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
            wait_for(lambda: camera.readers() == 1, held[0])
            child.kill()
            child.communicate()
            wait_for(lambda: camera.readers() == 0, f"{held[0]} to go")


def check_on_demand() -> None:
    """asleep until a program reads, awake while it does, asleep again: descriptors and processor time"""
    with daemon() as running:
        assert not running.camera_open
        awake = 0.0
        for times in (1, 2):
            with reader() as reading:
                wait_for(partial(woken, running, times), "a frame of the camera")
                assert running.camera_open
                wait_for(partial(reading.got, 10), "its pictures")
                awake = running.share_of_a_core(4)
            wait_for(lambda: not running.camera_open, "the camera to close")
        asleep = running.share_of_a_core(10)
        print(f"    asleep {asleep:.1%} of an emulated core, awake {awake:.1%}", flush=True)
        print(f"    a reader waited for the camera, ms: {running.wakes_ms()}", flush=True)
        assert asleep < awake / 4
        assert listed()


def check_polled() -> None:
    """a program that opens the device every half second, and reads nothing, wakes nothing"""
    with daemon() as running:
        for _ in range(20):
            os.close(os.open(DEVICE, os.O_RDWR | os.O_NONBLOCK))
            time.sleep(0.5)
            assert not running.camera_open
        assert not running.wakes_ms()


def check_uninterrupted() -> None:
    """a reader attached through three engine restarts and a change of target sees no error and no gap"""
    with daemon() as running, reader() as reading:
        wait_for(partial(woken, running, 1), "a frame of the camera")
        undisturbed = len(reading.seen) + 50
        wait_for(partial(reading.got, undisturbed), "its pictures")
        for times in (1, 2, 3):
            running.child.send_signal(signal.SIGHUP)
            wait_for(partial(reloaded, running, times), "new engines")
        old = reading.seen[-1][1]
        running.child.send_signal(signal.SIGUSR2)
        wait_for(lambda: differ(reading.seen[-1][1], old) > OTHER, "the other target")
        wait_for(partial(reading.got, len(reading.seen) + 20), "its pictures")
        assert reading.child.poll() is None
    calm = longest_freeze(reading.seen[:undisturbed])
    disturbed = longest_freeze(reading.seen[undisturbed:])
    print(f"    longest time without a new picture: {disturbed:.2f} s, undisturbed {calm:.2f} s", flush=True)
    assert darkest(reading.seen) > BLACK
    assert disturbed < max(LONGEST, 2 * calm)


def main() -> None:
    checked((check_readers, check_on_demand, check_polled, check_uninterrupted), sys.argv[2])


if __name__ == "__main__":
    main()
