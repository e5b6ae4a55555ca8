"""Who holds which device, and whether it can be used."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from xpcam import cli, device_report
from xpcam.device_report import Machine, Objects, pipewire_objects, report
from xpcam.devices import Device, Holder

WEBCAM = Device(Path("/dev/video0"), "HD Webcam", "uvcvideo", "usb-1", True, False, ("MJPG",), False)
METADATA = Device(Path("/dev/video1"), "HD Webcam", "uvcvideo", "usb-1", False, False, (), False)
LOCKED = Device(Path("/dev/video3"), "Other", "", "", False, False, (), False, "Permission denied")
OURS = Device(Path("/dev/video9"), "Xpression Cam", "v4l2 loopback", "", False, True, ("YU12",), True)
WRITTEN = Device(Path("/dev/video9"), "Xpression Cam", "v4l2 loopback", "", True, False, (), True)
OTHERS = Device(Path("/dev/video8"), "OBS Virtual Camera", "v4l2 loopback", "", True, False, (), True)

CORE = {"id": 0, "type": "PipeWire:Interface:Core", "info": {"version": "1.4.2", "props": {}}}
WIREPLUMBER = {
    "id": 31,
    "type": "PipeWire:Interface:Client",
    "info": {"props": {"application.process.id": 5, "application.process.binary": "wireplumber"}},
}


def client(number: int, **properties: Any) -> dict[str, Any]:
    named = {name.replace("__", ".").replace("_", "-"): value for name, value in properties.items()}
    return {"id": number, "type": "PipeWire:Interface:Client", "info": {"props": named}}


def node(number: int, of: int, media: str, description: str) -> dict[str, Any]:
    properties = {"client.id": of, "media.class": media, "node.description": description}
    return {"id": number, "type": "PipeWire:Interface:Node", "info": {"props": properties}}


def link(number: int, source: int, sink: int) -> dict[str, Any]:
    info = {"output-node-id": source, "input-node-id": sink}
    return {"id": number, "type": "PipeWire:Interface:Link", "info": info}


SHOWN: Objects = [
    CORE,
    WIREPLUMBER,
    client(35, application__process__id=100, application__process__binary="python3.11"),
    node(36, 35, "Video/Source", "Xpression Cam"),
    client(39, pipewire__sec__pid=200, application__name="Chromium", application__process__binary="c"),
    node(40, 39, "Stream/Input/Video", "chromium"),
    link(42, 36, 40),
    node(50, 31, "Video/Source", "HD Webcam"),
    client(51, application__process__id=300, application__process__binary="cheese"),
    node(52, 51, "Stream/Input/Video", "cheese"),
    link(53, 50, 52),
    {"id": 60, "type": "PipeWire:Interface:Node", "info": None},
]


def machine(
    *found: Device, held: dict[Device, list[Holder]] | None = None, pipewire: Objects | None = None
) -> Machine:
    by_path = {device.path: who for device, who in (held or {}).items()}

    class Fake(Machine):
        def devices(self) -> list[Device]:
            return list(found)

        def holders(self, path: Path) -> list[Holder]:
            return by_path.get(path, [])

        def pipewire(self) -> Objects | None:
            return pipewire

    return Fake()


@pytest.mark.parametrize(
    ("device", "held", "usable", "line"),
    [
        (WEBCAM, [], True, '/dev/video0  "HD Webcam" (uvcvideo, usb-1): camera, MJPG'),
        (
            WEBCAM,
            [Holder(42, "zoom")],
            False,
            '/dev/video0  "HD Webcam" (uvcvideo, usb-1): camera, MJPG; held by zoom (42), not free',
        ),
        (METADATA, [], False, '/dev/video1  "HD Webcam" (uvcvideo, usb-1): neither camera nor output'),
        (LOCKED, [], False, '/dev/video3  "Other": Permission denied'),
        (OURS, [], True, '/dev/video9  "Xpression Cam" (v4l2 loopback): virtual camera, YU12'),
        (
            WRITTEN,
            [Holder(7, "xpcam"), Holder(42, "zoom")],
            False,
            '/dev/video9  "Xpression Cam" (v4l2 loopback): camera; held by xpcam (7), zoom (42), not free',
        ),
        (
            OTHERS,
            [Holder(8, "obs")],
            True,
            '/dev/video8  "OBS Virtual Camera" (v4l2 loopback): camera; held by obs (8), usable',
        ),
    ],
)
def test_one_device(device: Device, held: list[Holder], usable: bool, line: str) -> None:
    (entry,) = report(machine(device, held={device: held}))
    assert str(entry) == line
    assert entry.as_dict()["usable"] is usable
    assert bool(entry.hindrance) is not usable


def test_pipewire_that_nobody_uses() -> None:
    webcam, pipewire = report(machine(WEBCAM, pipewire=[CORE, WIREPLUMBER]))
    assert webcam.device is WEBCAM
    assert str(pipewire) == 'pipewire  "Xpression Cam" (PipeWire 1.4.2): virtual camera, I420 YUY2'
    assert not pipewire.hindrance


def test_who_shows_and_who_reads_in_pipewire() -> None:
    (pipewire,) = report(machine(pipewire=SHOWN))
    assert pipewire.held_by == (Holder(100, "python3.11"), Holder(200, "Chromium"))
    assert pipewire.hindrance == "a program shows its pictures there"


def test_pipewire_without_its_tools() -> None:
    (pipewire,) = report(machine(pipewire=[]))
    assert str(pipewire).startswith('pipewire  "Xpression Cam" (PipeWire): virtual camera')


def test_no_daemon_no_entry(tmp_path: Path) -> None:
    assert pipewire_objects({}) is None
    assert pipewire_objects({"XDG_RUNTIME_DIR": str(tmp_path)}) is None
    assert report(machine(WEBCAM, pipewire=None))[-1].device is WEBCAM


Show = Callable[..., str]


@pytest.fixture
def show(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Show:
    def run(fake: Machine, *flags: str) -> str:
        monkeypatch.setattr(device_report, "Machine", lambda: fake)
        monkeypatch.setattr(sys, "argv", ["xpcam", "devices", *flags])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def test_the_command_prints_lines(show: Show) -> None:
    shown = show(machine(WEBCAM, OURS, pipewire=[CORE]))
    assert [line.split()[0] for line in shown.splitlines()] == ["/dev/video0", "/dev/video9", "pipewire"]


def test_the_command_prints_json(show: Show) -> None:
    shown = json.loads(show(machine(WEBCAM, held={WEBCAM: [Holder(42, "zoom")]}), "--json"))
    assert shown == [
        {
            "path": "/dev/video0",
            "label": "HD Webcam",
            "driver": "uvcvideo",
            "bus": "usb-1",
            "uses": ["camera"],
            "formats": ["MJPG"],
            "held_by": [{"pid": 42, "name": "zoom"}],
            "usable": False,
            "hindrance": "a camera serves one program at a time",
        }
    ]
    assert json.loads(show(machine(), "--json")) == []


def test_no_devices_is_said_although_there_is_pipewire(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    shown = show(machine(pipewire=[CORE])).splitlines()
    assert shown[0].startswith("no video devices found")
    assert shown[1].startswith("pipewire")
