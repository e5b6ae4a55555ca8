"""Averaging a network with the one it started from (needs PyTorch, extra train)."""

import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")
pytest.importorskip("onnx", reason="needs ONNX (extra train)")

from engines.face_params import blend, warm_start  # noqa: E402
from xpcam.resources import shipped  # noqa: E402


def test_folding_changes_nothing_and_half_way_lies_between() -> None:
    torch.manual_seed(1)
    first = blend.empty()
    warm_start.load_folded(first, shipped("face_params.onnx"))
    image = torch.rand(2, 3, 256, 256) * 255
    with torch.no_grad():
        before = first(image)[0]
        warm_start.measure_norms(first, image)
        assert torch.allclose(first(image)[0], before, atol=0.05)
        again = blend.empty()
        again.load_state_dict(blend.folded(first.state_dict()))
        assert torch.allclose(again(image)[0], before, atol=0.05)
    state = blend.blended(
        {"a": torch.zeros(2), "n": torch.tensor(3)}, {"a": torch.ones(2), "n": torch.tensor(9)}, 0.6
    )
    assert torch.allclose(state["a"], torch.full((2,), 0.6))
    assert state["n"] == 3
