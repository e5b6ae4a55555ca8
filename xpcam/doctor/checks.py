"""The checks: each a pure function, from facts to one finding with its exact remedy."""

import shlex
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final

from xpcam.device_report import Entry
from xpcam.devices import OUR_LABEL
from xpcam.doctor.facts import Facts
from xpcam.doctor.finding import Finding, failed, note, ok
from xpcam.errors import CameraError, EngineError, OutputError, SettingsError

OLDEST: Final = datetime(2026, 1, 1, tzinfo=UTC).timestamp()  # no machine that runs this is older
ROOM: Final = 500_000_000  # bytes: some prepared clips
MODPROBE: Final = f'sudo modprobe v4l2loopback exclusive_caps=1 video_nr=10 card_label="{OUR_LABEL}"'
RELOAD: Final = f"sudo modprobe -r v4l2loopback && {MODPROBE}"
DENIED: Final = "Permission denied"

Check = Callable[[Facts], Finding]


def settings(facts: Facts) -> Finding:
    """What `xpcam start` without flags would read."""
    if facts.settings is None:
        return failed("settings", facts.settings_problem, "mend that line", SettingsError.exit_code)
    target = facts.settings.target
    if target is None:
        return note("settings", "no target is set", "xpcam start --target face.png")
    if not target.exists():
        return note("settings", f"target {target} is not there", "xpcam start --target face.png")
    return ok("settings", f"target {target}, camera {facts.settings.camera}")


def camera(facts: Facts) -> Finding:
    """The camera that is set can be opened; who holds those that cannot."""
    if facts.settings is not None and not facts.needs_webcam:
        return ok("camera", f"{facts.settings.camera} is set")
    cameras = [entry for entry in facts.entries if _is_webcam(entry)]
    if not cameras:
        remedy = "plug one in; or xpcam start --camera demo, a video file or a stream"
        return failed("camera", "there is none", remedy, CameraError.exit_code)
    held = [entry for entry in cameras if entry.hindrance and entry.held_by]
    if not held:
        return ok("camera", ", ".join(f"{entry.device.path} {entry.device.label!r}" for entry in cameras))
    holders = [(entry.device.path, holder) for entry in held for holder in entry.held_by]
    found = "held: " + ", ".join(f"{path} by {who.name} (process {who.pid})" for path, who in holders)
    remedy = "close " + ", ".join(dict.fromkeys(who.name for _, who in holders))
    if len(held) < len(cameras):
        return note("camera", found, remedy)
    return failed("camera", found, remedy, CameraError.exit_code)


def outputs(facts: Facts) -> Finding:
    """There is a way into applications at all."""
    if facts.platform != "linux":
        found = f"on {facts.platform} through OBS's virtual camera"
        return note("output", found, "pip install xpcam[pyvirtualcam]")
    loopback = any(entry.device.loopback and not entry.device.problem for entry in facts.entries)
    ways = [way for way, there in (("v4l2loopback", loopback), ("PipeWire", facts.desktop.answers)) if there]
    if not ways:
        remedy = "mend 'kernel module' or 'PipeWire'; or xpcam start --output clip.mp4"
        return failed("output", "neither v4l2loopback nor PipeWire", remedy, OutputError.exit_code)
    return ok("output", " and ".join(ways))


def engines(facts: Facts) -> Finding:
    """An engine was loaded and run, and where."""
    found = facts.engines
    if not found.running:
        return failed("engines", found.error or "none runs", "reinstall xpcam", EngineError.exit_code)
    refused = "".join(f"; {device} not used: {why}" for device, why in found.refusals.items())
    return ok("engines", f"run on {', '.join(found.running)}{refused}")


def shipped_files(facts: Facts) -> Finding:
    """Engines and face data are what was shipped."""
    wrong = [name for name, digest in facts.wanted.items() if facts.found.get(name) != digest]
    if wrong or not facts.wanted:
        what = f"{', '.join(wrong)}: missing or damaged" if wrong else "the list of them is missing"
        return failed("shipped files", what, "reinstall xpcam", EngineError.exit_code)
    return ok("shipped files", f"{len(facts.wanted)} as shipped")


def kernel_module(facts: Facts) -> Finding:
    """v4l2loopback is there and loaded; PipeWire can do without."""
    name, module = "kernel module", facts.module
    if module.version is not None:
        return ok(name, f"v4l2loopback {module.version or 'of unknown version'}")
    if not module.installed:
        install = f"sudo apt install v4l2loopback-dkms linux-headers-{facts.kernel}"
        return note(name, f"no v4l2loopback for kernel {facts.kernel}", f"{install} && {MODPROBE}")
    if facts.secure_boot:
        found = "v4l2loopback is there, not loaded; Secure Boot wants it signed with a key of this machine"
        enrol = "sudo mokutil --import /var/lib/dkms/mok.pub, start the machine anew and enrol the key"
        return note(name, found, f"{enrol}, then {MODPROBE}")
    return note(name, "v4l2loopback is there, not loaded", MODPROBE)


def loopback_device(facts: Facts) -> Finding:
    """Its device has the name that people look for, and browsers list it."""
    name = "loopback device"
    if facts.module.version is None:
        return note(name, "none: the kernel module is not loaded", MODPROBE)
    loopbacks = [entry for entry in facts.entries if entry.device.loopback]
    if not loopbacks:
        return note(name, "the module has no device", RELOAD)
    ours = next((entry for entry in loopbacks if entry.device.label == OUR_LABEL), None)
    if ours is None:
        labels = ", ".join(f"{entry.device.path} {entry.device.label!r}" for entry in loopbacks)
        return note(name, f"{labels}; none is called {OUR_LABEL!r}", RELOAD)
    if ours.device.problem:
        return _refused(name, ours, facts)
    if not all(facts.module.exclusive_caps[: len(loopbacks)]):
        return note(name, f"{ours.device.path} without exclusive_caps=1: browsers do not list it", RELOAD)
    return ok(name, f"{ours.device.path} {OUR_LABEL!r}")


def secure_boot(facts: Facts) -> Finding:
    """Whether modules have to be signed."""
    said = {None: "the firmware does not tell", True: "on: kernel modules have to be signed", False: "off"}
    return ok("Secure Boot", said[facts.secure_boot])


def pipewire(facts: Facts) -> Finding:
    """The way that needs no kernel module."""
    if not facts.desktop.library:
        return note("PipeWire", "its library is not installed", "sudo apt install pipewire wireplumber")
    if not facts.desktop.answers:
        start = "systemctl --user start pipewire wireplumber"
        return note("PipeWire", "installed, and no daemon answers", start, fix="pipewire")
    return ok("PipeWire", "its daemon answers")


def portal(facts: Facts) -> Finding:
    """How Chromium and Flatpak applications reach PipeWire's cameras."""
    if not facts.desktop.answers:
        return ok("camera portal", "not needed without PipeWire")
    if not facts.desktop.portal:
        return note("camera portal", "not installed", "sudo apt install xdg-desktop-portal")
    return ok("camera portal", "installed")


def permissions(facts: Facts) -> Finding:
    """Every video device can be opened by this user."""
    denied = [entry for entry in facts.entries if entry.device.problem == DENIED]
    if denied:
        return _refused("permissions", denied[0], facts)
    member = "" if "video" in facts.groups else "not "
    return ok("permissions", f"{facts.user} is {member}in the group video; no device is refused")


def disk(facts: Facts) -> Finding:
    """Room for prepared clips."""
    path = facts.cache.path
    if facts.cache.problem:
        remedy = f"sudo chown -R {facts.user} {shlex.quote(str(path))}"
        return note("disk", f"{path}: {facts.cache.problem}", remedy)
    free = f"{facts.cache.free / 1e9:.1f} GB free at {path}"
    if facts.cache.free < ROOM:
        return note("disk", free, f"rm -r {shlex.quote(str(path / 'clips'))}", fix="clips")
    return ok("disk", free)


def clock(facts: Facts) -> Finding:
    """The clock is right: logs go by it."""
    if facts.time < OLDEST:
        now = datetime.fromtimestamp(facts.time, UTC)
        return note("clock", f"it says {now:%Y-%m-%d}, which has passed", "sudo timedatectl set-ntp true")
    if facts.synchronised is False:
        return note("clock", "nothing keeps it right", "sudo timedatectl set-ntp true")
    return ok("clock", "kept right" if facts.synchronised else "plausible")


def runtime_folder(facts: Facts) -> Finding:
    """Where sockets of the session live."""
    name, folder = "runtime folder", facts.runtime
    if folder is None:
        return note(name, "XDG_RUNTIME_DIR is not set: no PipeWire, no systemctl --user", "log in anew")
    if folder.problem and folder.ours:
        mend = f"install -d -m 700 {shlex.quote(str(folder.path))}"
        return note(name, f"{folder.path}: {folder.problem}", mend, fix="runtime")
    if folder.problem:
        return note(name, f"{folder.path}: {folder.problem}", "log in as yourself, without su or sudo")
    return ok(name, str(folder.path))


CHECKS: Final[tuple[Check, ...]] = (
    *(settings, camera, outputs, engines, shipped_files, kernel_module, loopback_device, secure_boot),
    *(pipewire, portal, permissions, disk, clock, runtime_folder),
)
ELSEWHERE: Final[tuple[Check, ...]] = (settings, outputs, engines, shipped_files, disk, clock)


def examine(facts: Facts) -> list[Finding]:
    """Every check's finding; off Linux without those that mean nothing there."""
    return [check(facts) for check in (CHECKS if facts.platform == "linux" else ELSEWHERE)]


def _refused(name: str, entry: Entry, facts: Facts) -> Finding:
    path, problem = entry.device.path, entry.device.problem
    if problem != DENIED:
        return note(name, f"{path}: {problem}", "close the program that xpcam devices names")
    if "video" in facts.groups:
        return note(name, f"{path}: {problem}", f"sudo chgrp video {path} && sudo chmod 660 {path}")
    return note(name, f"{path}: {problem}", f"sudo usermod -aG video {facts.user}, then log in anew")


def _is_webcam(entry: Entry) -> bool:
    return entry.device.path.is_absolute() and not entry.device.loopback and entry.device.capture
