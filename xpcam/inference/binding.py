"""Runs a session on a GPU with buffers that are made once: no frame allocates memory there."""

import ctypes
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from itertools import count
from threading import Lock
from typing import Any, Final

import numpy as np
import onnxruntime as ort

from xpcam.inference.preflight import Load, cuda_libraries
from xpcam.inference.tensor import Array, Tensor

LOCKED_FROM: Final = 1 << 16  # bytes; the driver sends less than that without waiting for locked pages
GRAPH: Final = "gpu_graph_id"

_graphs = count(1)
_turn = Lock()
"""For CUDA graphs: nothing else may use the GPU while one is recorded, and a session runs one at a time."""


class Bound:
    """A session on a GPU; any number of threads may run it, each with buffers that no other uses meanwhile.

    Attributes:
        session: ONNX Runtime's.
    """

    def __init__(
        self,
        session: Any,
        inputs: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        graphs: bool = False,
    ) -> None:
        """Make the first buffers; more only where runs overlap.

        Args:
            session: of ONNX Runtime, every shape in it static.
            inputs, outputs: their types and shapes by name.
            graphs: the session records CUDA graphs: a run is then one call of the driver.

        Raises:
            RuntimeError: no GPU memory is left, or there is no GPU.
        """
        self.session = session
        self._make: Callable[[], _Buffers] = lambda: _Buffers(session, inputs, outputs, graphs)
        self._free = deque([self._make()])

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """One forward pass; blocks. The outputs, in order, are fresh arrays.

        Raises:
            ValueError: an input of another name, type or shape.
            RuntimeError: the GPU failed.
        """
        try:
            buffers = self._free.pop()
        except IndexError:
            buffers = self._make()
        try:
            return buffers.run(feeds)
        finally:
            self._free.append(buffers)


class _Buffers:
    """What one run needs: inputs in locked pages and on the GPU, outputs on the GPU, at lasting addresses."""

    def __init__(
        self, session: Any, inputs: Mapping[str, Tensor], outputs: Mapping[str, Tensor], graphs: bool
    ) -> None:
        self._session, self._wanted = session, inputs
        self._locked = {name: page_locked(want.shape, want.dtype) for name, want in inputs.items()}
        self._inputs = {name: on_gpu(want) for name, want in inputs.items()}
        self._outputs = [on_gpu(want) for want in outputs.values()]
        self._binding = session.io_binding()
        for name, value in self._inputs.items():
            self._binding.bind_ortvalue_input(name, value)
        for name, value in zip(outputs, self._outputs, strict=True):
            self._binding.bind_ortvalue_output(name, value)
        self._options = None
        self._turn: Any = _turn if graphs else nullcontext()
        if graphs:
            self._options = ort.RunOptions()
            self._options.add_run_config_entry(GRAPH, str(next(_graphs)))  # a graph knows addresses: one each

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        found = {name: Tensor(str(feed.dtype), feed.shape) for name, feed in feeds.items()}
        if found != self._wanted:  # ONNX Runtime compares numbers of values only
            raise ValueError(f"found {_list(found)}, wanted {_list(self._wanted)}")
        with self._turn:
            for name, feed in feeds.items():
                self._locked[name][...] = feed
                self._inputs[name].update_inplace(self._locked[name])
            self._session.run_with_iobinding(self._binding, self._options)
            return [value.numpy() for value in self._outputs]


def on_gpu(want: Tensor) -> ort.OrtValue:
    """Memory of the GPU for one input or output. Raises RuntimeError: there is none."""
    return ort.OrtValue.ortvalue_from_shape_and_type(want.shape, np.dtype(want.dtype).type, "cuda", 0)


def page_locked(shape: tuple[int, ...], dtype: str, load: Load = ctypes.CDLL) -> Array:
    """Zeros that the GPU reads without a copy by the driver; an ordinary array where that is refused.

    Args:
        shape, dtype: as for `np.zeros`.
        load: loads a library by name.
    """
    made = np.zeros(shape, dtype)
    if made.nbytes < LOCKED_FROM:
        return made
    try:
        runtime = load(cuda_libraries()[0])
    except OSError:
        return made
    place = ctypes.c_void_p(made.ctypes.data)
    if runtime.cudaHostRegister(place, ctypes.c_size_t(made.nbytes), 0):
        runtime.cudaGetLastError()  # or ONNX Runtime, in this thread, takes that failure for its own
        return made
    weakref.finalize(made, runtime.cudaHostUnregister, place).atexit = False  # CUDA may be gone by then
    return made


def _list(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(f"{name} {tensor}" for name, tensor in tensors.items())
