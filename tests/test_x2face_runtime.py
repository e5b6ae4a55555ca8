"""X2Face at run time: grids, placing, embedding once, driving; with tiny grids in place of networks."""

import time
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from faces import face, portrait, pose
from poison import SIZE, poison_in, poisoned, prepared
from x2face_models import Network, Sees, aside, write_embedding

from xpcam.errors import EngineError, TargetError
from xpcam.face.model import ARKIT, face_model
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.pipeline import Pipeline
from xpcam.rendering.renderer import Look
from xpcam.rendering.target_switch import Animate
from xpcam.retargeting.retargeter import STILL, Gains, Motion
from xpcam.target.clip import TargetClip
from xpcam.warping.grids import CELLS, FINE, chained, enlarged, fade, identity
from xpcam.x2face import animated, embedding
from xpcam.x2face.animated import source_of
from xpcam.x2face.driving import Driving
from xpcam.x2face.embedding import Embedder
from xpcam.x2face.fitting import unfitted
from xpcam.x2face.placing import Placer

BOUNDS = (0, 0, *SIZE)
HEAD = pose(at=(160, 100), scale=50)
PLAIN = [unfitted(identity(CELLS))]
STRAIGHT = [identity(CELLS)]


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_embedding(tmp_path / "embedding.onnx")


def engine(model: Path, network: Network | None = None) -> Animate:
    """The X2Face engine with fake networks, of which the driving one may be given."""
    embedder, driving = Embedder(model, Network().opened), Driving((network or Network()).opened)
    return lambda target, gains, look: animated.animate(target, gains, look, embedder, driving)


def picture() -> Pixels:
    return portrait(face(where=HEAD), SIZE)


def test_grids_one_after_the_other() -> None:
    still = identity(CELLS)
    np.testing.assert_allclose(chained(aside(0.2), still)[:, :100], aside(0.2)[:, :100], atol=1e-3)
    np.testing.assert_allclose(chained(still, aside(0.2)), aside(0.2), atol=1e-3)
    both = chained(enlarged(aside(0.25), FINE), enlarged(aside(-0.25), FINE))
    inner = np.s_[8:-8, 8 : FINE - 48]
    np.testing.assert_allclose(both[inner], identity(FINE)[inner], atol=1e-3)


def test_motion_fades_before_the_border_of_the_box() -> None:
    mask = fade(100, (0.2, 0.0, 1.0, 1.0), 0.1)
    assert mask[50, :20].max() == 0 and mask[50, 30:89].min() == 1
    assert 0 < mask[50, 25] < 1
    assert mask[0].max() < 0.02 and mask[-1].max() < 0.02


def test_a_grid_that_moves_nothing_gives_the_picture_itself() -> None:
    placer = Placer(picture(), BOUNDS, HEAD, PLAIN, STRAIGHT)
    shown = placer.place(identity(CELLS))
    assert np.abs(shown.astype(int) - picture()).max() <= 1


def test_outside_the_crop_and_at_its_border_nothing_moves() -> None:
    placer = Placer(picture(), BOUNDS, HEAD, PLAIN, STRAIGHT)
    moved = np.abs(placer.place(aside(0.2)).astype(int) - picture()).max(axis=2)
    region = placer.region
    assert moved[region.slices].max() > 30
    moved[region.top + 2 : region.bottom - 2, region.left + 2 : region.right - 2] = 0
    assert moved.max() < 8  # no seam, whatever the grid says


def test_the_face_is_sampled_where_the_grid_says_at_the_targets_own_resolution() -> None:
    placer = Placer(picture(), BOUNDS, HEAD, PLAIN, STRAIGHT)
    side = placer.region.size[0]
    right = round(0.1 * side)
    shown = placer.place(aside(2 * right / side))
    x, y = 160, 100
    there = picture()[y - 10 : y + 10, x - 10 + right : x + 10 + right]
    assert np.abs(shown[y - 10 : y + 10, x - 10 : x + 10].astype(int) - there).mean() < 6


def test_a_crop_that_moves_takes_the_face_along() -> None:
    placer = Placer(picture(), BOUNDS, HEAD, PLAIN, STRAIGHT)
    side = placer.region.size[0]
    right = round(0.04 * side)
    shown = placer.place(identity(CELLS), aside=np.array([2 * right / side, 0], np.float32))
    x, y = 160, 100
    there = shown[y - 10 : y + 10, x - 10 + right : x + 10 + right].astype(int)
    assert np.abs(there - picture()[y - 10 : y + 10, x - 10 : x + 10]).mean() < 6
    region = placer.region
    np.testing.assert_allclose(shown[region.top], picture()[region.top], atol=2)


def test_a_crop_that_grows_grows_about_its_middle() -> None:
    placer = Placer(picture(), BOUNDS, HEAD, PLAIN, STRAIGHT)
    region = placer.region
    shown = placer.place(identity(CELLS), zoom=1.1)
    size = (round(1.1 * region.size[0]), round(1.1 * region.size[1]))
    large = cv2.resize(picture()[region.slices], size, interpolation=cv2.INTER_LINEAR)
    top, left = ((more - own) // 2 for more, own in zip(size[::-1], region.size[::-1], strict=True))
    wanted = large[top : top + region.size[1], left : left + region.size[0]]
    middle = np.s_[region.size[1] // 4 : -region.size[1] // 4, region.size[0] // 4 : -region.size[0] // 4]
    apart = np.abs(shown[region.slices][middle].astype(int) - wanted[middle]).mean()
    assert apart < 0.4 * np.abs(picture()[region.slices][middle].astype(int) - wanted[middle]).mean()


def test_pictures_stay_for_two_further_calls() -> None:
    placer = Placer(picture(), BOUNDS, HEAD, PLAIN, STRAIGHT)
    shown = [placer.place(aside(0.1 * way)) for way in range(3)]
    assert len({one.tobytes() for one in shown}) == 3
    np.testing.assert_array_equal(placer.place(identity(CELLS)), picture())


@pytest.mark.parametrize("coarse", [1.5, 2.0])
def test_coarse_pictures_lie_where_the_fine_ones_do(coarse: float) -> None:
    fine, rough = (
        Placer(picture(), BOUNDS, HEAD, PLAIN, STRAIGHT, coarse=by).place(aside(0.1)) for by in (1.0, coarse)
    )
    assert np.abs(fine.astype(int) - rough).mean() < 4


@pytest.mark.parametrize("at", [(10, 10), (310, 230), (160, 5), (-400, 50), (160, 900)])
def test_a_head_that_looks_over_the_border_is_no_trouble(at: tuple[int, int]) -> None:
    where = pose(at=at, scale=50)
    placer = Placer(picture(), (40, 0, 280, 240), where, PLAIN, STRAIGHT)
    shown = placer.place(aside(0.3))
    np.testing.assert_array_equal(shown[:, :40], picture()[:, :40])
    np.testing.assert_array_equal(shown[:, 280:], picture()[:, 280:])


def test_what_is_embedded_is_the_target_not_what_fills_the_canvas() -> None:
    canvas = np.full((240, 320, 3), 255, np.uint8)
    canvas[:, 100:220] = 90
    assert source_of(canvas, (100, 0, 220, 240), HEAD).max() == 90


def test_a_face_is_embedded_once(model: Path) -> None:
    network = Network(aside(0.1))
    crop = np.zeros((256, 256, 3), np.uint8)
    first = Embedder(model, network.opened).embed(crop)
    np.testing.assert_array_equal(Embedder(model, network.opened).embed(crop), first)
    assert network.runs == 1
    assert [path.stat().st_mode & 0o777 for path in embedding.folder().glob("*.npz")] == [0o600]
    Embedder(model, network.opened).embed(crop + np.uint8(1))
    assert network.runs == 2


def test_it_is_embedded_anew_when_the_network_changes_or_the_file_is_damaged(model: Path) -> None:
    network, crop = Network(), np.zeros((256, 256, 3), np.uint8)
    Embedder(model, network.opened).embed(crop)
    other = write_embedding(model.with_name("newer.onnx"), 0.1)
    Embedder(other, network.opened).embed(crop)
    assert network.runs == 2
    for kept in embedding.folder().glob("*.npz"):
        kept.write_bytes(b"no npz")
    Embedder(model, network.opened).embed(crop)
    assert network.runs == 3


def test_a_cache_that_cannot_be_written_costs_a_warning(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    Embedder(model, Network().opened).embed(np.zeros((256, 256, 3), np.uint8))
    assert "the embedded face is not kept" in caplog.text


@pytest.mark.parametrize("grid", [np.full((CELLS, CELLS, 2), np.nan), np.zeros((8, 8, 2))])
def test_no_grid_is_an_error(model: Path, grid: Floats) -> None:
    with pytest.raises(EngineError, match="the x2face embedding network gave no grid"):
        Embedder(model, Network(grid).opened).embed(np.zeros((256, 256, 3), np.uint8))
    with pytest.raises(EngineError, match="the x2face driving network gave no grid"):
        Driving(Network(grid).opened)


def run(tracker: Sees, animate: Animate, frames: int = 60) -> list[Pixels]:
    pipeline = Pipeline(prepared(), tracker, Gains(), animate=animate)
    made = []
    for index in range(frames):
        frame = None if 20 <= index < 30 else poisoned(index, at=index / 30)
        made.append(pipeline.step(frame, index / 30).copy())
    return made


def test_it_follows_and_idles_without_a_jump(model: Path) -> None:
    speaking: list[FaceParams | None] = [face({"jawOpen": min(0.04 * n, 0.6)}) for n in range(40)]
    seen = [*speaking, *[None] * 20]
    shown = run(Sees(seen), engine(model))
    idle = [pixels.astype(int) for pixels in run(Sees([None]), engine(model))]
    apart = [float(np.abs(pixels - still).mean()) for pixels, still in zip(shown, idle, strict=True)]
    assert max(apart[15:20]) > 1.0  # it follows
    assert apart[-1] == 0  # it idles
    assert max(np.abs(np.diff(apart))) < 0.6 * max(apart)  # and eases between


def test_with_nobody_there_it_lives(model: Path) -> None:
    pipeline = Pipeline(prepared(), Sees([None]), Gains(), animate=engine(model))
    frames = [pipeline.step(None, at).copy() for at in np.arange(0, 6, 0.1)]
    assert len({frame.tobytes() for frame in frames}) > 30


def test_each_gain_says_how_much_of_a_region_is_carried(model: Path) -> None:
    animated = engine(model)(prepared(), Gains(), Look())
    jaw = face_model().landmark_expression[ARKIT.index("jawOpen")]
    speaking = replace(STILL, offsets=jaw)
    turning = replace(STILL, turn=np.array([0.0, 0.3, 0.0], np.float32))

    def moved(motion: Motion, gains: Gains) -> float:
        animated.weigh(gains)
        still = animated.render(animated.act(STILL, 1.0, 0.0)).astype(int)
        return float(np.abs(animated.render(animated.act(motion, 1.0, 0.0)) - still).mean())

    assert moved(speaking, Gains()) > 1.5 * moved(speaking, Gains(mouth=0.3)) > 0.3
    assert moved(turning, Gains()) > 1.2 * moved(turning, Gains(head=0.1)) > 0.3
    assert moved(speaking, Gains(mouth=0.0)) < 0.3 > moved(turning, Gains(head=0.0))


def test_a_network_that_breaks_is_a_fault_and_the_mesh_engine_shows_the_target(
    model: Path, caplog: pytest.LogCaptureFixture
) -> None:
    network = Network()
    pipeline = Pipeline(prepared(), Sees([face()]), Gains(), animate=engine(model, network))
    assert pipeline.faults == {}
    network.broken = "engine x2face_driving_unet failed: out of memory"
    frames = []
    for number in range(3):
        frames.append(pipeline.step(poisoned(number, at=0.1 * number), 0.1 * number).copy())
        assert "x2face_driving_unet failed" in pipeline.faults["engines"]
    assert max(poison_in(frame) for frame in frames) == 0
    assert len({frame.tobytes() for frame in frames}) > 1
    network.broken = ""
    deadline = time.monotonic() + 10
    while pipeline.faults and time.monotonic() < deadline:
        pipeline.step(poisoned(0, at=1.0), 1.0)
    assert pipeline.faults == {}
    said = [record.getMessage() for record in caplog.records if "driving" in record.getMessage()]
    assert len(said) == 1 and "the mesh engine shows the target meanwhile" in said[0]


def test_drawn_another_way_it_is_not_embedded_anew(model: Path) -> None:
    network = Network()
    embedder = Embedder(model, network.opened)
    first = animated.animate(prepared(), Gains(), Look(), embedder, Driving(Network().opened))
    assert network.runs == 1
    rough = first.drawn(Look(coarse=2.0))
    assert network.runs == 1
    fine, coarse = (one.render(one.act(STILL, 1.0, 0.0)).astype(int) for one in (first, rough))
    assert 0 < np.abs(fine - coarse).mean() < 4


def test_a_clip_is_refused(model: Path) -> None:
    clip = object.__new__(TargetClip)
    with pytest.raises(TargetError, match="x2face wants a still"):
        engine(model)(clip, Gains(), Look())
