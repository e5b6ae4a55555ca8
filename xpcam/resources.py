"""Files that ship with the package: engines, face data, the demo clip.

The wheel carries them in `xpcam/shipped/` (pyproject.toml, force-include). A checkout has them where they
are made, under `engines/`. A test keeps `SHIPPED` and pyproject.toml in step.
"""

from importlib.resources import files
from pathlib import Path
from typing import Final

from xpcam.errors import EngineError

SHIPPED: Final = {
    "SHA256SUMS": "engines/SHA256SUMS",
    "demo.mp4": "engines/demo/demo.mp4",
    "face_detector.onnx": "engines/face_params/face_detector.onnx",
    "face_mesh.npz": "engines/face_params/face_mesh.npz",
    "face_model.npz": "engines/face_params/face_model.npz",
    "face_params.onnx": "engines/face_params/face_params.onnx",
    "mouth.onnx": "engines/mouth/mouth.onnx",
    "x2face_driving_unet.onnx": "engines/x2face/x2face_driving_unet.onnx",
    "x2face_driving_unet3plus.onnx": "engines/x2face/x2face_driving_unet3plus.onnx",
    "x2face_embedding_unet.onnx": "engines/x2face/x2face_embedding_unet.onnx",
    "x2face_embedding_unet3plus.onnx": "engines/x2face/x2face_embedding_unet3plus.onnx",
    "systemd/modprobe.conf": "systemd/modprobe.d/xpcam.conf",
    "systemd/modules-load.conf": "systemd/modules-load.d/xpcam.conf",
    "systemd/xpcam.rules": "systemd/udev/60-xpcam.rules",
    "systemd/xpcam.service": "systemd/user/xpcam.service",
    "systemd/xpcam@.service": "systemd/system/xpcam@.service",
}
"""Name of each shipped file, and where a checkout keeps it."""


def shipped(name: str) -> Path:
    """Path of a shipped file, in the installed package or else in the checkout.

    Raises:
        EngineError: the file is missing: an incomplete installation or checkout.
        KeyError: nothing of that name ships (a bug in the caller).
    """
    in_checkout = SHIPPED[name]
    package = Path(str(files("xpcam")))
    for path in (package / "shipped" / name, package.parent / in_checkout):
        if path.is_file():
            return path
    raise EngineError(
        f"the shipped file {name} is missing from {package}: wanted a complete installation; "
        "reinstall xpcam, or restore it in a checkout with 'git checkout -- engines'"
    )
