"""X2Face's networks, and the gate they pass into their files (needs PyTorch, extra train)."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")
onnx = pytest.importorskip("onnx", reason="needs ONNX (extra train)")
pytest.importorskip("openpeople", reason="needs the package openpeople (extra train)")

from engines.face_params.export import session  # noqa: E402
from engines.tensorrt_operators import problems  # noqa: E402
from engines.x2face import export  # noqa: E402
from engines.x2face.heads import rest_grid  # noqa: E402
from engines.x2face.network import BACKBONES, CODE, X2Face  # noqa: E402

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
    image, driver, codes = (
        torch.rand(2, 3, 128, 128) * 255,
        torch.rand(2, 3, 256, 256) * 255,
        torch.randn(2, CODE),
    )
    embedding, driving, code, taught = network.train()(image, driver, codes)
    scales = (128, 32, 16, 8) if backbone == "unet3plus" else (128,)
    for grids in (embedding, driving, taught):
        assert [tuple(grid.shape) for grid in grids] == [(2, 2, side, side) for side in scales]
    assert code.shape == (2, CODE)
    embedding, driving, _, taught = network.eval()(image, driver)
    assert taught == []
    for grids in (embedding, driving):
        assert len(grids) == 1
        assert torch.allclose(grids[0], rest_grid(128).expand(2, -1, -1, -1), atol=0.2)  # it begins at rest


def test_the_early_features_are_kept_and_the_rest_learns(backbone: str) -> None:
    network = X2Face(backbone).train()
    embedding, driving, _, _ = network(torch.rand(2, 3, 128, 128) * 255, torch.rand(2, 3, 256, 256) * 255)
    (sum(grid.square().mean() for grid in [*embedding, *driving])).backward()
    for name, parameter in network.named_parameters():
        early = ".stem." in name or ".stages." in name or ".reader.deep.0." in name
        assert parameter.requires_grad != early, name
        assert early or parameter.grad is not None, name


def test_what_the_driver_shows_reaches_the_grid_through_the_code_alone(backbone: str) -> None:
    driving = X2Face(backbone).driving.eval()
    with torch.no_grad():
        driving.code.weight.zero_()
        first, second = (driving(torch.rand(1, 3, 256, 256) * 255)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_what_is_not_learned_may_be_looked_up_beforehand(backbone: str) -> None:
    driving, picture = X2Face(backbone).driving.eval(), torch.rand(1, 3, 256, 256) * 255
    with torch.no_grad():
        seen = driving.reader.early(picture)
        assert seen.shape == (1, 80, 16, 16)
        assert torch.equal(driving(seen)[0], driving(picture)[0])


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
        assert run.get_inputs()[0].name == graph.entry and run.get_inputs()[0].type == "tensor(uint8)"
        picture = np.zeros((1, graph.side, graph.side, 3), np.uint8)
        (grid,) = run.run(["grid"], {graph.entry: picture})
        assert grid.shape == (1, 128, 128, 2) and grid.dtype == np.float32
        assert path.stat().st_size < 1_000_000


def test_the_gate_holds_a_changed_model_back() -> None:
    graph = export.DrivingGraph(X2Face("unet").driving).eval()
    model = export.to_onnx(graph, {})
    with torch.no_grad():
        graph.network.heads.whole.bias += 0.1
    worst = export.difference(graph, model, [np.zeros((256, 256, 3), np.uint8)])
    with pytest.raises(SystemExit, match="nothing was written"):
        export.check("driving", worst, export.TOLERANCE)
