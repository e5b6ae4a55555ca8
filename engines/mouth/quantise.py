"""The engine in whole numbers: how good it then is, and how fast. It is not what ships.

    python -m engines.mouth.quantise --output mouth-int8.onnx [--model engines/mouth/mouth.onnx]
    python -m engines.mouth.evaluate --model mouth-int8.onnx

ONNX Runtime's static quantisation (int8 weights of each channel, uint8 between the layers), its ranges taken from
mouths of the training samples. Printed: milliseconds of processor time of both, least of many runs, in turn.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.shape_inference import quant_pre_process

from engines.mouth.export import given

MOUTHS, ROUNDS = 128, 120


class Mouths(CalibrationDataReader):
    """Some samples, one at a time."""

    def __init__(self, file: Path) -> None:
        planes, styles = given(file, MOUTHS)
        self._inputs: Iterator[dict[str, np.ndarray]] = iter(
            [
                {"image": image[None], "style": style[None]}
                for image, style in zip(planes, styles, strict=True)
            ]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._inputs, None)


def quantised(model: onnx.ModelProto, mouths: Mouths) -> onnx.ModelProto:
    """The model with its convolutions in whole numbers."""
    with tempfile.TemporaryDirectory() as folder:
        plain, ready, out = (Path(folder) / name for name in ("plain.onnx", "ready.onnx", "int8.onnx"))
        onnx.save(model, plain)
        quant_pre_process(str(plain), str(ready))
        quantize_static(
            str(ready), str(out), mouths, quant_format=QuantFormat.QDQ, per_channel=True,
            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, op_types_to_quantize=["Conv"],
        )  # fmt: skip
        return onnx.load(out)


def single(model: onnx.ModelProto) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    return ort.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def milliseconds(runs: list[ort.InferenceSession], inputs: dict[str, np.ndarray]) -> list[float]:
    """Least processor time of a run of each, one thread, in turn."""
    least = [float("inf")] * len(runs)
    for _ in range(ROUNDS):
        for index, run in enumerate(runs):
            begin = time.process_time()
            run.run(None, inputs)
            least[index] = min(least[index], 1e3 * (time.process_time() - begin))
    return least


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path(__file__).with_name("mouth.onnx"))
    parser.add_argument("--samples", type=Path, default=Path("runs/mouth/samples"))
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    model = onnx.load(options.model)
    small = quantised(model, Mouths(options.samples / "photographs.npz"))
    options.output.write_bytes(small.SerializeToString())
    planes, styles = given(options.samples / "test.npz", 1)
    inputs = {"image": planes, "style": styles}
    before, after = milliseconds([single(model), single(small)], inputs)
    print(f"float {before:.2f} ms, whole numbers {after:.2f} ms, {after / before:.2f} of it")


if __name__ == "__main__":
    main()
