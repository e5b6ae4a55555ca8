import errno
import stat
from pathlib import Path

import numpy as np
import pytest
from clips import SIZE, Knowing, drawn, swaying, write_clip

from xpcam.errors import TargetError
from xpcam.progress import unseen
from xpcam.target import cache as target_cache
from xpcam.target.clip import TargetClip, read_clip


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", drawn(swaying(30)))


@pytest.fixture
def clip(source: Path) -> TargetClip:
    return read_clip(source, SIZE, Knowing(list(swaying(30))), unseen)


def test_what_is_kept_is_what_was_prepared(clip: TargetClip, source: Path) -> None:
    place = target_cache.place_of(source, SIZE)
    assert target_cache.load(place) is None
    target_cache.save(clip, place)
    again = target_cache.load(place)
    assert again is not None
    assert again.pictures == clip.pictures
    assert (again.bounds, again.reference) == (clip.bounds, clip.reference)
    for name in ("landmarks", "poses", "trust", "order", "starts", "neutral"):
        np.testing.assert_array_equal(getattr(again, name), getattr(clip, name))


def test_only_the_owner_may_read_it(clip: TargetClip, source: Path) -> None:
    place = target_cache.place_of(source, SIZE)
    target_cache.save(clip, place)
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    assert stat.S_IMODE(place.parent.stat().st_mode) == 0o700
    assert list(place.parent.iterdir()) == [place]


def test_its_name_is_what_it_was_made_from(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = {target_cache.place_of(source, SIZE), target_cache.place_of(source, (640, 480))}
    monkeypatch.setattr(target_cache, "VERSION", target_cache.VERSION + 1)
    places.add(target_cache.place_of(source, SIZE))
    source.write_bytes(source.read_bytes() + b" ")
    places.add(target_cache.place_of(source, SIZE))
    assert len(places) == 4
    with pytest.raises(TargetError, match="cannot be read"):
        target_cache.place_of(source.with_name("none.mp4"), SIZE)


@pytest.mark.parametrize("harm", ["cut", "empty", "text", "foreign"])
def test_a_damaged_file_is_made_anew(
    clip: TargetClip, source: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    place = target_cache.place_of(source, SIZE)
    target_cache.save(clip, place)
    if harm == "foreign":
        with place.open("wb") as file:
            np.savez(file, something=np.zeros(3))
    else:
        whole = place.read_bytes()
        place.write_bytes({"cut": whole[: len(whole) // 2], "empty": b"", "text": b"no npz"}[harm])
    assert target_cache.load(place) is None
    assert len(caplog.records) == 1
    target_cache.save(clip, place)
    assert target_cache.load(place) is not None


def test_a_full_disk_is_a_warning(
    clip: TargetClip, source: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    place = target_cache.place_of(source, SIZE)
    monkeypatch.setattr(target_cache, "_write", full)
    target_cache.save(clip, place)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text
    assert list(place.parent.iterdir()) == []


def test_a_folder_that_cannot_be_is_a_warning(
    clip: TargetClip, source: Path, own_cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own_cache.write_text("a file where the folder should be")
    target_cache.save(clip, target_cache.place_of(source, SIZE))
    assert [record.levelname for record in caplog.records] == ["WARNING"]


def test_the_oldest_make_room(clip: TargetClip, source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = target_cache.place_of(source, SIZE)
    target_cache.save(clip, place)
    monkeypatch.setattr(target_cache, "MAX_BYTES", place.stat().st_size * 1.5)
    other = place.with_name("other.npz")
    target_cache.save(clip, other)
    assert list(place.parent.iterdir()) == [other]
