"""MediaPipe as a judge that neither trembles nor lags.

One reading of a picture depends on how the face lies in MediaPipe's crop: two modes of it agree on lip width in calm
speech only to a correlation of .84 (docs/decisions.md). Its video mode smooths, so that what it says comes late.
So every picture is read several times, each time moved, turned and scaled a little, and the readings are averaged:
two such averages of four views agree to .99.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from engines.face_params.evaluate import MEASURES, expression

SIDE = 480  # pixels of a view
AROUND = 1.6  # its side in faces
VIEWS = 4
MOVES = 0.005  # outer-eye distances by which a measure must vary (standard deviation) to be followed
DRIFT = 0.12  # faces by which the face may move before the views follow it


Read = Callable[[Pixels], Floats | None]
"""(H, W, 3) BGR -> (478, 2) landmarks in its pixels, None without a face."""


@contextmanager
def open_judge(task: Path, views: int = VIEWS) -> Iterator["Judge"]:
    """A judge of one video, by MediaPipe's face landmarker in image mode from its bundle `face_landmarker.task`."""
    import mediapipe as mp

    vision = mp.tasks.vision
    options = vision.FaceLandmarkerOptions(
        base_options=mp.tasks.BaseOptions(model_asset_path=str(task)), running_mode=vision.RunningMode.IMAGE
    )
    with vision.FaceLandmarker.create_from_options(options) as landmarker:

        def landmarks(picture: Pixels) -> Floats | None:
            image = mp.Image(mp.ImageFormat.SRGB, cv2.cvtColor(picture, cv2.COLOR_BGR2RGB))
            faces = landmarker.detect(image).face_landmarks
            size = picture.shape[1::-1]
            return np.array([[point.x, point.y] for point in faces[0]], np.float32) * size if faces else None

        yield Judge(landmarks, views)


class Judge:
    """Averages what is read in several views of each picture of a video.

    Args:
        landmarks: reads one view.
        views: how many readings are averaged.
        seed: how the views are moved; the same for every picture, so that it adds nothing to a movement.
    """

    def __init__(self, landmarks: Read, views: int = VIEWS, seed: int = 1) -> None:
        rng = np.random.default_rng(seed)
        self._landmarks = landmarks
        self._turns = rng.normal(0, 4, views)
        self._zooms = np.exp(rng.normal(0, 0.07, views))
        self._shifts = rng.normal(0, 8, (views, 2))
        self._centre: Floats | None = None
        self._side = 0.0

    def read(self, picture: Pixels) -> Floats | None:
        """(478, 2) landmarks in pixels of a (H, W, 3) BGR picture of a video, None where no view shows a face."""
        if self._centre is None and not self._look_for(picture):
            return None
        found = [self._view(picture, number) for number in range(len(self._turns))]
        readings = [points for points in found if points is not None]
        if not readings:
            self._centre = None
            return None
        face: Floats = np.asarray(np.mean(readings, axis=0), np.float32)
        self._follow(face)
        return face

    def _look_for(self, picture: Pixels) -> bool:
        face = self._landmarks(picture)
        if face is not None:
            self._settle(face)
        return face is not None

    def _follow(self, face: Floats) -> None:
        if np.abs(face.mean(axis=0) - self._centre).max() > DRIFT * self._side:
            self._settle(face)

    def _settle(self, face: Floats) -> None:
        self._centre, self._side = face.mean(axis=0), float(np.ptp(face, axis=0).max())

    def _view(self, picture: Pixels, number: int) -> Floats | None:
        assert self._centre is not None
        scale = SIDE / (AROUND * self._side) * self._zooms[number]
        matrix = cv2.getRotationMatrix2D(self._centre.tolist(), self._turns[number], scale)
        matrix[:, 2] += SIDE / 2 - self._centre + self._shifts[number]
        points = self._landmarks(np.asarray(cv2.warpAffine(picture, matrix, (SIDE, SIDE))))
        if points is None:
            return None
        return np.asarray((points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T, np.float32)


def held_still(person: Floats) -> list[str]:
    """The measures that this person does not move: what they do is the judge's own noise."""
    seen = person[np.isfinite(person[:, 0, 0])]
    return [name for name, values in zip(MEASURES, expression(seen), strict=True) if values.std() < MOVES]
