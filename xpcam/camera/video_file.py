"""A video file for offline work: every frame, as fast as it can be read."""

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from xpcam.camera.video import open_file
from xpcam.frame import Frame


class VideoFile:
    """Every frame of a video file, once, for offline work. A context manager and an iterable.

    Attributes:
        path: the file.
        fps: average frames per second.
        frame_count: how many frames there are, as far as the file says; None where it does not.
        duration: seconds; None where the file does not say.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._decoder = open_file(path)
        self.fps = self._decoder.fps
        self.frame_count = self._decoder.frame_count
        self.duration = self._decoder.duration

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Iterator[Frame]:
        """From the beginning, each with `captured_at` = its presentation time in the video, seconds.

        Raises CameraError where the video breaks off.
        """
        self._decoder.rewind()
        sequence = 0
        while (picture := self._decoder.read()) is not None:
            yield Frame(picture.pixels, sequence, picture.time, picture.decode_seconds)
            sequence += 1

    def close(self) -> None:
        """Let go of the file."""
        self._decoder.close()


def read_video(path: Path) -> VideoFile:
    """Open a video file for reading every frame (not paced). Raises CameraError where it cannot be used."""
    return VideoFile(path)
