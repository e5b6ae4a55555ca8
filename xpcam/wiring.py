"""What a run is connected to, changed while it runs: its camera, its output, its rate.

All that can fail is done before anything is changed: the other camera is open, the other output is open, then
the frame loop takes both between two pictures.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Protocol

from xpcam.camera.capture import Camera
from xpcam.camera.on_demand import CameraOnDemand
from xpcam.camera.opening import Known
from xpcam.camera.spec import TABLE
from xpcam.errors import SettingsError
from xpcam.live import Live
from xpcam.output_switch import Format, OutputSwitch
from xpcam.settings import Settings


class Find(Protocol):
    """Which camera the settings mean. Raises CameraError where there is none, unless it is waited for."""

    def __call__(self, settings: Settings, *, wait: bool) -> Known: ...


Open = Callable[[Settings, Known], Camera]
"""Opens it. Raises CameraError."""


class Wiring:
    """Changes what a run is connected to; one thread at a time.

    Args:
        settings: what the run was started with.
        live: the frame loop.
        output: where its pictures go.
        find: finds cameras.
        opener: opens them.

    Attributes:
        camera: what the frame loop follows.
    """

    def __init__(
        self, settings: Settings, live: Live, output: OutputSwitch, find: Find, opener: Open
    ) -> None:
        self._settings = settings
        self._live = live
        self._output = output
        self._find = find
        self._open = opener
        self._known: Known | None = None
        self.camera = CameraOnDemand(self._opened, patient=settings.wait_for_camera)

    def find(self, *, wait: bool) -> None:
        """Make sure which camera is meant, before it is opened.

        Raises CameraError where there is none, unless it shall be waited for.
        """
        self._known = self._find(self._settings, wait=wait)

    def change(self, wanted: Settings) -> None:
        """Connect the run as the settings say.

        Raises:
            SettingsError: what has to be decided at the start.
            CameraError, OutputError: it cannot be; what there was goes on.
        """
        now = self._settings
        if now.contact_sheet is not None and (wanted.size, wanted.camera) != (now.size, now.camera):
            raise SettingsError(
                "the contact sheet is of one camera and one size: wanted a run without --contact-sheet"
            )
        if now.keep_output and (wanted.size, wanted.output) != (now.size, now.output):
            raise SettingsError(
                "--keep-output: what holds the output was given its place and size; stop and start anew"
            )
        known, fresh = self._other_camera(wanted)
        with ExitStack() as undo:
            if fresh is not None:
                undo.callback(fresh.close)
            self._output.change(Format(wanted.output, wanted.size, wanted.fps))
            undo.pop_all()
        other = known is not self._known and not _same(known, self._known)
        asked_anew = known is not None and known.identity is not None and wanted.fps != now.fps
        self._settings, self._known = wanted, known
        if other or asked_anew:
            self.camera.change(fresh)
        self._live.keep_rate(wanted.fps)

    def _other_camera(self, wanted: Settings) -> tuple[Known | None, Camera | None]:
        """Which camera is meant, and it, open; None where it is the present one, or nobody looks."""
        if wanted.camera == self._settings.camera:
            return self._known, None
        if any(one.camera.startswith(TABLE) for one in (wanted, self._settings)):
            raise SettingsError(
                f"camera {wanted.camera!r}: a file of blend shapes ({TABLE}FILE) is chosen at the start; "
                "stop and start anew"
            )
        known = self._find(wanted, wait=False)
        if self._live.state == "asleep" or _same(known, self._known):
            return known, None
        return known, self._open(wanted, known)

    def _opened(self) -> Camera:
        settings, known = self._settings, self._known
        assert known is not None
        return self._open(settings, known)


def _same(one: Known | None, other: Known | None) -> bool:
    """Whether both are one webcam, however they name it."""
    return (
        one is not None and other is not None and one.identity is not None and one.identity == other.identity
    )
