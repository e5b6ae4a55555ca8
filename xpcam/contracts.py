"""What the engines that read a face take and give, checked when it is loaded."""

from xpcam.face.landmarks import LANDMARKS
from xpcam.inference.engine import Contract
from xpcam.inference.tensor import Tensor
from xpcam.tracking.crops import CROP
from xpcam.tracking.detection import SIDE, STRIDE

FACE_PARAMS = Contract(
    {"image": Tensor("uint8", (1, CROP, CROP, 3))},
    {
        "landmarks": Tensor("float32", (1, LANDMARKS, 3)),
        "confidence": Tensor("float32", (1,)),
        "expression": Tensor("float32", (1, 52)),
        "identity": Tensor("float32", (1, 80)),
        "texture": Tensor("float32", (1, 80)),
        "lighting": Tensor("float32", (1, 9, 3)),
    },
)
FACE_DETECTOR = Contract(
    {"image": Tensor("uint8", (1, SIDE, SIDE, 3))},
    {
        "score": Tensor("float32", (1, 1, SIDE // STRIDE, SIDE // STRIDE)),
        "geometry": Tensor("float32", (1, 5, SIDE // STRIDE, SIDE // STRIDE)),
    },
)
