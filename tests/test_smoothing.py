"""Steadying what is tracked: still faces keep still, blinks and lips survive."""

from dataclasses import replace

import numpy as np
import pytest
from faces import face, pose

from xpcam.face import landmarks as fl
from xpcam.frame import FaceParams, Floats
from xpcam.tracking.smoothing import FaceSmoother


def smoothed(sequence: list[Floats], rate: float = 30.0) -> list[Floats]:
    smoother = FaceSmoother()
    faces = [FaceParams(landmarks, fl.fit_pose(landmarks), 1.0) for landmarks in sequence]
    return [smoother(face, i / rate).landmarks for i, face in enumerate(faces)]


def lid_gap(landmarks: Floats) -> float:
    return float(np.linalg.norm(landmarks[159, :2] - landmarks[145, :2]))


def test_a_still_face_under_noise_is_steady() -> None:
    rng = np.random.default_rng(1)
    still = face().landmarks
    noisy = [still + rng.normal(0, 0.004 * 150, still.shape).astype(np.float32) for _ in range(150)]
    steady = np.stack(smoothed(noisy)[30:])[:, :, :2]
    rms = np.sqrt(((steady - steady.mean(axis=0)) ** 2).sum(axis=2).mean()) / 150
    raw = np.stack(noisy[30:])[:, :, :2]
    raw_rms = np.sqrt(((raw - raw.mean(axis=0)) ** 2).sum(axis=2).mean()) / 150
    assert raw_rms > 0.005
    assert rms < 0.003


@pytest.mark.parametrize("phase", [0.0, 0.25, 0.5, 0.75])
def test_a_blink_keeps_its_depth(phase: float) -> None:
    """150 ms from open to shut to open, wherever the frames fall in it."""
    times = (np.arange(40) + phase) / 30
    weights = np.clip(1 - np.abs(times - 0.6) / 0.075, 0, 1)
    sequence = [face({"eyeBlinkLeft": w, "eyeBlinkRight": w}).landmarks for w in weights]
    raw = np.array([lid_gap(landmarks) for landmarks in sequence])
    after = np.array([lid_gap(landmarks) for landmarks in smoothed(sequence)])
    assert (after[5] - after.min()) >= 0.85 * (raw[5] - raw.min())


def test_lips_lag_less_than_a_frame() -> None:
    times = np.arange(90) / 30
    weights = 0.5 - 0.5 * np.cos(2 * np.pi * 3.0 * times)
    sequence = [face({"jawOpen": float(w)}).landmarks for w in weights]
    raw, after = (
        np.array([np.linalg.norm(p[13, :2] - p[14, :2]) for p in track])
        for track in (sequence, smoothed(sequence))
    )
    assert np.corrcoef(raw[30:], after[30:])[0, 1] > 0.98
    assert after[30:].std() > 0.9 * raw[30:].std()


def test_a_moving_head_is_followed() -> None:
    sequence = [face({}, pose(at=(200 + 12 * i, 220))).landmarks for i in range(30)]
    lag = (sequence[-1] - smoothed(sequence)[-1])[:, 0].mean()
    assert abs(lag) < 12


def test_smoothing_starts_anew_after_a_gap() -> None:
    smoother = FaceSmoother()
    smoother(face(), 0.0)
    elsewhere = face({}, pose(at=(500, 300)))
    np.testing.assert_allclose(smoother(elsewhere, 5.0).landmarks, elsewhere.landmarks, atol=0.05)


def test_the_expression_is_steadied_but_a_blink_survives() -> None:
    rng = np.random.default_rng(2)
    smoother, told = FaceSmoother(), []
    for i in range(90):
        expression = rng.normal(0.2, 0.03, 52).astype(np.float32)
        expression[0] = 1.0 if 60 <= i < 64 else 0.0
        told.append(smoother(replace(face(), expression=expression), i / 30).expression)
    told_at = np.stack(told)
    assert told_at[20:, 1:].std() < 0.02
    assert told_at[60:64, 0].max() > 0.85
