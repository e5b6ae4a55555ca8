"""X2Face's networks, and the gate they pass into their files (needs PyTorch, extra train)."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from torch import Tensor

torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")
onnx = pytest.importorskip("onnx", reason="needs ONNX (extra train)")
pytest.importorskip("openpeople", reason="needs the package openpeople (extra train)")

from engines.face_params.export import session  # noqa: E402
from engines.tensorrt_operators import problems  # noqa: E402
from engines.x2face import export  # noqa: E402
from engines.x2face.codes import principal  # noqa: E402
from engines.x2face.heads import rest_grid  # noqa: E402
from engines.x2face.network import BACKBONES, CODE, X2Face  # noqa: E402
from engines.x2face.places import Places  # noqa: E402
from xpcam.face.embedded_face import canonical  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the TorchScript exporter
SETTINGS = {"seed": "0", "steps": "0", "loss": "l1"}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=BACKBONES)
def backbone(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_each_backbone_gives_grids_and_only_unet3plus_is_supervised_at_all_scales(backbone: str) -> None:
    torch.manual_seed(1)
    network = X2Face(backbone)
    image, acts = torch.rand(2, 3, 128, 128) * 255, drivers(4)
    embedding, driving, code = network.train()(image, acts, 2)
    scales = (128, 32, 16, 8) if backbone == "unet3plus" else (128,)
    for grids in (embedding, driving):
        assert [tuple(grid.shape) for grid in grids] == [(2, 2, side, side) for side in scales]
    assert code.shape == (4, CODE)
    embedding, driving, _ = network.eval()(image, acts[::2])
    for grids in (embedding, driving):
        assert len(grids) == 1
        assert torch.allclose(grids[0], rest_grid(128).expand(2, -1, -1, -1), atol=0.3)  # it begins near rest


def drivers(count: int) -> "Tensor":
    """(count, 478, 2) the embedded face, shaken."""
    return torch.from_numpy(canonical())[None] + torch.randn(count, 478, 2) * 0.05


def test_the_early_features_are_kept_and_the_rest_learns(backbone: str) -> None:
    network = X2Face(backbone).train()
    embedding, driving, _ = network(torch.rand(2, 3, 128, 128) * 255, drivers(2))
    (sum(grid.square().mean() for grid in [*embedding, *driving])).backward()
    for name, parameter in network.named_parameters():
        early = ".stem." in name or ".stages." in name
        assert parameter.requires_grad != early, name
        assert early or parameter.grad is not None, name


def test_what_the_driver_does_reaches_the_grid_through_the_code_alone(backbone: str) -> None:
    driving = X2Face(backbone).driving.eval()
    with torch.no_grad():
        one, other = drivers(2).split(1)
        assert not torch.equal(driving(one)[0], driving(other)[0])
        driving.code.weight.zero_()
        assert torch.equal(driving(one)[0], driving(other)[0])


def test_the_code_begins_as_principal_components() -> None:
    acts = torch.from_numpy(canonical())[None] + (torch.randn(200, 3) @ torch.randn(3, 956)).view(200, 478, 2)
    weight, bias = principal(acts)
    codes = acts.flatten(1) @ weight.T + bias
    assert codes.mean(0).abs().max() < 1e-2
    spread = codes.std(0)
    assert spread[0] >= spread[1] >= spread[2] > 100 * spread[3:].max()


def test_a_channel_of_places_draws_an_edge_where_the_code_says() -> None:
    places = Places(1, 0)
    with torch.no_grad():
        places.mix.weight.zero_()
        places.mix.bias.zero_()
        places.mix.weight[0] = -1.0  # of the first channel: the constant
        places.mix.bias[2] = 1.0  # and y
        drawn = places(torch.tensor([[0.0], [0.5]]))[:, 0, :, 0]
    below = (drawn > 0).float().mean(1)
    assert below.tolist() == pytest.approx([0.5, 0.25], abs=0.02)
    assert drawn[1, 32:48].abs().max() == 0  # above the line there is nothing


def test_an_unknown_backbone_is_refused() -> None:
    with pytest.raises(ValueError, match="wanted one of unet, unet3plus"):
        X2Face("vgg")


def test_the_export_gate(backbone: str, tmp_path: Path) -> None:
    torch.manual_seed(3)
    network = X2Face(backbone)
    graphs = (export.EmbeddingGraph(network.embedding), export.DrivingGraph(network.driving))
    for graph in graphs:
        for layer in graph.network.heads.cells:
            torch.nn.init.normal_(layer.weight, std=0.02)
        model = export.gated(graph, export.facts(graph, backbone, SETTINGS, 7))
        path = tmp_path / f"{graph.title}.onnx"
        onnx.save(model, path)
        assert problems(model) == []
        assert [opset.version for opset in model.opset_import] == [17]
        known = {entry.key: entry.value for entry in model.metadata_props}
        assert known["name"] == f"x2face_{graph.title}" and known["backbone"] == backbone
        assert {"version", "side_factor", "tolerance", "opset", "training"} <= set(known)
        run = session(model)
        told = run.get_inputs()[0]
        assert told.name == graph.entry and told.shape == list(graph.plain()[0].shape)
        assert told.type == {"source": "tensor(uint8)", "landmarks": "tensor(float)"}[graph.entry]
        (grid,) = run.run(["grid"], {graph.entry: np.zeros_like(graph.plain()[0])})
        assert grid.shape == (1, 128, 128, 2) and grid.dtype == np.float32
        assert path.stat().st_size < 1_200_000


def test_the_gate_holds_a_changed_model_back() -> None:
    graph = export.DrivingGraph(X2Face("unet").driving).eval()
    model = export.to_onnx(graph, {})
    with torch.no_grad():
        graph.network.heads.whole.bias += 0.1
    worst = export.difference(graph, model, graph.plain())
    with pytest.raises(SystemExit, match="nothing was written"):
        export.check("driving", worst, export.TOLERANCE)
