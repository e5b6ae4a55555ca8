"""What the shipped networks carry over, on portraits and drivers that nobody learned from.

    python -m engines.x2face.evaluate --data DIR --task face_landmarker.task [--targets 3] driver.mp4 ...

The product renders each driver on held-out portraits, exactly as a live run would. MediaPipe reads driver and result:
correlation over time of the four measures of `engines.face_params.evaluate` and of the head's pose, and how much of
their spread arrives. Each driver's own first frame is a target as well (self-reenactment): structural similarity to
the driver's frames, beside that of the first frame merely copied.
"""

import argparse
import tempfile
from pathlib import Path

import cv2
import numpy as np

from engines import compare as both
from engines.evaluate import carried, judged
from engines.face_params.evaluate import MEASURES
from engines.turning import ANGLES, turns_carried
from engines.x2face.data import load


def row_of(driver: Path, video: Path, task: Path) -> dict[str, float]:
    """`engines.evaluate.carried`, and the same of the head's angles."""
    person, output = judged(driver, task), judged(video, task)
    return carried(person, output) | turns_carried(person, output)


def said(name: str, row: dict[str, float]) -> str:
    """A line: the mean correlation, each measure and angle with its spread."""
    parts = [
        f"{measure} {row[measure]:.2f} ({row[f'{measure}_spread']:.2f})"
        for measure in (*MEASURES, *ANGLES)
        if measure in row
    ]
    return f"{name}: mean {np.mean([row[measure] for measure in MEASURES]):.3f} " + " ".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("drivers", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with faces/ and faces_labels.npz")
    parser.add_argument("--task", type=Path, required=True, help="MediaPipe's bundle")
    parser.add_argument("--backbones", nargs="+", default=["unet", "unet3plus"])
    parser.add_argument("--targets", type=int, default=3, help="held-out portraits")
    parser.add_argument("--sheets", type=Path, help="folder for a sheet of each driver and portrait")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    data = load(options.data, "test")
    chosen = np.random.default_rng(3).choice(len(data.pictures), options.targets, replace=False)
    names = [f"x2face {backbone}" for backbone in options.backbones]
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for driver in options.drivers:
            for name in names:
                own = both.reenacted(name, driver, folder)
                print(
                    f"{driver.name}, {name}: " + " ".join(f"{k} {v:.3f}" for k, v in own.items()), flush=True
                )
            for number in chosen:
                target = folder / f"{number}.png"
                cv2.imwrite(str(target), data.pictures[number])
                videos = [both.render(name, target, driver, folder).video for name in names]
                for name, video in zip(names, videos, strict=True):
                    rows[name].append(row_of(driver, video, options.task))
                    print(said(f"  target {number}, {name}", rows[name][-1]), flush=True)
                if options.sheets:
                    options.sheets.mkdir(parents=True, exist_ok=True)
                    cv2.imwrite(
                        str(options.sheets / f"{driver.stem}-{number}.png"), both.sheet(driver, videos)
                    )
    for name, found in rows.items():
        keys = {key for row in found for key in row}
        print(said(name, {key: float(np.nanmean([row[key] for row in found if key in row])) for key in keys}))


if __name__ == "__main__":
    main()
