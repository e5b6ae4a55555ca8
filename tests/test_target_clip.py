from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import FPS, SIZE, Knowing, drawn, swaying, write_clip
from faces import face, pose
from PIL import Image

from xpcam.errors import TargetError
from xpcam.face.landmarks import INNER_LIPS, LIPS_APART, RIGHT_LIDS, gap, unpose
from xpcam.frame import FaceParams, Floats
from xpcam.mouth.clip_mouth import paint_out
from xpcam.progress import unseen
from xpcam.rendering.animated_target import AnimatedClip
from xpcam.retargeting.retargeter import STILL, Gains
from xpcam.target import clip as target_clip
from xpcam.target.clip import TargetClip, read_clip
from xpcam.target.clip_loop import FADE_FRAMES, Loop, find_loop, thumbnail


def made(folder: Path, faces: list[FaceParams], seen: list[FaceParams | None] | None = None) -> TargetClip:
    path = write_clip(folder / "clip.mp4", drawn(faces))
    return read_clip(path, SIZE, Knowing(seen or list(faces)), unseen)


def looped(faces: list[FaceParams]) -> Loop:
    landmarks = np.stack([params.landmarks for params in faces])
    thumbnails = np.stack([thumbnail(picture) for picture in drawn(faces)])
    return find_loop(landmarks, 80.0, thumbnails, np.ones(len(faces), np.float32), FPS)


def opened(params: FaceParams, pairs: tuple[tuple[int, int], ...]) -> float:
    return gap(unpose(params.landmarks, params.pose), pairs)


def test_a_loop_goes_back_to_the_same_moment() -> None:
    loop = looped(swaying(57))
    assert loop.fade >= FADE_FRAMES[0]
    assert (loop.last - loop.first) % 20 == 0
    assert loop.first >= loop.fade
    assert list(loop.order()) == list(range(loop.first, loop.last))


def test_what_never_comes_back_is_played_to_and_fro() -> None:
    drifting = [face(where=pose(at=(60 + 6 * index, 110), scale=80)) for index in range(30)]
    loop = looped(drifting)
    assert loop == Loop(0, 30, 0)
    assert list(loop.order()) == [*range(30), *range(28, 0, -1)]


def test_a_very_short_clip_is_played_to_and_fro(tmp_path: Path) -> None:
    clip = made(tmp_path, swaying(3))
    assert list(clip.order) == [0, 1, 2, 1]
    assert len(made(tmp_path, swaying(1)).order) == 1


def test_every_frame_is_read_once_and_told(tmp_path: Path) -> None:
    told: list[tuple[int, int | None]] = []
    faces = swaying(57)
    path = write_clip(tmp_path / "clip.mp4", drawn(faces))
    tracker = Knowing(list(faces))
    clip = read_clip(path, SIZE, tracker, lambda *done: told.append(done))
    assert told[-1] == (57, 57)
    assert tracker.resets == 1
    assert len(clip.order) == len(clip.pictures) == 40
    assert clip.starts[-1] == pytest.approx(4.0, abs=0.05)
    assert clip.decoded(0).shape == (SIZE[1], SIZE[0], 3)
    assert (clip.trust == 1).all()


def test_the_last_frame_leads_to_the_first(tmp_path: Path) -> None:
    clip = made(tmp_path, swaying(57))
    steps = np.abs(np.diff(clip.landmarks[[*clip.order, clip.order[0]]], axis=0)[..., :2]).max(axis=(1, 2))
    assert steps[-1] <= steps[:-1].max() + 0.1


def test_the_neutral_face_is_awake_and_its_mouth_shut(tmp_path: Path) -> None:
    clip = made(tmp_path, swaying(57))
    rest = face(where=pose(scale=80))
    assert gap(clip.neutral, LIPS_APART) < 0.03
    assert gap(clip.neutral, RIGHT_LIDS) == pytest.approx(opened(rest, RIGHT_LIDS), rel=0.1)
    assert opened(clip.face(clip.reference), RIGHT_LIDS) > 0.85 * gap(clip.neutral, RIGHT_LIDS)


def test_pictures_are_shown_at_their_own_times(tmp_path: Path) -> None:
    times = [0.0, 0.1, 0.2, 0.7, 0.8, 0.9]
    faces = swaying(6)
    path = write_clip(tmp_path / "clip.mkv", drawn(faces), times)
    clip = read_clip(path, SIZE, Knowing(list(faces)), unseen)
    assert [clip.moment(at) for at in (0.0, 0.15, 0.25, 0.65, 0.75)] == [0, 1, 2, 2, 3]
    length = float(clip.starts[-1])
    assert clip.moment(length - 1e-6) == len(clip.order) - 1
    assert clip.moment(length + 0.15) == 1


def test_frames_without_a_face_are_bridged_or_left_alone(tmp_path: Path) -> None:
    faces = [face(where=pose(at=(160, 110), scale=80))] * 60
    short: list[FaceParams | None] = [*faces[:30], *([None] * 3), *faces[33:]]
    assert (made(tmp_path, faces, short).trust == 1).all()
    long: list[FaceParams | None] = [*faces[:20], *([None] * 20), *faces[40:]]
    clip = made(tmp_path, faces, long)
    assert clip.trust.min() == 0
    assert clip.trust.max() == 1
    assert np.isfinite(clip.landmarks).all()


def broken_clips(folder: Path) -> dict[str, tuple[Path, str]]:
    (folder / "text.mp4").write_text("no clip at all")
    (folder / "empty.mp4").touch()
    whole = write_clip(folder / "whole.mp4", drawn(swaying(8))).read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) // 2])
    with (folder / "large.mp4").open("wb") as file:
        file.truncate(target_clip.MAX_BYTES + 1)
    Image.new("RGB", (64, 64)).save(folder / "still.png")
    (folder / "still.png").rename(folder / "still.mp4")
    says = {"text": "no video", "empty": "empty", "cut": "cut off", "large": "MB", "still": "still picture"}
    says["missing"] = "no video file"
    return {name: (folder / f"{name}.mp4", message) for name, message in says.items()}


@pytest.mark.parametrize("name", ["text", "empty", "cut", "large", "still", "missing"])
def test_what_is_no_clip_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    path, says = broken_clips(tmp_path)[name]
    with pytest.raises(TargetError, match=says) as caught:
        read_clip(path, SIZE, Knowing([]), unseen)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("bound", "value", "says"),
    [
        ("MAX_FRAMES", 5, "8 frames; at most"),
        ("MAX_SECONDS", 0.1, "1 seconds; at most"),
        ("MAX_SIDE", 100, "320x240 pixels; at most 100"),
        ("MAX_JPEG_BYTES", 1000, "its pictures take over"),
    ],
)
def test_bounds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str, value: float, says: str) -> None:
    monkeypatch.setattr(target_clip, bound, value)
    with pytest.raises(TargetError, match=says):
        made(tmp_path, swaying(8))


def test_hardly_a_face_and_several_faces(tmp_path: Path) -> None:
    faces = swaying(10)
    with pytest.raises(TargetError, match="a face in 4 of 10 frames"):
        made(tmp_path, faces, [*faces[:4], *([None] * 6)])
    with pytest.raises(TargetError, match="a face in 0 of 10 frames"):
        made(tmp_path, faces, [None] * 10)
    path = write_clip(tmp_path / "clip.mp4", drawn(faces))
    with pytest.raises(TargetError, match="2 faces found"):
        read_clip(path, SIZE, Knowing(list(faces), among=2), unseen)
    with pytest.raises(TargetError, match="too small"):
        made(tmp_path, faces, [face(where=pose(scale=12))] * 10)


@pytest.fixture
def animated(tmp_path: Path) -> AnimatedClip:
    return AnimatedClip(made(tmp_path, swaying(57)), Gains())


def test_with_nobody_there_the_clip_plays_as_it_is(animated: AnimatedClip, tmp_path: Path) -> None:
    clip = made(tmp_path, swaying(57))
    for at in np.arange(5.0, 11.0, 0.07):
        params = animated.act(STILL, 0.0, float(at))
        filmed = clip.decoded(int(clip.order[clip.moment(float(at) - 5.0)]))
        np.testing.assert_array_equal(animated.render(params), filmed)
    animated.close()


def test_whoever_is_followed_replaces_what_the_clip_says(animated: AnimatedClip, tmp_path: Path) -> None:
    clip = made(tmp_path, swaying(57))
    lips, lids, turns, own = [], [], [], []
    for at in np.arange(0.0, 4.0, 0.1):
        params = animated.act(STILL, 1.0, float(at))
        picture = animated.render(params)
        assert picture.shape == (SIZE[1], SIZE[0], 3)
        lips.append(opened(params, LIPS_APART))
        lids.append(opened(params, RIGHT_LIDS))
        turns.append(params.pose.rotation[1])
        own.append(clip.face(int(clip.order[clip.moment(float(at))])))
    assert max(opened(params, LIPS_APART) for params in own) > 0.1  # the clip talks and blinks
    assert min(opened(params, RIGHT_LIDS) for params in own) < 0.6 * max(lids)
    assert max(lips) < 0.03
    assert min(lids) > 0.9 * max(lids)
    assert np.ptp(turns) > 0.15  # its head still moves
    animated.close()


def test_eyes_are_open_in_every_frame_that_is_moved(animated: AnimatedClip) -> None:
    openings = []
    for at in np.arange(0.0, 4.0, 0.1):
        animated.act(STILL, 1.0, float(at))
        openings.append(opened(animated._scene_shown.face, RIGHT_LIDS))
    assert min(openings) > 0.8 * max(openings)
    animated.close()


def test_the_person_comes_in_and_goes_without_a_jump(animated: AnimatedClip) -> None:
    """All at one moment of the clip: what changes is how far somebody is followed."""
    shown: list[Floats] = []
    for share in np.linspace(0.0, 1.0, 21):
        params = animated.act(STILL, float(share), 1.3)
        shown.append(animated.render(params).astype(np.float32))
    steps = [float(np.abs(later - before).mean()) for before, later in pairwise(shown)]
    whole = float(np.abs(shown[-1] - shown[0]).mean())
    assert max(steps) < 0.35 * whole + 0.2
    animated.close()


def test_what_the_clips_mouth_shows_is_painted_out() -> None:
    talking = face({"jawOpen": 0.6}, pose(at=(160, 110), scale=80))
    picture = drawn([talking])[0]
    lips = talking.landmarks[list(INNER_LIPS), :2]
    cv2.fillPoly(picture, [lips.round().astype(np.int32)], (255, 255, 255))  # nothing but teeth
    before = picture.copy()
    paint_out(picture, talking)
    x, y = lips.mean(axis=0).round().astype(int)
    assert picture[y, x].max() < 140
    assert (picture == 255).all(axis=2).sum() == 0
    changed = (picture != before).any(axis=2)
    assert not changed[:40].any()
    assert changed.sum() < 3 * (before == 255).all(axis=2).sum()
    paint_out(picture, face(where=pose(at=(-500, -500), scale=80)))  # out of the picture: nothing to paint
