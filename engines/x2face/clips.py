"""Packs from anybody's clips: the frames of one face, as the product's tracker sees them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from engines.face_params.arrays import Floats, Pixels
from engines.x2face.people import View, facing, moved, wider
from xpcam.builders import open_tracker
from xpcam.camera.video_file import read_video
from xpcam.face import landmarks as fl
from xpcam.face.embedded_face import frontal, parted
from xpcam.face.head_crop import face_crop, in_crop
from xpcam.face.model import ARKIT
from xpcam.frame import FaceParams, Frame
from xpcam.settings import Settings

RATE = 25.0  # frames a second of a folder of pictures, which does not say


@dataclass(frozen=True, slots=True)
class ClipFrames:
    """A pack of one identity: frames of a clip, and the landmarks of its embedded face (478, 2)."""

    views: list[View]
    canonical: Floats


def pictures_of(clip: Path) -> Iterator[tuple[Pixels, float]]:
    """Frames of a video, or of a folder of numbered pictures, and their seconds."""
    if clip.is_dir():
        for number, path in enumerate(sorted(clip.iterdir())):
            picture = cv2.imread(str(path))
            if picture is not None:
                yield np.asarray(picture), number / RATE
        return
    with read_video(clip) as frames:
        for number, frame in enumerate(frames):
            yield frame.pixels, number / frames.fps


def neutral_of(face: FaceParams) -> Floats:
    """(478, 3) the frontal face without what it does."""
    scores = dict(zip(ARKIT, face.expression, strict=True))
    own = np.array([scores[name] for name in fl.face_mesh().blendshape_names], np.float32)
    return fl.unpose(face.landmarks, face.pose, depth=0.0) - moved(own)


def frames_of(clip: Path, count: int, size: int, room: float) -> Iterator[ClipFrames]:
    """Packs of `count` frames of a clip, each spread over all of it.

    Args:
        size, room: of a crop, as for `Identity.play`.
    """
    views: list[View] = []
    neutral: list[Floats] = []
    with open_tracker(Settings(device="cpu")) as tracker:
        for number, (picture, at) in enumerate(pictures_of(clip)):
            face = tracker.track(Frame(picture, number, at))
            if face is None:
                continue
            crop, _ = face_crop(picture, wider(face.pose, room), size)
            views.append(View(crop, in_crop(face.landmarks, face.pose), facing(face.landmarks)))
            neutral.append(neutral_of(face))
    packs = len(views) // count
    if packs:
        canonical = frontal(np.median(neutral, axis=0) + moved(parted()))
        for first in range(packs):
            yield ClipFrames(views[first : packs * count : packs], canonical)
