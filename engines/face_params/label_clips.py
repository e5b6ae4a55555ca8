"""Label video clips with the teacher, once, for `evaluate` and `train --clips`. For judging only, never training.

    python -m engines.face_params.label_clips --clips DIR --task face_landmarker.task --output clips.npz

Needs mediapipe >= 1.2 (extra mediapipe) and its model bundle. Writes for each clip `NAME_frames` (T, H, W, 3)
uint8 BGR, `NAME_landmarks` (T, 478, 3) float32 in pixels, NaN where the teacher saw no face, and `NAME_rate`.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels

ENDINGS = (".mpg", ".mpeg", ".mp4", ".avi", ".mkv", ".mov")


def read(file: Path) -> tuple[Pixels, float]:
    """All frames (T, H, W, 3) of a clip, and its frames per second."""
    capture = cv2.VideoCapture(str(file))
    frames = []
    while True:
        ok, frame = capture.read()
        if not ok:
            break
        frames.append(frame)
    if not frames:
        raise SystemExit(f"found no video frames in {file}: wanted a clip that OpenCV reads; remove it")
    return np.stack(frames), float(capture.get(cv2.CAP_PROP_FPS)) or 25.0


def label(frames: Pixels, rate: float, task: Path) -> Floats:
    """The teacher's landmarks of one clip, its video mode."""
    import mediapipe as mp
    from mediapipe.tasks.python import BaseOptions, vision

    options = vision.FaceLandmarkerOptions(
        base_options=BaseOptions(model_asset_path=str(task)), running_mode=vision.RunningMode.VIDEO
    )
    height, width = frames.shape[1:3]
    rows = np.full((len(frames), 478, 3), np.nan, np.float32)
    with vision.FaceLandmarker.create_from_options(options) as teacher:
        for i, frame in enumerate(frames):
            picture = mp.Image(image_format=mp.ImageFormat.SRGB, data=np.ascontiguousarray(frame[..., ::-1]))
            result = teacher.detect_for_video(picture, round(i * 1000 / rate))
            if result.face_landmarks:
                points = [(p.x * width, p.y * height, p.z * width) for p in result.face_landmarks[0]]
                rows[i] = np.array(points[:478], np.float32)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("--task", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    content: dict[str, Any] = {}
    for file in sorted(p for p in options.clips.iterdir() if p.suffix.lower() in ENDINGS):
        frames, rate = read(file)
        landmarks = label(frames, rate, options.task)
        content[f"{file.stem}_frames"], content[f"{file.stem}_landmarks"] = frames, landmarks
        content[f"{file.stem}_rate"] = np.float32(rate)
        print(f"{file.name}: {len(frames)} frames, a face in {int(np.isfinite(landmarks[:, 0, 0]).sum())}")
    np.savez(options.output, allow_pickle=False, **content)


if __name__ == "__main__":
    main()
