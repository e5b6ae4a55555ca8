"""Little clips of a drawn face, and a tracker that knows where it is."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from faces import face, portrait, pose

from xpcam.frame import FaceParams, Frame, Pixels

SIZE = (320, 240)
FPS = 10


def swaying(count: int, period: int = 20) -> list[FaceParams]:
    """A head that sways, talks and blinks, the same every `period` frames."""
    made = []
    for index in range(count):
        way = np.sin(2 * np.pi * index / period)
        weights = {"jawOpen": 0.25 - 0.25 * np.cos(2 * np.pi * index / (period / 2))}
        if index % period in (14, 15):
            weights |= {"eyeBlinkLeft": 1.0, "eyeBlinkRight": 1.0}
        where = pose(turn=(0, 0.1 * way, 0), at=(160 + 12 * way, 110), scale=80)
        made.append(face(weights, where))
    return made


def drawn(faces: list[FaceParams]) -> list[Pixels]:
    return [portrait(params, SIZE) for params in faces]


def write_clip(path: Path, pictures: list[Pixels], times: list[float] | None = None) -> Path:
    """A video of the pictures, at FPS or at these `times` in seconds."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.height, stream.width = pictures[0].shape[:2]
        stream.pix_fmt, stream.bit_rate = "yuv420p", 4_000_000
        stream.codec_context.time_base = Fraction(1, 100)
        for number, pixels in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(pixels, "bgr24")
            frame.pts = round(100 * (times[number] if times else number / FPS))
            frame.time_base = Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


class Knowing:
    """A tracker that knows where the face is in each frame, and how many there are."""

    def __init__(self, faces: list[FaceParams | None], among: int = 1) -> None:
        self._faces = faces
        self._among = among
        self.resets = 0

    def track(self, frame: Frame) -> FaceParams | None:
        return self._faces[frame.sequence]

    def locate(self, _pixels: Pixels) -> list[FaceParams]:
        return [face(where=pose(scale=80))] * self._among

    def reset(self) -> None:
        self.resets += 1
