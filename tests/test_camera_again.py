"""A camera is the same one again, whatever number it has by then."""

import os
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import pytest
from faults import CAMERA, TWIN

from xpcam.camera.opening import Known, Machine, check_camera
from xpcam.devices import Device
from xpcam.errors import CameraError


def never(path: str) -> NoReturn:
    raise AssertionError(f"{path} was opened")


def known(spec: str, present: list[Device]) -> Known:
    return check_camera(spec, Machine(lambda: list(present), lambda _: [], never, "linux"))


def test_an_index_goes_on_meaning_the_camera_it_meant_first() -> None:
    present = [CAMERA, TWIN]
    camera = known("0", present)
    present[0] = replace(CAMERA, label="Other", bus="usb-3")
    with pytest.raises(CameraError, match="Cam is not there"):  # the one that is has its label only
        camera.find()
    present.append(replace(CAMERA, path=Path("/dev/video2")))
    assert camera.find() == present[2]
    present[2] = replace(CAMERA, path=Path("/dev/video3"), bus="usb-4")  # plugged in elsewhere
    assert camera.find() == present[2]


def test_a_stable_name_of_the_system_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    name, leads_to = "/dev/v4l/by-id/usb-Cam_SN123-video-index0", ["/dev/video1"]
    monkeypatch.setattr(os.path, "realpath", lambda path: leads_to[0] if path == name else path)
    equal = [replace(CAMERA, path=Path(f"/dev/video{number}")) for number in range(3)]
    camera = known(name, equal)
    for number in (1, 2, 0):
        leads_to[0] = f"/dev/video{number}"
        assert camera.find() == equal[number]
    leads_to[0] = name  # the link is gone
    with pytest.raises(CameraError, match="no camera /dev/v4l/by-id"):
        camera.find()
