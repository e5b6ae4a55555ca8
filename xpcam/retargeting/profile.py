"""A person's neutral face, kept under a name: what `xpcam calibrate --profile NAME` learned."""

import os
import re
import tempfile
import zipfile
from pathlib import Path
from typing import Final

import numpy as np

from xpcam.errors import SettingsError
from xpcam.face.landmarks import LANDMARKS
from xpcam.face.model import ARKIT
from xpcam.frame import Pose
from xpcam.retargeting.neutral import Neutral

NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")
DAMAGE: Final = (ValueError, KeyError, EOFError, zipfile.BadZipFile)


def profile_folder() -> Path:
    """Where profiles are kept: `$XDG_DATA_HOME/xpcam/profiles`."""
    home = os.environ.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(home).expanduser() / "xpcam" / "profiles"


def save_profile(name: str, neutral: Neutral) -> Path:
    """Keep a neutral face; readable by its owner alone. Raises SettingsError."""
    path = _path(name)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle, part = tempfile.mkstemp(suffix=".part", dir=path.parent)  # made with mode 0600
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez(
                    file,
                    allow_pickle=False,
                    face=neutral.face,
                    pose=np.array([*neutral.pose.rotation, *neutral.pose.translation, neutral.pose.scale]),
                    gaze=neutral.gaze,
                    expression=neutral.expression,
                    strain=np.array(neutral.strain),
                )
            Path(part).replace(path)
        finally:
            Path(part).unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(
            f"profile {name} cannot be kept in {path.parent} ({error.strerror}): wanted room and the right "
            "to write; mend that"
        ) from error
    return path


def load_profile(name: str) -> Neutral:
    """The neutral face of that name. Raises SettingsError."""
    path = _path(name)
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            face, pose = data["face"].astype(np.float32), data["pose"].astype(np.float32)
            gaze, expression = data["gaze"].astype(np.float32), data["expression"].astype(np.float32)
            strain = float(data["strain"])
    except OSError as error:
        known = ", ".join(sorted(other.stem for other in path.parent.glob("*.npz"))) or "none yet"
        raise SettingsError(
            f"no profile {name!r} ({error.strerror}; found: {known}): 'xpcam calibrate --profile {name}'"
        ) from error
    except DAMAGE as error:
        raise SettingsError(f"profile {path} is damaged ({error}): calibrate again") from error
    shapes = (face.shape, pose.shape, gaze.shape, expression.shape)
    if shapes != ((LANDMARKS, 3), (6,), (2, 2), (len(ARKIT),)):
        raise SettingsError(f"profile {path} is of another version: calibrate again")
    return Neutral(face, Pose(pose[:3], pose[3:5], float(pose[5])), gaze, expression, strain)


def _path(name: str) -> Path:
    if not NAME.fullmatch(name):
        raise SettingsError(
            f"profile {name[:60]!r}: wanted 1 to 32 of a-z, 0-9, - and _, a letter or digit first"
        )
    return profile_folder() / f"{name}.npz"
