"""A person on video is their own target: does what is painted between their lips resemble what was there?

    python -m engines.mouth.reenact --clips DIR [--model engines/mouth/mouth.onnx] [--begin shut]

Each clip's first picture is the target, moved by the product's own tracker; the mouth's crops of output and clip are
compared by structural similarity: over all pictures, over those with the lips clearly apart, and in these inside the
lips alone; and the last two again for the clips whose first picture has its lips shut, the only ones in which an
interior has to be made. "pasted" is the bound: the clip's own mouth laid between the lips of `off`.
With --begin shut the picture with its lips most shut is the target, in place of the first: in all clips one is made.
"""

import argparse
from dataclasses import replace
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
from xpcam.mouth.interior import OWN_OPEN, Interior
from xpcam.mouth.proxy import CROP, crop_matrix, opening
from xpcam.mouth.seen import MouthSeen
from xpcam.rendering.renderer import Look, Renderer
from xpcam.settings import Settings
from xpcam.target import still as target

INTERIORS: tuple[Interior, ...] = ("off", "dark", "drawn")
APART = 0.06  # lips so far apart, outer-eye distances, show what is behind them


def tracked(clip: Path) -> list[tuple[Pixels, FaceParams]]:
    """Pictures and faces of a clip."""
    found: list[tuple[Pixels, FaceParams]] = []
    mouth = MouthSeen()
    with open_tracker(Settings(device="cpu")) as tracker, read_video(clip) as frames:
        for sequence, frame in enumerate(frames):
            params = tracker.track(Frame(frame.pixels, sequence, sequence / frames.fps))
            if params is not None:
                found.append((frame.pixels, replace(params, shown=mouth.of(frame.pixels, params))))
    return found


def alike(look: Look, seen: list[tuple[Pixels, FaceParams]], *, pasted: bool = False) -> Floats:
    """(T, 3): similarity of each picture's mouth, that inside its lips, and how far these are apart."""
    first, face = seen[0]
    height, width = first.shape[:2]
    still = target.prepare(first, face, (width // 2 * 2, height // 2 * 2))
    renderer, rows = Renderer(still, look), []
    for picture, params in seen[1:]:
        matrix = crop_matrix(params.landmarks)
        made, truth = (
            np.asarray(cv2.warpAffine(one, matrix, (CROP, CROP)))
            for one in (renderer.render(params), picture)
        )
        contour = params.landmarks[list(fl.INNER_LIPS), :2] @ matrix[:, :2].T + matrix[:, 2]
        mask = opening(np.asarray(contour, np.float32))
        if pasted:
            share = cv2.GaussianBlur(mask, (0, 0), 1.0)[..., None]
            made = (made + (truth.astype(np.float32) - made) * share).astype(np.uint8)
        likeness = similarity(grey(made), grey(truth))
        middle, inside = slice(CROP // 5, -CROP // 5), mask > 0.5
        within = likeness[inside].mean() if inside.any() else np.nan
        rows.append((likeness[middle, middle].mean(), within, apart_in(params)))
    return np.array(rows, np.float32)


def shut(seen: list[tuple[Pixels, FaceParams]]) -> bool:
    """Whether the first picture has its lips shut."""
    return apart_in(seen[0][1]) < OWN_OPEN


def apart_in(face: FaceParams) -> float:
    """How far the lips are apart, outer-eye distances."""
    return fl.gap(fl.unpose(face.landmarks, face.pose, depth=0.0), fl.LIPS_APART)


def most_shut_first(seen: list[tuple[Pixels, FaceParams]]) -> list[tuple[Pixels, FaceParams]]:
    """The clip with the picture whose lips are most shut put first."""
    index = min(range(len(seen)), key=lambda one: apart_in(seen[one][1]))
    return [seen[index], *seen[:index], *seen[index + 1 :]]


def table_row(name: str, clips: list[Floats], begins_shut: list[bool]) -> str:
    """One line of the table."""
    rows = np.concatenate(clips)
    apart = rows[rows[:, 2] > APART]
    painted = np.concatenate([clip for clip, closed in zip(clips, begins_shut, strict=True) if closed])
    painted = painted[painted[:, 2] > APART]
    figures = (rows[:, 0], apart[:, 0], apart[:, 1], painted[:, 0], painted[:, 1])
    return f"| {name} | " + " | ".join(f"{figure.mean():.3f}" for figure in figures) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--begin", choices=("first", "shut"), default="first")
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("mouth.onnx"))
    options = parser.parse_args()
    engine = MouthEngine(options.model, device="cpu")
    looks = {name: Look(interior=name) for name in INTERIORS} | {"engine": Look(engine=engine)}
    seen = [tracked(clip) for clip in sorted(options.clips.glob("*.m*"))]
    if options.begin == "shut":
        seen = [most_shut_first(clip) for clip in seen]
    begins_shut = [shut(clip) for clip in seen]
    print("| interior | all | lips apart | inside these | apart, shut at first | inside these |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, look in looks.items():
        print(table_row(name, [alike(look, clip) for clip in seen], begins_shut))
    pasted = [alike(looks["off"], clip, pasted=True) for clip in seen]
    print(table_row("pasted", pasted, begins_shut))


if __name__ == "__main__":
    main()
