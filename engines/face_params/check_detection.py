"""Whether the whole tracker finds faces that are there, and none that are not.

    python -m engines.face_params.check_detection --data DIR [--pictures DIR_OF_FACE_FREE_PICTURES]

Faces: held-out portraits put into 1280x720 frames, 80 to 700 pixels tall; found means an outer-eye distance and a
place that fit the label. Face-free: drawn textures, held-out portraits whose face was destroyed, crops beside
faces, and whatever pictures a folder has. Prints both counts.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from engines.face_params import data, face_free
from engines.face_params.arrays import Floats, Pixels
from xpcam.frame import Frame
from xpcam.inference.engine import Engine
from xpcam.resources import shipped
from xpcam.tracking.crops import crop_matrix, face_square
from xpcam.tracking.tracker import FaceTracker

HEIGHTS = (80, 110, 160, 250, 400, 700)  # of a face, pixels, in a frame of 1280x720


def frame_with_face(
    rng: np.random.Generator, picture: Pixels, points: Floats, height: float
) -> tuple[Pixels, Floats]:
    """A 1280x720 frame with the portrait in it, its face `height` pixels tall; and the face's centre."""
    frame = np.asarray(cv2.resize(face_free.texture(rng, 256), (1280, 720)))
    centre, side, _ = face_square(points)
    zoom = height / side
    low = min(height * 0.5, 350)
    at = np.array((rng.uniform(low, 1280 - low), rng.uniform(low, 720 - low)))
    matrix = np.array([[zoom, 0, at[0] - zoom * centre[0]], [0, zoom, at[1] - zoom * centre[1]]])
    if zoom < 0.5:
        shrunk = cv2.resize(picture, None, fx=2 * zoom, fy=2 * zoom, interpolation=cv2.INTER_AREA)
        matrix[:, :2] = np.eye(2) * 0.5
        picture = shrunk
    mask = cv2.warpAffine(np.full(picture.shape[:2], 255, np.uint8), matrix, (1280, 720))
    placed = cv2.warpAffine(picture, matrix, (1280, 720))
    frame[mask > 127] = placed[mask > 127]
    return frame, at


def found_share(tracker: FaceTracker, portraits: data.Portraits, height: float, count: int) -> float:
    rng = np.random.default_rng(11)
    hits = 0
    for index in rng.integers(len(portraits.pictures), size=count):
        frame, at = frame_with_face(rng, portraits.pictures[index], portraits.landmarks[index], height)
        tracker.reset()
        params = tracker.track(Frame(frame, 0, 0.0))
        if params is not None:
            centre, side, _ = face_square(params.landmarks)
            hits += bool(np.linalg.norm(centre - at) < 0.15 * height and 0.75 < side / height < 1.33)
    return hits / count


def beside(rng: np.random.Generator, picture: Pixels, points: Floats) -> Pixels:
    """A crop of hair, neck, clothes or background, none of the face in it."""
    centre, side, roll = face_square(points)
    angle = rng.uniform(0, 2 * np.pi)
    away = np.array((np.cos(angle), np.sin(angle)), np.float32) * side * 1.3
    matrix = crop_matrix(centre + away, side * 0.5, roll)
    return np.asarray(cv2.warpAffine(picture, matrix, (256, 256), borderMode=cv2.BORDER_REPLICATE))


def without_face(portraits: data.Portraits, folder: Path | None) -> list[Pixels]:
    rng = np.random.default_rng(5)
    pictures = [np.asarray(cv2.resize(face_free.texture(rng, 480), (640, 480))) for _ in range(90)]
    for index in rng.integers(len(portraits.pictures), size=90):
        picture, points = portraits.pictures[index], portraits.landmarks[index]
        pictures.append(face_free.destroyed(rng, picture, points))
    chosen = rng.integers(len(portraits.pictures), size=60)
    pictures += [beside(rng, portraits.pictures[i], portraits.landmarks[i]) for i in chosen]
    for file in sorted(folder.rglob("*")) if folder else []:
        if file.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp"):
            picture = cv2.imread(str(file), cv2.IMREAD_COLOR)
            if picture is not None:
                pictures.append(picture)
    return pictures


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--pictures", type=Path, help="folder of more face-free pictures")
    parser.add_argument("--count", type=int, default=40, help="faces of each size")
    parser.add_argument("--alarms", type=Path, help="folder for pictures in which a face was found wrongly")
    options = parser.parse_args()
    _, test = data.load(options.data)
    with Engine(shipped("face_params.onnx")) as landmarks, Engine(shipped("face_detector.onnx")) as detector:
        tracker = FaceTracker(landmarks, detector, smooth=False)
        pictures = without_face(test, options.pictures)
        alarms = [i for i, picture in enumerate(pictures) if tracker.locate(picture)]
        print(f"face-free pictures: {len(pictures)}, with a face found: {len(alarms)}", alarms)
        for i in alarms if options.alarms else []:
            cv2.imwrite(str(options.alarms / f"alarm_{i}.png"), pictures[i])
        for height in HEIGHTS:
            print(f"face {height} px tall: found {found_share(tracker, test, height, options.count):.3f}")


if __name__ == "__main__":
    main()
