"""Several virtual cameras at once: what one of them cannot reach, another does."""

import logging
from collections.abc import Sequence

from xpcam.errors import OutputError
from xpcam.frame import Pixels
from xpcam.virtual_camera.camera import VirtualCamera
from xpcam.virtual_camera.i420 import Buffer

log = logging.getLogger(__name__)


class SeveralCameras:
    """Shows every frame on each of its cameras; one that breaks is left out as long as another works.

    Attributes:
        description: one line for people.
    """

    def __init__(self, cameras: Sequence[VirtualCamera]) -> None:
        """Take over open cameras, one at least."""
        self._cameras = list(cameras)
        self._converted: list[Buffer] = []
        self.description = "; ".join(camera.description for camera in cameras)
        self.watched = any(camera.watched for camera in cameras)

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
        """Hand on what the last `convert` made. Raises OutputError when the last camera breaks."""
        for camera, converted in list(zip(self._cameras, self._converted, strict=True)):
            try:
                camera.write(converted, at)
            except OutputError as error:
                if len(self._cameras) == 1:
                    raise
                log.warning("%s; going on without it", error)
                self._leave_out(camera)

    def close(self) -> None:
        """Give all back; a second call does nothing."""
        while self._cameras:
            self._cameras.pop().close()

    def _leave_out(self, camera: VirtualCamera) -> None:
        place = self._cameras.index(camera)
        del self._cameras[place], self._converted[place]
        camera.close()
