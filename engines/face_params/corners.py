"""A closer look at the mouth's corners, whose distance is the lips' width.

`LandmarkNet` places them in a patch that shows the whole mouth. Here each is seen in a patch of its own, cut where it
was placed, and moved sideways; its surroundings go along.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from engines.face_params.network import CROP, conv_bn, normalised
from engines.face_params.warping import corner_reach
from xpcam.face import landmarks as fl

SIDE = 32  # samples of a patch, one pixel of the crop apart
SEEN = (*fl.INNER_LIPS, *fl.OUTER_LIPS, *fl.RIGHT_EYE, *fl.LEFT_EYE)
KNOWN = 256  # numbers in which the coarse pass knows the whole face
UNIT, SCALE = 8.0, 48.0  # pixels of the crop: of what is said, of what is seen
TAKEN = 0.5  # share that is taken: the mean of both readings follows real mouths better than either


class Glance(nn.Module):
    """What a patch (B, 3, 32, 32) of a corner shows, in 48 numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.Sequential(
            conv_bn(3, 16, 3),
            conv_bn(16, 28, 3, stride=2),  # 16
            conv_bn(28, 40, 3),
            conv_bn(40, 56, 3, stride=2),  # 8
            conv_bn(56, 56, 3),
            conv_bn(56, 16, 1),
        )
        self.hidden = nn.Linear(16 * 64, 48)

    def forward(self, patch: Tensor) -> Tensor:
        return F.relu(self.hidden(self.convs(patch).flatten(1)))


class CornerNet(nn.Module):
    """Moves the corners by what their patches show, and by what the coarse pass knows of the whole face."""

    def __init__(self) -> None:
        super().__init__()
        self.glance = Glance()
        self.context = nn.Linear(KNOWN + 2 * len(SEEN), 64)
        self.mix = nn.Linear(2 * 48 + 64, 64)
        self.out = nn.Linear(64, 2)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)
        steps = torch.arange(SIDE) - (SIDE - 1) / 2
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1)
        mirrored = grid * torch.tensor([-1.0, 1.0])
        self.register_buffer("grid", torch.stack([grid, mirrored])[None], persistent=False)
        self.register_buffer("seen", torch.tensor(SEEN), persistent=False)
        self.register_buffer("corners", torch.tensor(fl.MOUTH_CORNERS), persistent=False)
        self.register_buffer("reach", torch.from_numpy(corner_reach()), persistent=False)

    def cut(self, image: Tensor, landmarks: Tensor) -> Tensor:
        """(B, 2, 3, 32, 32) patches about the corners of `landmarks` (B, 478, 2), the left one's mirrored."""
        places = landmarks[:, self.corners][:, :, None, None] + self.grid
        places = (places.flatten(1, 2) + 0.5) * (2 / CROP) - 1  # one below the other: sampled at once
        cut = normalised(F.grid_sample(image, places, align_corners=False, padding_mode="border"))
        return cut.unflatten(2, (2, SIDE)).transpose(1, 2)

    def said(self, patches: Tensor, landmarks: Tensor, known: Tensor) -> Tensor:
        """(B, 2) pixels by which the right and the left corner are to move along x.

        Args:
            patches: (B, 2, 3, 32, 32), see `cut`.
            landmarks: (B, 478, 2) crop pixels, the places of the patches among them.
            known: (B, 256) what the coarse pass knows.
        """
        count = len(patches)
        features = self.glance(patches.flatten(0, 1)).view(count, -1)
        middle = landmarks[:, self.corners].mean(1, keepdim=True)
        shape = ((landmarks[:, self.seen] - middle) / SCALE).flatten(1)
        context = F.relu(self.context(torch.cat([known * 0.3, shape], dim=1)))
        mixed = F.relu(self.mix(torch.cat([features, context], dim=1)))
        return self.out(mixed).float() * UNIT

    def forward(self, image: Tensor, landmarks: Tensor, known: Tensor) -> Tensor:
        """(B, 478, 3) crop pixels, as `LandmarkNet.refine` gave them, with the corners moved."""
        flat = landmarks[..., :2]
        moved = TAKEN * self.said(self.cut(image, flat), flat, known) @ self.reach
        return landmarks + F.pad(moved[..., None], (0, 2))
