"""Acts of the embedded face itself, as a run tells the driving network of them: landmarks without error, and no picture."""

import numpy as np

from engines.face_params.arrays import Floats
from engines.x2face.people import Act, calm_act, motion_of, random_act
from xpcam.face.embedded_face import FRONTAL, embedded_face
from xpcam.face.head_crop import in_crop
from xpcam.frame import FaceParams
from xpcam.retargeting.retargeter import Gains, Retargeter
from xpcam.x2face.animated import TURN_LIMIT

Random = np.random.Generator
STRONG = 0.5  # share of the acts that are; the others speak, blink and hardly move
FAR, NEAR = (0.14, 0.28, 0.12), (0.04, 0.08, 0.04)  # spread of pitch, yaw, roll, radians
APART = 0.3  # share of the faces whose lips are apart at rest


class Actor:
    """The embedded face as the run time has it act.

    Args:
        pool: (N, 51) ARKit weights of real portraits.
    """

    def __init__(self, pool: Floats) -> None:
        self._pool = pool

    def pair(self, rng: Random) -> Floats:
        """(2, 478, 2) two acts of one face, -1 to 1 over its crop."""
        face = embedded_face(float(rng.random()) if rng.random() < APART else 0.0)
        actor = Retargeter(FaceParams(face, FRONTAL, 1.0), Gains(head=1.0), TURN_LIMIT)
        return np.stack([self._played(actor, face, self._act(rng)) for _ in range(2)])

    def _act(self, rng: Random) -> Act:
        turn = rng.normal(0, FAR if rng.random() < STRONG else NEAR).astype(np.float32)
        play = random_act if rng.random() < STRONG else calm_act
        return play(rng, self._pool, turn)

    def _played(self, actor: Retargeter, face: Floats, act: Act) -> Floats:
        params = actor.apply(motion_of(act, face, FRONTAL.rotation, np.zeros_like(act.scores)))
        return in_crop(params.landmarks, params.pose)
