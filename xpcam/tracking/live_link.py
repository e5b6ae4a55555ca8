"""Expression as a table that other tools speak: the CSV of Epic's Live Link Face app.

What the app writes, as seen in recordings of it (folders anim and csv of the GitHub repository
alexdjulin/LiveLinkFace-CSV-Retarget-For-Motionbuilder):

- Columns: Timecode, BlendShapeCount, the 52 ARKit shapes with a capital first letter (jaw and mouth have
  Right before Left, unlike `face.model.ARKIT`), yaw, pitch, roll of the head, then of the left and right eye.
- Timecode hh:mm:ss:ff.mmm: the frame and thousandths of a frame. Frames count to 59 whatever the
  recording's own rate is, so one at 30 frames/s advances by 2 a row.
- Eyes in radians: yaw is negative where EyeLookOutLeft is high, so positive towards the person's own right;
  pitch is positive where EyeLookDown is. Head angles are zeros in those recordings.

For head angles the receiver decides. Unreal 5.8 was measured (so says a public encoder for it) to turn the
head to its own left for positive yaw, up for positive pitch, its top to its own right for positive roll, and
to compose them pitch * roll * yaw, yaw first. MeFaMo sends the same signs of yaw and pitch, in radians.
"""

import csv
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import numpy as np
from numpy.typing import NDArray

from xpcam.errors import CameraError
from xpcam.face.landmarks import rotation_matrix
from xpcam.face.model import ARKIT
from xpcam.frame import Floats

TIMECODE, COUNT = "Timecode", "BlendShapeCount"
ANGLES: Final = tuple(
    f"{part}{axis}" for part in ("Head", "LeftEye", "RightEye") for axis in ("Yaw", "Pitch", "Roll")
)


def _capital(name: str) -> str:
    """The app's spelling and place of an ARKit shape: jaw and mouth have the sides exchanged."""
    swapped = {
        "jawLeft": "jawRight",
        "jawRight": "jawLeft",
        "mouthLeft": "mouthRight",
        "mouthRight": "mouthLeft",
    }
    name = swapped.get(name, name)
    return name[0].upper() + name[1:]


COLUMNS: Final = tuple(_capital(name) for name in ARKIT) + ANGLES
"""The 61 values of a row, in the app's order."""

WRITTEN_RATE = 60  # frames that the written timecodes count in a second, as the app's do
FILLED = 0.8  # share of a second to which rows that come regularly count at least
RATES = (24, 25, 30, 50, 60, 120, 1000)  # frames a second that a timecode may count
LARGEST_BYTES = 256_000_000  # about 90 minutes at 60 rows a second
LARGEST_VALUE = 1e3  # beyond this a number is none of a face
DAY = 24 * 3600.0
_CLOCK = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})[:;](\d{1,4}(?:\.\d+)?)")


@dataclass(frozen=True, slots=True)
class Take:
    """N rows. Without a face a row is NaN.

    Attributes:
        seconds: (N,) float64, rising, from 0.
        expression: (N, 52) float32, 0 to 1, in the order of `face.model.ARKIT`.
        head: (N, 3) float32, yaw, pitch, roll as the file has them, radians.
        gaze: (N, 2, 2) float32, as in `FaceParams`: right eye then left, each yaw and pitch, radians.
    """

    seconds: NDArray[np.float64]
    expression: Floats
    head: Floats
    gaze: Floats


def head_angles(rotation: Floats) -> tuple[float, float, float]:
    """Yaw, pitch and roll, radians, of a (3,) axis-angle rotation (`frame.Pose`)."""
    m = rotation_matrix(rotation)  # Rx(-pitch) @ Rz(-roll) @ Ry(-yaw)
    roll = math.asin(float(np.clip(m[0, 1], -1.0, 1.0)))
    return math.atan2(-m[0, 2], m[0, 0]), math.atan2(-m[2, 1], m[1, 1]), roll


def head_rotation(angles: Floats) -> Floats:
    """(3, 3) rotation matrix of (3,) yaw, pitch and roll; the inverse of `head_angles`."""
    yaw, pitch, roll = (-float(angle) for angle in angles)
    about = ((pitch, 0.0, 0.0), (0.0, 0.0, roll), (0.0, yaw, 0.0))
    x, z, y = (rotation_matrix(np.array(axis, np.float32)) for axis in about)
    return np.asarray(x @ z @ y, np.float32)


def write(take: Take, file: TextIO) -> None:
    """Write a take as the app does; a row without a face counts 0 blend shapes and is empty."""
    writer = csv.writer(file)
    writer.writerow((TIMECODE, COUNT, *COLUMNS))
    rows = zip(take.seconds, take.expression, take.head, take.gaze, strict=True)
    for seconds, expression, head, gaze in rows:
        if np.isnan(expression[0]):
            writer.writerow((timecode(seconds), 0, *[""] * len(COLUMNS)))
            continue
        weights = dict(zip(ARKIT, expression, strict=True))
        shapes = (weights[column[0].lower() + column[1:]] for column in COLUMNS[: len(ARKIT)])
        (right_yaw, right_pitch), (left_yaw, left_pitch) = gaze
        eyes = (-left_yaw, left_pitch, 0.0, -right_yaw, right_pitch, 0.0)
        values = (f"{value:.10f}" for value in (*shapes, *head, *eyes))
        writer.writerow((timecode(seconds), len(COLUMNS), *values))


def timecode(seconds: float) -> str:
    """hh:mm:ss:ff.mmm, frames counted 60 a second."""
    thousandths = round(seconds * WRITTEN_RATE * 1000)
    whole, part = divmod(thousandths, WRITTEN_RATE * 1000)
    clock = f"{whole // 3600 % 24:02}:{whole // 60 % 60:02}:{whole % 60:02}"
    return f"{clock}:{part // 1000:02}.{part % 1000:03}"


def read(path: Path) -> Take:
    """Read a file of the app, or of a tool that writes like it.

    Columns are found by name, whatever their order; names may begin with a small letter, and shapes that
    are not there count as 0. Empty lines are skipped, weights beyond 0 and 1 are cut.

    Raises:
        CameraError: it cannot be read, or is no such table: one line, with the line's number.
    """
    try:
        if path.stat().st_size > LARGEST_BYTES:
            raise CameraError(
                f"{path} is a file of {path.stat().st_size / 1e6:.0f} MB: wanted at most "
                f"{LARGEST_BYTES / 1e6:.0f}; cut it"
            )
        with path.open(newline="", encoding="utf-8-sig") as file:
            return _Table(path, file).take()
    except OSError as error:
        raise CameraError(
            f"cannot read {path} ({error.strerror}): wanted a Live Link Face .csv; check the name"
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise CameraError(
            f"{path} is no CSV text ({error}): wanted a table that Live Link Face wrote"
        ) from error


class _Table:
    """The rows of one file, read once.

    After the header: where the timecode stands, how many cells a row has, which of `COLUMNS` are there, and
    in which cells.
    """

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path = path
        self._reader = csv.reader(file)
        self._clocks: list[tuple[float, float, int]] = []

    def take(self) -> Take:
        self._header()
        rows: list[Floats] = []
        for cells in self._lines():
            rows.append(self._values(cells))
            self._clock(cells[self._timecode] if self._timecode < len(cells) else "")
        if not rows:
            raise CameraError(f"{self._path} has no rows: wanted one for each moment; record it again")
        values = dict(zip(COLUMNS, np.stack(rows, axis=1), strict=True))
        expression = np.stack([values[name[0].upper() + name[1:]] for name in ARKIT], axis=1)
        gaze = [[-values[f"{side}EyeYaw"], values[f"{side}EyePitch"]] for side in ("Right", "Left")]
        return Take(
            self._seconds(),
            np.clip(expression, 0.0, 1.0),
            np.stack([values[name] for name in ANGLES[:3]], axis=1),
            np.ascontiguousarray(np.array(gaze, np.float32).transpose(2, 0, 1)),
        )

    def _header(self) -> None:
        cells = next(self._lines(), [])
        places = {cell.strip().lower(): at for at, cell in enumerate(cells) if cell.strip()}
        if TIMECODE.lower() not in places or not places.keys() & {name.lower() for name in ARKIT}:
            raise CameraError(
                f"{self._path}, first line: found {','.join(cells)[:60] or 'nothing'!r}, wanted Timecode,"
                "BlendShapeCount,EyeBlinkLeft,... as Live Link Face writes; give such a file ('xpcam track "
                "--format live-link' makes one)"
            )
        self._timecode = places[TIMECODE.lower()]
        self._width = max(places.values()) + 1
        there = [
            (index, places[name.lower()]) for index, name in enumerate(COLUMNS) if name.lower() in places
        ]
        self._index = np.array([index for index, _ in there])
        self._cells = [at for _, at in there]

    def _lines(self) -> Iterator[list[str]]:
        return (cells for cells in self._reader if any(cell.strip() for cell in cells))

    def _values(self, cells: list[str]) -> Floats:
        """(61,) values of a row; NaN without a face, 0 where the file has no such column."""
        texts = [cells[at].strip() for at in self._cells if at < len(cells)]
        if not any(texts):
            return np.full(len(COLUMNS), np.nan, np.float32)
        if len(cells) < self._width:
            raise self._wrong(f"{len(cells)} values", f"{self._width} as in the first line")
        row = np.zeros(len(COLUMNS), np.float32)
        row[self._index] = [self._number(text) for text in texts]
        return row

    def _number(self, text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not abs(value) < LARGEST_VALUE:
            raise self._wrong(repr(text[:20]), "a number")
        return value

    def _clock(self, text: str) -> None:
        """Keep the whole seconds and the frames of a timecode."""
        match = _CLOCK.fullmatch(text.strip())
        if match is None:
            raise self._wrong(f"timecode {text[:20]!r}", "hh:mm:ss:ff.mmm")
        hours, minutes, seconds, frames = (float(part) for part in match.groups())
        self._clocks.append((hours * 3600 + minutes * 60 + seconds, frames, self._reader.line_num))

    def _seconds(self) -> NDArray[np.float64]:
        """(N,) seconds from the first row, by the frame rate that its timecodes fill."""
        whole, frames, lines = np.array(self._clocks).T
        last = frames.max() if np.ptp(whole) > 1 else 0.0  # the frames of a part of a second tell no rate
        rate = next((rate for rate in RATES if FILLED * rate <= last < rate), WRITTEN_RATE)
        steps = np.diff(whole + frames / rate)
        steps[steps < -DAY / 2] += DAY  # midnight
        if (steps < 0).any():
            line = int(lines[1 + int(np.argmax(steps < 0))])
            raise CameraError(
                f"{self._path}, line {line}: found a timecode before the one above it, wanted rising ones; "
                "sort the lines"
            )
        return np.concatenate([[0.0], np.cumsum(steps)])

    def _wrong(self, found: str, wanted: str) -> CameraError:
        return CameraError(
            f"{self._path}, line {self._reader.line_num}: found {found}, wanted {wanted}; mend or remove "
            "that line"
        )
