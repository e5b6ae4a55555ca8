"""A target at play: the motion of a moment in, the picture of that moment out.

A still is one picture that is moved. A clip shows another picture at every moment, its person's head
moving as it was filmed; the face's own expression gives way to the person's as far as somebody is followed.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

import cv2
import numpy as np

from xpcam.face.landmarks import LIPS_APART, apply_pose, gap, unpose
from xpcam.frame import FaceParams, Pixels
from xpcam.mouth.clip_mouth import paint_out
from xpcam.mouth.interior import Drawings
from xpcam.rendering.coarse import CoarseRenderer, renderer_of
from xpcam.rendering.renderer import LOOK, Look, Renderer
from xpcam.retargeting.retargeter import Gains, Motion, Retargeter
from xpcam.target.clip import TargetClip
from xpcam.target.eyes import EyeDonor
from xpcam.target.still import Target, laid_out

APART = 0.02  # lips of a clip that are farther apart (outer-eye distances) show something between them
AHEAD = 2  # pictures of a clip that are prepared before their moment comes


class AnimatedTarget(Protocol):
    """What the pipeline needs of any target. Pictures stay as they are for two further calls.

    Attributes:
        fault: why it is not drawn as it should be; empty where it is.
    """

    @property
    def fault(self) -> str: ...

    def act(self, motion: Motion, followed: float, at: float, /) -> FaceParams:
        """The face for `at` seconds; `followed`: 1 while it is a person's motion, 0 when nobody is there."""

    def render(self, params: FaceParams) -> Pixels:
        """The picture of that face."""

    def weigh(self, gains: Gains) -> None:
        """Carry over so much of each region's motion from now on; the frame loop's thread only."""

    def drawn(self, look: Look) -> "AnimatedTarget":
        """The same target at the same moment, drawn another way; any thread."""

    def close(self) -> None:
        """Stop what works in the background; a second call does nothing."""


class AnimatedStill:
    """A still picture that is moved."""

    fault: ClassVar[str] = ""

    def __init__(self, target: Target, gains: Gains, look: Look = LOOK) -> None:
        self._target, self._gains = target, gains
        self._retargeter = Retargeter(target.params, gains)
        self._renderer = renderer_of(target, look)

    def act(self, motion: Motion, _followed: float, _at: float, /) -> FaceParams:
        """The target's face making the motion."""
        return self._retargeter.apply(motion)

    def render(self, params: FaceParams) -> Pixels:
        """The target's picture with that face."""
        return self._renderer.render(params)

    def weigh(self, gains: Gains) -> None:
        """Carry over so much of each region's motion from now on."""
        if gains != self._gains:
            self._gains = gains
            self._retargeter.weigh(gains)

    def drawn(self, look: Look) -> "AnimatedStill":
        """The same picture, drawn another way."""
        return AnimatedStill(self._target, self._gains, look)

    def close(self) -> None:
        """Nothing works in the background."""


@dataclass(frozen=True, slots=True)
class Scene:
    """One moment of a clip, ready to be shown.

    Attributes:
        picture: (height, width, 3) as it was filmed.
        face: its face as the renderer moves it: as filmed, with the clip's borrowed eyes.
        renderer: moves it.
        trust: 1 where the face can be moved, 0 where there is none.
    """

    picture: Pixels
    face: FaceParams
    renderer: Renderer | CoarseRenderer
    trust: float


class AnimatedClip:
    """A clip that plays round after round, whose person makes another's expressions.

    Args:
        clip: the clip.
        gains: how much of each region's motion is carried over.
        look: how it is drawn; a clip's head turns in its own light and is never shaded anew.
        began: at which second its first round began; None: it begins with the first picture.
    """

    fault: ClassVar[str] = ""

    def __init__(
        self, clip: TargetClip, gains: Gains, look: Look = LOOK, *, began: float | None = None
    ) -> None:
        self._clip, self._gains = clip, gains
        self._look = replace(look, relight=False)
        self._drawings = Drawings(look.interior_every)
        self._began = began
        calm = clip.face(clip.reference).pose
        self._retargeter = Retargeter(FaceParams(apply_pose(clip.neutral, calm), calm, 1.0), gains)
        self._donor = EyeDonor(clip.decoded(clip.reference), clip.face(clip.reference))
        self._scenes = Lookahead(self._scene, len(clip.order))
        self._scene_shown = self._scenes.get(0)
        self._share = 0.0

    def act(self, motion: Motion, followed: float, at: float, /) -> FaceParams:
        """The face of the clip's moment making the motion, as far as somebody is followed."""
        self._began = at if self._began is None else self._began
        scene = self._scenes.get(self._clip.moment(at - self._began))
        self._scene_shown, self._share = scene, followed * scene.trust
        if self._share == 0.0:
            return scene.face
        made = self._retargeter.apply(motion, scene.face.pose)
        return made if self._share == 1.0 else _between(scene.face, made, self._share)

    def render(self, params: FaceParams) -> Pixels:
        """The moment's picture: as filmed while nobody is followed, else with that face."""
        scene = self._scene_shown
        if self._share == 0.0:
            return scene.picture
        made = scene.renderer.render(params)
        if self._share < 1.0:
            cv2.addWeighted(scene.picture, 1.0 - self._share, made, self._share, 0.0, dst=made)
        return made

    def weigh(self, gains: Gains) -> None:
        """Carry over so much of each region's motion from now on."""
        if gains != self._gains:
            self._gains = gains
            self._retargeter.weigh(gains)

    def drawn(self, look: Look) -> "AnimatedClip":
        """The same clip, going on where it is, drawn another way."""
        return AnimatedClip(self._clip, self._gains, look, began=self._began)

    def close(self) -> None:
        """Stop preparing pictures."""
        self._scenes.close()

    def _scene(self, moment: int) -> Scene:
        index = int(self._clip.order[moment])
        filmed = self._clip.decoded(index)
        picture = filmed.copy()
        face, eyes = self._donor.give(picture, self._clip.face(index))
        if gap(unpose(face.landmarks, face.pose), LIPS_APART) > APART:
            paint_out(picture, face)
        laid = laid_out(picture, self._clip.bounds, face)
        renderer = renderer_of(laid, self._look, eyes=eyes, drawings=self._drawings)
        return Scene(filmed, laid.params, renderer, float(self._clip.trust[index]))


class Lookahead:
    """Scenes made in a thread before they are asked for, at the pace at which they were asked for lately."""

    def __init__(self, make: Callable[[int], Scene], count: int) -> None:
        self._make = make
        self._count = count
        self._executor = ThreadPoolExecutor(1, "clip")
        self._made: dict[int, Future[Scene]] = {}
        self._last = 0

    def get(self, moment: int) -> Scene:
        """The scene of a moment; waits for it where it was not foreseen."""
        pace = max(1, (moment - self._last) % self._count)
        if pace > AHEAD * 4:  # the clip went on unseen: no pace to go by
            pace = 1
        self._last = moment
        wanted = [(moment + pace * step) % self._count for step in range(AHEAD + 1)]
        for passed in self._made.keys() - set(wanted):
            self._made.pop(passed).cancel()
        for index in wanted:
            if index not in self._made:
                self._made[index] = self._executor.submit(self._make, index)
        return self._made[moment].result()

    def close(self) -> None:
        """Make no more."""
        self._executor.shutdown(wait=True, cancel_futures=True)


def _between(filmed: FaceParams, made: FaceParams, share: float) -> FaceParams:
    keep, take = np.float32(1.0 - share), np.float32(share)
    pose = filmed.pose.towards(made.pose, share)
    landmarks = filmed.landmarks * keep + made.landmarks * take
    expression = filmed.expression * keep + made.expression * take
    gaze = filmed.gaze * keep + made.gaze * take
    return FaceParams(landmarks, pose, made.confidence, expression, gaze, shown=made.shown)
