"""Little videos for tests."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

GREY_STEP = 20


def write_video(
    path: Path,
    count: int = 8,
    size: tuple[int, int] = (64, 48),
    *,
    codec: str = "mpeg4",
    times: list[int] | None = None,
    faststart: bool = False,
) -> Path:
    """Flat grey pictures, each GREY_STEP brighter than the one before; `times` in 1/100 s."""
    with av.open(str(path), "w", options={"movflags": "faststart"} if faststart else {}) as container:
        stream = container.add_stream(codec, rate=10)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.time_base = Fraction(1, 100)
        for number in range(count):
            pixels = np.full((size[1], size[0], 3), number * GREY_STEP, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, "bgr24")
            frame.pts = times[number] if times else number * 10
            frame.time_base = Fraction(1, 100)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
