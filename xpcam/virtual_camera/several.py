"""Several virtual cameras at once: what one of them cannot reach, another does."""

from collections.abc import Sequence

from xpcam.frame import Pixels
from xpcam.virtual_camera.camera import VirtualCamera
from xpcam.virtual_camera.i420 import Buffer


class SeveralCameras:
    """Shows every frame on each of its cameras, which outlast what may befall their devices.

    Attributes:
        description: one line for people.
    """

    def __init__(self, cameras: Sequence[VirtualCamera]) -> None:
        """Take over open cameras, one at least."""
        self._cameras = list(cameras)
        self._converted: list[Buffer] = []
        self.description = "; ".join(camera.description for camera in cameras)
        self.watched = any(camera.watched for camera in cameras)

    @property
    def fault(self) -> str:
        """What is wrong with any of them."""
        return "; ".join(camera.fault for camera in self._cameras if camera.fault)

    def readers(self) -> int | None:
        """How many programs read, at least; None where nobody is known to, but one of them cannot know."""
        counted = [camera.readers() for camera in self._cameras]
        known = sum(count for count in counted if count is not None)
        return None if not known and None in counted else known

    def convert(self, pixels: Pixels) -> Buffer:
        """(height, width, 3) BGR to the format of each; the first one's is returned, the others are kept."""
        self._converted = [camera.convert(pixels) for camera in self._cameras]
        return self._converted[0]

    def write(self, buffer: Buffer, at: float | None = None) -> None:  # noqa: ARG002
        """Hand on what the last `convert` made. Raises OutputError where this was closed."""
        for camera, converted in zip(self._cameras, self._converted, strict=True):
            camera.write(converted, at)

    def close(self) -> None:
        """Give all back; a second call does nothing."""
        for camera in reversed(self._cameras):
            camera.close()
