"""Asks the machine for the facts; changes nothing."""

import ctypes
import ctypes.util
import getpass
import hashlib
import os
import platform
import shutil
import stat
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from xpcam import device_report
from xpcam.camera.spec import DEMO, file_of
from xpcam.doctor.facts import Desktop, Engines, Facts, Folder, Module
from xpcam.errors import EngineError, SettingsError
from xpcam.inference.engine import Engine
from xpcam.inference.providers import NAMES, Device, choose_providers
from xpcam.resources import shipped
from xpcam.settings import Settings, load_settings
from xpcam.target.cache import cache_folder

MANIFEST: Final = "SHA256SUMS"
_SECURE_BOOT: Final = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"
_PORTAL: Final = "usr/share/dbus-1/services/org.freedesktop.portal.Desktop.service"
_CLOCK_ERROR: Final = 5  # TIME_ERROR of adjtimex(2): the kernel's clock is not synchronised


def gather(root: Path = Path("/"), environment: Mapping[str, str] = os.environ) -> Facts:
    """Everything the checks want to know; engines are loaded for it, which takes a second or two."""
    settings, problem = _settings()
    entries = tuple(device_report.report())
    kernel = platform.release()
    return Facts(
        platform=sys.platform,
        kernel=kernel,
        module=module(kernel, root),
        secure_boot=secure_boot(root),
        desktop=_desktop(root, environment),
        entries=entries,
        user=getpass.getuser(),
        groups=frozenset(_groups()),
        engines=_engines(),
        found={name: _digest(name) for name in manifest()},
        wanted=manifest(),
        cache=folder(cache_folder().parent),
        runtime=runtime_folder(environment),
        time=time.time(),
        synchronised=_synchronised(),
        settings=settings,
        needs_webcam=settings is None or _needs_webcam(settings.camera),
        settings_problem=problem,
    )


def module(kernel: str, root: Path) -> Module:
    """v4l2loopback as the system under `root` has it."""
    loaded = root / "sys/module/v4l2loopback"
    index = root / "lib/modules" / kernel / "modules.dep"
    installed = loaded.is_dir() or "/v4l2loopback.ko" in _read(index)
    caps = _read(loaded / "parameters/exclusive_caps").strip()
    return Module(
        installed,
        _read(loaded / "version").strip() if loaded.is_dir() else None,
        tuple(cap == "Y" for cap in caps.split(",")) if caps else (),
    )


def secure_boot(root: Path) -> bool | None:
    """The firmware's variable: four bytes of attributes, then 1 or 0."""
    try:
        return (root / _SECURE_BOOT).read_bytes()[4:] == b"\1"
    except OSError:
        return None


def manifest() -> dict[str, str]:
    """SHA-256 of every shipped engine and data file by its name; empty where the list is missing."""
    try:
        lines = shipped(MANIFEST).read_text(encoding="ascii").splitlines()
    except EngineError:
        return {}
    pairs = (line.split(maxsplit=1) for line in lines)
    return {Path(path).name: digest for digest, path in pairs}


def folder(path: Path) -> Folder:
    """A folder of this user's, which need not exist yet."""
    there = next(part for part in (path, *path.parents) if part.is_dir())
    problem = "" if os.access(there, os.W_OK | os.X_OK) else "may not be written to"
    return Folder(path, shutil.disk_usage(there).free, problem)


def runtime_folder(environment: Mapping[str, str]) -> Folder | None:
    """The folder of the session's sockets (XDG Base Directory Specification): one's own, and mode 0700."""
    name = environment.get("XDG_RUNTIME_DIR", "")
    if not name:
        return None
    path = Path(name)
    try:
        found = path.stat()
    except OSError as error:
        return Folder(path, problem=error.strerror or "", ours=os.access(path.parent, os.W_OK))
    if found.st_uid != os.geteuid():
        return Folder(path, problem="belongs to another user", ours=False)
    mode = stat.S_IMODE(found.st_mode)
    return Folder(path, problem="" if mode == 0o700 else f"has mode {mode:o}, 700 is wanted")


def _desktop(root: Path, environment: Mapping[str, str]) -> Desktop:
    return Desktop(
        library=ctypes.util.find_library("pipewire-0.3") is not None,
        answers=device_report.pipewire_objects(environment) is not None,
        portal=(root / _PORTAL).is_file(),
    )


def _engines() -> Engines:
    """Loads and runs the smallest engine on each device that is not refused."""
    choice = choose_providers("auto")
    running: list[str] = []
    refusals = {NAMES[device][0]: why for device, why in choice.refusals.items()}
    error = ""
    devices: tuple[Device, ...] = ("tensorrt", "cuda", "cpu")
    for device in devices:
        if device not in choice.devices:
            continue
        try:
            with Engine(shipped("face_detector.onnx"), device=device):
                running.append(NAMES[device][0])
        except EngineError as refusal:
            error = refusals[NAMES[device][0]] = str(refusal)
    return Engines(tuple(running), refusals, error)


def _settings() -> tuple[Settings | None, str]:
    try:
        return load_settings({}), ""
    except SettingsError as error:
        return None, str(error)


def _needs_webcam(camera: str) -> bool:
    file = file_of(camera)
    return camera != DEMO and "://" not in camera and not (file is not None and file.is_file())


def _digest(name: str) -> str:
    try:
        with shipped(name).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (EngineError, KeyError, OSError):
        return ""


def _groups() -> list[str]:
    if sys.platform == "win32":
        return []
    import grp  # not there on Windows

    names = []
    for number in os.getgroups():
        try:
            names.append(grp.getgrgid(number).gr_name)
        except KeyError:
            continue  # a group without a name
    return names


def _synchronised() -> bool | None:
    """What the kernel says of its clock; asking needs no rights."""
    adjtimex = getattr(ctypes.CDLL(None), "adjtimex", None)
    if adjtimex is None:
        return None
    state: int = adjtimex(ctypes.create_string_buffer(256))  # struct timex, all zero: change nothing
    return None if state < 0 else state != _CLOCK_ERROR


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
