"""A person on video is their own target: does what is painted between their lips resemble what was there?

    python -m engines.mouth.reenact --clips DIR [--model engines/mouth/mouth.onnx]

Each clip's first picture is the target, moved by the product's own tracker; the mouth's crops of output and clip are
compared by structural similarity, over all pictures and over those with the lips clearly apart.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from engines.mouth.likeness import grey, similarity
from xpcam.builders import open_tracker
from xpcam.camera.video_file import read_video
from xpcam.face import landmarks as fl
from xpcam.frame import FaceParams, Frame
from xpcam.mouth.engine import MouthEngine
from xpcam.mouth.proxy import CROP, crop_matrix
from xpcam.rendering.renderer import Look, Renderer
from xpcam.settings import Settings
from xpcam.target import still as target

APART = 0.06  # lips so far apart, outer-eye distances, show what is behind them


def tracked(clip: Path) -> list[tuple[Pixels, FaceParams]]:
    """Pictures and faces of a clip."""
    found = []
    with open_tracker(Settings(device="cpu")) as tracker, read_video(clip) as frames:
        for sequence, frame in enumerate(frames):
            params = tracker.track(Frame(frame.pixels, sequence, sequence / frames.fps))
            if params is not None:
                found.append((frame.pixels, params))
    return found


def alike(look: Look, seen: list[tuple[Pixels, FaceParams]]) -> Floats:
    """(T, 2) similarity of each picture's mouth, and how far its lips are apart."""
    first, face = seen[0]
    height, width = first.shape[:2]
    still = target.prepare(first, face, (width // 2 * 2, height // 2 * 2))
    renderer, rows = Renderer(still, look), []
    for picture, params in seen[1:]:
        made = renderer.render(params)
        matrix = crop_matrix(params.landmarks)
        crops = [grey(cv2.warpAffine(one, matrix, (CROP, CROP))) for one in (made, picture)]
        middle = slice(CROP // 5, -CROP // 5)
        likeness = similarity(crops[0], crops[1])[middle, middle].mean()
        rows.append((likeness, fl.gap(fl.unpose(params.landmarks, params.pose, depth=0.0), fl.LIPS_APART)))
    return np.array(rows, np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--model", type=Path, help="compare the engine as well")
    options = parser.parse_args()
    looks = {"off": Look(interior="off"), "dark": Look(interior="dark"), "drawn": Look(interior="drawn")}
    if options.model:
        looks["engine"] = Look(engine=MouthEngine(options.model, device="cpu"))
    rows: dict[str, list[Floats]] = {name: [] for name in looks}
    for clip in sorted(options.clips.glob("*.m*")):
        seen = tracked(clip)
        for name, look in looks.items():
            rows[name].append(alike(look, seen))
    print("| interior | SSIM, all | lips apart | pictures |\n| --- | --- | --- | --- |")
    for name, parts in rows.items():
        all_of = np.concatenate(parts)
        apart = all_of[:, 1] > APART
        mean = all_of[apart, 0].mean() if apart.any() else float("nan")
        print(f"| {name} | {all_of[:, 0].mean():.3f} | {mean:.3f} | {apart.sum()} of {len(all_of)} |")


if __name__ == "__main__":
    main()
