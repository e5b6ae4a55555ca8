"""A target that nobody moves looks like its picture: the embedded face rests as the target does."""

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest
from faces import face, portrait, pose, posed
from x2face_models import Network, aside

from xpcam.face.embedded_face import canonical, embedded_face
from xpcam.face.landmarks import LIPS_APART, face_mesh, gap
from xpcam.face.model import ARKIT, face_model
from xpcam.frame import Floats, Pixels, Pose
from xpcam.rendering.renderer import LOOK
from xpcam.retargeting.neutral import Neutral
from xpcam.retargeting.retargeter import STILL, Gains, observe
from xpcam.target import still
from xpcam.target.still import Target
from xpcam.warping.grids import CELLS, identity
from xpcam.x2face.animated import AnimatedFace, Embedded
from xpcam.x2face.driving import Driving
from xpcam.x2face.fitting import unfitted
from xpcam.x2face.parting import STEPS, how_far_apart, parted, parting
from xpcam.x2face.placing import Placer

SIZE = (320, 240)
JAW = face_model().landmark_expression[ARKIT.index("jawOpen")]


def prepared(jaw: float = 0.0) -> Target:
    params = face({"jawOpen": jaw}, pose(at=(160, 110), scale=60))
    return still.prepare(portrait(params, SIZE), params, SIZE)


def animated(target: Target, network: Network, gains: Gains | None = None) -> AnimatedFace:
    """The target, embedded as it is in its picture."""
    lips = parting(target, LOOK)
    embedded = Embedded(lips, (unfitted(identity(CELLS)),) * len(lips.faces))
    driving = Driving(network.opened)
    unused: object = None
    return AnimatedFace(target, gains or Gains(), unused, driving, embedded=embedded)  # type: ignore[arg-type]


class Seen:
    """A placer that notes from which step each picture was taken."""

    def __init__(self, placer: Placer) -> None:
        self._placer, self.steps = placer, list[int]()

    def place(self, grid: Floats, step: int, *moved: Any) -> Pixels:
        self.steps.append(step)
        return self._placer.place(grid, step, *moved)


def asked(network: Network) -> Floats:
    """(478, 2) what the driving network was asked of last."""
    return np.asarray(network.seen[-1][0])


def test_the_embedded_face_is_symmetric_its_lips_apart_or_shut() -> None:
    mesh = face_mesh()
    for apart in (0.0, 0.5, 1.0):
        made = embedded_face(apart)
        np.testing.assert_allclose(made[mesh.mirror] * np.array([-1, 1, 1]), made, atol=1e-6)
    assert gap(embedded_face(1.0), LIPS_APART) > gap(embedded_face(0.5), LIPS_APART) + 0.03
    assert gap(embedded_face(0.0), LIPS_APART) < 0.01


def test_a_target_at_rest_is_its_picture_whatever_the_network_gets_wrong() -> None:
    for target, network in product((prepared(), prepared(0.4)), (Network(), Network(aside(0.1)))):
        shown = animated(target, network)
        picture = shown.render(shown.act(STILL, 0.0, 0.0))
        assert np.abs(picture.astype(int) - target.picture).max() <= 1


def test_lips_that_the_target_has_shut_are_shut_at_rest() -> None:
    network = Network()
    shown = animated(prepared(), network)
    shown.render(shown.act(STILL, 0.0, 0.0))
    assert gap(asked(network), LIPS_APART) < 0.2 * gap(canonical(), LIPS_APART)
    assert network.seen[-1].shape == (1, 478, 2) and network.seen[-1].dtype == np.float32


def test_a_target_whose_lips_are_apart_rests_so() -> None:
    network, target = Network(), prepared(0.4)
    motion, shut = parted(target)
    assert shut == 0.0 and not motion.offsets.any()
    shown = animated(target, network)
    shown.render(shown.act(STILL, 0.0, 0.0))
    np.testing.assert_allclose(asked(network), canonical(), atol=1e-5)
    assert len(parting(target, LOOK).pixels) == 1


def test_lips_a_little_apart_are_parted_by_what_is_missing() -> None:
    shares = [parted(prepared(jaw))[1] for jaw in (0.0, 0.18, 0.21, 0.4)]
    assert shares == sorted(shares, reverse=True) and len(set(shares)) == 4
    assert parting(prepared(0.18), LOOK).apart[0] == pytest.approx(1 - shares[1])


def test_lips_are_parted_in_steps_and_a_little_noise_takes_no_other() -> None:
    made = parting(prepared(), LOOK)
    assert made.apart == pytest.approx(np.linspace(0, 1, STEPS))
    assert len({pixels.tobytes() for pixels in made.pixels}) == STEPS
    rows, columns = made.box
    assert 4 < rows.stop - rows.start < SIZE[1] and 4 < columns.stop - columns.start < SIZE[0]
    assert [made.step(apart, 0) for apart in (-0.2, 0.1, 0.12, 0.5, 1.0, 3.0)] == [0, 0, 0, 2, 5, 5]
    assert [made.step(apart, 5) for apart in (-0.2, 0.5, 0.88, 1.0)] == [0, 2, 5, 5]


def test_opening_lips_are_taken_from_where_they_are_as_far_apart() -> None:
    target, network = prepared(), Network()
    shown, lips = animated(target, network), parting(target, LOOK)
    shown._placer = Seen(shown._placer)  # type: ignore[assignment]
    for jaw in (0.0, 0.1, 0.2, 0.3, 0.6, 0.0):
        shown.render(shown.act(replace(STILL, offsets=JAW * np.float32(jaw)), 1.0, 0.0))
    steps = shown._placer.steps  # type: ignore[attr-defined]
    assert steps[0] == steps[-1] == 0 and steps[4] == len(lips.pixels) - 1
    assert steps[:5] == sorted(steps[:5]) and len(set(steps)) > 3


def test_how_far_apart_the_embedded_face_has_its_lips() -> None:
    for apart in (0.0, 0.4, 1.0):
        turned = Pose(np.array([0.1, 0.3, 0.0], np.float32), np.array([3, 4], np.float32), 2.0)
        assert how_far_apart(posed(embedded_face(apart), turned)) == pytest.approx(apart, abs=0.02)


@pytest.mark.parametrize("turn", [(0.0, 0.5, 0.0), (0.3, 0.0, 0.0), (0.0, 0.0, 0.3)])
def test_a_head_turns_farther_than_a_warped_one_and_takes_its_crop_along(
    turn: tuple[float, float, float],
) -> None:
    target, network = prepared(0.4), Network()
    rest = face()
    motion = observe(face(where=pose(turn=turn)), Neutral(rest.landmarks, rest.pose))
    shown = animated(target, network, Gains(head=1.0))
    made = shown.act(motion, 1.0, 0.0)
    assert np.abs(made.pose.rotation) == pytest.approx(np.abs(turn), abs=0.02)
    picture = shown.render(made)
    assert np.abs(asked(network) - canonical()).max() > 0.1
    assert np.abs(picture.astype(int) - target.picture).mean() > 1
    shown.weigh(Gains(head=0.0))
    np.testing.assert_allclose(shown.act(motion, 1.0, 0.0).pose.rotation, 0.0, atol=1e-6)
