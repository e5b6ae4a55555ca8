"""Fits the morphable face to 478 landmarks: identity, expression and pose, without a network."""

from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from xpcam.face import landmarks as fl
from xpcam.face.model import IDENTITIES, FaceModel, face_model
from xpcam.frame import Floats, Pose

Doubles = NDArray[np.float64]

NOISE: Final = 0.01  # standard deviation of a landmark's x or y, in outer-eye distances
DEPTH_WEIGHT: Final = 0.15  # of a landmark's z, which is guessed, beside x and y
OUTLINE_WEIGHT: Final = 0.2  # of landmarks on the outline, which slide along it as the head turns
EXPRESSION: Final = 0.1  # standard deviation of a blend shape's weight in the prior; an identity's is 1
ROUNDS: Final = 8
BOUNDING: Final = 4  # how often weights that left 0..1 are put back and the others solved again


@dataclass(frozen=True, slots=True)
class FaceFit:
    """What the morphable face says of one face.

    Attributes:
        identity: (80,) standard deviations. expression: (52,) ARKit weights, 0 to 1.
        pose: weak perspective that takes the model to pixels (`face.landmarks.apply_pose`).
        error: mean distance between fitted and given landmarks in x and y, in outer-eye distances.
    """

    identity: Floats
    expression: Floats
    pose: Pose
    error: float

    def vertices(self, model: FaceModel) -> Floats:
        """(V, 3) pixels, z in the same unit about the face's origin."""
        return fl.apply_pose(model.shape(self.identity, self.expression), self.pose)


@dataclass(frozen=True, slots=True)
class _System:
    """The normal equations that all fits share: they depend on the model alone."""

    mean: Doubles  # (478, 3)
    basis: Doubles  # (132, 1434)
    weighted: Doubles  # (132, 1434), each column times its weight
    matrix: Doubles  # (132, 132)
    prior: Doubles  # (132,) what a coefficient's squared distance from its prior mean costs


@cache
def _system() -> _System:
    model = face_model()
    basis = np.concatenate([model.landmark_identity, model.landmark_expression]).astype(np.float64)
    weight = np.ones((fl.LANDMARKS, 3))
    weight[:, 2] = DEPTH_WEIGHT
    weight[list(fl.FACE_OVAL)] *= OUTLINE_WEIGHT
    flat = basis.reshape(len(basis), -1)
    prior = np.full(len(basis), NOISE**2)
    prior[IDENTITIES:] /= EXPRESSION**2
    weighted = flat * weight.ravel()
    matrix = weighted @ flat.T + np.diag(prior)
    return _System(model.landmark_mean.astype(np.float64), flat, weighted, matrix, prior)


def fit(landmarks: Floats, expected: Floats | None = None) -> FaceFit:
    """The most probable parameters for (478, 3) landmarks in pixels: least squares and pose in turn.

    Landmarks alone hardly tell some shapes apart (a pucker from a small mouth): `expected` (52,), the
    weights that the engine read, is where the prior has its mean; a resting face without it.

    The landmarks' errors and the parameters are taken as normally distributed, which makes it a ridge
    regression at each pose (Blanz and Vetter, SIGGRAPH 1999, section 4, for landmarks alone).
    """
    system = _system()
    coefficients = np.zeros(len(system.basis))
    before = np.zeros(len(system.basis))
    if expected is not None:
        before[IDENTITIES:] = expected
    shape, goal = system.mean, landmarks.astype(np.float64)
    for _ in range(ROUNDS):
        rotation, scale, shift = fl.similarity(shape, goal)
        wanted = ((goal - shift) @ rotation / scale - system.mean).ravel()
        coefficients = _bounded(system.matrix, system.weighted @ wanted + system.prior * before)
        shape = system.mean + (coefficients @ system.basis).reshape(-1, 3)
    pose = Pose(fl.rotation_vector(rotation.astype(np.float32)), shift[:2].astype(np.float32), scale)
    reached = scale * shape @ rotation.T + shift
    error = float(np.linalg.norm((reached - goal)[:, :2], axis=1).mean()) / fl.outer_eye_distance(landmarks)
    identity, expression = np.split(coefficients.astype(np.float32), [IDENTITIES])
    return FaceFit(identity, expression, pose, error)


def _bounded(matrix: Doubles, right: Doubles) -> Doubles:
    """Solution of matrix @ x = right whose expression weights stay within 0 to 1, approximately the best."""
    solution = np.linalg.solve(matrix, right)
    bound = np.zeros(len(right), bool)
    for _ in range(BOUNDING):
        outside = (solution < 0) | (solution > 1)
        outside[:IDENTITIES] = False
        if not (outside & ~bound).any():
            break
        bound |= outside
        solution[bound] = np.clip(solution[bound], 0, 1)
        rest = right[~bound] - matrix[np.ix_(~bound, bound)] @ solution[bound]
        solution[~bound] = np.linalg.solve(matrix[np.ix_(~bound, ~bound)], rest)
    solution[IDENTITIES:] = np.clip(solution[IDENTITIES:], 0, 1)
    return np.asarray(solution)
