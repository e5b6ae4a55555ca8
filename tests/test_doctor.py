"""The doctor: each check on a healthy machine with one thing wrong, and the exact remedy."""

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from xpcam.device_report import Entry
from xpcam.devices import OUR_LABEL, Device, Holder
from xpcam.doctor import gathering, mending, report
from xpcam.doctor.checks import CHECKS, MODPROBE, RELOAD, ROOM, examine
from xpcam.doctor.facts import Desktop, Engines, Facts, Folder, Module
from xpcam.doctor.finding import Finding, exit_code
from xpcam.errors import ServiceError
from xpcam.resources import SHIPPED, shipped
from xpcam.settings import Settings

DENIED = "Permission denied"
WEBCAM = Device(Path("/dev/video0"), "HD Webcam", "uvcvideo", "usb-1", True, False, ("MJPG",), False)
OURS = Device(Path("/dev/video10"), OUR_LABEL, "v4l2 loopback", "", False, True, (), True)
ZOOM = Holder(4242, "zoom")


def entry(device: Device, *held_by: Holder, hindrance: str = "") -> Entry:
    return Entry(device, held_by, hindrance or device.problem)


HEALTHY = Facts(
    platform="linux",
    kernel="6.1.0-39-amd64",
    module=Module(installed=True, version="0.15.0", exclusive_caps=(True, False)),
    secure_boot=False,
    desktop=Desktop(library=True, answers=True, portal=True),
    entries=(entry(WEBCAM), entry(OURS)),
    user="ada",
    groups=frozenset({"video"}),
    engines=Engines(("CPU",), {"CUDA": "no NVIDIA GPU with a driver found"}),
    found={"a.onnx": "12"},
    wanted={"a.onnx": "12"},
    cache=Folder(Path("/home/ada/.cache/xpcam"), 10**10),
    runtime=Folder(Path("/run/user/1000")),
    time=1.9e9,
    synchronised=True,
    settings=Settings(target=Path(__file__)),
)


def found(check: str, **changed: Any) -> Finding:
    """What a check says of a healthy machine with something changed."""
    return next(f for f in examine(replace(HEALTHY, **changed)) if f.check == check)


def test_a_healthy_machine_needs_nothing() -> None:
    findings = examine(HEALTHY)
    assert len(findings) == len(CHECKS) == len({finding.check for finding in findings})
    assert {finding.state for finding in findings} == {"ok"}
    assert not any(finding.remedy for finding in findings)
    assert exit_code(findings) == 0


NO_MODULE = Module(installed=False)
UNLOADED = Module(installed=True)
NO_PORTAL = Desktop(library=True, answers=True)
USED = entry(WEBCAM, ZOOM, hindrance="a camera serves one program at a time")
SECOND = replace(WEBCAM, path=Path("/dev/video2"))


@pytest.mark.parametrize(
    ("check", "changed", "said", "remedy"),
    [
        (
            "kernel module",
            {"module": NO_MODULE},
            "for kernel 6.1.0-39-amd64",
            "linux-headers-6.1.0-39-amd64 && sudo",
        ),
        ("kernel module", {"module": UNLOADED}, "not loaded", MODPROBE),
        ("kernel module", {"module": UNLOADED, "secure_boot": True}, "Secure Boot", "sudo mokutil --import "),
        ("loopback device", {"module": UNLOADED}, "not loaded", MODPROBE),
        ("loopback device", {"entries": (entry(WEBCAM),)}, "no device", RELOAD),
        ("loopback device", {"entries": (entry(replace(OURS, label="Other")),)}, "none is called", RELOAD),
        ("loopback device", {"module": Module(True, "0.12.7", (False,))}, "browsers do not list it", RELOAD),
        ("PipeWire", {"desktop": Desktop()}, "not installed", "sudo apt install pipewire wireplumber"),
        (
            "PipeWire",
            {"desktop": Desktop(library=True)},
            "no daemon answers",
            "systemctl --user start pipewire",
        ),
        (
            "camera portal",
            {"desktop": NO_PORTAL},
            "not inst",
            "sudo apt install xdg-desktop-portal",
        ),
        (
            "permissions",
            {"entries": (entry(replace(WEBCAM, problem=DENIED)),), "groups": frozenset()},
            "/dev/video0: Permission denied",
            "sudo usermod -aG video ada, then log in anew",
        ),
        (
            "permissions",
            {"entries": (entry(replace(WEBCAM, problem=DENIED)),)},
            "/dev/video0",
            "sudo chgrp video /dev/video0 && sudo chmod 660 /dev/video0",
        ),
        ("camera", {"entries": (USED, entry(SECOND))}, "/dev/video0 by zoom (process 4242)", "close zoom"),
        ("disk", {"cache": Folder(Path("/c"), ROOM - 1)}, "GB free at /c", "rm -r /c/clips"),
        ("disk", {"cache": Folder(Path("/a b"), 1, "may not")}, "/a b: may not", "sudo chown -R ada '/a b'"),
        ("clock", {"time": 0.0}, "1970-01-01", "sudo timedatectl set-ntp true"),
        ("clock", {"synchronised": False}, "nothing keeps it right", "sudo timedatectl set-ntp true"),
        ("runtime folder", {"runtime": None}, "XDG_RUNTIME_DIR is not set", "log in anew"),
        (
            "runtime folder",
            {"runtime": Folder(Path("/r"), problem="mode 777")},
            "777",
            "install -d -m 700 /r",
        ),
        ("runtime folder", {"runtime": Folder(Path("/r"), problem="x", ours=False)}, "x", "without su"),
        ("settings", {"settings": Settings()}, "no target", "xpcam start --target face.png"),
        (
            "settings",
            {"settings": Settings(target=Path("no.png"))},
            "no.png is not there",
            "xpcam start --target",
        ),
    ],
)
def test_what_could_be_better_has_a_remedy_and_stops_nobody(
    check: str, changed: dict[str, Any], said: str, remedy: str
) -> None:
    finding = found(check, **changed)
    assert finding.state == "note"
    assert said in finding.found
    assert remedy in finding.remedy


@pytest.mark.parametrize(
    ("check", "changed", "said", "code"),
    [
        ("settings", {"settings": None, "settings_problem": "--fps: found '300'"}, "found '300'", 2),
        ("camera", {"entries": (entry(OURS),)}, "there is none", 4),
        ("camera", {"entries": (USED, entry(OURS))}, "held: /dev/video0 by zoom (process 4242)", 4),
        (
            "output",
            {"entries": (entry(WEBCAM),), "desktop": Desktop()},
            "neither v4l2loopback nor PipeWire",
            5,
        ),
        ("engines", {"engines": Engines((), {}, "the engine file is truncated")}, "is truncated", 6),
        ("shipped files", {"found": {"a.onnx": "13"}}, "a.onnx: missing or damaged", 6),
        ("shipped files", {"wanted": {}}, "the list of them is missing", 6),
    ],
)
def test_what_makes_it_unusable_ends_with_the_code_of_a_start(
    check: str, changed: dict[str, Any], said: str, code: int
) -> None:
    finding = found(check, **changed)
    assert (finding.state, finding.code) == ("failed", code)
    assert said in finding.found
    assert finding.remedy
    assert exit_code(examine(replace(HEALTHY, **changed))) == code


def test_one_way_into_applications_is_enough() -> None:
    assert found("output", desktop=Desktop()).found == "v4l2loopback"
    assert found("output", entries=(entry(WEBCAM),)).found == "PipeWire"


def test_who_uses_a_file_or_stream_needs_no_webcam() -> None:
    stream = Settings(target=Path(__file__), camera="rtsp://host/stream")
    finding = found("camera", entries=(entry(OURS),), settings=stream, needs_webcam=False)
    assert (finding.state, finding.found) == ("ok", "rtsp://host/stream is set")


def test_elsewhere_nothing_of_linux_is_asked() -> None:
    checked = {finding.check for finding in examine(replace(HEALTHY, platform="darwin"))}
    assert checked == {"settings", "output", "engines", "shipped files", "disk", "clock"}


def test_the_manifest_is_of_the_files_that_ship() -> None:
    """After a change: sha256sum $(cut -c67- engines/SHA256SUMS) >new && mv new engines/SHA256SUMS."""
    wanted = gathering.manifest()
    assert set(wanted) == {name for name in SHIPPED if name.endswith((".onnx", ".npz", ".mp4"))}
    for name, digest in wanted.items():
        assert hashlib.sha256(shipped(name).read_bytes()).hexdigest() == digest, name


def test_a_module_is_read_from_the_system(tmp_path: Path) -> None:
    assert gathering.module("6.1", tmp_path) == Module()
    (tmp_path / "lib/modules/6.1").mkdir(parents=True)
    (tmp_path / "lib/modules/6.1/modules.dep").write_text("updates/dkms/v4l2loopback.ko.xz: kernel/x.ko\n")
    assert gathering.module("6.1", tmp_path) == Module(installed=True)
    loaded = tmp_path / "sys/module/v4l2loopback"
    (loaded / "parameters").mkdir(parents=True)
    (loaded / "version").write_text("0.12.7\n")
    (loaded / "parameters/exclusive_caps").write_text("Y,N,N\n")
    assert gathering.module("6.1", tmp_path) == Module(True, "0.12.7", (True, False, False))


@pytest.mark.parametrize(("last", "state"), [(b"\1", True), (b"\0", False)])
def test_secure_boot_is_the_fifth_byte(last: bytes, state: bool, tmp_path: Path) -> None:
    assert gathering.secure_boot(tmp_path) is None
    place = tmp_path / "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"\6\0\0\0" + last)
    assert gathering.secure_boot(tmp_path) is state


def test_runtime_folders(tmp_path: Path) -> None:
    assert gathering.runtime_folder({}) is None
    place = tmp_path / "run"
    missing = gathering.runtime_folder({"XDG_RUNTIME_DIR": str(place)})
    assert missing is not None
    assert (missing.problem, missing.ours) == ("No such file or directory", True)
    place.mkdir(mode=0o755)
    open_to_all = gathering.runtime_folder({"XDG_RUNTIME_DIR": str(place)})
    assert open_to_all is not None
    assert open_to_all.problem == "has mode 755, 700 is wanted"
    place.chmod(0o700)
    assert gathering.runtime_folder({"XDG_RUNTIME_DIR": str(place)}) == Folder(place)


def test_mending_makes_what_it_can(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(command: tuple[str, ...]) -> str:
        raise ServiceError("no bus")

    monkeypatch.setattr(mending, "run_command", refuse)
    (tmp_path / "cache/clips").mkdir(parents=True)
    (tmp_path / "cache/clips/a.npz").write_bytes(b"x" * 2_000_000)
    sick = replace(
        HEALTHY,
        cache=Folder(tmp_path / "cache", 1),
        runtime=Folder(tmp_path / "run", problem="missing"),
        desktop=Desktop(library=True),
    )
    done = mending.mend(examine(sick), sick)
    assert "PipeWire: could not be mended (no bus)" in done
    assert any(line.startswith("disk: removed prepared clips, 2 MB") for line in done)
    assert not (tmp_path / "cache/clips").exists()
    assert (tmp_path / "run").stat().st_mode & 0o777 == 0o700
    assert mending.mend(examine(HEALTHY), HEALTHY) == []


def test_every_fix_that_a_finding_names_exists() -> None:
    sick = replace(
        HEALTHY,
        cache=Folder(Path("/c"), 1),
        runtime=Folder(Path("/r"), problem="x"),
        desktop=Desktop(library=True),
    )
    assert {finding.fix for finding in examine(sick) if finding.fix} == set(mending.FIXES)


def test_json_is_for_programs() -> None:
    told = json.loads(report.as_json(examine(replace(HEALTHY, entries=(entry(OURS),)))))
    assert (told["usable"], told["exit_code"]) == (False, 4)
    camera = next(item for item in told["findings"] if item["check"] == "camera")
    assert set(camera) == {"check", "state", "found", "remedy", "fixable"}


def test_a_remedy_is_one_line_to_copy_however_narrow_the_terminal() -> None:
    shown = io.StringIO()
    report.show(examine(replace(HEALTHY, module=UNLOADED)), Console(width=60, file=shown))
    lines = [line.rstrip() for line in shown.getvalue().splitlines()]
    assert f"kernel module: {MODPROBE}" in lines
    assert lines[-1] == "xpcam can be used"


def test_a_real_machine_can_be_asked() -> None:
    facts = gathering.gather()
    assert "CPU" in facts.engines.running
    assert facts.found == facts.wanted
    assert facts.cache.free > 0
    assert facts.user
