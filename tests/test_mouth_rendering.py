"""Rendered mouths: teeth stay where skull and jaw carry them, and only the opening is drawn on."""

from pathlib import Path

import numpy as np
import pytest
from faces import face, pose
from numpy.typing import NDArray

from engines.face_params import mouth_mesh, mouth_rendering
from engines.face_params.mouth_mesh import MouthMesh
from engines.face_params.opened_mouths import OpenedMouths
from engines.face_params.warping import Warp
from xpcam.face import landmarks as fl
from xpcam.frame import Floats
from xpcam.tracking.crops import CROP, crop_matrix, face_square, transform

NO_SHAPES = np.zeros(len(fl.face_mesh().blendshape_names), np.float32)
BLUE, GREEN = np.array([255, 1, 1], np.float32), np.array([1, 255, 1], np.float32)


@pytest.fixture
def mesh() -> MouthMesh:
    """Two flat teeth: the upper one (tooth 0) fixed, the lower one (tooth 16) on the jaw."""
    square = np.array([[-0.15, 0, 0.1], [0.15, 0, 0.1], [0.15, 1, 0.1], [-0.15, 1, 0.1]], np.float32)
    upper, lower = square * (1, -0.2, 1), square * (1, 0.2, 1)
    vertices = np.concatenate([upper, lower]).astype(np.float32)
    on_jaw = np.repeat([0, 1], 4).astype(np.float32)
    return MouthMesh(
        vertices=vertices,
        opening=on_jaw[:, None] * np.array([0, 1, 0], np.float32),
        lower=on_jaw,
        normals=np.tile(np.array([0, 0, -1], np.float32), (8, 1)),
        tooth=np.repeat([0, 16], 4).astype(np.int16),
        triangles=np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], np.int32),
    )


def warp_to(jaw_open: float) -> Warp:
    still = face({}, pose(at=(200, 170), scale=110)).landmarks
    after = face({"jawOpen": jaw_open}, pose(at=(200, 170), scale=110)).landmarks
    return Warp(still, after, still, NO_SHAPES)


def look() -> mouth_rendering.Look:
    teeth = np.tile(BLUE, (32, 1))
    teeth[16:] = GREEN
    black = np.zeros(3, np.float32)
    towards = np.array([0, 0, -1], np.float32)
    return mouth_rendering.Look(teeth, black, black, black, towards, 1.0, 0.0, 10.0, 0.0)


def rows_of(drawn: Floats, channel: int) -> NDArray[np.intp]:
    """Rows in which a channel is bright."""
    return np.flatnonzero((drawn[..., channel] > 128).any(axis=1))


@pytest.mark.parametrize("mirror", [False, True])
def test_the_upper_teeth_stay_and_the_lower_ones_go_with_the_chin(mesh: MouthMesh, mirror: bool) -> None:
    warp = warp_to(0.6)
    matrix = crop_matrix(*face_square(warp.after))
    if mirror:
        matrix = (np.diag([-1.0, 1.0]) @ matrix + np.array([[0, 0, CROP - 1], [0, 0, 0]])).astype(np.float32)
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2])))) * 110
    renderer = mouth_rendering.MouthRenderer(mesh)
    middle = transform(warp.still, matrix)[[13, 14], :2].mean(axis=0).round()
    bite = {}
    for name, seen in (("shut", warp_to(0.0)), ("open", warp)):
        place = mouth_rendering.place_mouth(np.random.default_rng(3), seen, NO_SHAPES, matrix)
        drawn = renderer.draw(place, look(), middle)
        bite[name] = rows_of(drawn, 0).max(), rows_of(drawn, 1).min()
    assert bite["shut"][1] - bite["shut"][0] <= 2  # clenched
    assert bite["open"][0] == pytest.approx(bite["shut"][0], abs=1)
    chin = warp.after[fl.CHIN, 1] - warp.still[fl.CHIN, 1]
    assert bite["open"][1] - bite["open"][0] == pytest.approx(chin / 110 * scale, abs=3)


def test_a_turned_head_turns_its_teeth(mesh: MouthMesh) -> None:
    renderer = mouth_rendering.MouthRenderer(mesh)
    widths = []
    for turn in (0.0, 0.8):
        still = face({}, pose(turn=(0.0, turn, 0.0), at=(200, 170), scale=110)).landmarks
        warp = Warp(still, still, still, NO_SHAPES)
        matrix = np.array([[1, 0, 0], [0, 1, 0]], np.float32)
        place = mouth_rendering.place_mouth(np.random.default_rng(3), warp, NO_SHAPES, matrix)
        drawn = renderer.draw(place, look(), still[[13, 14], :2].mean(axis=0).round())
        widths.append(np.ptp(np.flatnonzero((drawn[..., 0] > 128).any(axis=0))))
    assert widths[1] == pytest.approx(widths[0] * np.cos(0.8), rel=0.15)


@pytest.mark.parametrize("rendered", [False, True])
def test_only_what_is_between_the_lips_is_drawn_on(mesh: MouthMesh, rendered: bool) -> None:
    warp = warp_to(0.7)
    matrix = crop_matrix(*face_square(warp.after))
    crop = np.full((CROP, CROP, 3), 150, np.uint8)
    mouths = OpenedMouths(mesh if rendered else None)
    mouths.fill(np.random.default_rng(0), crop, warp, NO_SHAPES, matrix)
    lips = transform(warp.after, matrix)[list(fl.INNER_LIPS), :2]
    rows, columns = np.nonzero((crop != 150).any(axis=2))
    assert len(rows) > 100
    assert (np.array([columns.min(), rows.min()]) >= lips.min(axis=0) - 2).all()
    assert (np.array([columns.max(), rows.max()]) <= lips.max(axis=0) + 2).all()


def test_shut_lips_stay_as_they_are(mesh: MouthMesh) -> None:
    crop = np.full((CROP, CROP, 3), 150, np.uint8)
    warp = warp_to(0.0)
    OpenedMouths(mesh).fill(
        np.random.default_rng(0), crop, warp, NO_SHAPES, crop_matrix(*face_square(warp.after))
    )
    assert (crop == 150).all()


def test_a_mouth_at_the_border_of_the_crop_is_cut_off(mesh: MouthMesh) -> None:
    warp = warp_to(0.7)
    matrix = crop_matrix(*face_square(warp.after))
    matrix[:, 2] -= transform(warp.after, matrix)[14, :2]
    crop = np.full((CROP, CROP, 3), 150, np.uint8)
    OpenedMouths(mesh).fill(np.random.default_rng(0), crop, warp, NO_SHAPES, matrix)
    assert (crop[100:] == 150).all()


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", vertices=np.zeros((3, 3)))
    with pytest.raises(SystemExit, match=r"found vertices; wanted .*give ICT-FaceKit"):
        mouth_mesh.load_mouth(tmp_path / "x.npz")
