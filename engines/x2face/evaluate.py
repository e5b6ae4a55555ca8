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
from engines.x2face.clips import pictures_of
from engines.x2face.data import SOURCE, load
from engines.x2face.people import Portrait
from xpcam.builders import open_tracker
from xpcam.face import landmarks as fl
from xpcam.frame import Frame
from xpcam.settings import Settings
from xpcam.x2face.crops import face_crop

SIDE = 256  # of what is made, pixels
TURNS = ("pitch", "yaw", "roll")
POSED = 0.02  # spread of an angle, radians, below which a driver does not move so


class Networks:
    """Both networks of a backbone from their files, on one thread."""

    def __init__(self, folder: Path, backbone: str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self._embedding, self._driving = (
            ort.InferenceSession(str(folder / f"{name}_{backbone}.onnx"), options, ["CPUExecutionProvider"])
            for name in ("embedding", "driving")
        )

    def embed(self, source: Pixels) -> Pixels:
        """The embedded face of a (256, 256, 3) source crop."""
        return sampled(source, np.asarray(self._embedding.run(None, {"source": source[None]})[0])[0])

    def drive(self, embedded: Pixels, driver: Pixels) -> Pixels:
        """The embedded face as a (128, 128, 3) driver crop has it."""
        return sampled(embedded, np.asarray(self._driving.run(None, {"driver": driver[None]})[0])[0])


def sampled(picture: Pixels, grid: Floats) -> Pixels:
    """(256, 256, 3) the picture at a grid (64, 64, 2) of -1 to 1."""
    size = np.array(picture.shape[1::-1], np.float32)
    places = (cv2.resize(grid, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) + 1) * (size / 2) - np.float32(
        0.5
    )
    # Two-channel coordinates need no second map; the stubs do not know that None says so.
    made = cv2.remap(picture, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(made)


def turned(points: Floats) -> Floats:
    """(3,) pitch, yaw, roll of (478, 2) landmarks: the affine map of the mean face onto them (radians)."""
    rigid = list(fl.RIGID)
    shape = fl.face_mesh().neutral[rigid]
    known = np.column_stack([shape - shape.mean(axis=0), np.ones(len(rigid))])
    across, down = np.linalg.lstsq(known, points[rigid], rcond=None)[0][:3].T
    scale = (np.linalg.norm(across) + np.linalg.norm(down)) / 2
    angles = np.array([-down[2], across[2], 0.0]) / scale
    angles[2] = np.arctan2(down[0] - across[1], across[0] + down[1])
    return np.asarray([*np.arcsin(np.clip(angles[:2], -1, 1)), angles[2]], np.float32)


def crops_of(clip: Path) -> Iterator[tuple[Pixels, Pixels]]:
    """Each frame's head in 256 and in 128 pixels, as the product's tracker sees it."""
    with open_tracker(Settings(device="cpu")) as tracker:
        for number, (picture, at) in enumerate(pictures_of(clip)):
            face = tracker.track(Frame(picture, number, at))
            if face is not None:
                yield face_crop(picture, face.pose, SIDE)[0], face_crop(picture, face.pose, SIDE // 2)[0]


def read(pictures: list[Pixels], task: Path) -> Floats:
    """(T, 478, 2) landmarks by MediaPipe, NaN where it sees no face."""
    nothing = np.full((478, 2), np.nan, np.float32)
    with open_judge(task) as judge:
        found = [judge.read(picture) for picture in pictures]
    return np.array([nothing if face is None else face for face in found], np.float32)


def followed(person: Floats, output: Floats) -> dict[str, float]:
    """`engines.evaluate.carried`, and the same of the head's angles, as far as the person turns it."""
    row = carried(person, output)
    seen = np.isfinite(person[:, 0, 0]) & np.isfinite(output[:, 0, 0])
    angles = [np.stack([turned(points) for points in faces[seen]]) for faces in (person, output)]
    for axis, name in enumerate(TURNS):
        a, b = angles[0][:, axis], angles[1][:, axis]
        if a.std() > POSED:
            row[name], row[f"{name}_spread"] = float(np.corrcoef(a, b)[0, 1]), float(b.std() / a.std())
    return row


def reenacted(networks: Networks, crops: list[tuple[Pixels, Pixels]]) -> tuple[float, float]:
    """Mean SSIM to a clip's own frames: of what its first frame is made into, and of the first frame."""
    embedded = networks.embed(crops[0][0])
    made = [
        similarity(grey(networks.drive(embedded, small)), grey(large)).mean() for large, small in crops[1:]
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
    sources = [portrait.play(SOURCE, SIDE, 1.0).crop for portrait in portraits]
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
                output = [networks.drive(embedded, small) for _, small in crops]
                row = followed(person, read(output, options.task))
                rows[backbone].append(row)
                print(
                    f"  target {chosen[number]}: " + " ".join(f"{k} {v:.3f}" for k, v in row.items()),
                    flush=True,
                )
                if options.sheet:
                    frames = np.linspace(0, len(crops) - 1, 10).astype(int)
                    strip = [np.hstack([source, *(crops[f][0] for f in frames)])]
                    strip.append(np.hstack([embedded, *(output[f] for f in frames)]))
                    name = f"{driver.stem}_{backbone}_{number}.png"
                    cv2.imwrite(str(options.sheet / name), np.vstack(strip))
    for backbone, found in rows.items():
        means = {
            name: float(np.mean([row[name] for row in found if name in row]))
            for name in (*MEASURES, *TURNS)
            if any(name in row for row in found)
        }
        face = np.mean([means[name] for name in MEASURES])
        print(f"{backbone}: mean expression {face:.3f} " + " ".join(f"{k} {v:.3f}" for k, v in means.items()))


if __name__ == "__main__":
    main()
