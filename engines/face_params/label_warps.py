"""Let the teacher label warped portraits, so that training sees what it says of faces nobody photographed.

    python -m engines.face_params.label_warps --data DIR --task face_landmarker.task --count 20000 --output shard.npz

A warp's landmarks are exact where the mesh was moved, but the teacher, by whose eyes a tracker is judged, reads lips,
lids and brows in its own way. Needs mediapipe >= 1.2 (extra mediapipe), its model bundle, and PyTorch.

The file holds N crops, two of each portrait side by side: `jpeg` (bytes of all pictures) with `offset` (N + 1,), `landmarks` (N, 478, 3)
by the teacher and `exact` (N, 478, 3) by the warp, both in crop pixels; `scores` (N, 52) the teacher's blend-shape weights
and `drawn` (N, 52) the warp's, in ARKit's order, NaN for tongueOut; `portrait` (N,).
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from engines.face_params import data
from engines.face_params.arrays import Floats, Pixels
from engines.face_params.gaze_warping import look_elsewhere
from engines.face_params.parameter_views import CropMaker, Sample
from engines.face_params.shards import placed
from xpcam.face.model import ARKIT
from xpcam.tracking.crops import CROP, invert, transform

Random = np.random.Generator
QUALITY = 95
SAME_FACE = (
    0.12  # mean distance, in outer-eye distances, from which the teacher is believed to see another face
)


class Teacher:
    """MediaPipe's face landmarker on single pictures.

    Args:
        views: how many readings of a picture are averaged, each moved a little: one alone trembles (engines/judge.py).
    """

    def __init__(self, task: Path, views: int = 1) -> None:
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(
            base_options=BaseOptions(model_asset_path=str(task)),
            running_mode=vision.RunningMode.IMAGE,
            output_face_blendshapes=True,
        )
        self._landmarker = vision.FaceLandmarker.create_from_options(options)
        rng = np.random.default_rng(7)
        self._views = [placed(rng, mirror=False) for _ in range(views - 1)]

    def close(self) -> None:
        self._landmarker.close()

    def __call__(self, crop: Pixels) -> tuple[Floats, Floats] | None:
        """Landmarks (478, 3) in pixels and ARKit weights (52,), means of all views; None where one shows no face."""
        said = [self._look(crop)]
        for matrix in self._views:
            moved = cv2.warpAffine(crop, matrix, crop.shape[1::-1], borderMode=cv2.BORDER_REPLICATE)
            seen = self._look(np.asarray(moved))
            said.append(seen and (transform(seen[0], invert(matrix)), seen[1]))
        rows = [row for row in said if row]
        if len(rows) < len(said):
            return None
        points, scores = zip(*rows, strict=True)
        return np.mean(points, axis=0), np.mean(scores, axis=0)

    def _look(self, crop: Pixels) -> tuple[Floats, Floats] | None:
        import mediapipe as mp

        picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(crop[..., ::-1]))
        result = self._landmarker.detect(picture)
        if not result.face_landmarks:
            return None
        points = np.array([(p.x, p.y, p.z) for p in result.face_landmarks[0][:478]], np.float32) * len(crop)
        scores = {score.category_name: score.score for score in result.face_blendshapes[0]}
        return points, np.array([scores.get(name, np.nan) for name in ARKIT], np.float32)


def agrees(landmarks: Floats, exact: Floats) -> bool:
    span = float(np.linalg.norm(exact[33, :2] - exact[263, :2]))
    return float(np.linalg.norm((landmarks - exact)[:, :2], axis=1).mean()) < SAME_FACE * span


def labelled(
    teacher: Teacher, pairs: Iterator[tuple[Sample, Sample]], seed: int
) -> Iterator[list[tuple[Sample, Floats, Floats]]]:
    """Pairs of which the teacher sees both faces where they are; in half of them the eyes look elsewhere."""
    rng = np.random.default_rng(seed)
    for drawn in pairs:
        pair = [with_gaze(rng, sample) for sample in drawn]
        rows = [(sample, teacher(sample.crop)) for sample in pair]
        seen = [(sample, *said) for sample, said in rows if said and agrees(said[0], sample.landmarks)]
        if len(seen) == 2:
            yield seen


def with_gaze(rng: Random, sample: Sample) -> Sample:
    if rng.random() < 0.4:
        return sample
    crop = sample.crop.copy()
    return replace(sample, crop=crop, landmarks=look_elsewhere(rng, crop, sample.landmarks))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder with faces/ and faces_labels.npz")
    parser.add_argument("--task", type=Path, required=True)
    parser.add_argument("--count", type=int, default=20000, help="crops, before the teacher refuses some")
    parser.add_argument("--split", choices=("train", "test"), default="train")
    parser.add_argument("--calm", action="store_true", help="quiet speech in place of every expression")
    parser.add_argument("--views", type=int, default=1, help="readings of the teacher that are averaged")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    cv2.setNumThreads(1)
    portraits = data.load(options.data)[options.split == "test"]
    maker = CropMaker(portraits, np.random.default_rng(options.seed))
    pairs = options.count // 2
    rows: dict[str, list[Any]] = {
        key: [] for key in ("jpeg", "landmarks", "exact", "scores", "drawn", "portrait")
    }
    drawn = tqdm(
        maker.pairs(pairs, warped=True, calm=options.calm), total=pairs, unit="pair", dynamic_ncols=True
    )
    teacher = Teacher(options.task, options.views)
    for number, pair in enumerate(labelled(teacher, drawn, options.seed)):
        for sample, landmarks, scores in pair:
            encoded = cv2.imencode(".jpg", sample.crop, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1]
            values = (encoded.ravel(), landmarks, sample.landmarks, scores, sample.scores, number)
            for key, value in zip(rows, values, strict=True):
                rows[key].append(value)
    teacher.close()
    offset = np.cumsum([0, *(len(jpeg) for jpeg in rows["jpeg"])])
    arrays = {key: np.stack(rows[key]) for key in ("landmarks", "exact", "scores", "drawn", "portrait")}
    np.savez(options.output, allow_pickle=False, jpeg=np.concatenate(rows["jpeg"]), offset=offset, **arrays)
    print(
        f"{options.output}: {len(offset) - 1} crops of {CROP}x{CROP} of {2 * pairs} drawn, {options.output.stat().st_size / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
