"""A target drawn with fewer pixels: its moving region is rendered small and enlarged into the picture.

For machines that are too slow. What does not move keeps all of its pixels.
"""

from dataclasses import replace

import cv2
import numpy as np

from xpcam.frame import FaceParams, Pixels, Pose
from xpcam.mouth.interior import Drawings
from xpcam.rendering.renderer import BUFFERS, Look, Renderer
from xpcam.target.eyes import Eyes
from xpcam.target.still import Target, laid_out
from xpcam.warping.openings import Region


class CoarseRenderer:
    """Renders one target as `Renderer` does, of a smaller copy of it. Arguments as there.

    `look.coarse` says how much smaller: 1.5 or 2, for which the region's even corners fall on whole pixels.
    """

    def __init__(
        self, target: Target, look: Look, *, eyes: Eyes | None = None, drawings: Drawings | None = None
    ) -> None:
        self._by = look.coarse
        self._picture = target.picture
        borrowed = None if eyes is None else seen_from(eyes, self._by)
        self._renderer = Renderer(shrunk(target, self._by), look, eyes=borrowed, drawings=drawings)
        small = self._renderer.region
        self._region = Region(
            *(round(side * self._by) for side in (small.left, small.top, small.right, small.bottom))
        )
        self._outputs: list[Pixels] = []
        self._turn = 0

    def render(self, params: FaceParams) -> Pixels:
        """The target making the face that `params` (in pixels of the target's picture) describes."""
        small = self._renderer.render(smaller(params, self._by))[self._renderer.region.slices]
        if len(self._outputs) < BUFFERS:
            self._outputs.append(self._picture.copy())
        output = self._outputs[self._turn]
        self._turn = (self._turn + 1) % BUFFERS
        cv2.resize(small, self._region.size, dst=output[self._region.slices], interpolation=cv2.INTER_LINEAR)
        return output


def renderer_of(
    target: Target, look: Look, *, eyes: Eyes | None = None, drawings: Drawings | None = None
) -> Renderer | CoarseRenderer:
    """What renders a target as `look` says; arguments as for `Renderer`."""
    kind = Renderer if look.coarse == 1 else CoarseRenderer
    return kind(target, look, eyes=eyes, drawings=drawings)


def shrunk(target: Target, by: float) -> Target:
    """The target with its picture `by` times smaller."""
    height, width = target.picture.shape[:2]
    small = [2 * -(-side // round(2 * by)) for side in (width, height)]
    right, below = (round(cells * by) - side for cells, side in zip(small, (width, height), strict=True))
    filled = cv2.copyMakeBorder(target.picture, 0, below, 0, right, cv2.BORDER_REPLICATE)
    picture = np.asarray(cv2.resize(filled, (small[0], small[1]), interpolation=cv2.INTER_AREA), np.uint8)
    left, top, end, bottom = target.bounds
    bounds = (-int(-left // by), -int(-top // by), int(end // by), int(bottom // by))
    return laid_out(picture, bounds, smaller(target.params, by))


def smaller(params: FaceParams, by: float) -> FaceParams:
    """A face as it lies in a picture `by` times smaller."""
    share, shift = np.float32(1 / by), np.float32((1 / by - 1) / 2)
    landmarks = params.landmarks * share
    landmarks[:, :2] += shift
    pose = params.pose
    held = Pose(pose.rotation, pose.translation * share + shift, pose.scale / by)
    return replace(params, landmarks=landmarks, pose=held)


def seen_from(eyes: Eyes, by: float) -> Eyes:
    """Eyes of a target for its picture that is `by` times smaller."""
    own = np.tile(np.eye(2, 3, dtype=np.float32), (2, 1, 1))
    home = (own if eyes.home is None else eyes.home).copy()
    home[..., 2] += home[..., :2].sum(axis=-1) * np.float32((by - 1) / 2)
    home[..., :2] *= np.float32(by)
    return replace(eyes, home=home)
