"""What the shipped networks carry over, on portraits and drivers that nobody learned from.

    python -m engines.x2face.evaluate --data DIR --task face_landmarker.task [--models engines/x2face] driver.mp4 ...

Each driver moves held-out portraits: MediaPipe reads driver and result; correlation over time of the four measures of
`engines.face_params.evaluate` and of the head's pose. Each driver's own first frame is a target as well
(self-reenactment): structural similarity to the driver's frames, beside that of the first frame merely copied.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from engines.evaluate import carried
from engines.face_params.arrays import Floats, Pixels
from engines.face_params.evaluate import MEASURES
from engines.judge import open_judge
from engines.mouth.likeness import grey, similarity
from engines.turning import ANGLES, turns_carried
from engines.x2face.clips import pictures_of
from engines.x2face.data import SOURCE, load
from engines.x2face.people import Portrait
from xpcam.builders import open_tracker
from xpcam.frame import Frame
from xpcam.settings import Settings
from xpcam.warping.mesh_warp import sample
from xpcam.x2face.crops import face_crop
from xpcam.x2face.driving import SIDE
from xpcam.x2face.grids import FINE, chained, enlarged, fade, identity
from xpcam.x2face.placing import FADES


class Networks:
    """Both networks of a backbone from their files, on one thread."""

    def __init__(self, folder: Path, backbone: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._embedding, self._driving = (
            ort.InferenceSession(
                str(folder / f"x2face_{name}_{backbone}.onnx"), options, ["CPUExecutionProvider"]
            )
            for name in ("embedding", "driving")
        )

    def embed(self, source: Pixels) -> Floats:
        """(256, 256, 2) where the embedded face samples a (256, 256, 3) source crop."""
        return enlarged(np.asarray(self._embedding.run(None, {"source": source[None]})[0])[0], FINE)

    def drive(self, source: Pixels, embedding: Floats, driver: Pixels) -> Pixels:
        """The source crop as a (128, 128, 3) driver crop has it: sampled once, still at its border."""
        grid = np.asarray(self._driving.run(None, {"driver": driver[None]})[0])[0]
        still = identity(FINE)
        moved = (chained(enlarged(grid, FINE), embedding) - still) * fade(FINE, (0, 0, 1, 1), FADES)[
            ..., None
        ]
        return drawn(source, still + moved)


def drawn(picture: Pixels, grid: Floats) -> Pixels:
    """The picture at a grid (n, n, 2) of -1 to 1."""
    size = np.array(picture.shape[1::-1], np.float32)
    where: Floats = np.asarray((grid + 1) * (size / 2) - np.float32(0.5), np.float32)
    return np.asarray(sample(picture, where))


def crops_of(clip: Path) -> Iterator[tuple[Pixels, Pixels]]:
    """Each frame's head in 256 and in 128 pixels, as the product's tracker sees it."""
    with open_tracker(Settings(device="cpu")) as tracker:
        for number, (picture, at) in enumerate(pictures_of(clip)):
            face = tracker.track(Frame(picture, number, at))
            if face is not None:
                yield face_crop(picture, face.pose, FINE)[0], face_crop(picture, face.pose, SIDE)[0]


def read(pictures: list[Pixels], task: Path) -> Floats:
    """(T, 478, 2) landmarks by MediaPipe, NaN where it sees no face."""
    nothing = np.full((478, 2), np.nan, np.float32)
    with open_judge(task) as judge:
        found = [judge.read(picture) for picture in pictures]
    return np.array([nothing if face is None else face for face in found], np.float32)


def followed(person: Floats, output: Floats) -> dict[str, float]:
    """`engines.evaluate.carried`, and the same of the head's angles."""
    return carried(person, output) | turns_carried(person, output)


def reenacted(networks: Networks, crops: list[tuple[Pixels, Pixels]]) -> tuple[float, float]:
    """Mean SSIM to a clip's own frames: of what its first frame is made into, and of the first frame."""
    source = crops[0][0]
    embedded = networks.embed(source)
    made = [
        similarity(grey(networks.drive(source, embedded, small)), grey(large)).mean()
        for large, small in crops[1:]
    ]
    still = [similarity(grey(crops[0][0]), grey(large)).mean() for large, _ in crops[1:]]
    return float(np.mean(made)), float(np.mean(still))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("drivers", nargs="+", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="folder with faces/ and faces_labels.npz")
    parser.add_argument("--task", type=Path, required=True, help="MediaPipe's bundle")
    parser.add_argument("--models", type=Path, default=Path(__file__).parent)
    parser.add_argument("--backbones", nargs="+", default=["unet", "unet3plus"])
    parser.add_argument("--targets", type=int, default=3, help="held-out portraits")
    parser.add_argument("--sheet", type=Path, help="folder for a sheet of each driver")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    data = load(options.data, "test")
    chosen = np.random.default_rng(3).choice(len(data.pictures), options.targets, replace=False)
    portraits = [Portrait(data.pictures[row], data.landmarks[row], data.scores[row]) for row in chosen]
    sources = [portrait.play(SOURCE, FINE, 1.0).crop for portrait in portraits]
    rows: dict[str, list[dict[str, float]]] = {name: [] for name in options.backbones}
    for driver in options.drivers:
        crops = list(crops_of(driver))
        person = read([large for large, _ in crops], options.task)
        for backbone in options.backbones:
            networks = Networks(options.models, backbone)
            made = reenacted(networks, crops)
            print(
                f"{driver.name} {backbone}: own first frame SSIM {made[0]:.3f}, copied {made[1]:.3f}",
                flush=True,
            )
            for number, source in enumerate(sources):
                embedded = networks.embed(source)
                output = [networks.drive(source, embedded, small) for _, small in crops]
                row = followed(person, read(output, options.task))
                rows[backbone].append(row)
                print(
                    f"  target {chosen[number]}: " + " ".join(f"{k} {v:.3f}" for k, v in row.items()),
                    flush=True,
                )
                if options.sheet:
                    frames = np.linspace(0, len(crops) - 1, 10).astype(int)
                    strip = [np.hstack([source, *(crops[f][0] for f in frames)])]
                    strip.append(np.hstack([drawn(source, embedded), *(output[f] for f in frames)]))
                    name = f"{driver.stem}_{backbone}_{number}.png"
                    cv2.imwrite(str(options.sheet / name), np.vstack(strip))
    for backbone, found in rows.items():
        means = {
            name: float(np.mean([row[name] for row in found if name in row]))
            for name in (*MEASURES, *ANGLES)
            if any(name in row for row in found)
        }
        face = np.mean([means[name] for name in MEASURES])
        print(f"{backbone}: mean expression {face:.3f} " + " ".join(f"{k} {v:.3f}" for k, v in means.items()))


if __name__ == "__main__":
    main()
