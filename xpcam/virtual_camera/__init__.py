"""Where pictures leave the program: virtual cameras, files, or nowhere."""

import logging
import sys
from pathlib import Path

from xpcam.devices import OUR_LABEL, list_devices
from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera.camera import VirtualCamera
from xpcam.virtual_camera.file import SUFFIXES, VideoFile, with_room
from xpcam.virtual_camera.i420 import Buffer, I420Converter
from xpcam.virtual_camera.keeping import Keeping
from xpcam.virtual_camera.lasting import LastingCamera
from xpcam.virtual_camera.several import SeveralCameras

__all__ = ["Buffer", "NoCamera", "VirtualCamera", "open_output"]

log = logging.getLogger(__name__)


class NoCamera:
    """Converts as a device would, and drops the frames."""

    watched = True
    fault = ""

    def __init__(self, *, size: tuple[int, int], fps: float) -> None:
        """`size` is (width, height) in pixels. Raises OutputError where one is odd."""
        self._converter = I420Converter(size)
        self.description = f"no output, {size[0]}x{size[1]} I420 at {fps:g} fps"

    def convert(self, pixels: Pixels) -> Buffer:
        return self._converter.convert(pixels)

    def write(self, buffer: Buffer, at: float | None = None) -> None:
        pass

    def readers(self) -> int | None:
        return 1  # pictures are made as if somebody looked

    def close(self) -> None:
        pass


def open_output(
    spec: str,
    *,
    size: tuple[int, int],
    fps: float,
    audio_from: Path | None = None,
    lasting: bool = False,
    keeping: Keeping | None = None,
) -> VirtualCamera:
    """Open the output that `spec` names; raises OutputError.

    Args:
        spec: "auto" (on Linux v4l2 and pipewire, whichever are there), "none", "v4l2", "/dev/videoN",
            "v4l2:/dev/videoN", "pipewire", "pyvirtualcam[:backend]", or a path that ends in .mp4, .mkv
            or .mov.
        size: (width, height) of every picture, pixels, both even.
        fps: frames a second.
        audio_from: a video whose sound goes into a file output (an offline rendering); cameras have none.
        lasting: whether a recording that cannot go on begins anew once there is room (a live run).
        keeping: has a camera (no recording) held by a process that outlives this one.
    """
    kind, _, rest = spec.partition(":")
    if spec == "none":
        return NoCamera(size=size, fps=fps)
    if keeping is not None and Path(spec).suffix.lower() not in SUFFIXES:
        return _open_kept(spec, keeping, size, fps)
    if spec == "auto":
        if sys.platform == "linux":
            return _open_all_of_linux(size, fps)
        kind = "pyvirtualcam"
    if spec.startswith("/dev/video"):
        kind, rest = "v4l2", spec
    if kind == "v4l2":
        return _open_v4l2(rest, size, fps)
    if kind == "pipewire" and not rest:
        return _open_pipewire(size, fps)
    if kind == "pyvirtualcam":
        from xpcam.virtual_camera.pyvirtualcam import PyVirtualCamera

        return LastingCamera(lambda: PyVirtualCamera(rest or None, size=size, fps=fps, device=_loopback()))
    if Path(spec).suffix.lower() in SUFFIXES:
        return _open_file(Path(spec), size, fps, audio_from, lasting)
    raise OutputError(
        f"{spec!r} is no output: use auto, none, v4l2, /dev/videoN, pipewire, pyvirtualcam or a file that "
        f"ends in {', '.join(SUFFIXES)}"
    )


def _open_file(
    path: Path, size: tuple[int, int], fps: float, audio_from: Path | None, lasting: bool
) -> VirtualCamera:
    if lasting:
        return LastingCamera(
            lambda: VideoFile(path, size=size, fps=fps),
            again=lambda: VideoFile(with_room(path), size=size, fps=fps),
        )
    return VideoFile(path, size=size, fps=fps, audio_from=audio_from)


def _open_kept(spec: str, keeping: Keeping, size: tuple[int, int], fps: float) -> VirtualCamera:
    if sys.platform != "linux":
        raise OutputError(f"--keep-output was asked for on {sys.platform}, Linux is wanted: leave it out")
    from xpcam.virtual_camera.kept import KeptCamera  # what Windows has not

    return LastingCamera(lambda: KeptCamera(spec, keeping, size=size, fps=fps))


def _open_all_of_linux(size: tuple[int, int], fps: float) -> VirtualCamera:
    """v4l2loopback, which every application reads, and PipeWire, which needs no kernel module."""
    opened: list[VirtualCamera] = []
    refusals: list[str] = []
    try:
        opened.append(_open_v4l2("", size, fps))
    except OutputError as error:
        refusals.append(str(error))
    try:
        opened.append(_open_pipewire(size, fps))
    except OutputError as error:
        refusals.append(str(error))
    if not opened:
        raise OutputError("; ".join(dict.fromkeys(refusals)))
    for refusal in refusals:
        log.warning("only %s: %s", opened[0].description, refusal)
    return opened[0] if len(opened) == 1 else SeveralCameras(opened)


def _open_v4l2(path: str, size: tuple[int, int], fps: float) -> VirtualCamera:
    if sys.platform != "linux":
        raise OutputError(f"v4l2 was asked for on {sys.platform}, Linux is wanted: use --output auto")
    from xpcam.virtual_camera.v4l2 import V4l2Camera, open_v4l2  # fcntl, which Windows has not

    if path:
        return LastingCamera(lambda: V4l2Camera(Path(path), size=size, fps=fps))
    return LastingCamera(lambda: open_v4l2(size=size, fps=fps))


def _open_pipewire(size: tuple[int, int], fps: float) -> VirtualCamera:
    if sys.platform != "linux":
        raise OutputError(f"pipewire was asked for on {sys.platform}, Linux is wanted: use --output auto")
    from xpcam.virtual_camera.pipewire import PipeWireCamera

    return PipeWireCamera(size=size, fps=fps)


def _loopback() -> str | None:
    """The loopback device pyvirtualcam shall take (it knows no labels); None: its own choice."""
    loopbacks = sorted((d for d in list_devices() if d.loopback), key=lambda d: d.label != OUR_LABEL)
    return str(loopbacks[0].path) if loopbacks else None
