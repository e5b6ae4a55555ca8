"""A time in a picture: squares at its top, black or white, the highest bit of the milliseconds first."""

import numpy as np

from xpcam.frame import Pixels

BITS, SIDE = 32, 8  # pixels
SURE = 80  # levels from the middle of luma's range


def stamped(pixels: Pixels, seconds: float) -> Pixels:
    """A copy of (height, width, 3) pixels with the time."""
    bits = np.array([round(seconds * 1e3) >> place & 1 for place in reversed(range(BITS))], np.uint8)
    copy = pixels.copy()
    copy[:SIDE, : BITS * SIDE] = np.repeat(bits * 255, SIDE)[None, :, None]
    return copy


def read(luma: Pixels) -> float | None:
    """The seconds in every second pixel of a picture's luma; None where there are none."""
    half = SIDE // 2
    squares = luma[half // 2, half // 2 : BITS * half : half].astype(int) - 126
    if len(squares) < BITS or np.abs(squares).min() < SURE:
        return None
    return int("".join("1" if level > 0 else "0" for level in squares), 2) / 1e3
