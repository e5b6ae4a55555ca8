"""What the checks are told of a machine: plain values, gathered once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from xpcam.device_report import Entry
from xpcam.settings import Settings


@dataclass(frozen=True, slots=True)
class Module:
    """The kernel module v4l2loopback.

    Attributes:
        installed: a file of it belongs to the kernel that runs.
        version: of the loaded one, "" where it does not tell; None where none is loaded.
        exclusive_caps: of each of its devices.
    """

    installed: bool = False
    version: str | None = None
    exclusive_caps: tuple[bool, ...] = ()


@dataclass(frozen=True, slots=True)
class Desktop:
    """PipeWire and the portal through which applications ask for a camera."""

    library: bool = False
    answers: bool = False
    portal: bool = False


@dataclass(frozen=True, slots=True)
class Engines:
    """Where an engine was really loaded and run ("CPU", "CUDA", "TensorRT"), and why not elsewhere."""

    running: tuple[str, ...] = ()
    refusals: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder that is written to.

    Attributes:
        path: where it is.
        free: bytes that this user can still write there.
        problem: why it cannot be used, "" where it can.
        ours: this user may mend it.
    """

    path: Path
    free: int = 0
    problem: str = ""
    ours: bool = True


@dataclass(frozen=True, slots=True)
class Facts:
    """One machine, as this user sees it.

    Attributes:
        platform: as in sys.platform.
        kernel: its release, such as "6.1.0-39-amd64".
        module, desktop, engines: see there.
        secure_boot: None where the firmware does not tell.
        entries: video devices and who holds them.
        user, groups: who asks.
        found, wanted: SHA-256 of each shipped file ("" where it is missing), and what it should be.
        cache: where prepared clips are kept.
        runtime: where sockets of the session are; None where it has no such folder.
        time: seconds since 1970, by the clock of the machine.
        synchronised: something keeps the clock right; None where the system does not tell.
        settings: as `xpcam start` would read them; None, and `settings_problem`, where they are wrong.
        needs_webcam: the camera that is set is a device, neither a file nor a stream nor the demo.
    """

    platform: str
    kernel: str
    module: Module
    secure_boot: bool | None
    desktop: Desktop
    entries: tuple[Entry, ...]
    user: str
    groups: frozenset[str]
    engines: Engines
    found: Mapping[str, str]
    wanted: Mapping[str, str]
    cache: Folder
    runtime: Folder | None
    time: float
    synchronised: bool | None
    settings: Settings | None
    needs_webcam: bool = True
    settings_problem: str = ""
