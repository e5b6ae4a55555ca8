"""Where MediaPipe's 478 landmarks lie on the head: heads are drawn, the teacher labels the drawings, and each
landmark is looked up on the surface that it fell on.

Axes and unit as in `anny_heads`.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.demo.head import EYE, SKIN, Head, build_head
from engines.demo.mesh import Array
from engines.demo.render import Renderer
from xpcam.face import landmarks as fl
from xpcam.frame import Floats
from xpcam.warping.mesh_warp import MeshRasteriser

SIZE = (512, 512)
FACING = 0.35  # cosine between a surface and the camera below which a hit is not believed
SIDE = (
    0.4  # of a landmark from the middle, in outer-eye distances, beyond which only views from its side count
)
IRISES = (*fl.RIGHT_IRIS, *fl.LEFT_IRIS)
MOODS: tuple[dict[str, float], ...] = (
    {},
    {"jawOpen": 0.35},
    {"jawOpen": 0.6, "mouthFunnel": 0.3},
    {"jawOpen": 0.2, "mouthSmileLeft": 0.5, "mouthSmileRight": 0.5},
    {"browInnerUp": 0.4, "browOuterUpLeft": 0.4, "browOuterUpRight": 0.4, "jawOpen": 0.1},
)
"""ARKit weights of the drawings; all but the first and last part the lips."""
YAWS = (0.0, 0.15, -0.15, 0.35, -0.35, 0.5, -0.5)


@dataclass(frozen=True)
class Sighting:
    """Where one drawing's landmarks lie on the head at rest.

    Attributes:
        places: (478, 3) points of the mean head, metres. hit: (478,) whether the surface was there and faced us.
        yaw: radians, positive when the person's left shows. lips_apart: whether the mouth was open.
    """

    places: Array
    hit: NDArray[np.bool_]
    yaw: float
    lips_apart: bool


class Surface:
    """Looks up which point of the head at rest a pixel of a drawing shows."""

    def __init__(self, head: Head, mean: Array) -> None:
        self._head = head
        material = head.material
        inside = head.cavity > 0.5
        kind = material[head.triangles]
        skin = (kind == SKIN).all(1) & ~inside[head.triangles].any(1)
        eyes = (kind == EYE).all(1)
        self._rasters = [
            (MeshRasteriser(head.triangles[rows], SIZE), eye)
            for rows, eye in ((skin | eyes, False), (eyes, True))
        ]
        self.rest = head.smooth @ mean
        self._low, self._span = self.rest.min(0), float(np.ptp(self.rest))

    def look(
        self, landmarks: Array, pixels: Floats, depth: Floats, normals: Array
    ) -> tuple[Array, NDArray[np.bool_]]:
        """Points at rest (478, 3), and whether they count, under (478, 2) pixels of a drawing."""
        values = ((self.rest - self._low) / self._span).astype(np.float32)
        facing = np.stack(
            [np.clip(-normals[:, 2], 0, 1), np.ones(len(depth)), np.zeros(len(depth))], 1
        ).astype(np.float32)
        places, hit = np.zeros((fl.LANDMARKS, 3)), np.zeros(fl.LANDMARKS, bool)
        where = landmarks[:, None, :2].astype(np.float32)
        for raster, eye in self._rasters:
            rows = np.isin(np.arange(fl.LANDMARKS), IRISES) == eye
            seen = cv2.remap(raster.draw(pixels, facing, depth), where, None, cv2.INTER_NEAREST)[:, 0]  # type: ignore[call-overload]
            found = cv2.remap(raster.draw(pixels, values, depth), where, None, cv2.INTER_NEAREST)[:, 0]  # type: ignore[call-overload]
            places[rows] = (found * self._span + self._low)[rows]
            hit[rows] = ((seen[:, 1] > 0.5) & (seen[:, 0] > FACING))[rows]
        return places, hit


class Teacher:
    """MediaPipe's face landmarker on single pictures."""

    def __init__(self, task: Path) -> None:
        from mediapipe.tasks.python import BaseOptions, vision

        options = vision.FaceLandmarkerOptions(base_options=BaseOptions(model_asset_path=str(task)))
        self._landmarker = vision.FaceLandmarker.create_from_options(options)

    def label(self, picture: NDArray[np.uint8]) -> Array | None:
        """(478, 3) landmarks in pixels, None where it sees no face."""
        import mediapipe as mp

        rgb = np.ascontiguousarray(picture[..., ::-1])
        found = self._landmarker.detect(mp.Image(image_format=mp.ImageFormat.SRGB, data=rgb)).face_landmarks
        if not found:
            return None
        height, width = picture.shape[:2]
        return np.array([(p.x * width, p.y * height, p.z * width) for p in found[0][: fl.LANDMARKS]])

    def close(self) -> None:
        self._landmarker.close()


def sightings(people: Array, mean: Array, task: Path, pictures: Path | None = None) -> list[Sighting]:
    """Draw each of (M, N, 3) people in turned views, let the teacher label them, look the landmarks up.

    Args:
        people: neutral faces, vertices of the whole MakeHuman mesh.
        mean: (N, 3) the head on which places are told.
        task: MediaPipe's model bundle.
        pictures: folder for the labelled drawings, for looking at.
    """
    head = build_head()
    renderer, surface, found = Renderer(head, SIZE), Surface(head, mean), []
    teacher = Teacher(task)
    for number, person in enumerate(people):
        yaw, mood = YAWS[number % len(YAWS)], MOODS[number % len(MOODS)]
        rotation = np.array([0.08 * np.sin(number), yaw, 0.05 * np.cos(number)])
        renderer.head = replace(head, neutral=person)
        picture = renderer.draw(mood, rotation, np.zeros(3))
        landmarks = teacher.label(picture)
        if landmarks is None:
            continue
        points, normals = renderer.head.pose(mood, rotation, np.zeros(3))
        drawn, depth = renderer.project(points)
        pixels = drawn * (SIZE[0] / renderer.drawn[0])
        places, hit = surface.look(landmarks, pixels.astype(np.float32), depth.astype(np.float32), normals)
        found.append(Sighting(places, hit, yaw, "jawOpen" in mood and mood["jawOpen"] > 0.15))
        if pictures is not None:
            for x, y in landmarks[:, :2]:
                cv2.circle(picture, (round(x), round(y)), 1, (0, 255, 0), -1)
            cv2.imwrite(str(pictures / f"view_{number:03d}.png"), picture)
    teacher.close()
    return found


def agreed(seen: list[Sighting]) -> tuple[Array, NDArray[np.int64]]:
    """Median place (478, 3) over the sightings that count for each landmark, NaN where none does; and how many do."""
    neutral = fl.face_mesh().neutral
    places, count = np.full((fl.LANDMARKS, 3), np.nan), np.zeros(fl.LANDMARKS, np.int64)
    lips = set(fl.INNER_LIPS)
    for index in range(fl.LANDMARKS):
        side = neutral[index, 0]
        chosen = [
            s.places[index]
            for s in seen
            if s.hit[index]
            and (abs(side) < SIDE or s.yaw * np.sign(side) > 0.1)
            and (index not in lips or s.lips_apart)
        ]
        count[index] = len(chosen)
        if chosen:
            places[index] = np.median(chosen, axis=0)
    return places, count
