"""The mouth engine: makes what `mouth.proxy` has drawn belong to the face around it.

Contract: `image` uint8 (1, 128, 128, 7) is the mouth's crop (BGR, white inside the lips), the mask of their
opening (0 or 255) and the drawn interior (BGR); `style` float32 (1, 22) is `Style.vector`. `interior` float32
(1, 128, 128, 3) is the interior, BGR, 0 to 255.
"""

from pathlib import Path
from typing import Final

import numpy as np

from xpcam.frame import Floats, Pixels
from xpcam.inference.engine import Array, Contract, Engine
from xpcam.inference.providers import Device
from xpcam.inference.sessions import Tensor
from xpcam.mouth.proxy import CROP
from xpcam.mouth.style import Style

PLANES: Final = 7
CONTRACT: Final = Contract(
    inputs={"image": Tensor("uint8", (1, CROP, CROP, PLANES)), "style": Tensor("float32", (1, 22))},
    outputs={"interior": Tensor("float32", (1, CROP, CROP, 3))},
)


def planes(crop: Pixels, mask: Floats, drawn: Floats) -> Pixels:
    """(128, 128, 7) uint8 for the engine.

    Args:
        crop: (128, 128, 3) the mouth's crop.
        mask: (128, 128) 1 inside the lips.
        drawn: (128, 128, 3) float32 the interior that `MouthProxy` drew.
    """
    made = np.empty((CROP, CROP, PLANES), np.uint8)
    inside = mask > 0
    made[..., :3] = crop
    made[inside, :3] = 255
    made[..., 3] = inside * np.uint8(255)
    made[..., 4:] = drawn
    return made


class MouthEngine:
    """The engine; a session that mouths share.

    Args:
        model: the .onnx file.
    """

    def __init__(self, model: Path, *, device: Device = "auto", threads: int = 0) -> None:
        self._engine = Engine(model, device=device, threads=threads, contract=CONTRACT)

    def refine(self, crop: Pixels, mask: Floats, drawn: Floats, style: Style) -> Floats:
        """(128, 128, 3) float32 BGR 0 to 255, the interior; arguments as for `planes`."""
        inputs: dict[str, Array] = {"image": planes(crop, mask, drawn)[None], "style": style.vector()[None]}
        return np.asarray(self._engine.run(inputs)["interior"][0], np.float32)

    def close(self) -> None:
        """Free the session."""
        self._engine.close()
