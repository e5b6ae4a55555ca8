"""The parts that the face parameters are trained with (needs PyTorch, extra train)."""

from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")

from engines.face_params.parameter_losses import Batch, ParameterLoss, Weights, robust  # noqa: E402
from engines.face_params.parameter_net import ParameterNet  # noqa: E402
from engines.face_params.parameter_views import named, random_light, split  # noqa: E402
from engines.face_params.parametric_face import ParametricFace, Placing, place, shading  # noqa: E402
from xpcam.face import landmarks as fl  # noqa: E402
from xpcam.face import model as fm  # noqa: E402

FACE = ParametricFace(fm.face_model())


def drawn(seed: int, count: int = 4) -> Any:
    """(count, 239) parameters of random faces."""
    rng = np.random.default_rng(seed)
    rows = [
        np.concatenate(
            [rng.normal(0, 1, 80), rng.uniform(0, 0.6, 52), rng.normal(0, 1, 80), random_light(rng).ravel()]
        )
        for _ in range(count)
    ]
    return torch.tensor(np.array(rows), dtype=torch.float32)


def turned(angle: float, scale: float = 90.0) -> Placing:
    rotation = torch.tensor(cv2.Rodrigues(np.array([0.1, angle, 0.05]))[0], dtype=torch.float32)
    return Placing(rotation[None], torch.tensor([scale]), torch.tensor([[128.0, 100.0, 3.0]]))


def test_the_torch_face_is_the_numpy_face() -> None:
    row = drawn(1, 1)
    parameters, model = split(row), fm.face_model()
    identity, expression = parameters.identity[0].numpy(), parameters.expression[0].numpy()
    vertices = model.shape(identity, expression)
    np.testing.assert_allclose(FACE.vertices(parameters)[0], vertices, atol=1e-4)
    np.testing.assert_allclose(FACE.landmarks(parameters)[0], model.landmarks(vertices), atol=1e-4)
    normals = fm.normals(vertices, model.triangles)
    np.testing.assert_allclose(FACE.normals(torch.tensor(vertices)[None])[0], normals, atol=1e-3)
    light = parameters.lighting
    seen = shading(torch.tensor(normals)[None, None], light)[0, 0]
    np.testing.assert_allclose(seen, fm.shading(normals, light[0].numpy()), atol=1e-4)


@pytest.mark.parametrize("angle", [-0.6, 0.0, 0.4])
def test_a_placing_is_found_again(angle: float) -> None:
    points = FACE.landmarks(split(drawn(2, 1)))
    there = turned(angle)
    found = place(points, there.apply(points))
    assert torch.allclose(found.rotation, there.rotation, atol=1e-4)
    assert float(found.scale) == pytest.approx(90.0, rel=1e-4)
    assert torch.allclose(found.apply(points), there.apply(points), atol=1e-2)


def test_the_face_is_drawn_where_its_landmarks_are() -> None:
    parameters, where = split(drawn(3, 1)), turned(0.2)
    colour, seen, skin = FACE.draw(parameters, where, 64, 4.0)
    nose = where.apply(FACE.landmarks(parameters))[0, 4, :2] / 4
    assert seen[0, int(nose[1]), int(nose[0])] == 1
    assert skin[0, int(nose[1]), int(nose[0])] == 1
    assert 0.1 < seen.mean() < 0.9
    assert colour.shape == (1, 64, 64, 3)


def test_upright_landmarks_do_not_know_where_they_were() -> None:
    mean = torch.tensor(fl.face_mesh().neutral) * 90
    network = ParameterNet(mean)
    face = mean[None] + torch.randn(1, 478, 3) * 2
    angle = torch.tensor(0.4)
    turn = torch.tensor([[angle.cos(), -angle.sin()], [angle.sin(), angle.cos()]])
    moved = torch.cat([face[..., :2] @ turn.T * 1.3 + 20, face[..., 2:] * 1.3], dim=2)
    assert torch.allclose(network.upright(face), network.upright(moved), atol=1e-3)
    assert network.upright(mean[None]).abs().max() < 1e-4


def test_the_truth_costs_nothing_but_its_prior() -> None:
    row, one = drawn(4), turned(0.1)
    truth = split(row)
    where = Placing(one.rotation.expand(4, 3, 3), one.scale.expand(4), one.shift.expand(4, 3))
    picture, _, _ = FACE.draw(truth, where, 64, 4.0)
    batch = Batch(
        near=torch.zeros(4, 112, 8, 8),
        far=torch.zeros(4, 192, 4, 4),
        seen=torch.zeros(4, 478, 3),
        landmarks=where.apply(FACE.landmarks(truth)),
        picture=picture.detach(),
        scores=truth.expression.clone(),
        known=torch.ones(4, dtype=torch.bool),
        truth=truth,
    )
    loss = ParameterLoss(FACE, torch.full((57,), 0.03), Weights(consistency=0.0))
    terms = {name: float(value) for name, value in loss(truth, batch).items()}
    assert terms["landmarks"] < 0.05
    assert terms["photometric"] < 0.05
    assert terms["scores"] == terms["supervised"] == 0.0
    assert terms["prior"] > 0.0
    off = split(row + 0.5 * torch.randn_like(row))
    assert float(loss(off, batch)["total"]) > float(loss(truth, batch)["total"]) + 0.5


def test_a_hand_before_the_face_is_not_explained() -> None:
    difference = torch.full((1, 8, 8, 3), 0.02)
    skin = torch.ones(1, 8, 8)
    calm = float(robust(difference, skin))
    difference[:, :2] = 0.8
    assert float(robust(difference, skin)) < 1.5 * calm


def test_scores_are_named_as_arkit_names_them() -> None:
    names = fl.face_mesh().blendshape_names
    scores = np.arange(len(names), dtype=np.float32)
    found = named(scores)
    assert np.isnan(found[fm.ARKIT.index("tongueOut")])
    assert found[fm.ARKIT.index("jawOpen")] == names.index("jawOpen")
