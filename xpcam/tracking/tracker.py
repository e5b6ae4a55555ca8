"""Frame -> FaceParams: find the face, place its landmarks, follow and steady them."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np

from xpcam.eyes.gaze import gaze_of
from xpcam.face.landmarks import fit_pose, outer_eye_distance, unpose
from xpcam.frame import Appearance, FaceParams, Floats, Frame, Pixels, Pose
from xpcam.tracking.crops import CROP, SteadySquare, crop_matrix, cut, face_square, invert, transform
from xpcam.tracking.detection import Detection, FaceDetector, Runs
from xpcam.tracking.iris_reading import with_irises
from xpcam.tracking.smoothing import FaceSmoother

SURE = 0.85  # confidence that a new face needs
CONFIDENT = 0.5  # confidence below which a followed face is not believed
STEADY = 0.05  # two readings of one still face may differ by this share of its eye distance
READINGS = 4  # at most, until a new face reads steadily
HOLD = 3  # frames that a face which cannot be read stays where it was, before it is given up
SEARCH_EVERY = 3  # of so many frames one is searched while there is no face
LOOK_AROUND = 2.0  # seconds between looks for somebody nearer than the face that is followed
NEARER = 1.5  # times as large as the followed face is somebody nearer
MOVED = 0.07  # share of the face's side it may move before its crop is cut again
SMALLEST = 16.0  # side of the smallest face that is followed, pixels


@dataclass(frozen=True, slots=True)
class Reading:
    """What the engine says of one crop.

    Attributes:
        landmarks: (478, 3) pixels of the picture.
        confidence: 0 to 1.
        expression: (52,) ARKit weights.
        appearance: whose face it is and how it is lit.
    """

    landmarks: Floats
    confidence: float
    expression: Floats
    appearance: Appearance


class FaceTracker:
    """Follows one person through a video, and finds all faces of a still picture.

    Args:
        landmarks: the engine `face_params` (see engines/face_params/MODEL_CARD.md).
        detector: the engine `face_detector`.
        smooth: steady the followed face with a One Euro filter.
        hold: frames that a face which cannot be read stays where it was.
        search_every: of so many frames without a face one is searched.

    Attributes:
        engines: on which device each engine really runs.
    """

    def __init__(
        self,
        landmarks: Runs,
        detector: Runs,
        smooth: bool = True,
        *,
        hold: int = HOLD,
        search_every: int = SEARCH_EVERY,
    ) -> None:
        self._hold, self._search_every = hold, search_every
        self.engines: Mapping[str, str] = {}
        self._engine = landmarks
        self._detector = FaceDetector(detector)
        self._smoother = FaceSmoother() if smooth else None
        self._square = SteadySquare()
        self._crop = np.empty((1, CROP, CROP, 3), np.uint8)
        self.reset()

    def reset(self) -> None:
        """Forget the face; the next frame is searched."""
        self._raw: Reading | None = None
        self._square.reset()
        self._shown: FaceParams | None = None
        self._misses = 0
        self._wait = 0
        self._looked = -np.inf
        if self._smoother is not None:
            self._smoother.reset()

    def track(self, frame: Frame) -> FaceParams | None:
        """The person's face in the next frame of a video, or None where there is none.

        A face that cannot be read for a few frames (a hand before it) stays where it was.
        """
        reading = self._nearer(frame)
        if reading is None and self._raw is not None:
            reading = self._follow(frame.pixels)
            if reading is None and self._hold == 0:
                self.reset()
        if reading is None and self._raw is None:
            reading = self._search(frame.pixels)
        if reading is None:
            return self._missed()
        self._misses = 0
        self._raw = reading
        self._square.learn(reading.landmarks)
        seen = replace(reading, landmarks=with_irises(frame.pixels, reading.landmarks))
        # Irises are none of the landmarks that a pose is fitted to.
        self._shown = self._params(_as_read(seen, self._square.pose(reading.landmarks)), frame.captured_at)
        return self._shown

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        """All faces of a still picture, the largest first; does not touch the face being followed."""
        faces = self._confirmed(pixels, self._detector.detect(pixels))
        if not faces:  # a face that fills the picture
            faces = self._confirmed(pixels, self._detector.detect(pixels, share=0.6))
        found = [_as_read(face, fit_pose(face.landmarks)) for face in faces]
        return sorted(found, key=lambda face: face.pose.scale, reverse=True)

    def _params(self, face: FaceParams, seconds: float) -> FaceParams:
        if self._smoother is not None:
            face = self._smoother(face, seconds)
        return replace(face, gaze=gaze_of(unpose(face.landmarks, face.pose)))

    def _missed(self) -> FaceParams | None:
        if self._raw is None:
            return None
        self._misses += 1
        if self._misses > self._hold:
            self.reset()
        return self._shown

    def _follow(self, pixels: Pixels) -> Reading | None:
        """Read the face where it was a frame ago; where it moved far, once more where it is now."""
        assert self._raw is not None
        centre, side, roll = self._square.of(self._raw.landmarks)
        reading = self._read(pixels, centre, side, roll)
        now = self._square.of(reading.landmarks)
        if reading.confidence >= CONFIDENT and float(np.linalg.norm(now[0] - centre)) > MOVED * side:
            reading = self._read(pixels, *now)
        believed = reading.confidence >= CONFIDENT and _plausible(reading.landmarks, pixels)
        return reading if believed else None

    def _nearer(self, frame: Frame) -> Reading | None:
        """Somebody clearly nearer than the face that is followed, looked for now and then.

        Or a face on a poster, found before its owner sat down, would be followed for ever.
        """
        if self._raw is None or frame.captured_at - self._looked < LOOK_AROUND:
            return None
        first, self._looked = np.isneginf(self._looked), frame.captured_at
        if first:
            return None
        centre, side, _ = face_square(self._raw.landmarks)
        larger = [
            other
            for other in self._detector.detect(frame.pixels)
            if other.side > NEARER * side and np.linalg.norm(other.centre - centre) > 0.5 * side
        ]
        faces = self._confirmed(frame.pixels, larger)
        if not faces:
            return None
        self.reset()
        self._looked = frame.captured_at
        return max(faces, key=lambda face: outer_eye_distance(face.landmarks))

    def _search(self, pixels: Pixels) -> Reading | None:
        """The largest face in the whole picture; looks at some of the frames only."""
        self._wait -= 1
        if self._wait >= 0:
            return None
        faces = self._confirmed(pixels, self._detector.detect(pixels))
        if not faces:
            self._wait = self._search_every - 1
            return None
        return max(faces, key=lambda face: outer_eye_distance(face.landmarks))

    def _confirmed(self, pixels: Pixels, detections: list[Detection]) -> list[Reading]:
        """Those detections in which the landmark network sees a face, and the same face again."""
        faces: list[Reading] = []
        for detection in detections:
            reading = self._confirm(pixels, detection)
            if reading is not None and not any(_same(reading.landmarks, other.landmarks) for other in faces):
                faces.append(reading)
        return faces

    def _confirm(self, pixels: Pixels, detection: Detection) -> Reading | None:
        """Landmarks that read the same from their own crop, with a confidence that never fell low."""
        reading = self._read(pixels, detection.centre, detection.side, detection.roll)
        for again in range(READINGS):
            if reading.confidence < SURE or not _plausible(reading.landmarks, pixels):
                return None
            before = reading.landmarks
            reading = self._read(pixels, *face_square(before))
            drift = float(np.linalg.norm((reading.landmarks - before)[:, :2], axis=1).mean())
            if again > 0 and drift < STEADY * outer_eye_distance(reading.landmarks):
                return reading if reading.confidence >= SURE else None
        return None

    def _read(self, pixels: Pixels, centre: Floats, side: float, roll: float) -> Reading:
        """What the engine says of a crop about one place."""
        matrix = crop_matrix(centre, max(side, 1.0), roll)
        if side > 1.1 * CROP:  # linear sampling would skip pixels of a large face: cut double, then shrink
            double = matrix * 2 + np.array([[0, 0, 0.5], [0, 0, 0.5]], np.float32)
            large = cut(pixels, double, 2 * CROP)
            crop = cv2.resize(large, (CROP, CROP), interpolation=cv2.INTER_AREA)
        else:
            crop = cut(pixels, matrix, CROP)
        cv2.cvtColor(crop, cv2.COLOR_BGRA2BGR, dst=self._crop[0])
        result = self._engine.run({"image": self._crop})
        return Reading(
            transform(result["landmarks"][0], invert(matrix)),
            float(result["confidence"][0]),
            result["expression"][0],
            Appearance(result["identity"][0], result["texture"][0], result["lighting"][0]),
        )


def _as_read(reading: Reading, pose: Pose) -> FaceParams:
    """The face before it is steadied."""
    return FaceParams(
        reading.landmarks,
        pose,
        reading.confidence,
        reading.expression,
        appearance=reading.appearance,
    )


def _plausible(landmarks: Floats, pixels: Pixels) -> bool:
    """Whether a face of this place and size can be in the picture."""
    centre, side, _ = face_square(landmarks)
    height, width = pixels.shape[:2]
    inside = -0.2 * side < centre[0] < width + 0.2 * side and -0.2 * side < centre[1] < height + 0.2 * side
    return bool(inside and SMALLEST < side < 3 * max(height, width))


def _same(landmarks: Floats, other: Floats) -> bool:
    (centre, side, _), (other_centre, other_side, _) = face_square(landmarks), face_square(other)
    return float(np.linalg.norm(centre - other_centre)) < 0.5 * max(side, other_side)
