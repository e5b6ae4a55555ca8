"""The morphable face of `xpcam.face.model` in PyTorch: parameters -> vertices, landmarks, colours, pictures."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.face_params.rasteriser import interpolate, rasterise
from xpcam.face import landmarks as fl
from xpcam.face.model import SKIN, FaceModel


@dataclass(frozen=True, slots=True)
class Parameters:
    """What a picture of a face was made of, a batch of B.

    Attributes:
        identity: (B, 80) standard deviations.
        expression: (B, 52) ARKit weights, 0 to 1.
        texture: (B, 80) standard deviations.
        lighting: (B, 9, 3) as `xpcam.face.model.shading` takes it.
    """

    identity: Tensor
    expression: Tensor
    texture: Tensor
    lighting: Tensor


@dataclass(frozen=True, slots=True)
class Placing:
    """Weak perspective for a batch: places = scale * vertices @ rotation.T + shift, all three coordinates.

    Attributes:
        rotation: (B, 3, 3); scale: (B,) pixels a unit; shift: (B, 3) pixels.
    """

    rotation: Tensor
    scale: Tensor
    shift: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """(B, N, 3) points of the face -> pixels."""
        turned = points @ self.rotation.transpose(1, 2)
        return turned * self.scale[:, None, None] + self.shift[:, None]


@torch.no_grad()
def place(face: Tensor, landmarks: Tensor) -> Placing:
    """Least-squares placing of model landmarks (B, 478, 3) on pixels (B, 478, 3), by the points that hardly move.

    Closed form (Umeyama 1991) in double precision. Without gradients: the pose follows the shape from step to step.
    """
    rigid = list(fl.RIGID)
    source, goal = face[:, rigid].double(), landmarks[:, rigid].double()
    middle, goal_middle = source.mean(1, keepdim=True), goal.mean(1, keepdim=True)
    a, b = source - middle, goal - goal_middle
    u, s, v = torch.linalg.svd(b.transpose(1, 2) @ a)
    sign = torch.ones_like(s)
    sign[:, 2] = torch.det(u @ v).sign()
    rotation = (u * sign[:, None]) @ v
    scale = (s * sign).sum(1) / a.square().sum((1, 2))
    shift = goal_middle[:, 0] - scale[:, None] * (middle @ rotation.transpose(1, 2))[:, 0]
    return Placing(rotation.float(), scale.float(), shift.float())


class ParametricFace(nn.Module):
    """Decodes parameters, and draws them as a small picture."""

    def __init__(self, model: FaceModel) -> None:
        super().__init__()
        for name in ("mean", "identity", "expression", "albedo_mean", "albedo", "landmark_weights"):
            self.register_buffer(name, torch.tensor(getattr(model, name), dtype=torch.float32))
        for name in ("triangles", "landmark_triangle"):
            self.register_buffer(name, torch.tensor(getattr(model, name), dtype=torch.int64))
        corner = self.triangles[self.landmark_triangle]  # (478, 3)
        weights = self.landmark_weights[..., None]

        def embedded(field: Tensor) -> Tensor:
            return (field[..., corner, :] * weights).sum(-2)

        self.register_buffer("landmark_mean", embedded(self.mean))
        self.register_buffer("landmark_identity", embedded(self.identity))
        self.register_buffer("landmark_expression", embedded(self.expression))
        self.register_buffer("skin", torch.tensor(model.part == SKIN, dtype=torch.float32))  # (T,)

    def landmarks(self, parameters: Parameters) -> Tensor:
        """(B, 478, 3) in the face's own frame."""
        moved = torch.einsum("bk,knc->bnc", parameters.identity, self.landmark_identity)
        moved = moved + torch.einsum("bk,knc->bnc", parameters.expression, self.landmark_expression)
        return self.landmark_mean + moved

    def vertices(self, parameters: Parameters) -> Tensor:
        """(B, V, 3) in the face's own frame."""
        count = len(self.mean)
        moved = parameters.identity @ self.identity.flatten(
            1
        ) + parameters.expression @ self.expression.flatten(1)
        return self.mean + moved.view(-1, count, 3)

    def normals(self, vertices: Tensor) -> Tensor:
        """(B, V, 3) unit normals, out of the face."""
        a, b, c = vertices[:, self.triangles].unbind(2)
        area = torch.linalg.cross(b - a, c - a)
        total = torch.zeros_like(vertices)
        for corner in range(3):
            total = total.index_add(1, self.triangles[:, corner], area)
        return F.normalize(total, dim=2)

    def albedo_of(self, texture: Tensor) -> Tensor:
        """(B, V, 3) BGR, 0 to 1."""
        return self.albedo_mean + (texture @ self.albedo.flatten(1)).view(len(texture), -1, 3)

    def draw(
        self, parameters: Parameters, placing: Placing, size: int, pixel: float, window: int = 6
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Draw the face into (size, size) pictures of which one pixel covers `pixel` pixels of the placing.

        Returns:
            (B, size, size, 3) BGR 0 to 1, (B, size, size) whether anything is seen, the same for skin.
        """
        vertices = self.vertices(parameters)
        places = (placing.apply(vertices)[..., :2] + 0.5) / pixel - 0.5
        turned = vertices @ placing.rotation.transpose(1, 2)
        drawn = rasterise(places, turned[..., 2].detach(), self.triangles, size, window)
        values = torch.cat(
            [self.normals(vertices) @ placing.rotation.transpose(1, 2), self.albedo_of(parameters.texture)], 2
        )
        seen = interpolate(drawn, self.triangles, values)
        light = shading(F.normalize(seen[..., :3], dim=-1), parameters.lighting)
        mask = drawn.seen.float()
        return seen[..., 3:] * light, mask, self.skin[drawn.triangle] * mask


def harmonics(normals: Tensor) -> Tensor:
    """(..., 9) spherical harmonics of unit normals (..., 3), as `xpcam.face.model.harmonics`."""
    x, y, z = normals.unbind(-1)
    one = torch.ones_like(x)
    return torch.stack([one, y, z, x, x * y, y * z, 3 * z * z - 1, x * z, x * x - y * y], dim=-1)


def shading(normals: Tensor, lighting: Tensor) -> Tensor:
    """(B, H, W, 3) light that falls on normals (B, H, W, 3) from lighting (B, 9, 3)."""
    return torch.einsum("bhwk,bkc->bhwc", harmonics(normals), lighting)
