"""The device list, against a made-up sysfs and a made-up kernel."""

import errno
import os
import struct
from pathlib import Path

import pytest

from xpcam import devices

CAPTURE, OUTPUT, META, M2M, DEVICE_CAPS = 0x1, 0x2, 0x00800000, 0x8000, 0x80000000


class Kernel:
    """Answers QUERYCAP and ENUM_FMT for files by their name, as the drivers do."""

    def __init__(self) -> None:
        self.nodes: dict[str, tuple[str, str, int, dict[int, list[bytes]]]] = {}

    def ioctl(self, descriptor: int, request: int, buffer: bytearray) -> None:
        name = Path(f"/proc/self/fd/{descriptor}").readlink().name
        if name not in self.nodes:
            raise OSError(errno.ENOTTY, os.strerror(errno.ENOTTY))
        driver, bus, capabilities, formats = self.nodes[name]
        if request == 0x80685600:
            assert len(buffer) == 104
            whole = DEVICE_CAPS | CAPTURE | OUTPUT | META  # of all nodes together, as uvcvideo reports it
            buffer[:] = struct.pack(
                "=16s32s32sIII12x", driver.encode(), b"", bus.encode(), 0x60100, whole, capabilities
            )
        elif request == 0xC0405602:
            assert len(buffer) == 64
            index, kind = struct.unpack_from("=II", buffer)
            if index >= len(formats.get(kind, [])):
                raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
            buffer[44:48] = formats[kind][index]
        else:
            raise AssertionError(hex(request))


class Machine:
    def __init__(self, root: Path) -> None:
        self.sysfs, self.dev, self.kernel = root / "sys", root / "dev", Kernel()
        self.sysfs.mkdir()
        self.dev.mkdir()

    def plug(
        self,
        name: str,
        label: str,
        driver: str = "uvcvideo",
        bus: str = "usb-1",
        capabilities: int = CAPTURE,
        formats: dict[int, list[bytes]] | None = None,
    ) -> Path:
        (self.sysfs / name).mkdir()
        (self.sysfs / name / "name").write_text(label + "\n")
        (self.dev / name).touch()
        self.kernel.nodes[name] = (driver, bus, capabilities, formats or {})
        return self.dev / name

    def list(self) -> list[devices.Device]:
        return devices.list_devices(self.sysfs, self.dev, self.kernel.ioctl)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_no_video4linux_gives_an_empty_list(tmp_path: Path) -> None:
    assert devices.list_devices(tmp_path / "absent") == []


def test_a_webcam_shows_its_label_bus_and_formats(machine: Machine) -> None:
    path = machine.plug("video0", "HD Webcam: HD", bus="usb-0000:00:14.0-1", formats={1: [b"MJPG", b"YUYV"]})
    assert machine.list() == [
        devices.Device(
            path, "HD Webcam: HD", "uvcvideo", "usb-0000:00:14.0-1", True, False, ("MJPG", "YUYV"), False
        )
    ]


def test_a_metadata_node_is_no_camera(machine: Machine) -> None:
    machine.plug("video1", "HD Webcam", capabilities=META)
    assert [(d.capture, d.output) for d in machine.list()] == [(False, False)]


def test_a_hardware_codec_is_neither_camera_nor_output(machine: Machine) -> None:
    machine.plug("video1", "codec", capabilities=M2M | CAPTURE | OUTPUT)
    assert [(d.capture, d.output) for d in machine.list()] == [(False, False)]


def test_order_is_by_number_and_other_nodes_are_left_out(machine: Machine) -> None:
    for name in ("video10", "video2", "vbi0", "v4l-subdev0"):
        machine.plug(name, name)
    assert [d.index for d in machine.list()] == [2, 10]


def test_loopback_is_known_by_its_driver_or_its_sysfs_attribute(machine: Machine) -> None:
    machine.plug("video0", "a", driver="v4l2 loopback", capabilities=OUTPUT, formats={2: [b"YU12"]})
    machine.plug("video1", "b", capabilities=OUTPUT)
    (machine.sysfs / "video1" / "max_openers").touch()
    machine.plug("video2", "c")
    found = machine.list()
    assert [d.loopback for d in found] == [True, True, False]
    assert (found[0].output, found[0].capture, found[0].formats) == (True, False, ("YU12",))


def test_a_device_that_cannot_be_opened_is_listed_with_the_reason(machine: Machine) -> None:
    machine.plug("video0", "gone").unlink()
    (device,) = machine.list()
    assert (device.label, device.capture, device.problem) == ("gone", False, "No such file or directory")


def test_a_device_that_refuses_the_question_is_listed_with_the_reason(machine: Machine) -> None:
    machine.plug("video0", "odd")
    machine.kernel.nodes.clear()
    (device,) = machine.list()
    assert not device.capture
    assert "ioctl" in device.problem


def test_a_big_endian_format_is_named_as_v4l2_does(machine: Machine) -> None:
    machine.plug("video0", "a", formats={1: [b"Y16 ", b"Y16\xa0"]})
    assert [d.formats for d in machine.list()] == [("Y16", "Y16-BE")]


def test_holders_are_found_through_proc(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    for pid, name, target in (("31", "zoom", path), ("7", "obs", path), ("9", "bash", tmp_path / "tty")):
        (tmp_path / "proc" / pid / "fd").mkdir(parents=True)
        (tmp_path / "proc" / pid / "comm").write_text(name + "\n")
        (tmp_path / "proc" / pid / "fd" / "3").symlink_to(target)
    (tmp_path / "proc" / "12").mkdir()  # a process whose files are hidden
    assert devices.holders(path, tmp_path / "proc") == [devices.Holder(7, "obs"), devices.Holder(31, "zoom")]
