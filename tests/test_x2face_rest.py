"""A target that nobody moves looks like its picture: the embedded face rests as the target does."""

import numpy as np
import pytest
from faces import face, portrait, pose
from x2face_models import Network, aside

from xpcam.face.embedded_face import canonical, embedded_face
from xpcam.face.landmarks import LIPS_APART, face_mesh, gap
from xpcam.frame import Floats
from xpcam.retargeting.neutral import Neutral
from xpcam.retargeting.retargeter import STILL, Gains, observe
from xpcam.target import still
from xpcam.target.still import Target
from xpcam.warping.grids import CELLS, FINE, chained, identity
from xpcam.x2face.animated import AnimatedFace, Embedded, parted
from xpcam.x2face.driving import Driving
from xpcam.x2face.fitting import unfitted

SIZE = (320, 240)
INNER = np.s_[16:-16, 24:-24]


def prepared(jaw: float = 0.0) -> Target:
    params = face({"jawOpen": jaw}, pose(at=(160, 110), scale=60))
    return still.prepare(portrait(params, SIZE), params, SIZE)


def animated(target: Target, network: Network, gains: Gains | None = None) -> AnimatedFace:
    """The target, its face embedded as it is in its picture."""
    embedded = Embedded(target.picture, unfitted(identity(CELLS)), parted(target)[1])
    driving = Driving(network.opened)
    unused: object = None
    return AnimatedFace(target, gains or Gains(), unused, driving, embedded=embedded)  # type: ignore[arg-type]


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


def test_lips_that_the_target_has_shut_are_shut_at_rest() -> None:
    network = Network()
    shown = animated(prepared(), network)
    shown.render(shown.act(STILL, 0.0, 0.0))
    assert gap(asked(network), LIPS_APART) < 0.2 * gap(canonical(), LIPS_APART)
    assert network.seen[0].shape == (1, 478, 2) and network.seen[0].dtype == np.float32
    np.testing.assert_allclose(network.seen[0][0], canonical())


def test_a_target_whose_lips_are_apart_is_embedded_and_rests_as_it_is() -> None:
    network, target = Network(), prepared(0.4)
    motion, shut = parted(target)
    assert shut == 0.0 and not motion.offsets.any()
    shown = animated(target, network)
    picture = shown.render(shown.act(STILL, 0.0, 0.0))
    np.testing.assert_allclose(asked(network), canonical(), atol=1e-5)
    assert np.abs(picture.astype(int) - target.picture).max() <= 1


def test_lips_a_little_apart_are_parted_by_what_is_missing() -> None:
    shares = [parted(prepared(jaw))[1] for jaw in (0.0, 0.18, 0.21, 0.4)]
    assert shares == sorted(shares, reverse=True) and len(set(shares)) == 4


def test_what_the_network_always_gets_wrong_is_taken_out() -> None:
    driving = Driving(Network(aside(0.1)).opened)
    said = driving.grid(canonical())
    assert said is not None
    np.testing.assert_allclose(chained(driving.unbiased, said)[INNER], identity(FINE)[INNER], atol=2e-3)
    target = prepared(0.4)
    shown = animated(target, Network(aside(0.1)))
    picture = shown.render(shown.act(STILL, 0.0, 0.0))
    assert np.abs(picture.astype(int) - target.picture).mean() < 0.1


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
