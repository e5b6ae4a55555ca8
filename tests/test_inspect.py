"""`xpcam inspect`: one picture, or one line that says why not."""

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import openpeople
import pytest
from faces import face, pose

from xpcam import cli
from xpcam.inspect import PANEL, inspect

Run = Callable[..., int]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `xpcam inspect` with arguments in this process; gives the exit code."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["xpcam", "inspect", *map(str, arguments)])
        try:
            cli.main()
        except SystemExit as ended:
            return int(ended.code or 0)
        return 0

    return call


@pytest.fixture(scope="module")
def portrait(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("inspect") / "face.png"
    picture = cv2.imread(str(openpeople.curated.get("P009").asset_path("studio_portrait")))
    assert picture is not None
    cv2.imwrite(str(path), cv2.resize(picture, (640, 640), interpolation=cv2.INTER_AREA))
    return path


def test_a_portrait_is_explained(
    portrait: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "fit.png"
    assert run(portrait, "--output", output) == 0
    picture = cv2.imread(str(output))
    assert picture is not None and picture.shape[0] > 2 * PANEL and picture.shape[1] > 4 * PANEL
    shown = capsys.readouterr().out
    assert str(output) in shown and "landmarks off by" in shown
    landmarks_off, colours_off = (
        float(word.split(" %")[0].split()[-1]) for word in shown.split("; ")[0].split(", ")
    )
    assert landmarks_off < 2.0
    assert colours_off < 8.0


def test_every_panel_shows_something() -> None:
    params = face({"jawOpen": 0.7}, pose(turn=(0.05, 0.25, 0.0)))
    picture = np.full((480, 640, 3), (110, 130, 170), np.uint8)
    seen = inspect(picture, params)
    assert seen.expression.argmax() == 17  # jawOpen
    assert seen.landmark_error < 0.03
    step = seen.picture.shape[1] // 4
    for row in range(2):
        for column in range(4):
            panel = seen.picture[row * PANEL + 40 : (row + 1) * PANEL, column * step : (column + 1) * step]
            assert panel.std() > 3


def test_a_face_at_the_border_and_tiny_pictures_do_not_matter() -> None:
    params = face(where=pose(at=(8, 8), scale=30))
    assert inspect(np.full((64, 64, 3), 128, np.uint8), params).picture.any()


def test_no_face_is_one_line(tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "grey.png"
    cv2.imwrite(str(path), np.full((400, 400, 3), 120, np.uint8))
    assert run(path, "--output", tmp_path / "fit.png") == 3
    assert "no face found" in capsys.readouterr().err.splitlines()[-1]


def test_two_faces_are_one_line(
    portrait: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.png"
    one = cv2.imread(str(portrait))
    assert one is not None
    cv2.imwrite(str(path), np.hstack([one, one[:, ::-1]]))
    assert run(path, "--output", tmp_path / "fit.png") == 3
    assert "2 faces found" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said"),
    [("fit.txt", "wanted a file that ends in .png"), ("no/such/fit.png", "there is no folder")],
)
def test_an_output_that_cannot_be_is_refused_at_once(
    name: str, said: str, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("nothing.png", "--output", tmp_path / name) == 5
    assert said in capsys.readouterr().err


def test_an_output_that_cannot_be_written(
    portrait: Path, tmp_path: Path, run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "fit.png"
    folder.mkdir()
    assert run(portrait, "--output", folder) == 5
    assert "cannot be written" in capsys.readouterr().err
