"""How well a tracker follows an expression: the measures that decide.

    python -m engines.face_params.evaluate --clips clips.npz [--raw]

Predictions and the teacher's landmarks of video clips are compared over time: correlation and spread of lip
opening, lip width, eye opening and brow height, all in outer-eye distances; then the landmark error.
"""

import argparse
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from xpcam.face import landmarks as fl
from xpcam.frame import Frame
from xpcam.inference.engine import Engine
from xpcam.resources import shipped
from xpcam.tracking.crops import CROP, crop_matrix, face_square, invert, transform
from xpcam.tracking.tracker import FaceTracker

MEASURES = ("lip_opening", "lip_width", "eye_opening", "brow_height")
Predict = Callable[[Pixels], tuple[Floats, Floats]]
"""(B, 256, 256, 3) crops -> landmarks (B, 478, 3) in crop pixels, confidence (B,)."""


def expression(landmarks: Floats) -> Floats:
    """(4, T) the four measures of (T, 478, >=2) landmarks, in outer-eye distances."""
    points = landmarks[..., :2]

    def apart(a: int, b: int) -> Floats:
        return np.linalg.norm(points[:, a] - points[:, b], axis=1)

    span = apart(33, 263)
    corners = points[:, [33, 263]]
    across = (corners[:, 1] - corners[:, 0]) / span[:, None]
    down = np.stack([-across[:, 1], across[:, 0]], axis=1)
    middle = corners.mean(axis=1)
    brows = points[:, [105, 334]].mean(axis=1)
    rows = [
        apart(13, 14),
        apart(61, 291),
        (apart(159, 145) + apart(386, 374)) / 2,
        ((middle - brows) * down).sum(1),
    ]
    return np.stack(rows) / span


def compare(predicted: Floats, truth: Floats) -> dict[str, float]:
    """Measures of one clip, (T, 478, 3) each; frames without a face on either side (NaN) are left out."""
    seen = np.isfinite(predicted[:, 0, 0]) & np.isfinite(truth[:, 0, 0])
    predicted, truth = predicted[seen], truth[seen]
    span = np.linalg.norm(truth[:, 33, :2] - truth[:, 263, :2], axis=1)[:, None]
    error = np.linalg.norm((predicted - truth)[..., :2], axis=2) / span
    lips = [*fl.INNER_LIPS, *fl.OUTER_LIPS]
    result = {"error": float(error.mean()) * 100, "lips": float(error[:, lips].mean()) * 100}
    for name, a, b in zip(MEASURES, expression(predicted), expression(truth), strict=True):
        result[name] = float(np.corrcoef(a, b)[0, 1])
        result[f"{name}_spread"] = float(a.std() / b.std())
    result["found"] = float(seen.mean())
    return result


def track_clips(predict: Predict, clips: list[Pixels], starts: list[Floats], every: int = 1) -> list[Floats]:
    """Follow the face of each clip, all clips at a time, each crop placed by the frame before."""
    last = list(starts)
    tracks: list[list[Floats]] = [[] for _ in clips]
    for t in range(0, min(len(c) for c in clips), every):
        matrices = [crop_matrix(*face_square(points)) for points in last]
        crops = np.stack(
            [cv2.warpAffine(c[t], m, (CROP, CROP)) for c, m in zip(clips, matrices, strict=True)]
        )
        landmarks, _ = predict(crops)
        for i, matrix in enumerate(matrices):
            last[i] = transform(landmarks[i], invert(matrix))
            tracks[i].append(last[i])
    return [np.stack(track) for track in tracks]


def load_clips(file: Path) -> tuple[list[Pixels], list[Floats]]:
    """Clips and teacher's landmarks from an .npz with `NAME_frames` (T, H, W, 3) and `NAME_landmarks` (T, 478, 3)."""
    with np.load(file, allow_pickle=False) as data:
        names = sorted(key.removesuffix("_frames") for key in data if key.endswith("_frames"))
        return [data[f"{n}_frames"] for n in names], [data[f"{n}_landmarks"] for n in names]


def judge(predict: Predict, clips: list[Pixels], truths: list[Floats]) -> dict[str, float]:
    """The mean over clips of `compare`, each clip tracked from the teacher's first face."""
    tracks = track_clips(predict, clips, [truth[0] for truth in truths])
    rows = [compare(track, truth[: len(track)]) for track, truth in zip(tracks, truths, strict=True)]
    return {key: float(np.mean([row[key] for row in rows])) for key in rows[0]}


def shipped_tracks(clips: list[Pixels], smooth: bool, rate: float = 25.0) -> list[Floats]:
    """The clips through the shipped tracker, search for the face included; NaN where it saw none."""
    nothing = np.full((fl.LANDMARKS, 3), np.nan, np.float32)
    with Engine(shipped("face_params.onnx")) as landmarks, Engine(shipped("face_detector.onnx")) as detector:
        tracks = []
        for clip in clips:
            tracker = FaceTracker(landmarks, detector, smooth=smooth)
            faces = [tracker.track(Frame(frame, i, i / rate)) for i, frame in enumerate(clip)]
            tracks.append(np.stack([face.landmarks if face else nothing for face in faces]))
    return tracks


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True, help=".npz that label_clips wrote")
    parser.add_argument("--raw", action="store_true", help="without smoothing")
    options = parser.parse_args()
    clips, truths = load_clips(options.clips)
    tracks = shipped_tracks(clips, not options.raw)
    rows = [compare(track, truth) for track, truth in zip(tracks, truths, strict=True)]
    print(f"{'':20s}" + "".join(f"clip {i:<4d}" for i in range(len(rows))) + "mean")
    for key in rows[0]:
        values = [row[key] for row in rows]
        print(f"{key:20s}" + "".join(f"{value:<9.3f}" for value in values) + f"{np.mean(values):.3f}")


if __name__ == "__main__":
    main()
