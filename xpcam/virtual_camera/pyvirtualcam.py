"""OBS Virtual Camera or UnityCapture (Windows), OBS (macOS), v4l2loopback: through pyvirtualcam.

pyvirtualcam is GPL-2, so it is an extra that the user installs, and it is imported nowhere else.
"""

import sys
from typing import Any

from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera.i420 import Buffer, I420Converter

_REMEDY = (
    "use --output v4l2, which says what this machine lacks"
    if sys.platform == "linux"
    else "install OBS Studio, start its virtual camera once, then close OBS"
)


class PyVirtualCamera:
    """Sends I420 frames with pyvirtualcam; `description` is one line for people.

    pyvirtualcam itself prints some write errors instead of raising them.
    """

    watched = True
    fault = ""

    def __init__(self, backend: str | None, *, size: tuple[int, int], fps: float, device: str | None) -> None:
        """`backend` as pyvirtualcam names them ("obs", "unitycapture"), None for the first that works;
        `device` as that one takes it. Raises OutputError."""
        self._converter = I420Converter(size)
        library = _library()
        known = sorted(library.camera.BACKENDS)
        if backend is not None and backend not in known:
            raise OutputError(
                f"pyvirtualcam has no {backend!r} on this system, only {', '.join(known) or 'nothing'}: "
                "use --output pyvirtualcam to let it choose"
            )
        try:
            self._camera: Any = library.Camera(
                width=size[0],
                height=size[1],
                fps=fps,
                fmt=library.PixelFormat.I420,
                device=device,
                backend=backend,
            )
        except (RuntimeError, ValueError) as error:
            raise OutputError(
                f"pyvirtualcam opened no camera ({' '.join(str(error).split())}), {backend or 'any'} was "
                f"wanted: {_REMEDY}"
            ) from error
        self._open = True
        self.description = (
            f"{self._camera.device} ({self._camera.backend}), {size[0]}x{size[1]} I420 at {fps:g} fps"
        )

    def convert(self, pixels: Pixels) -> Buffer:
        """(height, width, 3) BGR to I420, in a buffer that is used again at the next call."""
        return self._converter.convert(pixels)

    def write(self, buffer: Buffer, at: float | None = None) -> None:  # noqa: ARG002
        """Send one frame; `at` is not used. Raises OutputError."""
        try:
            self._camera.send(buffer)
        except RuntimeError as error:
            raise OutputError(f"{self.description} takes no more frames ({error})") from error

    def readers(self) -> None:
        return None  # it does not tell

    def close(self) -> None:
        """Give the camera back; a second call does nothing."""
        if self._open:
            self._open = False
            self._camera.close()


def _library() -> Any:
    try:
        import pyvirtualcam  # GPL-2, optional
    except ImportError as error:
        other = "use --output v4l2, or " if sys.platform == "linux" else ""
        raise OutputError(
            f"pyvirtualcam is not installed ({error}): {other}run pip install 'xpcam[pyvirtualcam]'"
        ) from error
    return pyvirtualcam
