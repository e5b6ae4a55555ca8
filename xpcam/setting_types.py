"""Types of settings that are written as text: a size, paths with `~`; and the file that they stand in."""

import re
import tomllib
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator
from pydantic_settings import NoDecode

from xpcam.camera.spec import home_resolved
from xpcam.errors import SettingsError

SMALLEST, LARGEST = 64, 4096
"""The least and the most that a side of a picture may have, pixels."""


def _parse_size(value: object) -> object:
    """`1280x720` to (1280, 720)."""
    if isinstance(value, tuple | list) and len(value) == 2:
        width, height = value
    elif isinstance(value, str) and (match := re.fullmatch(r"(\d{1,5})[xX](\d{1,5})", value.strip())):
        width, height = (int(side) for side in match.groups())
    else:
        raise ValueError("not WIDTHxHEIGHT")
    if any(
        not isinstance(side, int) or side % 2 or not SMALLEST <= side <= LARGEST for side in (width, height)
    ):
        raise ValueError("odd or out of bounds")
    return width, height


def _user_path(value: object) -> object:
    """A path with `~` resolved; an empty one is none at all."""
    return home_resolved(value) if isinstance(value, str) and value else value or None


def _user_place(value: object) -> object:
    """An output with `~` resolved, where it is a path."""
    return str(home_resolved(value)) if isinstance(value, str) and value.startswith("~") else value


def _instance_name(value: object) -> object:
    if not isinstance(value, str) or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,31}", value):
        raise ValueError("no name")
    return value


Size = Annotated[tuple[int, int], NoDecode, BeforeValidator(_parse_size)]
UserPath = Annotated[Path | None, BeforeValidator(_user_path)]
UserPlace = Annotated[str, BeforeValidator(_user_place)]
InstanceName = Annotated[str, BeforeValidator(_instance_name)]
ProfileName = Annotated[str, BeforeValidator(lambda value: value and _instance_name(value))]
NAMES_ARE = "1 to 32 of a-z, 0-9, - and _"


def read_toml(path: Path) -> dict[str, Any]:
    """What stands in a TOML file. Raises SettingsError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"cannot read {path} ({error.strerror}): wanted a TOML file; check --config"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"{path} is not TOML ({error}): wanted lines such as 'fps = 25'; mend that line"
        ) from error
