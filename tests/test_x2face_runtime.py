"""X2Face at run time: grids, placing, embedding once, driving; with tiny grids in place of networks."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from faces import face, portrait, pose
from poison import POISON, SIZE, faces_and_gaps, poison_in, poisoned, prepared
from x2face_models import Network, Sees, aside, write_network

from xpcam.errors import EngineError, TargetError
from xpcam.frame import FaceParams, Floats, Pixels
from xpcam.pipeline import Pipeline
from xpcam.rendering.renderer import Look
from xpcam.rendering.target_switch import Animate
from xpcam.retargeting.retargeter import STILL, Gains, mirrored
from xpcam.target.clip import TargetClip
from xpcam.warping.grids import CELLS, FINE, chained, enlarged, fade, identity
from xpcam.x2face import animated, embedding
from xpcam.x2face.animated import source_of
from xpcam.x2face.driving import DrivingTracker
from xpcam.x2face.embedding import Embedder
from xpcam.x2face.fitting import unfitted
from xpcam.x2face.placing import Placer

BOUNDS = (0, 0, *SIZE)
HEAD = pose(at=(160, 100), scale=50)
PLAIN = unfitted(identity(CELLS))


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_network(tmp_path / "embedding.onnx", "source", embedding.SIDE, 0.0)


def engine(model: Path, network: Network | None = None) -> Animate:
    """The X2Face engine with a fake network."""
    embedder = Embedder(model, (network or Network()).opened)
    return lambda target, _gains, look: animated.animate(target, embedder, look)


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
    placer = Placer(picture(), BOUNDS, HEAD, PLAIN)
    shown = placer.place(identity(CELLS), 1.0)
    assert np.abs(shown.astype(int) - picture()).max() <= 1


def test_outside_the_crop_and_at_its_border_nothing_moves() -> None:
    placer = Placer(picture(), BOUNDS, HEAD, PLAIN)
    moved = np.abs(placer.place(aside(0.2), 1.0).astype(int) - picture()).max(axis=2)
    region = placer.region
    assert moved[region.slices].max() > 30
    moved[region.top + 2 : region.bottom - 2, region.left + 2 : region.right - 2] = 0
    assert moved.max() < 8  # no seam, whatever the grid says


def test_the_face_is_sampled_where_the_grid_says_at_the_targets_own_resolution() -> None:
    placer = Placer(picture(), BOUNDS, HEAD, PLAIN)
    side = placer.region.size[0]
    right = round(0.1 * side)
    shown = placer.place(aside(2 * right / side), 1.0)
    x, y = 160, 100
    there = picture()[y - 10 : y + 10, x - 10 + right : x + 10 + right]
    assert np.abs(shown[y - 10 : y + 10, x - 10 : x + 10].astype(int) - there).mean() < 6


def test_a_share_of_the_grid_moves_by_a_share() -> None:
    placer = Placer(picture(), BOUNDS, HEAD, PLAIN)
    half = placer.place(aside(0.2), 0.5).astype(int)
    assert np.abs(half - placer.place(aside(0.1), 1.0)).mean() < 0.2
    np.testing.assert_array_equal(placer.place(aside(0.2), 0.0), picture())


def test_pictures_stay_for_two_further_calls_and_none_keeps_what_lay_beneath() -> None:
    placer = Placer(picture(), BOUNDS, HEAD, PLAIN)
    dark = np.zeros_like(picture())
    shown = [placer.place(aside(0.1 * way), 1.0) for way in range(3)]
    assert len({one.tobytes() for one in shown}) == 3
    for _ in range(3):
        assert placer.place(aside(0.1), 0.5, dark).max() == 0
    np.testing.assert_array_equal(placer.place(identity(CELLS), 0.0), picture())


@pytest.mark.parametrize("coarse", [1.5, 2.0])
def test_coarse_pictures_lie_where_the_fine_ones_do(coarse: float) -> None:
    fine, rough = (Placer(picture(), BOUNDS, HEAD, PLAIN, by).place(aside(0.1), 1.0) for by in (1.0, coarse))
    assert np.abs(fine.astype(int) - rough).mean() < 4


@pytest.mark.parametrize("at", [(10, 10), (310, 230), (160, 5), (-400, 50), (160, 900)])
def test_a_head_that_looks_over_the_border_is_no_trouble(at: tuple[int, int]) -> None:
    where = pose(at=at, scale=50)
    placer = Placer(picture(), (40, 0, 280, 240), where, PLAIN)
    shown = placer.place(aside(0.3), 1.0)
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
    other = write_network(model.with_name("newer.onnx"), "source", embedding.SIDE, 0.1)
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
    tracker = DrivingTracker(Sees(faces_and_gaps()), Network(grid))
    with pytest.raises(EngineError, match="the x2face driving network gave no grid"):
        tracker.track(poisoned(0, at=0.0))


def test_the_driver_ends_as_a_grid() -> None:
    network = Network(aside(0.3))
    tracker = DrivingTracker(Sees([face()]), network, smooth=False)
    found = tracker.track(poisoned(0, at=0.0))
    assert found is not None and found.grid is not None
    np.testing.assert_array_equal(found.grid, np.clip(aside(0.3), -1, 1))
    assert network.seen[0].shape == (1, 256, 256, 3)
    assert (network.seen[0] == POISON).all()


def test_a_face_that_is_held_keeps_its_grid_and_one_that_left_does_not() -> None:
    held = face()
    network = Network()
    tracker = DrivingTracker(Sees([held, held, None, held]), network)
    grids = [found and found.grid for found in (tracker.track(poisoned(n, at=n / 30)) for n in range(4))]
    assert network.runs == 2
    assert grids[2] is None and grids[3] is not None


def test_a_grid_is_steadied_but_not_across_a_gap() -> None:
    network = Network(aside(0.0))
    faces = [face(), face(), face()]
    steady, quick = (DrivingTracker(Sees(list(faces)), network, smooth) for smooth in (True, False))

    def move(tracker: DrivingTracker, way: float, sequence: int, at: float) -> float:
        network.grid = aside(way)
        found = tracker.track(poisoned(sequence, at=at))
        assert found is not None and found.grid is not None
        return float(found.grid[64, 64, 0] - identity(CELLS)[64, 64, 0])

    for tracker in (steady, quick):
        move(tracker, 0.0, 0, 0.0)
    assert 0 < move(steady, 0.01, 1, 1 / 30) < 0.009
    assert move(quick, 0.01, 1, 1 / 30) == pytest.approx(0.01, abs=1e-5)
    assert move(steady, 0.2, 2, 3.0) == pytest.approx(0.2, abs=1e-5)


def run(tracker: DrivingTracker, animate: Animate, frames: int = 60) -> list[Pixels]:
    pipeline = Pipeline(prepared(), tracker, Gains(), animate=animate)
    made = []
    for index in range(frames):
        frame = None if 20 <= index < 30 else poisoned(index, at=index / 30)
        made.append(pipeline.step(frame, index / 30).copy())
    return made


def test_no_pixel_of_the_person_gets_out(model: Path) -> None:
    wild = np.random.default_rng(1).uniform(-3, 3, (CELLS, CELLS, 2)).astype(np.float32)
    for grid in (identity(CELLS), wild):
        tracker = DrivingTracker(Sees(faces_and_gaps()), Network(grid))
        shown = run(tracker, engine(model))
        assert [poison_in(pixels) for pixels in shown] == [0] * 60


def test_it_follows_and_idles_without_a_jump(model: Path) -> None:
    seen: list[FaceParams | None] = [face()] * 40 + [None] * 20
    tracker = DrivingTracker(Sees(seen), Network(aside(0.1)))
    shown = run(tracker, engine(model))
    idling = Pipeline(prepared(), Sees([None]), Gains(), look=Look(relight=False))
    idle = [idling.step(None, index / 30).astype(int) for index in range(60)]
    apart = [float(np.abs(pixels - still).mean()) for pixels, still in zip(shown, idle, strict=True)]
    assert max(apart[15:20]) > 2.0  # it follows
    assert apart[-1] == 0  # it idles
    assert max(np.abs(np.diff(apart))) < 0.6 * max(apart)  # and eases between


def test_with_nobody_there_it_lives(model: Path) -> None:
    pipeline = Pipeline(prepared(), Sees([None]), Gains(), animate=engine(model))
    frames = [pipeline.step(None, at).copy() for at in np.arange(0, 6, 0.1)]
    assert len({frame.tobytes() for frame in frames}) > 30


def test_an_engine_that_breaks_lets_it_idle(model: Path) -> None:
    class Broken(Network):
        def run(self, inputs: object) -> dict[str, Floats]:
            raise EngineError("engine x2face_driving_unet failed: out of memory")

    tracker = DrivingTracker(Sees([face()]), Broken())
    pipeline = Pipeline(prepared(), tracker, Gains(), animate=engine(model))
    assert poison_in(pipeline.step(poisoned(0, at=0.0), 0.0)) == 0
    assert "x2face_driving_unet failed" in pipeline.faults["engines"]


def test_a_mirrored_grid_samples_the_other_side() -> None:
    grid = aside(0.1)
    grid[:, :8, 1] += 0.2
    there = mirrored(replace(STILL, grid=grid)).grid
    assert there is not None
    np.testing.assert_allclose(there[:, -8:, 1], grid[:, :8, 1])
    np.testing.assert_allclose(there[..., 0], -grid[:, ::-1, 0])


def test_a_clip_is_refused(model: Path) -> None:
    clip = object.__new__(TargetClip)
    with pytest.raises(TargetError, match="x2face wants a still"):
        engine(model)(clip, Gains(), Look())
