"""Go on training from a shipped .onnx: its folded weights back into a network with batch norms.

Export folds each batch norm into its convolution. Here the folded weights go into the convolution, and the batch norm behind it is given the mean
and variance that its input has on real crops, with such a scale and shift that the network computes what it did.
"""

from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from engines.face_params.network import LandmarkNet


def initialisers(model: onnx.ModelProto) -> dict[str, Tensor]:
    """All stored weights by the name the graph's nodes use, float16 ones widened."""
    stored = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    widened = {
        n.output[0]: stored[n.input[0]]
        for n in model.graph.node
        if n.op_type == "Cast" and n.input[0] in stored
    }
    return {name: torch.from_numpy(np.array(value, np.float32)) for name, value in {**stored, **widened}.items()
            if value.dtype in (np.float16, np.float32)}  # fmt: skip


def norms(network: nn.Module) -> dict[nn.Module, nn.BatchNorm2d]:
    """The batch norm behind each convolution that has one."""
    rows = [m for m in network.modules() if isinstance(m, nn.Sequential) and len(m) > 1]
    return {m[0]: m[1] for m in rows if isinstance(m[0], nn.Conv2d) and isinstance(m[1], nn.BatchNorm2d)}


def pass_on(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """Let a batch norm add `bias` and do nothing else."""
    norm.running_mean.zero_()
    norm.running_var.fill_(1 - norm.eps)
    norm.weight.fill_(1)
    norm.bias.copy_(bias)


def load_folded(network: LandmarkNet, path: Path) -> None:
    """Put the graph's weights into `network`, whose early stages are frozen, batch norms set to pass everything on.

    Raises:
        SystemExit: the graph has other convolutions than the network.
    """
    model = onnx.load(path)
    weights = initialisers(model)
    named = {
        name.removeprefix("network."): value for name, value in weights.items() if name.startswith("network.")
    }
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    alias = {node.output[0]: node.input[0] for node in model.graph.node if node.op_type == "Identity"}
    graph: dict[str, onnx.NodeProto] = {}
    for node in model.graph.node:
        if node.op_type == "Conv" and "parameters_of" not in node.name and "glance" not in node.name:
            graph.setdefault(alias.get(node.input[1], node.input[1]), node)
    if len(graph) != len(convolutions):
        raise SystemExit(f"{path}: {len(graph)} convolutions, the network has {len(convolutions)}")
    behind = norms(network)
    with torch.no_grad():
        for node, convolution in zip(graph.values(), convolutions, strict=True):
            convolution.weight.copy_(weights[node.input[1]])
            bias = weights[node.input[2]]
            norm = behind.get(convolution)
            if norm is None:
                assert convolution.bias is not None
                convolution.bias.copy_(bias)
                continue
            pass_on(norm, bias)
    wanted = network.state_dict()
    linear = {name: padded(value, wanted[name].shape) for name, value in named.items() if name in wanted}
    network.load_state_dict(linear, strict=False)


def padded(value: Tensor, shape: torch.Size) -> Tensor:
    """In the network's shape; what export left out, for it never spoke, is silent here."""
    if value.numel() == shape.numel():
        return value.view(shape)
    whole = torch.zeros(shape)
    whole[tuple(slice(size) for size in value.shape)] = value
    return whole


@torch.no_grad()
def measure_norms(network: LandmarkNet, images: Tensor) -> None:
    """Give each batch norm its input's statistics on `images` (B, 3, 256, 256), the function unchanged."""
    network.eval()
    found: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    hooks = [
        convolution.register_forward_hook(
            lambda module, _, output: found.__setitem__(
                module, (output.mean((0, 2, 3)), output.var((0, 2, 3)))
            )
        )
        for convolution in norms(network)
    ]
    network(images)
    for hook in hooks:
        hook.remove()
    for convolution, norm in norms(network).items():
        mean, variance = found[convolution]
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.add_(mean)
