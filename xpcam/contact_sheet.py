"""A picture of some moments of a run: the driver beside the output.

It shows the driver's pixels, so it is allowed for the demo clip and video files only: `settings.py` refuses
the others by their name, `daemon.py` by what was opened.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import cv2
import numpy as np

from xpcam.errors import OutputError
from xpcam.frame import Pixels

MOMENTS: Final = 8
COLUMNS: Final = 2
GAP: Final = 8
BACKGROUND: Final = 24


class ContactSheet:
    """Collects moments spread evenly over a run whose length nobody knows beforehand.

    Every `stride`-th pair is kept, scaled down; when twice as many are kept as wanted, every second one goes
    and the stride doubles. So memory stays bounded and most frames cost nothing.
    """

    def __init__(self, height: int = 180) -> None:
        """`height` of each picture, pixels."""
        self._height = height
        self._kept: list[Pixels] = []
        self._stride = 1
        self._seen = 0

    def add(self, driver: Pixels, output: Pixels) -> None:
        """Offer one pair of (H, W, 3) BGR pictures; they are copied if they are kept."""
        if self._seen % self._stride == 0:
            self._kept.append(np.hstack([self._scaled(driver), self._scaled(output)]))
            if len(self._kept) == 4 * MOMENTS:
                self._kept = self._kept[::2]
                self._stride *= 2
        self._seen += 1

    def picture(self) -> Pixels:
        """The sheet: `MOMENTS` pairs (or as many as there were) in rows of two, (H, W, 3) BGR."""
        chosen = np.linspace(0, len(self._kept) - 1, min(MOMENTS, len(self._kept))).round().astype(int)
        return arrange([self._kept[index] for index in chosen])

    def save(self, path: Path) -> None:
        """Write the sheet as PNG.

        Raises:
            OutputError: there was no frame, or the file cannot be written.
        """
        if not self._kept:
            raise OutputError(f"no frame for the contact sheet {path}: wanted at least one; run longer")
        try:
            path.write_bytes(cv2.imencode(".png", self.picture())[1].tobytes())
        except OSError as error:
            raise _unwritable(path, error.strerror) from error

    def _scaled(self, pixels: Pixels) -> Pixels:
        height, width = pixels.shape[:2]
        size = (max(1, round(width * self._height / height)), self._height)
        return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)


def check_place(path: Path) -> None:
    """Refuse a place where the sheet could not be saved at the end, before the run.

    Raises:
        OutputError: the folder is missing or not writable, or the file is.
    """
    if path.is_dir() or not path.parent.is_dir():
        raise _unwritable(path, "it is a folder" if path.is_dir() else f"there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise _unwritable(path, "Permission denied")


def _unwritable(path: Path, why: str | None) -> OutputError:
    return OutputError(
        f"cannot write the contact sheet {path} ({why}): wanted a file in a writable folder; choose another"
    )


def arrange(pictures: list[Pixels]) -> Pixels:
    """Pictures of one height in rows of two with a gap around each, as one (H, W, 3) picture."""
    cell_height = max(picture.shape[0] for picture in pictures) + GAP
    cell_width = max(picture.shape[1] for picture in pictures) + GAP
    rows = -(-len(pictures) // COLUMNS)
    columns = min(COLUMNS, len(pictures))
    sheet = np.full((rows * cell_height + GAP, columns * cell_width + GAP, 3), BACKGROUND, np.uint8)
    for index, picture in enumerate(pictures):
        top = GAP + index // COLUMNS * cell_height
        left = GAP + index % COLUMNS * cell_width
        sheet[top : top + picture.shape[0], left : left + picture.shape[1]] = picture
    return sheet


@contextmanager
def contact_sheet_at(path: Path | None) -> Iterator[ContactSheet | None]:
    """A contact sheet, saved at the end of a run that ended well; None where there is no path."""
    sheet = ContactSheet() if path is not None else None
    yield sheet
    if sheet is not None and path is not None:
        sheet.save(path)
