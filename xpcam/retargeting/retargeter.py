"""Carry a person's expression over to a target: differences from the person's neutral face, never the face.

All expression lives on the frontal face (`face.landmarks.unpose`): x right, y down, in units of the
outer-eye distance, so that neither head pose nor the distance to the camera enters.
"""

from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from xpcam.eyes.gaze import together
from xpcam.face.landmarks import (
    LANDMARKS,
    LEFT_BROW,
    LEFT_LID_SKIN,
    LEFT_LIDS,
    LIPS_APART,
    MOUTH_CORNERS,
    RIGHT_BROW,
    RIGHT_LID_SKIN,
    RIGHT_LIDS,
    apply_pose,
    columns,
    face_mesh,
    gap,
    region_weights,
    rotation_matrix,
    rotation_vector,
    unpose,
)
from xpcam.face.model import ARKIT, TONGUE_OUT
from xpcam.frame import FaceParams, Floats, Pose
from xpcam.retargeting.neutral import Neutral
from xpcam.retargeting.outline import believable
from xpcam.retargeting.transfer import explained

PIVOT = np.array([0.0, 0.45, 0.95], np.float32)  # where a head turns: between the ears, above the neck
LID_CLOSED = 0.26  # share of the neutral opening at which a lid counts as shut
LID_FALLS = 0.7  # share of it below which a lid falls faster than the person's, to be shut in time
LID_WIDEST = 1.45
LID_DROP = 0.1  # shut lids meet this share of the opening below where the lower one was: they curve down
LID_OVERLAP = 0.15  # shut lids lap over each other by this share of the opening: no white shows between
UNFOLDS = 0.35  # how much of a falling lid's way the skin at its edge goes along; less towards the brow
WIDEST_MOUTH = 0.85  # outer-eye distances between the corners of the widest smile
MOUTH_WIDTH = 1.06  # a smile on a picture is seen 0.88 as wide (MediaPipe); more would fold the cheeks
SPEECH_WIDTH = 0.3  # of speech less is seen: so much more for what is small beside SPEECH
SPEECH = 0.045  # outer-eye distances
GATHERED = (0.025, 0.06)  # a mouth that opens by the second is seen wider by most of the first
BROWS = 1.2  # a brow moved on a picture is seen to move 0.85 as far (MediaPipe, docs/decisions.md)
OFFSET_LIMIT = 0.55  # no point moves farther than this, in outer-eye distances
TURN_LIMIT = np.radians((16.0, 24.0, 20.0)).astype(np.float32)  # pitch, yaw, roll of a warped picture
LOOK_LIMIT = float(np.radians(60.0))
SHIFT_LIMIT = 0.22
SCALE_LIMIT = 0.08


@dataclass(frozen=True, slots=True)
class Gains:
    """How much of each region's motion is carried over; 1 is all of it, 0 none."""

    mouth: float = 1.0
    eyes: float = 1.0
    brows: float = 1.0
    head: float = 0.6
    gaze: float = 1.0


@dataclass(frozen=True, slots=True)
class Motion:
    """What a face does, apart from whose face it is.

    Attributes:
        offsets: (478, 3) float32 from the neutral frontal face, in outer-eye distances.
        lids: (2,) how open the right and left eye are, 1 as in neutral, 0 shut.
        turn: (3,) head rotation away from neutral, axis-angle, radians.
        shift: (2,) head translation away from neutral, in outer-eye distances.
        zoom: head size over its neutral size, minus 1.
        gaze: (2, 2) how far the right and left eye look away from neutral, as in `FaceParams`, radians.
        tongue: how far it is out, 0 to 1; files of expressions know, the tracker does not.
        shown: as in `FaceParams`.
    """

    offsets: Floats
    lids: Floats
    turn: Floats
    shift: Floats
    zoom: float
    gaze: Floats = field(default_factory=lambda: np.zeros((2, 2), np.float32))
    tongue: float = 0.0
    shown: Floats | None = None


STILL = Motion(
    np.zeros((LANDMARKS, 3), np.float32),
    np.ones(2, np.float32),
    np.zeros(3, np.float32),
    np.zeros(2, np.float32),
    0.0,
)


def blend(a: Motion, b: Motion, share: float) -> Motion:
    """The motion `share` of the way from a to b."""
    keep, take = np.float32(1.0 - share), np.float32(share)
    return Motion(
        a.offsets * keep + b.offsets * take,
        a.lids * keep + b.lids * take,
        a.turn * keep + b.turn * take,
        a.shift * keep + b.shift * take,
        float(a.zoom * keep + b.zoom * take),
        a.gaze * keep + b.gaze * take,
        float(a.tongue * keep + b.tongue * take),
        b.shown if a.shown is None else a.shown if b.shown is None else a.shown * keep + b.shown * take,
    )


def observe(person: FaceParams, neutral: Neutral, by_parameters: bool = False) -> Motion:
    """What the person does, against the person's own neutral face.

    Args:
        by_parameters: carry blend shapes and a share of the rest, in place of all landmarks as they are.
    """
    face = unpose(person.landmarks, person.pose)
    moved, weights = face - neutral.face, person.expression - neutral.expression
    offsets = explained(moved, weights) if by_parameters else believable(moved)
    opened = [gap(face, lids) / max(gap(neutral.face, lids), 0.02) for lids in (RIGHT_LIDS, LEFT_LIDS)]
    turn = rotation_matrix(person.pose.rotation) @ rotation_matrix(neutral.pose.rotation).T
    here, there = (apply_pose(PIVOT[None], pose)[0, :2] for pose in (person.pose, neutral.pose))
    return Motion(
        offsets=offsets,
        lids=np.array(opened, np.float32),
        turn=rotation_vector(turn),
        shift=(here - there) / np.float32(neutral.pose.scale),
        zoom=person.pose.scale / neutral.pose.scale - 1.0,
        gaze=person.gaze - neutral.gaze,
        shown=person.shown,
    )


def mirrored(motion: Motion) -> Motion:
    """The motion as seen in a mirror: left and right exchanged."""
    flip = np.array([-1.0, 1.0, 1.0], np.float32)
    return replace(
        motion,
        offsets=motion.offsets[face_mesh().mirror] * flip,
        lids=motion.lids[::-1],
        turn=motion.turn * np.array([1.0, -1.0, -1.0], np.float32),
        shift=motion.shift * flip[:2],
        gaze=motion.gaze[::-1] * flip[:2],
    )


@dataclass(frozen=True, slots=True)
class Unfolding:
    """How the skin between an upper lid and its brow goes along when the lid falls.

    Attributes:
        skin: (S,) landmark indices.
        along: (S,) their x on the target's frontal face.
        share: (S,) how much of the lid's fall each takes part in, less towards the brow.
        edge: (7,) x of the lid's points, rising.
        order: (7,) which of the lid's points these are.
    """

    skin: NDArray[np.intp]
    along: Floats
    share: NDArray[np.floating]
    edge: Floats
    order: NDArray[np.intp]


class Retargeter:
    """Applies motions to one target.

    Args:
        target: the target's face as it is in its picture.
        gains: how much of each region to carry over.
        turn_limit: (3,) pitch, yaw and roll by which its head turns at most, radians.
    """

    def __init__(self, target: FaceParams, gains: Gains, turn_limit: Floats = TURN_LIMIT) -> None:
        self._target, self._turn_limit = target, turn_limit
        self._face = unpose(target.landmarks, target.pose)
        self._mouth = region_weights()[:, 0]
        self.weigh(gains)
        self._look = np.zeros(2, np.float32)
        self._skin = (
            self._unfolding(RIGHT_LIDS, RIGHT_LID_SKIN, RIGHT_BROW[5:]),
            self._unfolding(LEFT_LIDS, LEFT_LID_SKIN, LEFT_BROW[5:]),
        )

    def weigh(self, gains: Gains) -> None:
        """Carry over so much of each region from now on."""
        shares = np.array([gains.mouth, gains.eyes, BROWS * gains.brows], np.float32)
        self._weights = region_weights() @ shares
        self._gains = gains

    def apply(self, motion: Motion, held: Pose | None = None) -> FaceParams:
        """The target's face making the motion: landmarks and pose in pixels of the target's picture.

        `held` is how its head is held before it moves, where that is not as in the picture: in a clip.
        """
        offsets = limited(motion.offsets * self._weights[:, None], OFFSET_LIMIT)
        offsets[:, 0] *= self._widening(offsets)
        face = self._face + offsets
        self._set_lids(face, motion)
        self._part_lips(face)
        self._gather(face)
        pose, turn = self._pose(motion, held or self._target.pose)
        gaze = self._target.gaze + self._gaze(motion, turn)
        expression = np.zeros(len(ARKIT), np.float32)
        expression[TONGUE_OUT] = np.clip(motion.tongue * self._gains.mouth, 0.0, 1.0)
        here, sure = apply_pose(face, pose), self._target.confidence
        return FaceParams(here, pose, sure, expression, gaze, shown=motion.shown)

    def _gaze(self, motion: Motion, turn: Floats) -> Floats:
        """(2,) yaw and pitch of both eyes away from where the target looks, held while they are shut.

        They look where the person looks: what the head does not turn along with the person's, eyes make up
        for. Otherwise a person who turns but looks at us would make the target look past us.
        """
        seen, trust = together(motion.gaze, motion.lids)
        self._look += (seen - self._look) * np.float32(trust)
        missing = (motion.turn - turn)[[1, 0]] * np.array([-1.0, 1.0], np.float32)
        look = limited(((self._look + missing) * np.float32(self._gains.gaze))[None], LOOK_LIMIT)
        return np.asarray(look[0], np.float32)

    def _widening(self, offsets: Floats) -> Floats:
        """(478,) what to take of sideways motion: more than was made, no more than a smile has room for."""
        left, right = MOUTH_CORNERS
        own = float(self._face[right, 0] - self._face[left, 0])
        wider = float(offsets[right, 0] - offsets[left, 0])
        share = MOUTH_WIDTH + SPEECH_WIDTH / (1.0 + (wider / SPEECH) ** 4)
        if wider > 1e-4:
            room = max(WIDEST_MOUTH - own, 0.05)
            share = room * float(np.tanh(share * wider / room)) / wider
        return np.asarray(1.0 + self._mouth * (share - 1.0), np.float32)

    def _gather(self, face: Floats) -> None:
        """Draw the corners of an opening mouth together by as much as it would look wider."""
        opened = max(0.0, gap(face, LIPS_APART) - gap(self._face, LIPS_APART))
        left, right = face[list(MOUTH_CORNERS), 0]
        wider = GATHERED[0] * (1.0 - np.exp(-opened / GATHERED[1]))
        share = np.float32(wider / max(float(right - left), 0.1))
        face[:, 0] -= (face[:, 0] - (left + right) / 2) * self._mouth * share

    def _set_lids(self, face: Floats, motion: Motion) -> None:
        """Place each lid by how open the eye is; the lower lid follows its own motion, softly."""
        for lids, unfolding, opened in zip((RIGHT_LIDS, LEFT_LIDS), self._skin, motion.lids, strict=True):
            upper, lower = columns(lids)
            share = np.interp(opened, (LID_CLOSED, LID_FALLS, LID_WIDEST), (0.0, LID_FALLS, LID_WIDEST))
            share = max(0.0, 1.0 + self._gains.eyes * (share - 1.0))
            drop = LID_DROP * (1.0 - min(share, 1.0))
            gap = self._face[lower] - self._face[upper]
            face[lower] = self._face[lower] + (face[lower] - self._face[lower]) * 0.5 + gap * np.float32(drop)
            face[upper] = face[lower] - gap * np.float32(share - LID_OVERLAP * max(0.0, 1.0 - share))
            fallen = np.maximum(face[upper, 1] - self._face[upper, 1], 0.0)
            falls = np.interp(unfolding.along, unfolding.edge, fallen[unfolding.order], 0.0, 0.0)
            skin = unfolding.skin  # the lid's skin unfolds, not its edge alone
            face[skin, 1] = np.maximum(face[skin, 1], self._face[skin, 1] + falls * unfolding.share)

    def _unfolding(
        self, lids: tuple[tuple[int, int], ...], skin: tuple[int, ...], brow: tuple[int, ...]
    ) -> Unfolding:
        points, edge, above = (self._face[list(rows), :2] for rows in (skin, columns(lids)[0], brow))
        order = edge[:, 0].argsort()
        edge, above = edge[order], above[above[:, 0].argsort()]
        lid_y, brow_y = (np.interp(points[:, 0], line[:, 0], line[:, 1]) for line in (edge, above))
        share = np.clip((points[:, 1] - brow_y) / np.maximum(lid_y - brow_y, 1e-3), 0.0, 1.0)
        return Unfolding(np.array(skin, np.intp), points[:, 0], share * UNFOLDS, edge[:, 0], order)

    def _part_lips(self, face: Floats) -> None:
        """Lips may meet but not cross."""
        upper, lower = columns(LIPS_APART)
        crossing = np.maximum(face[upper, 1] - face[lower, 1], 0.0) / 2
        face[upper, 1] -= crossing
        face[lower, 1] += crossing

    def _pose(self, motion: Motion, old: Pose) -> tuple[Pose, Floats]:
        """The target's pose, and (3,) how far its head is turned."""
        gain = np.float32(self._gains.head)
        turn = np.clip(motion.turn * gain, -self._turn_limit, self._turn_limit)
        shift = limited((motion.shift * gain)[None], SHIFT_LIMIT)[0]
        scale = old.scale * (1.0 + float(np.clip(motion.zoom * gain, -SCALE_LIMIT, SCALE_LIMIT)))
        rotation = rotation_matrix(turn) @ rotation_matrix(old.rotation)
        pivot = apply_pose(PIVOT[None], old)[0, :2] + shift * np.float32(old.scale)
        still = Pose(rotation_vector(rotation), np.zeros(2, np.float32), scale)
        turned = apply_pose(PIVOT[None], still)[0, :2]
        return replace(still, translation=(pivot - turned).astype(np.float32)), turn


def limited(vectors: Floats, most: float) -> Floats:
    """(N, D) vectors whose length saturates smoothly at `most`; short ones stay as they are."""
    ratio = np.linalg.norm(vectors, axis=1, keepdims=True) / np.float32(most)
    return np.asarray(vectors * (np.tanh(ratio) / np.maximum(ratio, 1e-6)), np.float32)
