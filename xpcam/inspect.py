"""`xpcam inspect`: one picture that shows what the 3D face model makes of a face.

Panels: the landmarks found, the fitted head, its albedo, the light on a ball, the face drawn back over the
picture, where that differs, and the strongest blend shapes.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from xpcam.errors import OutputError
from xpcam.face.appearance import appearance_of
from xpcam.face.dense import dense_face
from xpcam.face.fit import FaceFit, fit
from xpcam.face.landmarks import FACE_POINTS, outer_eye_distance, rotation_matrix
from xpcam.face.model import ARKIT, HEAD, MOUTH, TEETH, TONGUE, face_model, normals, shading
from xpcam.frame import Appearance, FaceParams, Floats, Pixels
from xpcam.warping.mesh_warp import MeshRasteriser

PANEL: Final = 440
FACE: Final = 3.0  # width of a panel in outer-eye distances
GAP: Final = 8
TITLE: Final = 30
BACKGROUND: Final = 24
ROWS: Final = 12  # of blend shapes
WORST: Final = 0.25  # error, of full brightness, that the heat map shows brightest
CLAY: Final = np.array([[0.62] * 3, [-0.14] * 3, [-0.26] * 3, [-0.08] * 3, *[[0.0] * 3] * 5], np.float32)
INK: Final = (225, 225, 225)
ENDINGS: Final = (".png", ".jpg", ".jpeg")


@dataclass(frozen=True, slots=True)
class Inspection:
    """The picture (H, W, 3) BGR, and what it says in numbers.

    Attributes:
        landmark_error: mean distance of model and landmarks, in outer-eye distances.
        colour_error: mean absolute difference of re-rendering and picture on the face, 0 to 1.
        expression: (52,) ARKit weights.
    """

    picture: Pixels
    landmark_error: float
    colour_error: float
    expression: Floats

    def __str__(self) -> str:
        strongest = ", ".join(f"{ARKIT[k]} {self.expression[k]:.2f}" for k in _strongest(self.expression)[:4])
        return (
            f"landmarks off by {100 * self.landmark_error:.2f} % of the eye distance, "
            f"colours by {100 * self.colour_error:.1f} %; {strongest}"
        )


def check_output(path: Path) -> None:
    """Refuse before any work what could not be written afterwards.

    Raises:
        OutputError: not a picture's ending, or no such folder.
    """
    if path.suffix.lower() not in ENDINGS:
        raise OutputError(f"output {path}: wanted a file that ends in .png or .jpg")
    if not path.parent.is_dir():
        raise OutputError(f"output {path}: there is no folder {path.parent}; make it first")


def save(picture: Pixels, path: Path) -> None:
    """Write the picture.

    Raises:
        OutputError: the file cannot be written.
    """
    try:
        path.write_bytes(cv2.imencode(path.suffix.lower(), picture)[1].tobytes())
    except OSError as error:
        raise OutputError(
            f"output {path}: cannot be written ({error.strerror}); choose another place"
        ) from error


def inspect(picture: Pixels, face: FaceParams) -> Inspection:
    """Fit the face model to a face found in a picture, and show everything."""
    crop, landmarks = _cropped(picture, face.landmarks)
    found = fit(landmarks, face.expression)
    appearance = appearance_of(crop, found)
    drawn, mask = _redrawn(found, appearance)
    error = np.abs(drawn - crop.astype(np.float32) / 255).mean(axis=2)
    colour_error = float(error[mask].mean())
    head = _head(found)
    panels = [
        ("landmarks", _with_landmarks(crop, landmarks)),
        ("shape", head.draw(np.full_like(face_model().mean, 0.85), CLAY)),
        ("albedo", head.draw(face_model().colours(appearance.texture), None)),
        ("light", _ball(appearance.lighting)),
        ("drawn back", np.where(mask[..., None], _bytes(drawn), crop)),
        (f"difference, mean {100 * colour_error:.1f} %", _heat(error, mask, crop)),
    ]
    framed = [_framed(panel, title) for title, panel in panels]
    sheet = np.vstack([np.hstack(framed[:3]), np.hstack(framed[3:])])
    table = _table(found, colour_error, len(sheet))
    return Inspection(np.hstack([sheet, table]), found.error, colour_error, found.expression)


def _cropped(picture: Pixels, landmarks: Floats) -> tuple[Pixels, Floats]:
    """The face as a (PANEL, PANEL, 3) picture, and the landmarks in its pixels."""
    points = landmarks[:FACE_POINTS, :2]
    centre = (points.min(axis=0) + points.max(axis=0)) / 2
    reach = max(FACE * outer_eye_distance(landmarks), 1.25 * float(np.ptp(points, axis=0).max()))
    scale = PANEL / reach
    matrix = np.array([[scale, 0, 0], [0, scale, 0]], np.float32)
    matrix[:, 2] = (PANEL - 1) / 2 - scale * centre
    if scale < 0.5:  # the warp below takes no means
        half = cv2.GaussianBlur(picture, (0, 0), 0.4 / scale)
    else:
        half = picture
    crop = cv2.warpAffine(
        half, matrix, (PANEL, PANEL), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    moved = landmarks * np.float32(scale)
    moved[:, :2] += matrix[:, 2]
    return np.asarray(crop, np.uint8), moved


@dataclass(frozen=True, slots=True)
class _Head:
    """The fitted head in panel pixels (V, 3) with its normals (V, 3)."""

    places: Floats
    facing: Floats

    def draw(self, albedo: Floats, light: Floats | None) -> Pixels:
        """The whole head with albedo (V, 3), lit or flat, before the background."""
        model = face_model()
        colours = albedo if light is None else albedo * shading(self.facing, light)
        back = np.full((PANEL, PANEL, 3), BACKGROUND / 255, np.float32)
        raster = MeshRasteriser(model.triangles, (PANEL, PANEL), back)
        return _bytes(raster.draw(self.places[:, :2], np.clip(colours, 0, 1), self.places[:, 2]))


def _head(found: FaceFit) -> _Head:
    places = found.vertices(face_model())
    return _Head(places, normals(places, face_model().triangles))


def _redrawn(found: FaceFit, appearance: Appearance) -> tuple[Floats, NDArray[np.bool_]]:
    """The dense face with its colours and light (PANEL, PANEL, 3), 0 to 1, and where it is skin or eye."""
    model, dense = face_model(), dense_face()
    places = dense.points(found.vertices(model))
    facing = normals(places, dense.triangles)
    colours = np.clip(
        dense.points(model.colours(appearance.texture)) * shading(facing, appearance.lighting), 0, 1
    )
    raster = MeshRasteriser(dense.triangles, (PANEL, PANEL))
    outside = np.zeros(len(places), np.float32)
    outside[dense.triangles[~np.isin(dense.part, (HEAD, MOUTH, TEETH, TONGUE))]] = 1.0
    kind = np.repeat(outside[:, None], 3, axis=1)
    mask = raster.draw(places[:, :2], kind, places[:, 2])[..., 0] > 0.5
    return raster.draw(places[:, :2], colours, places[:, 2]), mask


def _with_landmarks(crop: Pixels, landmarks: Floats) -> Pixels:
    shown = crop.copy()
    for index, (x, y) in enumerate(landmarks[:, :2]):
        colour = (80, 230, 80) if index < FACE_POINTS else (60, 160, 255)
        cv2.circle(shown, (round(16 * float(x)), round(16 * float(y))), 20, colour, -1, cv2.LINE_AA, 4)
    return shown


def _ball(light: Floats) -> Pixels:
    """A white ball under the light."""
    side = (np.arange(PANEL, dtype=np.float32) - (PANEL - 1) / 2) / (0.4 * PANEL)
    x, y = np.meshgrid(side, side)
    square = x * x + y * y
    facing = np.stack([x, y, -np.sqrt(np.clip(1 - square, 0, 1))], axis=-1)
    lit = np.clip(0.6 * shading(facing, light), 0, 1)
    edge = np.clip((1 - np.sqrt(square)) * 0.4 * PANEL, 0, 1)[..., None]
    return _bytes(lit * edge + BACKGROUND / 255 * (1 - edge))


def _heat(error: Floats, mask: NDArray[np.bool_], crop: Pixels) -> Pixels:
    """The error as heat on the face, over the picture's grey."""
    heat = cv2.applyColorMap(_bytes(error / WORST), cv2.COLORMAP_INFERNO)
    grey = np.repeat(cv2.cvtColor(crop, cv2.COLOR_BGR2GRAY)[..., None] // 3, 3, axis=2)
    return np.asarray(np.where(mask[..., None], heat, grey), np.uint8)


def _table(found: FaceFit, colour_error: float, height: int) -> Pixels:
    """Numbers of the fit and its strongest blend shapes, as bars."""
    table = np.full((height, PANEL, 3), BACKGROUND, np.uint8)
    yaw, pitch, roll = _angles(found)
    lines = [
        f"turned {yaw:+d}, nodding {pitch:+d}, tilted {roll:+d} degrees",
        f"landmarks: off by {100 * found.error:.2f} % of the eye distance",
        f"colours: off by {100 * colour_error:.1f} %",
        "strongest blend shapes:",
    ]
    for row, line in enumerate(lines):
        _write(table, line, (GAP, 24 + 26 * row))
    top = 24 + 26 * len(lines) + 8
    step = (height - top - GAP) // ROWS
    for row, index in enumerate(_strongest(found.expression)[:ROWS]):
        weight = float(found.expression[index])
        y = top + step * row
        _write(table, f"{ARKIT[index]}  {weight:.2f}", (GAP, y + 16))
        length = round(weight * (PANEL - 2 * GAP))
        cv2.rectangle(table, (GAP, y + 24), (GAP + length, y + 36), (200, 150, 60), -1)
    return table


def _strongest(expression: Floats) -> list[int]:
    return [int(index) for index in np.argsort(-expression, kind="stable")]


def _angles(found: FaceFit) -> tuple[int, int, int]:
    """Degrees: yaw towards the picture's right, pitch downwards, roll clockwise."""
    turn = rotation_matrix(found.pose.rotation)
    nose = -turn[:, 2]
    yaw, pitch = math.atan2(nose[0], -nose[2]), math.asin(float(np.clip(nose[1], -1, 1)))
    roll = math.atan2(turn[1, 0], turn[0, 0])
    return round(math.degrees(yaw)), round(math.degrees(pitch)), round(math.degrees(roll))


def _framed(panel: Pixels, title: str) -> Pixels:
    framed = np.full((PANEL + TITLE + GAP, PANEL + GAP, 3), BACKGROUND, np.uint8)
    framed[TITLE : TITLE + PANEL, :PANEL] = panel
    _write(framed, title, (GAP, 21))
    return framed


def _write(picture: Pixels, text: str, where: tuple[int, int]) -> None:
    cv2.putText(picture, text, where, cv2.FONT_HERSHEY_SIMPLEX, 0.52, INK, 1, cv2.LINE_AA)


def _bytes(picture: Floats) -> Pixels:
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), np.uint8)
