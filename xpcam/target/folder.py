"""A folder of stills as targets: all are prepared beforehand, one is shown, and switching is quick."""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import cv2
import numpy as np

from xpcam.errors import TargetError
from xpcam.frame import FaceParams, Pixels
from xpcam.progress import Progress
from xpcam.target import still
from xpcam.target.still import Target

log = logging.getLogger(__name__)

MOST: Final = 100  # pictures of a folder
QUICK = [cv2.IMWRITE_PNG_COMPRESSION, 1]


class Locates(Protocol):
    """What finds faces in a still (`xpcam.tracking.FaceTracker`, or a fake)."""

    def locate(self, pixels: Pixels) -> list[FaceParams]: ...


@dataclass(frozen=True, slots=True)
class Stored:
    """A prepared still that takes little memory until it is shown.

    Attributes:
        name: of its file.
        picture: PNG at output size.
        bounds: (left, top, right, bottom) of the target itself within it, pixels.
        face: its face, pixels.
    """

    name: str
    picture: bytes
    bounds: tuple[int, int, int, int]
    face: FaceParams

    def target(self) -> Target:
        """The target as it was prepared."""
        pixels = cv2.imdecode(np.frombuffer(self.picture, np.uint8), cv2.IMREAD_COLOR)
        return still.laid_out(np.asarray(pixels, np.uint8), self.bounds, self.face)


def load_folder(
    folder: Path, size: tuple[int, int], tracker: Locates, progress: Progress
) -> tuple[Stored, ...]:
    """Prepare every picture of a folder that has one face, by name; the others are named in the log.

    Raises:
        TargetError: the folder cannot be read, holds too many files, or no picture that can be used.
    """
    paths = _files(folder)
    stored = []
    for done, path in enumerate(paths, start=1):
        try:
            picture = still.load_picture(path)
            face = still.the_face(path, tracker.locate(picture))
        except TargetError as error:
            log.warning("left out: %s", error)
            continue
        finally:
            progress(done, len(paths))
        stored.append(_stored(path.name, still.prepare(picture, face, size)))
    if not stored:
        raise TargetError(
            f"target {folder}: none of its {len(paths)} files can be used; wanted at least one picture "
            "(PNG, JPEG, WebP) with one face"
        )
    return tuple(stored)


def _files(folder: Path) -> list[Path]:
    try:
        found = [path for path in folder.iterdir() if path.is_file() and not path.name.startswith(".")]
    except OSError as error:
        raise TargetError(f"target {folder} cannot be read ({error.strerror}); check its rights") from error
    if len(found) > MOST:
        raise TargetError(f"target {folder}: {len(found)} files; at most {MOST}, move some elsewhere")
    return sorted(found, key=lambda path: path.name)


def _stored(name: str, one: Target) -> Stored:
    done, data = cv2.imencode(".png", one.picture, QUICK)
    assert done  # PNG takes every picture
    return Stored(name, data.tobytes(), one.bounds, one.params)
