"""How `face_model.npz` holds its large fields: as integers, which `xpcam.face.model.unpacked` widens again."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
OUTPUT = Path(__file__).with_name("face_model.npz")
DENSE = ("identity",)  # in which there is little to pack, and whose unpacking would take longest
SILENCE = 5e-4  # outer-eye distances: what an expression moves less is not stored


def quantised(field: Array, kind: type) -> tuple[NDArray[Any], Array]:
    """(K, V, 3) as integers, and the unit (K,) of each component."""
    limit = np.iinfo(kind).max
    unit = np.abs(field).max(axis=(1, 2)) / limit
    return np.rint(field / np.maximum(unit, 1e-12)[:, None, None]).astype(kind), unit.astype(np.float32)


def sparse(expression: Array) -> dict[str, NDArray[Any]]:
    """The 52 shapes as rows (shape * V + vertex) that move at all, as integers."""
    moved = np.linalg.norm(expression, axis=2) > SILENCE
    at = np.flatnonzero(moved.ravel())
    unit = np.abs(expression).max() / np.iinfo(np.int16).max
    rows = np.rint(expression.reshape(-1, 3)[at] / unit).astype(np.int16)
    return {"expression_at": at.astype(np.int32), "expression": rows, "expression_scale": np.float32(unit)}


def store(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    """Write an .npz, packed but for `DENSE`."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            entry = zipfile.ZipInfo(f"{name}.npy")
            entry.compress_type = zipfile.ZIP_STORED if name in DENSE else zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)
