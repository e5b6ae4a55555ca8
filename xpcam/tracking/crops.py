"""Where a face's crop lies: the one definition that training and tracking share."""

import cv2
import numpy as np

from xpcam.face.landmarks import EYE_CORNERS, FACE_POINTS, apply_pose, fit_pose, unpose
from xpcam.frame import Floats, Pixels, Pose

CROP = 256  # side of the landmark network's picture, pixels
CROP_MARGIN = 1.5  # side of the crop over the longer side of the landmarks' box
AVERAGED = 100  # faces that a steady square's shape is the mean of


def face_square(landmarks: Floats) -> tuple[Floats, float, float]:
    """Centre (2,), longer side and roll (radians) of the roll-aligned box around (478, 3) landmarks."""
    eyes = landmarks[EYE_CORNERS[1], :2] - landmarks[EYE_CORNERS[0], :2]
    roll = float(np.arctan2(eyes[1], eyes[0]))
    cosine, sine = np.cos(roll), np.sin(roll)
    upright = np.array([[cosine, sine], [-sine, cosine]], np.float32)
    turned = landmarks[:FACE_POINTS, :2] @ upright.T
    low, high = turned.min(axis=0), turned.max(axis=0)
    return ((low + high) / 2) @ upright, float((high - low).max()), roll


class SteadySquare:
    """The square of a followed face: of its mean shape, posed as it is now.

    Its own box grows when the jaw drops, and what the network says of the brows moves with the crop.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the face."""
        self._shape: Floats | None = None
        self._seen = 0
        self._fitted: tuple[Floats, Pose] | None = None

    def learn(self, landmarks: Floats) -> None:
        """Take (478, 3) landmarks into the mean shape."""
        face = unpose(landmarks, self.pose(landmarks))
        self._seen = min(self._seen + 1, AVERAGED)
        if self._shape is None:
            self._shape = face
        self._shape = self._shape + (face - self._shape) / np.float32(self._seen)

    def of(self, landmarks: Floats) -> tuple[Floats, float, float]:
        """Centre (2,), side and roll as of `face_square`, for a face of (478, 3) landmarks."""
        if self._shape is None:
            return face_square(landmarks)
        return face_square(apply_pose(self._shape, self.pose(landmarks)))

    def pose(self, landmarks: Floats) -> Pose:
        """Their pose; each face is asked for four times, and fitted once."""
        if self._fitted is None or self._fitted[0] is not landmarks:
            self._fitted = landmarks, fit_pose(landmarks)
        return self._fitted[1]


def crop_matrix(centre: Floats, side: float, roll: float) -> Floats:
    """(2, 3) map from picture to crop pixels: a square `CROP_MARGIN * side` wide, its roll taken out.

    Pixel centres have whole coordinates in both.
    """
    scale = CROP / (CROP_MARGIN * side)
    cosine, sine = np.cos(roll) * scale, np.sin(roll) * scale
    turn = np.array([[cosine, sine], [-sine, cosine]])
    shift = (CROP - 1) / 2 - turn @ np.asarray(centre, np.float64)
    return np.concatenate([turn, shift[:, None]], axis=1).astype(np.float32)


def cut(pixels: Pixels, matrix: Floats, side: int) -> Pixels:
    """(side, side, 4) of the (H, W, 3) picture through a (2, 3) map from it, its border repeated.

    Four channels: with three, OpenCV takes more than twice as long.
    """
    corners = np.array([[0, 0], [side, 0], [0, side], [side, side]], np.float32) - np.float32(0.5)
    inverse = invert(matrix)
    seen = corners @ inverse[:, :2].T + inverse[:, 2]
    most = np.array(pixels.shape[1::-1])
    left, top = np.clip(np.floor(seen.min(axis=0)) - 2, 0, most - 1).astype(int)
    right, bottom = np.clip(np.ceil(seen.max(axis=0)) + 3, (left + 1, top + 1), most).astype(int)
    wide = cv2.cvtColor(pixels[top:bottom, left:right], cv2.COLOR_BGR2BGRA)
    moved = matrix.copy()
    moved[:, 2] += matrix[:, :2] @ np.array([left, top], np.float32)
    cropped = cv2.warpAffine(
        wide, moved, (side, side), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(cropped, np.uint8)


def invert(matrix: Floats) -> Floats:
    """The inverse of a (2, 3) affine map."""
    return np.asarray(cv2.invertAffineTransform(matrix), np.float32)


def transform(landmarks: Floats, matrix: Floats) -> Floats:
    """(478, 3) landmarks through a (2, 3) map; depth takes the map's scale."""
    scale = np.sqrt(abs(matrix[0, 0] * matrix[1, 1] - matrix[0, 1] * matrix[1, 0]))
    flat = landmarks[:, :2] @ matrix[:, :2].T + matrix[:, 2]
    return np.concatenate([flat, landmarks[:, 2:] * scale], axis=1).astype(np.float32)
