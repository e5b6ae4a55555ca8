from dataclasses import replace

import cv2
import numpy as np
import pytest
from faces import face, portrait, pose, posed

from xpcam.errors import EngineError
from xpcam.face.landmarks import INNER_LIPS, OUTER_LIPS, face_mesh, unpose
from xpcam.frame import FaceParams, Floats, Pixels, Pose
from xpcam.mouth.engine import GRID, PLANES, MouthEngine, Steady, applied, planes
from xpcam.mouth.interior import Interior, Mouth
from xpcam.mouth.lips import Lips
from xpcam.mouth.model import GUM, TONGUE, TOOTH, mouth_model
from xpcam.mouth.proxy import CROP, crop_matrix, opening
from xpcam.mouth.showing import shape_of, usual
from xpcam.mouth.style import LUMA, style_of
from xpcam.warping.mesh_warp import coordinates
from xpcam.warping.openings import Region

SHUT, WIDE = face(), face({"jawOpen": 0.9})
SMILE = face(
    {"mouthSmileLeft": 0.9, "mouthSmileRight": 0.9, "mouthUpperUpLeft": 0.6, "mouthUpperUpRight": 0.6}
)


def filled(
    shown: FaceParams,
    target: FaceParams = SHUT,
    picture: Pixels | None = None,
    share: float = 1.0,
    interior: Interior = "on",
    engine: MouthEngine | None = None,
) -> tuple[Pixels, Pixels]:
    """The target's picture with the interior for the lips of `shown`, and where those are."""
    picture = portrait(target) if picture is None else picture
    still = unpose(target.landmarks, target.pose)
    mouth = Mouth(picture, target, still, interior=interior, engine=engine)
    lips = shown.landmarks[list(INNER_LIPS), :2].round().astype(np.int32)
    inside = np.zeros(picture.shape[:2], np.uint8)
    cv2.fillPoly(inside, [lips], 1)
    height, width = picture.shape[:2]
    where = coordinates((width, height))
    part = np.where(inside > 0, np.float32(0.5), np.float32(1.0))
    output = picture.copy()
    frontal = unpose(shown.landmarks, shown.pose, depth=0.0)
    everything = Region(0, 0, width, height)
    mouth.fill(output, Lips(shown, frontal, np.zeros(2, np.float32), everything, part, where), share)
    return output, inside


def within(picture: Pixels, mask: Pixels) -> Floats:
    return np.asarray(picture[cv2.erode(mask, np.ones((5, 5))) > 0], np.float32)


def grey(picture: Pixels) -> Pixels:
    return np.repeat(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None], 3, axis=2)


def test_the_mean_mouth_is_a_mouth() -> None:
    model = mouth_model()
    assert set(np.unique(model.kind)) == {TOOTH, GUM, TONGUE}
    assert model.triangles.max() == len(model.vertices) - 1
    assert np.allclose(np.linalg.norm(model.normals, axis=1), 1, atol=1e-4)
    teeth = model.vertices[model.kind == TOOTH]
    assert np.allclose(teeth[:, 0].min(), -teeth[:, 0].max())  # symmetric
    assert abs(model.vertices[(model.kind == TOOTH) & ~model.jaw, 1].max()) < 0.01
    assert model.jaw[model.kind == TONGUE].all()


def test_a_wide_mouth_shows_bright_teeth_and_a_dark_throat() -> None:
    output, mask = filled(WIDE)
    bright = within(output, mask) @ LUMA
    assert np.percentile(bright, 97) > 100
    assert np.percentile(bright, 5) < 50
    dark, _ = filled(WIDE, interior="dark")
    assert np.percentile(within(dark, mask) @ LUMA, 97) < 60


def test_a_smile_shows_mostly_teeth() -> None:
    output, mask = filled(SMILE)
    assert np.median(within(output, mask) @ LUMA) > 75


def test_the_corners_of_a_mouth_are_dark() -> None:
    output, mask = filled(SMILE)
    bright = np.where(mask > 0, output @ LUMA, np.nan)
    columns = np.flatnonzero(mask.any(axis=0))
    along = np.nanmax(bright[:, columns], axis=0)  # the brightest of each column: its teeth
    width = len(columns)
    middle = np.median(along[width * 2 // 5 : width * 3 // 5])
    for corner in (along[2 : width // 8], along[-(width // 8) : -2]):
        assert np.median(corner) < 0.6 * middle


def test_nothing_changes_away_from_the_lips() -> None:
    output, mask = filled(WIDE)
    changed = np.abs(output.astype(int) - portrait(SHUT)).max(axis=2) > 0
    assert changed.any()
    assert not changed[cv2.dilate(mask, np.ones((11, 11))) == 0].any()


def test_the_interior_fades_in() -> None:
    half, mask = filled(WIDE, share=0.5)
    full, _ = filled(WIDE)
    mean = (portrait(SHUT).astype(float) + full) / 2
    assert np.abs(within(half, mask) - mean[cv2.erode(mask, np.ones((5, 5))) > 0]).max() <= 2


def test_a_grey_picture_gets_grey_teeth_and_a_warm_one_warmer() -> None:
    output, mask = filled(WIDE, picture=grey(portrait(SHUT)))
    assert np.ptp(within(output, mask), axis=1).max() <= 3
    picture = portrait(SHUT)
    lips = SHUT.landmarks[list(OUTER_LIPS), :2].round().astype(np.int32)
    cv2.fillPoly(picture, [lips], (70, 70, 160))
    coloured, _ = filled(WIDE, picture=picture)
    assert np.ptp(within(coloured, mask), axis=1).mean() > 5


def test_the_light_of_the_picture_is_the_light_of_the_teeth() -> None:
    bright = style_of(portrait(SHUT), SHUT, own_teeth=False)
    dim = style_of(portrait(SHUT) // 2, SHUT, own_teeth=False)
    assert dim.tooth @ LUMA < 0.75 * (bright.tooth @ LUMA)
    assert 0 <= bright.vector().min() <= bright.vector().max() <= 1


def test_a_target_that_shows_its_teeth_keeps_them() -> None:
    picture = portrait(WIDE)
    output, mask = filled(WIDE, target=WIDE, picture=picture)
    assert np.abs(output.astype(int) - picture)[mask > 0].mean() < 2


def test_the_lower_teeth_go_with_the_jaw_and_the_upper_ones_stay() -> None:
    rows = []
    for weight in (0.5, 0.8):
        shown = face({"jawOpen": weight})
        output, mask = filled(shown)
        x = round(float(shown.landmarks[13, 0]))
        bright = (output[:, x] @ LUMA) * (mask[:, x] > 0)
        middle = int(shown.landmarks[[13, 14], 1].mean())
        rows.append((np.argmax(bright[:middle]), middle + np.argmax(bright[middle:])))
    assert abs(rows[1][0] - rows[0][0]) < 0.5 * (rows[1][1] - rows[0][1])


def test_upper_teeth_come_down_in_mouths_that_are_told_to_show_them() -> None:
    reach = []
    for upper in (0.3, 0.95):
        told = np.array([0.4, upper, 0.5, 0.1, 1.0], np.float32)
        output, mask = filled(replace(face({"jawOpen": 0.5}), shown=told))
        rows = np.flatnonzero(mask.any(axis=1))
        above = slice(rows[0], (rows[0] + rows[-1]) // 2)
        reach.append(((output[above] @ LUMA > 110) & (mask[above] > 0)).sum())
    assert reach[1] > 1.3 * reach[0] > 0


@pytest.mark.parametrize("turn", [(0.0, 0.0, 0.0), (0.1, 0.3, 0.4)])
def test_the_crop_lies_level_around_the_lips(turn: tuple[float, float, float]) -> None:
    params = face({"jawOpen": 0.6}, pose(turn=turn))
    matrix = crop_matrix(params.landmarks)
    lips = params.landmarks[list(INNER_LIPS), :2] @ matrix[:, :2].T + matrix[:, 2]
    corners = params.landmarks[[61, 291], :2] @ matrix[:, :2].T + matrix[:, 2]
    assert abs(corners[0, 1] - corners[1, 1]) < 0.1
    assert lips.min() > 8
    assert lips.max() < CROP - 8


def test_a_mouth_half_out_of_the_picture_is_still_drawn() -> None:
    where = Pose(np.zeros(3, np.float32), np.array([320, 350], np.float32), 150.0)
    target = posed(face_mesh().neutral, where)
    shown = face({"jawOpen": 0.9}, where)
    output, mask = filled(shown, target=target)
    assert output.shape == (480, 640, 3)
    assert mask.any()


class Brighter(MouthEngine):
    """An engine that makes everything brighter by 40, and keeps what it was given."""

    def __init__(self) -> None:
        self.given: list[tuple[Pixels, Floats, Floats, Floats]] = []

    def transfer(self, crop: Pixels, mask: Floats, drawn: Floats, style: Floats) -> Floats:
        self.given.append((crop, mask, drawn, style))
        return np.concatenate(
            [np.full((GRID, GRID, 3), 255), np.full((GRID, GRID, 3), 40)], axis=2, dtype=np.float32
        )


def test_an_engine_refines_what_is_drawn() -> None:
    engine = Brighter()
    refined, mask = filled(WIDE, engine=engine)
    drawn, _ = filled(WIDE)
    change = within(refined, mask).mean() - within(drawn, mask).mean()
    assert 36 < change <= 40
    [(crop, opened, painted, style)] = engine.given
    assert crop.shape == painted.shape == (CROP, CROP, 3)
    assert 0.05 < opened.mean() < 0.5
    assert painted[opened == 1].mean() > 20
    assert style.shape == (26,)
    skin = portrait(SHUT)[SHUT.landmarks[152, 1].astype(int) - 20, SHUT.landmarks[152, 0].astype(int)]
    assert abs(float(crop[-4, CROP // 2].mean()) - skin.mean()) < 60  # the chin is below the mouth


class Lost(MouthEngine):
    """An engine whose device has gone."""

    def __init__(self) -> None:
        self.asked = 0

    def transfer(self, crop: Pixels, mask: Floats, drawn: Floats, style: Floats) -> Floats:
        self.asked += 1
        raise EngineError("engine mouth failed on CUDA: device lost; try --device cpu")


def test_an_engine_that_fails_leaves_the_drawing(caplog: pytest.LogCaptureFixture) -> None:
    engine = Lost()
    output, _ = filled(WIDE, engine=engine)
    assert (output == filled(WIDE)[0]).all()
    assert engine.asked == 1
    assert "device lost; try --device cpu; the mouth is shown as it is drawn" in caplog.text


def test_the_engine_looks_where_the_lips_are_at_any_size() -> None:
    given = []
    for scale in (90.0, 320.0):
        engine = Brighter()
        where = Pose(np.zeros(3, np.float32), np.array([320, 200], np.float32), scale)
        filled(face({"jawOpen": 0.9}, where), target=posed(face_mesh().neutral, where), engine=engine)
        given.append(engine.given[0])
    (_, small, _, _), (_, large, _, _) = given
    assert np.abs(small - large).mean() < 0.02


def test_a_mouth_of_its_own_or_none_or_a_drawn_one_costs_no_engine() -> None:
    engine = Brighter()
    filled(WIDE, target=WIDE, picture=portrait(WIDE), engine=engine)
    filled(WIDE, interior="dark", engine=engine)
    filled(WIDE, interior="drawn", engine=engine)
    assert engine.given == []


def test_the_engine_is_shown_white_where_the_mouth_will_be() -> None:
    crop = np.full((CROP, CROP, 3), 90, np.uint8)
    square = np.array([(40, 40), (80, 40), (80, 79.75), (40, 79.75)], np.float32)
    mask = opening(square)
    made = planes(crop, mask, np.full((CROP, CROP, 3), 33.4, np.float32))
    assert made.shape == (CROP, CROP, PLANES)
    assert (made[60, 60] == (255, 255, 255, 255, 33, 33, 33)).all()
    assert (made[20, 20] == (90, 90, 90, 0, 0, 0, 0)).all()
    edge = made[80, 60]
    assert 90 < edge[0] < 255
    assert 0 < edge[3] < 255


def test_a_transfer_changes_the_drawing_place_by_place() -> None:
    drawn = np.full((96, 96, 3), 100, np.float32)
    transfer = np.zeros((GRID, GRID, 6), np.float32)
    transfer[..., :3] = 255
    transfer[:, GRID // 2 :, :3] = 51  # the right half at a fifth of its brightness
    transfer[..., 3:] = (0, 10, 20)
    whole = applied(transfer, drawn, 96)
    assert np.allclose(whole[40, 10], (100, 110, 120), atol=0.1)
    assert np.allclose(whole[40, 85], (20, 30, 40), atol=0.1)
    box = (slice(30, 60), slice(40, 70))
    assert np.allclose(applied(transfer, drawn[box], 96, box), whole[box], atol=0.01)


def test_what_an_engine_says_is_averaged_while_the_mouth_is_still() -> None:
    steady = Steady()
    shape, far = np.zeros(5, np.float32), np.full(5, 0.1, np.float32)
    steady.averaged(np.zeros((GRID, GRID, 6), np.float32), shape)
    one = np.ones((GRID, GRID, 6), np.float32)
    still = steady.averaged(one, shape + np.float32(0.001)).mean()
    assert 0.05 < still < 0.5
    assert steady.averaged(one, far).mean() == pytest.approx(1.0)


def test_wide_smiles_show_more_teeth_than_lips_that_are_just_apart() -> None:
    smile, apart = (
        usual(shape_of(unpose(one.landmarks, one.pose, depth=0.0))) for one in (SMILE, face({"jawOpen": 0.2}))
    )
    assert smile[0] > apart[0] + 0.05
    assert smile[1] > apart[1] + 0.05


def test_the_interior_reaches_as_far_as_the_lips_do() -> None:
    """Half of a pixel more on a small face is a much wider mouth."""
    where = Pose(np.zeros(3, np.float32), np.array([320, 200], np.float32), 80.0)
    shown = face({"jawOpen": 0.5}, where)
    plain = np.full((480, 640, 3), 200, np.uint8)
    output, _ = filled(shown, posed(face_mesh().neutral, where), plain, interior="dark")
    lips = shown.landmarks[list(INNER_LIPS), :2]
    darkened = (200 - output[:, round(float(lips[5, 0]))].astype(np.float32)).mean(axis=1)
    assert (darkened > 60).sum() == pytest.approx(np.ptp(lips[[5, 15], 1]), abs=1.0)
