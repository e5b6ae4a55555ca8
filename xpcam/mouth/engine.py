"""The mouth engine: says how what `mouth.proxy` has drawn must change to belong to the face around it.

Contract: `image` uint8 (1, 128, 128, 7) is the mouth's crop (BGR, white inside the lips), the mask of their
opening (0 to 255) and the interior drawn within it (BGR); `style` float32 (1, 26) is `Style.vector` and what
the mouth is to show (`mouth.showing`). `transfer` float32 (1, 64, 64, 6) is, place by place, what each colour
of the drawing is multiplied by (255: nothing changes), and what is then added, of 255.
"""

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from xpcam.frame import Floats, Pixels
from xpcam.inference.engine import Contract, Engine
from xpcam.inference.providers import Device
from xpcam.inference.tensor import Array, Tensor
from xpcam.mouth.proxy import CROP
from xpcam.warping.mesh_warp import Box

PLANES: Final = 7
CALM: Final = 0.25  # share of a new transfer that a still mouth takes over
MOVED: Final = 0.04  # lips that have moved so far, outer-eye distances, take all of it
REACH: Final = 5.0  # places from which is taken what lies beyond the lips
GRID: Final = 64  # places a side that the engine says something of
CONTRACT: Final = Contract(
    inputs={"image": Tensor("uint8", (1, CROP, CROP, PLANES)), "style": Tensor("float32", (1, 26))},
    outputs={"transfer": Tensor("float32", (1, GRID, GRID, 6))},
)


def planes(crop: Pixels, mask: Floats, drawn: Floats) -> Pixels:
    """(128, 128, 7) uint8 for the engine.

    Args:
        crop: (128, 128, 3) the mouth's crop.
        mask: (128, 128) 1 inside the lips, shares at their edge.
        drawn: (128, 128, 3) float32 the interior that `MouthProxy` drew.
    """
    made = np.empty((CROP, CROP, PLANES), np.uint8)
    opened = mask[..., None]
    made[..., :3] = crop + (255 - crop) * opened
    made[..., 3] = mask * 255
    made[..., 4:] = drawn * (opened > 0)
    return made


def applied(transfer: Floats, drawn: Floats, size: int, box: Box | None = None) -> Floats:
    """What is drawn as a (64, 64, 6) transfer says, float32.

    Args:
        drawn: (h, w, 3) of a mouth's crop of `size` pixels a side, all of it or a `box`.
    """
    share = GRID / size
    top, left = (0, 0) if box is None else (box[0].start, box[1].start)
    matrix = np.array([[share, 0, (left + 0.5) * share - 0.5], [0, share, (top + 0.5) * share - 0.5]])
    gain, offset = (
        cv2.warpAffine(
            np.ascontiguousarray(part), matrix, drawn.shape[1::-1],
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        for part in (transfer[..., :3], transfer[..., 3:])
    )  # fmt: skip
    return np.asarray(np.clip(drawn * gain * np.float32(1 / 255) + offset, 0.0, 255.0), np.float32)


def carried_on(transfer: Floats, opened: Floats, cover: Floats) -> Floats:
    """A (64, 64, 6) transfer that says beyond the lips what it says near them: a tongue goes on there.

    Args:
        opened: (size, size) 1 inside the lips.
        cover: (size, size) 1 where a tongue lies on the lip.
    """
    inside, out = (
        np.asarray(cv2.resize(one, (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32)
        for one in (opened, cover)
    )
    near = cv2.GaussianBlur(inside, (0, 0), REACH)[..., None] + np.float32(1e-4)
    around = cv2.GaussianBlur(transfer * inside[..., None], (0, 0), REACH) / near
    return np.asarray(around + (transfer - around) * (inside * (1 - out))[..., None], np.float32)


class MouthEngine:
    """The engine; a session that mouths share.

    Args:
        model: the .onnx file.

    Attributes:
        engine: what runs it.
    """

    def __init__(self, model: Path, *, device: Device = "auto", threads: int = 0) -> None:
        self.engine = Engine(model, device=device, threads=threads, contract=CONTRACT)

    def transfer(self, crop: Pixels, mask: Floats, drawn: Floats, style: Floats) -> Floats:
        """(64, 64, 6) float32; `style` (26,), the others as for `planes`."""
        inputs: dict[str, Array] = {"image": planes(crop, mask, drawn)[None], "style": style[None]}
        return np.asarray(self.engine.run(inputs)["transfer"][0], np.float32)

    def close(self) -> None:
        """Free the session."""
        self.engine.close()


class Steady:
    """Averages transfers while a mouth hardly moves: colours do not tremble, nor lag when it speaks."""

    def __init__(self) -> None:
        self._last: Floats | None = None
        self._shape: Floats | None = None

    def averaged(self, transfer: Floats, shape: Floats) -> Floats:
        """The transfer to show for lips of (5,) `shape` (`showing.shape_of`)."""
        if self._last is None or self._shape is None:
            self._last, self._shape = transfer, shape
            return transfer
        moved = float(np.abs(shape - self._shape).max())
        share = np.float32(np.clip(moved / MOVED, CALM, 1.0))
        self._last = self._last + (transfer - self._last) * share
        self._shape = self._shape + (shape - self._shape) * share
        return self._last
