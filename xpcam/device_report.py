"""What `xpcam devices` tells: every camera and virtual output, who holds it, and whether it can be used.

Devices come from Video4Linux (`devices`) and, where a PipeWire daemon runs, from PipeWire: there the
camera is a node that a running daemon of ours makes, and its holders are who makes it and who reads it.
"""

import json
import os
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpcam import devices
from xpcam.devices import OUR_LABEL, Device, Holder

PATIENCE = 3.0  # seconds for PipeWire's answer

Objects = list[dict[str, Any]]
"""Everything a PipeWire daemon has, as pw-dump writes it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One device as people and programs are told of it.

    Attributes:
        device: what it is; its path is what --camera or --output takes.
        held_by: the processes that have it open, as far as this user may see.
        hindrance: why it cannot be used now, "" where it can.
    """

    device: Device
    held_by: tuple[Holder, ...]
    hindrance: str

    def __str__(self) -> str:
        """One line: `/dev/video0  "HD Webcam" (uvcvideo): camera, MJPG; held by zoom (4242), not free`."""
        if not self.held_by:
            return str(self.device)
        held = ", ".join(f"{holder.name} ({holder.pid})" for holder in self.held_by)
        return f"{self.device}; held by {held}, {'not free' if self.hindrance else 'usable'}"

    def as_dict(self) -> dict[str, object]:
        """The same for programs: plain values, always the same keys."""
        uses = {"camera": self.device.capture, "virtual camera": self.device.output}
        return {
            "path": str(self.device.path),
            "label": self.device.label,
            "driver": self.device.driver,
            "bus": self.device.bus,
            "uses": [use for use, can in uses.items() if can],
            "formats": list(self.device.formats),
            "held_by": [{"pid": holder.pid, "name": holder.name} for holder in self.held_by],
            "usable": not self.hindrance,
            "hindrance": self.hindrance,
        }


class Machine:
    """What is asked of the machine; tests put fakes here."""

    def devices(self) -> list[Device]:
        return devices.list_devices()

    def holders(self, path: Path) -> list[Holder]:
        return devices.holders(path)

    def pipewire(self) -> Objects | None:
        return pipewire_objects()


def report(machine: Machine | None = None) -> list[Entry]:
    """Every device of Video4Linux by its number, then PipeWire where its daemon runs."""
    machine = machine or Machine()
    found = [_entry(device, tuple(machine.holders(device.path))) for device in machine.devices()]
    objects = machine.pipewire()
    return found if objects is None else [*found, _pipewire_entry(objects)]


def _entry(device: Device, held_by: tuple[Holder, ...]) -> Entry:
    hindrance = device.problem
    if not hindrance and device.capture and not device.output and held_by:
        if device.label == OUR_LABEL:
            hindrance = "a program shows its pictures there"
        elif not device.loopback:
            hindrance = "a camera serves one program at a time"
    if not hindrance and not (device.capture or device.output):
        hindrance = "neither camera nor output"
    return Entry(device, held_by, hindrance)


def pipewire_objects(environment: Mapping[str, str] = os.environ) -> Objects | None:
    """What the user's PipeWire daemon has; None where none answers, nothing where there is no pw-dump."""
    folder = environment.get("PIPEWIRE_RUNTIME_DIR") or environment.get("XDG_RUNTIME_DIR")
    if not folder or not _answers(Path(folder) / environment.get("PIPEWIRE_REMOTE", "pipewire-0")):
        return None
    try:
        done = subprocess.run(
            ["pw-dump"], env=dict(environment), capture_output=True, timeout=PATIENCE, check=True
        )
        found: Objects = json.loads(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return []
    return found


def _answers(path: Path) -> bool:
    if not hasattr(socket, "AF_UNIX"):
        return False
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _pipewire_entry(objects: Objects) -> Entry:
    infos = {kind: _of_kind(objects, kind) for kind in ("Core", "Client", "Node", "Link")}
    version = next((info.get("version", "") for info in infos["Core"].values()), "")
    ours = {number for number, info in infos["Node"].items() if _is_ours(info)}
    readers = {info["input-node-id"] for info in infos["Link"].values() if info.get("output-node-id") in ours}
    held = [_process(_client(infos, number)) for number in [*sorted(ours), *sorted(readers)]]
    device = Device(
        Path("pipewire"), OUR_LABEL, f"PipeWire {version}".strip(), "", False, True, ("I420", "YUY2"), False
    )
    return Entry(device, tuple(dict.fromkeys(held)), "a program shows its pictures there" if ours else "")


def _client(infos: dict[str, dict[int, dict[str, Any]]], node: int) -> dict[str, Any]:
    made_by: int = _properties(infos["Node"].get(node, {})).get("client.id", -1)
    return infos["Client"].get(made_by, {})


def _of_kind(objects: Objects, kind: str) -> dict[int, dict[str, Any]]:
    wanted = f"PipeWire:Interface:{kind}"
    return {item["id"]: item.get("info") or {} for item in objects if item.get("type") == wanted}


def _properties(info: dict[str, Any]) -> dict[str, Any]:
    return info.get("props") or {}


def _is_ours(info: dict[str, Any]) -> bool:
    properties = _properties(info)
    return (properties.get("media.class"), properties.get("node.description")) == ("Video/Source", OUR_LABEL)


def _process(client: dict[str, Any]) -> Holder:
    """The process of a client; one that came through a portal is known by what it says of itself."""
    said = _properties(client)
    pid = said.get("application.process.id") or said.get("pipewire.sec.pid") or 0
    return Holder(int(pid), said.get("application.name") or said.get("application.process.binary") or "?")
