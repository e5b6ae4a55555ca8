"""Have the product's tracker read every picture of the packs, once: it is the encoder of the driving network.

    python -m engines.x2face.reading --packs runs/x2face/packs/train [--webcam 0.5]

Writes `read.npy` (P, I, K, 478, 2) float16 beside each part's arrays, -1 to 1 over the crop as `landmarks.npy`, with the
tracker's own errors; not a number where it saw no face. Says how far the readings are off.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from engines.face_params import augmentation
from engines.face_params.arrays import Floats, Pixels
from engines.x2face.data import READ, ROOM
from xpcam.builders import open_tracker
from xpcam.frame import FaceParams, Frame
from xpcam.settings import Settings
from xpcam.tracking.tracker import FaceTracker

Random = np.random.Generator


def placed(face: FaceParams | None, side: int) -> Floats:
    """(478, 2) a face found in a stored crop of `side` pixels, -1 to 1 over what the networks see."""
    if face is None:
        return np.full((478, 2), np.nan, np.float32)
    return np.asarray(((face.landmarks[:, :2] + 0.5) * 2 / side - 1) * ROOM, np.float32)


def read(tracker: FaceTracker, pictures: Pixels, rng: Random, webcam: float) -> Floats:
    """(K, 478, 2) of one identity's pictures (K, S, S, 3), so many of them as a webcam has them."""
    tracker.reset()
    rows = []
    for number, picture in enumerate(pictures):
        seen = augmentation.webcam(rng, picture) if rng.random() < webcam else np.asarray(picture)
        rows.append(placed(tracker.track(Frame(seen, number, number / 1000)), picture.shape[0]))
    return np.stack(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--packs", type=Path, default=Path("runs/x2face/packs/train"))
    parser.add_argument("--webcam", type=float, default=0.5, help="share of the pictures that a webcam films")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    parts = sorted(path.parent for path in options.packs.glob("*/seen.npy") if path.parent.suffix != ".part")
    with open_tracker(Settings(device="cpu", threads=1, smoothing=False), hold=0, search_every=1) as tracker:
        for number, part in enumerate(tqdm(parts, unit="part", dynamic_ncols=True)):
            if (part / READ).is_file():
                continue
            rng = np.random.default_rng((number, 1))
            images = np.load(part / "images.npy", mmap_mode="r")
            rows = [[read(tracker, one, rng, options.webcam) for one in pack] for pack in images]
            found = np.stack([np.stack(row) for row in rows])
            away = np.linalg.norm(found - np.load(part / "landmarks.npy").astype(np.float32), axis=-1)
            seen = np.load(part / "seen.npy") & np.isfinite(away)
            unfinished = part / f"part-{READ}"
            np.save(unfinished, found.astype(np.float16))
            unfinished.rename(part / READ)
            share, off = np.isfinite(away).all(-1).mean(), away[seen].mean() * 32
            tqdm.write(f"{part.name}: found in {share:.1%}, off by {off:.2f} cells of 64")


if __name__ == "__main__":
    main()
