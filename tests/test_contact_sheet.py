"""The contact sheet: which moments it keeps, and what it looks like."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from xpcam.contact_sheet import GAP, MOMENTS, ContactSheet, check_place
from xpcam.errors import OutputError
from xpcam.frame import Pixels


def plain(value: int, width: int = 64, height: int = 48) -> Pixels:
    return np.full((height, width, 3), value, np.uint8)


def moments(sheet: ContactSheet, height: int = 24) -> list[int]:
    """The driver's grey level in each place of the sheet, row by row."""
    picture = sheet.picture()
    cell = (picture.shape[1] - GAP) // 2
    places = [
        (GAP + row * (height + GAP), GAP + column * cell)
        for row in range(MOMENTS // 2)
        for column in range(2)
    ]
    return [int(picture[top + 2, left + 2, 0]) for top, left in places]


@pytest.mark.parametrize("frames", [MOMENTS, 31, 32, 33, 100, 240])
def test_moments_are_in_order_and_cover_the_run(frames: int) -> None:
    sheet = ContactSheet(height=24)
    for index in range(frames):
        sheet.add(plain(index), plain(255))
    found = moments(sheet)
    assert len(found) == MOMENTS
    assert found[0] == 0
    assert found[-1] >= frames * 0.85 - 1
    gaps = np.diff(found)
    assert gaps.min() >= 1
    assert gaps.max() <= 2 * frames / MOMENTS + 1


def test_the_driver_stands_left_of_the_output() -> None:
    sheet = ContactSheet(height=24)
    sheet.add(plain(50), plain(200, width=96))
    picture = sheet.picture()
    assert picture.shape == (24 + 2 * GAP, 32 + 48 + 2 * GAP, 3)
    assert picture[GAP + 12, GAP + 16, 0] == 50
    assert picture[GAP + 12, GAP + 32 + 24, 0] == 200


def test_memory_stays_bounded() -> None:
    sheet = ContactSheet(height=24)
    for index in range(5000):
        sheet.add(plain(index % 256), plain(0))
    assert len(sheet._kept) <= 4 * MOMENTS


def test_kept_pictures_are_copies() -> None:
    sheet, driver = ContactSheet(height=48), plain(10)
    sheet.add(driver, plain(20))
    driver[:] = 99
    assert sheet.picture()[GAP + 5, GAP + 5, 0] == 10


def test_it_is_written_as_png(tmp_path: Path) -> None:
    sheet = ContactSheet(height=24)
    sheet.add(plain(50), plain(200))
    sheet.save(tmp_path / "sheet.png")
    written = cv2.imread(str(tmp_path / "sheet.png"))
    assert written is not None
    np.testing.assert_array_equal(written, sheet.picture())


def test_a_run_without_frames_and_a_missing_folder_are_named(tmp_path: Path) -> None:
    sheet = ContactSheet()
    with pytest.raises(OutputError, match="no frame for the contact sheet"):
        sheet.save(tmp_path / "sheet.png")
    sheet.add(plain(1), plain(2))
    with pytest.raises(OutputError, match=r"cannot write the contact sheet .*nowhere.*No such file"):
        sheet.save(tmp_path / "nowhere" / "sheet.png")


@pytest.mark.parametrize(
    ("name", "why"), [("no/sheet.png", "there is no folder"), ("folder.png", "it is a folder")]
)
def test_a_place_that_cannot_be_is_told_beforehand(name: str, why: str, tmp_path: Path) -> None:
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(OutputError, match=f"cannot write the contact sheet .*{why}.* choose another"):
        check_place(tmp_path / name)
    check_place(tmp_path / "sheet.png")


def test_a_folder_that_may_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root, who may run the tests, may write anywhere.
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    with pytest.raises(OutputError, match="Permission denied"):
        check_place(tmp_path / "sheet.png")
    (tmp_path / "sheet.png").touch()
    check_place(tmp_path / "sheet.png")
