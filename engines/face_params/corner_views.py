"""What the corners' training looks at: crops that the teacher labelled, seen once by the landmark network.

That network stays as it is, so what it knows of a crop and where it places the landmarks is computed once. Of the
crop itself a piece around the mouth is kept.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from tqdm import tqdm

from engines.face_params import augmentation
from engines.face_params.arrays import Floats, Pixels
from engines.face_params.corners import KNOWN, SIDE
from engines.face_params.data import CropMaker
from engines.face_params.network import LandmarkNet
from engines.face_params.patch_points import MOUTH_CENTRE
from engines.face_params.shards import Shards
from engines.face_params.warping import corner_reach
from xpcam.face import landmarks as fl

PIECE = 116  # side of what is kept of a crop, pixels
TOGETHER = 32  # crops that the network sees at a time
OFF = 1.0  # pixels (standard deviation) by which two of three corners are placed off in training

Random = np.random.Generator


@dataclass(frozen=True, slots=True)
class Views:
    """N views; 2k and 2k + 1 show one portrait.

    Attributes:
        pieces: (N, 116, 116, 3) around the mouth.
        origins: (N, 2) where each begins in its crop.
        landmarks: (N, 478, 2) by the landmark network, crop pixels.
        known: (N, 256) what its coarse pass knows.
        truth: (N, 478, 2) by the teacher.
    """

    pieces: Pixels
    origins: Floats
    landmarks: Floats
    known: Floats
    truth: Floats

    def __len__(self) -> int:
        return len(self.pieces)

    def patches(self, rows: Floats, landmarks: Floats) -> Pixels:
        """(B, 2, 32, 32, 3) about the corners of `landmarks`, the left one's mirrored, as `CornerNet` cuts them."""
        cut = np.empty((len(rows), 2, SIDE, SIDE, 3), np.uint8)
        for patches, row, points in zip(cut, rows, landmarks, strict=True):
            for patch, corner, flip in zip(patches, fl.MOUTH_CORNERS, (1.0, -1.0), strict=True):
                x, y = points[corner] - self.origins[row]
                half = (SIDE - 1) / 2
                matrix = np.array([[flip, 0, x - flip * half], [0, 1, y - half]], np.float32)
                patch[:] = cv2.warpAffine(
                    self.pieces[row],
                    matrix,
                    (SIDE, SIDE),
                    flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                    borderMode=cv2.BORDER_REPLICATE,
                )
        return cut


def displaced(rng: Random, landmarks: Floats) -> Floats:
    """(B, 478, 2) with the corners placed a little off, as they will be on other faces."""
    way = rng.normal(0, OFF, (len(landmarks), 2, 2)) * rng.choice([0, 1, 1], (len(landmarks), 2, 1))
    return (landmarks + np.einsum("bck,cp->bpk", way, corner_reach())).astype(np.float32)


def piece_of(crop: Pixels, landmarks: Floats) -> tuple[Pixels, Floats]:
    """(116, 116, 3) of a crop about the mouth of (478, 3) coarse landmarks, and where it begins."""
    middle = landmarks[list(MOUTH_CENTRE), :2].mean(axis=0)
    x, y = (round(float(np.clip(v, -20, 276)) - (PIECE - 1) / 2) for v in middle)
    padded = cv2.copyMakeBorder(crop, PIECE, PIECE, PIECE, PIECE, cv2.BORDER_REPLICATE)
    piece = padded[y + PIECE : y + 2 * PIECE, x + PIECE : x + 2 * PIECE]
    return np.asarray(piece), np.array([x, y], np.float32)


class Looker:
    """Shows crops to the frozen landmark network."""

    def __init__(self, network: LandmarkNet) -> None:
        self._network = network.eval()

    @torch.no_grad()
    def views(self, crops: Pixels, truth: Floats) -> Views:
        image = torch.from_numpy(crops).permute(0, 3, 1, 2).float()
        _, _, known, coarse, _ = self._network.look(image)
        landmarks = self._network.refine(image, coarse)[..., :2].numpy()
        kept = [piece_of(*row) for row in zip(crops, coarse.numpy(), strict=True)]
        pieces, origins = (np.stack(part) for part in zip(*kept, strict=True))
        return Views(pieces, origins, landmarks, known.half().numpy(), truth[..., :2])


def collect(network: LandmarkNet, count: int, samples: CropMaker | None, shards: Shards, seed: int) -> Views:
    """`count` views of labelled crops; without a maker of samples in order, through a camera only, for judging."""
    rng = np.random.default_rng(seed)
    shapes = ((PIECE, PIECE, 3), (2,), (fl.LANDMARKS, 2), (KNOWN,), (fl.LANDMARKS, 2))
    types = (np.uint8, np.float32, np.float32, np.float16, np.float32)
    views = Views(*(np.empty((count, *shape), kind) for shape, kind in zip(shapes, types, strict=True)))
    looker = Looker(network)
    for first in tqdm(range(0, count, TOGETHER), desc="views", dynamic_ncols=True):
        size = min(TOGETHER, count - first)
        if samples:
            drawn = [sample for _ in range(size // 2) for sample in samples.taught(shards)]
            crops, truth = np.stack([d[0] for d in drawn]), np.stack([d[1] for d in drawn])
        else:
            rows = range(first, first + size)
            crops = np.stack([augmentation.through_camera(rng, shards.crop(row)) for row in rows])
            truth = shards.landmarks[first : first + size]
        part = looker.views(crops, truth)
        for name in Views.__slots__:
            getattr(views, name)[first : first + size] = getattr(part, name)
    return views


def stored(views: Views, folder: Path) -> Views:
    """The views, written to `folder` and read back as they are needed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in Views.__slots__:
        np.save(folder / f"{name}.npy", getattr(views, name))
    return load(folder)


def load(folder: Path) -> Views:
    """Views that `stored` has written."""
    return Views(*(np.load(folder / f"{name}.npy", mmap_mode="r") for name in Views.__slots__))
