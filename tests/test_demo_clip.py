"""The demo driver: the clip that ships, and the acting it was drawn from."""

import cv2
import numpy as np
import pytest

from xpcam.camera import opening as camera
from xpcam.resources import shipped


def test_the_clip_is_small_and_ten_seconds_long() -> None:
    path = shipped("demo.mp4")
    assert path.stat().st_size <= 2_000_000
    with camera.read_video(path) as video:
        assert (video.fps, video.frame_count) == (30, 300)
        assert video.duration == pytest.approx(10)


def test_the_clip_moves_and_ends_as_it_began() -> None:
    with camera.read_video(shipped("demo.mp4")) as video:
        frames = [cv2.resize(frame.pixels, (160, 120)).astype(float) for frame in video]
    first = frames[0]
    difference = [float(np.abs(frame - first).mean()) for frame in frames]
    assert max(difference[:25]) < 3  # the neutral second
    assert max(difference) > 8  # turns and opens wide
    assert difference[-1] < 3  # and so it loops


def test_demo_is_a_camera() -> None:
    opened = camera.open_camera("demo")
    frame = opened.latest(30)
    opened.close()
    assert frame is not None
    assert frame.pixels.shape == (480, 640, 3)
    assert "looped" in opened.description


def test_the_acting_begins_neutral_loops_and_shows_everything() -> None:
    pytest.importorskip("scipy", reason="the demo's head wants the train extra")
    from engines.demo.acting import FPS, SECONDS, act, idle

    score = [act(number / FPS) for number in range(round(SECONDS * FPS))]
    assert all(max(weights.values()) <= 0.1 for weights, _, _ in score[: FPS - 1])
    assert max(act(SECONDS - 0.01)[0].values()) <= 0.1
    np.testing.assert_allclose(idle(0), idle(SECONDS), atol=1e-12)

    def most(name: str) -> float:
        return max(weights.get(name, 0.0) for weights, _, _ in score)

    shown = ("jawOpen", "mouthSmileLeft", "eyeBlinkLeft", "eyeBlinkRight", "browInnerUp", "browDownLeft")
    assert all(most(name) > 0.9 for name in shown)
    assert most("mouthPucker") > 0.5
    yaw = np.degrees([rotation[1] for _, rotation, _ in score])
    assert yaw.min() < -13
    assert yaw.max() > 13
    closed = np.array([weights.get("eyeBlinkLeft", 0.0) > 0.5 for weights, _, _ in score])
    assert np.count_nonzero(np.diff(closed.astype(int)) == 1) == 5
