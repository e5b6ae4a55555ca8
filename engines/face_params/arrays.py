"""Array types of training code: OpenCV's own annotations are too wide for `xpcam.frame`'s exact ones."""

from typing import Any

from numpy.typing import NDArray

Pixels = NDArray[Any]
"""(H, W, 3) uint8, BGR."""

Floats = NDArray[Any]
