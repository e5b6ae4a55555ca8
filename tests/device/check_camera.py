"""Webcams against the kernel's `vivid` driver: listed, opened, busy, unplugged, plugged in again.

Runs in the emulated machine, as root; see run.sh (XPCAM_DEVICE_CHECKS=camera). Each check prints one line;
the first that fails ends the run with its traceback.
"""

import logging
import os
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

from xpcam.camera.opening import Camera, open_camera
from xpcam.devices import OUR_LABEL, Device, list_devices
from xpcam.errors import CameraError
from xpcam.frame import Frame

SIZE = (640, 360)
DRIVER = Path("/sys/bus/platform/drivers/vivid")
PATIENCE = 60.0  # seconds; the machine is emulated
HOLD = """
import cv2, sys, time
capture = cv2.VideoCapture(sys.argv[1], cv2.CAP_V4L2)
print(capture.read()[0], flush=True)
time.sleep(600)
"""


def vivid() -> Device:
    return next(device for device in list_devices() if device.driver == "vivid" and device.capture)


def next_frame(camera: Camera) -> Frame:
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        frame = camera.latest(1)
        if frame is not None:
            return frame
    raise AssertionError(f"no frame from {camera.description}")


def wait_for_live(camera: Camera, live: bool) -> None:
    until = time.monotonic() + PATIENCE
    while camera.live is not live:
        assert time.monotonic() < until, f"live is still {camera.live}"
        camera.latest(0.2)


def refusal(spec: str) -> str:
    try:
        open_camera(spec, size=SIZE).close()
    except CameraError as error:
        print(f"    {error}", flush=True)
        return str(error)
    raise AssertionError(f"{spec} was not refused")


def check_listed() -> None:
    """the driver's answers are understood"""
    for device in list_devices():
        print(f"    {device}", flush=True)
    found = vivid()
    assert "YUYV" in found.formats
    assert found.bus
    assert not found.loopback
    assert any(device.loopback for device in list_devices() if device.label == OUR_LABEL)


def check_frames() -> None:
    """frames come by index, path and label, newest first, and what was negotiated is said"""
    for spec in (str(vivid().index), str(vivid().path), vivid().label):
        with closing(open_camera(spec, size=SIZE)) as camera:
            first = next_frame(camera)
            second = next_frame(camera)
            assert first.pixels.shape == (SIZE[1], SIZE[0], 3), first.pixels.shape
            assert first.pixels.std() > 10  # the test picture's bars
            assert second.sequence > first.sequence
            assert f"{SIZE[0]}x{SIZE[1]}" in camera.description
            print(f"    {camera.description}", flush=True)


def check_refused() -> None:
    """our own output and a number that no device has are refused"""
    assert "our own pictures" in refusal(OUR_LABEL)
    assert f"this machine has {vivid().path}" in refusal("77")


def check_busy() -> None:
    """a webcam that another process streams from is busy, and that process is named"""
    command = [sys.executable, "-c", HOLD, str(vivid().path)]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        message = refusal(str(vivid().path))
    finally:
        holder.kill()
        holder.wait()
    assert "is busy" in message
    assert f"process {holder.pid}" in message


def check_unplugged() -> None:
    """an unplugged webcam is lost, and found again when it is back"""
    node = next(DRIVER.glob("vivid.*")).name
    with closing(open_camera(str(vivid().index), size=SIZE)) as camera:
        next_frame(camera)
        (DRIVER / "unbind").write_text(node)
        wait_for_live(camera, live=False)
        print("    lost", flush=True)
        (DRIVER / "bind").write_text(node)
        wait_for_live(camera, live=True)
        frame = next_frame(camera)
        assert frame.pixels.shape == (SIZE[1], SIZE[0], 3)
        print(f"    back: {camera.description}", flush=True)


def main() -> None:
    assert os.geteuid() == 0, "runs as root of an emulated machine, never of yours"
    logging.basicConfig(level=logging.INFO, format="    %(levelname)s %(message)s")
    for check in (check_listed, check_frames, check_refused, check_busy, check_unplugged):
        print(f"  {check.__name__}: {check.__doc__}", flush=True)
        check()


if __name__ == "__main__":
    main()
