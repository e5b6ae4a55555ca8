"""The gallery: kept in order, prepared once, whole whatever happens."""

import json
from contextlib import nullcontext
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import SIZE, Knowing, drawn, swaying, write_clip
from controlled import HERE, Sees, kept, loader, picture, shade

from xpcam.errors import TargetError
from xpcam.frame import FaceParams, Pixels
from xpcam.gallery import still_file, targets
from xpcam.gallery.store import Store, gallery_folder, name_for
from xpcam.progress import unseen
from xpcam.rendering.target_switch import OnAir
from xpcam.retargeting.retargeter import Gains
from xpcam.target.clip import TargetClip
from xpcam.target.still import Target, prepare


class Blind(Knowing):
    """Must not be asked."""

    def __init__(self) -> None:
        super().__init__([])

    def locate(self, pixels: Pixels) -> list[FaceParams]:
        raise AssertionError("it was prepared already")


@pytest.fixture
def store() -> Store:
    return Store(gallery_folder())


def names(store: Store) -> list[str]:
    return [entry.name for entry in store.entries()]


def test_order_is_that_of_adding(store: Store, tmp_path: Path) -> None:
    for name in ("cleo", "anna", "bert"):
        kept(tmp_path, name, 50)
    assert names(store) == ["cleo", "anna", "bert"]
    assert [store.after(name).name for name in ("cleo", "bert", "nobody", None)] == [
        *("anna", "cleo", "cleo", "cleo")
    ]
    store.remove("anna")
    assert names(store) == ["cleo", "bert"]
    (gallery_folder() / "order.json").write_text("{")  # damage costs the order, nothing else
    assert names(store) == ["bert", "cleo"]


def test_what_was_prepared_is_what_is_shown(store: Store, tmp_path: Path) -> None:
    entry = kept(tmp_path, "anna", 90)
    (tmp_path / "anna.png").unlink()  # the gallery has its own
    shown = targets.load(entry, SIZE, Blind(), lambda: nullcontext(Blind()), unseen)
    assert isinstance(shown, Target)
    fresh = prepare(np.asarray(cv2.imread(str(entry.original)), np.uint8), HERE, SIZE)
    np.testing.assert_array_equal(shown.picture, fresh.picture)
    np.testing.assert_array_equal(shown.mesh.still, fresh.mesh.still)
    np.testing.assert_array_equal(shown.params.gaze, fresh.params.gaze)


@pytest.mark.parametrize("damage", [b"", b"no npz", None])
def test_what_was_prepared_and_is_stale_is_made_anew(
    damage: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = kept(tmp_path, "anna", 90)
    if damage is None:
        monkeypatch.setattr(still_file, "_made_with", lambda: b"other engines")
    else:
        entry.prepared.write_bytes(damage)
    targets.load(entry, SIZE, Sees(), lambda: nullcontext(Sees()), unseen)
    targets.load(entry, SIZE, Blind(), lambda: nullcontext(Blind()), unseen)


def test_a_large_picture_is_kept_ready_at_a_size_that_is_quickly_read(tmp_path: Path) -> None:
    small = np.asarray(cv2.imread(str(picture(tmp_path / "a.png", 50))), np.uint8)
    large = cv2.resize(small, (4000, 3000))
    cv2.imwrite(str(tmp_path / "large.png"), large)
    prepared = still_file.read_still(tmp_path / "large.png", Sees())
    assert prepared.picture.shape == (1080, 1440, 3)
    assert prepared.enough_for((1920, 1080))  # it is fitted by its height
    assert not prepared.enough_for((3840, 2160))


@pytest.mark.parametrize(
    "name", ["", "..", "../x", "a/b", ".hidden", "A", "a b", "-x", "x" * 41, "a\n", "a\x00"]
)
def test_a_name_is_never_a_path(name: str, store: Store, tmp_path: Path) -> None:
    made = picture(tmp_path / "a.png", 50)
    with pytest.raises(TargetError, match="a name is 1 to 40 of"):
        targets.add(store, name, made, SIZE, Sees(), lambda: nullcontext(Sees()), unseen)
    with pytest.raises(TargetError, match="no target"):
        store.remove(name)
    assert not store.has(name)
    assert not gallery_folder().exists()


def test_nothing_is_left_of_what_could_not_be_added(store: Store, tmp_path: Path) -> None:
    kept(tmp_path, "anna", 50)
    with pytest.raises(TargetError, match="there is a target 'anna' already"):
        kept(tmp_path, "anna", 60)
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(TargetError, match="not a picture"):
        targets.add(store, "bert", tmp_path / "text.png", SIZE, Sees(), lambda: nullcontext(Sees()), unseen)
    with pytest.raises(RuntimeError), store.adding("cleo", tmp_path / "anna.png", "still"):
        raise RuntimeError  # the program is stopped in the middle
    assert sorted(path.name for path in gallery_folder().iterdir()) == [".lock", "anna", "order.json"]


def test_an_entry_that_points_elsewhere_is_none(store: Store, tmp_path: Path) -> None:
    kept(tmp_path, "anna", 50)
    said = gallery_folder() / "anna" / "target.json"
    said.write_text(json.dumps({"kind": "still", "source": "../../x.png", "added": ""}))
    assert names(store) == []


def test_a_clip_is_read_once(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    clip = write_clip(tmp_path / "waving.mp4", drawn(swaying(12)))
    reader = lambda: nullcontext(Knowing(list(swaying(12))))  # noqa: E731
    entry = targets.add(store, "waving", clip, SIZE, Knowing([]), reader, unseen)
    assert entry.kind == "clip"
    assert entry.thumbnail.read_bytes().startswith(b"\xff\xd8")
    again = targets.load(entry, SIZE, Blind(), lambda: nullcontext(Blind()), unseen)
    assert isinstance(again, TargetClip)


def test_names_are_made_of_files() -> None:
    assert name_for(Path("/a/My Photo (2).JPG")) == "my-photo-2"
    assert name_for(Path("é.png")) == "target"
    assert len(name_for(Path("x" * 90))) == 40


def test_a_file_comes_before_a_target_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept(tmp_path, "anna", 50)
    assert loader().entry(Path("anna")) is not None
    monkeypatch.chdir(tmp_path)
    picture(tmp_path / "a.png", 90).rename(tmp_path / "anna")
    assert loader().entry(Path("anna")) is None
    assert shade(shown_by(loader().load(Path("anna")))) == pytest.approx(90, abs=3)


def shown_by(target: object) -> Pixels:
    assert isinstance(target, Target)
    live = OnAir.of(target, Gains())
    return live.animated.render(target.params)
