"""The part of the engine `face_params` that says what a face is made of: identity, expression, texture, light.

It looks at what the landmark network has already seen (its maps at strides 16 and 32) and at the landmarks that
network placed, so that a frame costs one pass, and it is trained on top of it, its weights left as they are.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.face_params.network import conv_bn
from xpcam.face import landmarks as fl

IDENTITY, EXPRESSION, TEXTURE, LIGHTING = 80, 52, 80, 27
NEAR, FAR = (112, 8), (192, 4)  # channels and side of the landmark network's maps
HIDDEN = 256


class ParameterNet(nn.Module):
    """(maps, landmarks) -> identity (B, 80), expression (B, 52), texture (B, 80), lighting (B, 9, 3)."""

    def __init__(self, mean_shape: Tensor) -> None:
        super().__init__()
        self.near = conv_bn(NEAR[0], 16, 1)
        self.far = conv_bn(FAR[0], 48, 1)
        self.points = nn.Linear(3 * fl.LANDMARKS, 160)
        seen = 16 * NEAR[1] ** 2 + 48 * FAR[1] ** 2
        self.skin = nn.Linear(seen, 128)
        self.shape = nn.Linear(160 + 128, HIDDEN)
        self.heads = nn.Linear(HIDDEN, IDENTITY + EXPRESSION)
        self.looks = nn.Linear(128 + 32, TEXTURE + LIGHTING)
        self.turned = nn.Linear(160, 32)
        self.register_buffer("mean_shape", mean_shape.view(1, fl.LANDMARKS, 3).clone())
        for head in (self.heads, self.looks):
            nn.init.normal_(head.weight, std=1e-2)
            nn.init.zeros_(head.bias)
        with torch.no_grad():
            self.heads.bias[IDENTITY:] = -2.0
            self.looks.bias[TEXTURE : TEXTURE + 3] = 1.0  # even light

    def upright(self, landmarks: Tensor) -> Tensor:
        """Landmarks moved, turned and scaled in the plane onto the mean shape, in eye spans from it (B, 478, 3)."""
        goal = self.mean_shape - self.mean_shape.mean(1, keepdim=True)
        seen = landmarks - landmarks.mean(1, keepdim=True)
        x, y, gx, gy = seen[..., 0], seen[..., 1], goal[..., 0], goal[..., 1]
        size = (x * x + y * y).sum(1, keepdim=True)
        cosine = (x * gx + y * gy).sum(1, keepdim=True) / size
        sine = (x * gy - y * gx).sum(1, keepdim=True) / size
        zoom = (cosine * cosine + sine * sine).sqrt()
        moved = torch.stack([cosine * x - sine * y, sine * x + cosine * y, zoom * seen[..., 2]], dim=-1)
        span = (goal[:, fl.EYE_CORNERS[1]] - goal[:, fl.EYE_CORNERS[0]]).norm(dim=1)
        return (moved - goal) / span[:, None, None]

    def forward(self, near: Tensor, far: Tensor, landmarks: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Maps (B, 112, 8, 8) and (B, 192, 4, 4), landmarks (B, 478, 3) in crop pixels."""
        seen = torch.cat([self.near(near).flatten(1), self.far(far).flatten(1)], dim=1)
        skin = F.relu(self.skin(seen))
        points = F.relu(self.points(4.0 * self.upright(landmarks).flatten(1)))
        both = self.heads(F.relu(self.shape(torch.cat([points, skin], dim=1))))
        looks = self.looks(torch.cat([skin, F.relu(self.turned(points))], dim=1))
        identity, expression = both.split([IDENTITY, EXPRESSION], dim=1)
        texture, lighting = looks.split([TEXTURE, LIGHTING], dim=1)
        return identity, expression.sigmoid(), texture, lighting.view(-1, 9, 3)
