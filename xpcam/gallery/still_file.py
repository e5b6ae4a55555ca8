"""A prepared still of the gallery: the picture and the face in it, so that nobody has to look for it."""

import hashlib
import zipfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from xpcam.errors import TargetError
from xpcam.face.landmarks import LANDMARKS
from xpcam.frame import FaceParams, Pixels, Pose
from xpcam.resources import shipped
from xpcam.target import still
from xpcam.target.folder import Locates
from xpcam.target.still import Target

VERSION: Final = 1  # of what a file holds
LONGEST: Final = 1440  # side in pixels up to which a picture is kept ready; a larger one is scaled down
DAMAGE: Final = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


@dataclass(frozen=True, slots=True)
class PreparedStill:
    """A picture of at most `LONGEST` a side, and its face in its own pixels."""

    picture: Pixels
    face: FaceParams

    def enough_for(self, size: tuple[int, int]) -> bool:
        """Whether nothing is lost at that output size: a larger picture may have been scaled down."""
        height, width = self.picture.shape[:2]
        return bool(max(height, width) < LONGEST or size[0] <= width or size[1] <= height)

    def target(self, size: tuple[int, int]) -> Target:
        """The target at output size."""
        return still.prepare(self.picture, self.face, size)


def read_still(path: Path, tracker: Locates) -> PreparedStill:
    """Read a picture and find its face.

    Raises:
        TargetError: it, or its face, cannot be used.
    """
    picture = still.load_picture(path)
    scale = LONGEST / max(picture.shape[:2])
    if scale < 1:
        shape = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        picture = np.asarray(cv2.resize(picture, shape, interpolation=cv2.INTER_AREA), np.uint8)
    return PreparedStill(picture, still.the_face(path, tracker.locate(picture)))


def save(prepared: PreparedStill, path: Path) -> None:
    """Write a prepared still. Raises OSError."""
    face = prepared.face
    with path.open("xb") as file:
        np.savez(
            file,
            allow_pickle=False,
            made_with=np.frombuffer(_made_with(), np.uint8),
            picture=prepared.picture,  # as it is: a PNG takes ten times as long to read
            landmarks=face.landmarks,
            pose=np.array([*face.pose.rotation, *face.pose.translation, face.pose.scale], np.float32),
            confidence=np.array(face.confidence),
            expression=face.expression,
            gaze=face.gaze,
        )


def load(path: Path) -> PreparedStill | None:
    """Read a prepared still; None where it is missing, damaged, or was made with other engines."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            if data["made_with"].tobytes() != _made_with():
                return None
            picture = data["picture"]
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3:
                return None
            return PreparedStill(picture, _face(data))
    except DAMAGE:
        return None


def thumbnail(picture: Pixels, side: int) -> bytes:
    """A JPEG of the picture, within a square of that side. Raises TargetError."""
    scale = min(1.0, side / max(picture.shape[:2]))
    shape = (max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale)))
    done, data = cv2.imencode(".jpg", cv2.resize(picture, shape, interpolation=cv2.INTER_AREA))
    if not done:
        raise TargetError(f"a picture of {picture.shape} has no thumbnail: wanted 8-bit colour")
    return data.tobytes()


def _face(data: "np.lib.npyio.NpzFile") -> FaceParams:
    """Raises ValueError or KeyError where something is missing or does not fit."""
    landmarks, pose = data["landmarks"].astype(np.float32), data["pose"].astype(np.float32)
    expression, gaze = data["expression"].astype(np.float32), data["gaze"].astype(np.float32)
    if (landmarks.shape, pose.shape, gaze.shape) != ((LANDMARKS, 3), (6,), (2, 2)):
        raise ValueError("its parts do not fit together")
    where = Pose(pose[:3], pose[3:5], float(pose[5]))
    return FaceParams(landmarks, where, float(data["confidence"]), expression, gaze)


@cache
def _made_with() -> bytes:
    """What the face was found with: the engines' content."""
    digest = hashlib.sha256(f"{VERSION} {LONGEST}".encode())
    for name in ("face_params.onnx", "face_detector.onnx"):
        with shipped(name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.digest()
