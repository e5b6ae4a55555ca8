"""Every option, declared once: unit, default, bounds and meaning.

Values come from a TOML file, then the environment (`XPCAM_FPS=25`), then flags (`--fps 25`); the last wins.
`xpcam/cli.py` makes its flags and their help from the model below, so nothing is said twice.
"""

import os
from collections.abc import Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Final, Literal, Self

from annotated_types import Ge, Le
from pydantic import Field, ValidationError, field_validator, model_validator
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from xpcam.camera.spec import DEMO, file_of, same_file, table_of
from xpcam.errors import SettingsError
from xpcam.setting_types import (
    LARGEST,
    NAMES_ARE,
    SMALLEST,
    InstanceName,
    ProfileName,
    Size,
    UserPath,
    UserPlace,
    read_toml,
)

ENV_PREFIX: Final = "XPCAM_"
OTHER_VARIABLES: Final = frozenset({"XPCAM_MEDIAPIPE_TASK"})
"""Variables of the development commands, which are no settings."""

NO_PERSON: Final = "contact_sheet shows the driver's pixels"
DRIVERS_SHOWN: Final = "wanted --camera demo or a video file; leave the contact sheet out"


def option(
    default: object, meaning: str, *, unit: str = "", least: float | None = None, most: float | None = None
) -> Any:
    """One option of the model, with its bounds (both included)."""
    return Field(default, description=meaning, ge=least, le=most, json_schema_extra={"unit": unit})


class Settings(BaseSettings):
    """All options of a run, checked and frozen.

    Made by `load_settings`; the constructor alone reads neither file nor environment.
    """

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=ENV_PREFIX, env_ignore_empty=True
    )

    engine: Literal["mesh", "x2face"] = option(
        "mesh",
        "mesh moves the target's own face; x2face samples it anew for every picture, where a network says, "
        "and has no use for gaze and relight",
    )
    backbone: Literal["unet", "unet3plus"] = option("unet", "which networks of x2face")
    target: UserPath = option(
        None, "picture, clip (.mp4, .mov, ...), folder of pictures, or name from 'xpcam target list'"
    )
    camera: str = option(
        "0", "index, /dev/videoN, label (see 'xpcam devices'), video file, stream URL, csv:FILE, or demo"
    )
    output: UserPlace = option(
        "auto", "auto, v4l2, /dev/videoN, pipewire, pyvirtualcam, a video file (.mp4, .mkv, .mov), or none"
    )
    size: Size = option("1280x720", "size of the output; the target is fitted into it", unit="px")
    fps: int = option(30, "rate of the output", unit="frames/s", least=1, most=120)
    idle_timeout: float = option(
        10.0,
        "close the camera this long after the last program has stopped looking; 0 keeps it open",
        unit="s",
        least=0,
        most=86_400,
    )
    keep_output: bool = option(
        False, "have a process of its own hold the camera, so that who looks goes on through restarts"
    )
    mouth: float = option(1.0, "how much of the mouth's movement the target makes", least=0, most=2)
    eyes: float = option(1.0, "how much of the eyes' movement the target makes", least=0, most=2)
    brows: float = option(1.0, "how much of the brows' movement the target makes", least=0, most=2)
    gaze: float = option(1.0, "how much of the eyes' looking around the target makes", least=0, most=2)
    head: float = option(
        0.6, "how much of the head's movement the target makes; x2face: 1; 0: still", least=0, most=1.5
    )
    mirror: bool = option(False, "move like a mirror image: the person's left is the target's right")
    relight: bool = option(True, "shade the target's face anew when its head turns")
    interior: Literal["on", "drawn", "dark", "off"] = option(
        "on",
        "what shows between lips that the target's picture has shut: teeth and tongue, fitted to the picture "
        "or as they are drawn; dark; nothing",
    )
    transfer: Literal["parameters", "landmarks"] = option(
        "parameters", "what is carried over: blend shapes and most of the rest, or tracked points as they are"
    )
    smoothing: bool = option(True, "steady the tracked face")

    device: Literal["auto", "cpu", "cuda", "tensorrt"] = option("auto", "where the engines run")
    threads: int = option(0, "CPU threads of an engine; 0 chooses", least=0, most=64)
    tracker: Literal["face_params"] = option("face_params", "what reads the face")

    wait_for_camera: bool = option(False, "idle until the camera is there, where it is not at the start")
    governor: bool = option(True, "where pictures come late, make them with less until they come in time")
    loop: bool = option(True, "start a video file again when it ends")
    seconds: float = option(
        0.0, "stop after this long; 0 runs until stopped", unit="s", least=0, most=10_000_000
    )
    frames: int = option(0, "stop after this many frames; 0 runs until stopped", least=0, most=1_000_000_000)
    contact_sheet: UserPath = option(
        None, "picture (.png) of driver beside output; demo camera or video file only"
    )
    name: InstanceName = option(
        "default", "what this run is called: several at once have several names ('xpcam status --name')"
    )
    profile: ProfileName = option("", "whose neutral face to begin with ('xpcam calibrate --profile NAME')")
    control: bool = option(True, "let 'xpcam status', 'target use' and others reach this run")
    control_port: int = option(
        0, "TCP port on this machine for the control API, with a token; 0: none", least=0, most=65_535
    )
    log_file: UserPath = option(None, "file for the log in place of standard error, kept below 5 MB")
    log_level: Literal["debug", "info", "warning", "error"] = option(
        "info", "least important messages that are logged"
    )

    @field_validator("*", mode="before")
    @classmethod
    def _no_surprising_numbers(cls, value: object, info: Any) -> object:
        kind = cls.model_fields[info.field_name].annotation
        if isinstance(value, bool) and kind is not bool:
            raise ValueError("true and false are no value here")
        return str(value) if kind is str and isinstance(value, int) else value

    @model_validator(mode="before")
    @classmethod
    def _all_of_the_head(cls, given: dict[str, Any]) -> dict[str, Any]:
        """What x2face is for: a head that turns as far as the person's, unless told otherwise."""
        return {"head": 1.0, **given} if given.get("engine") == "x2face" else given

    @model_validator(mode="after")
    def _nothing_overwritten(self) -> Self:
        read = {"driver video": file_of(self.camera), "target": self.target}
        output = Path(self.output)
        for flag, written in {"output": output, "contact_sheet": self.contact_sheet}.items():
            for name, source in read.items():
                if written and source and source.is_file() and same_file(written, source):
                    raise ValueError(
                        f"{flag} {written} is the {name} itself: wanted another file; change "
                        f"--{flag.replace('_', '-')}"
                    )
        if self.contact_sheet and same_file(self.contact_sheet, output):
            raise ValueError(
                f"contact_sheet {self.contact_sheet} is the output itself: wanted another file; change one"
            )
        return self

    @model_validator(mode="after")
    def _no_person_in_contact_sheet(self) -> Self:
        # It shows camera pixels, and those of a person may reach no output (docs/decisions.md). What was
        # really opened is asked again, by the daemon: a device may have the name of a file.
        if self.contact_sheet is None:
            return self
        driver = file_of(self.camera)
        shown = driver is not None and driver.is_file() and table_of(self.camera) is None
        if self.camera != DEMO and not shown:
            raise ValueError(f"{NO_PERSON}, found camera {self.camera!r}: {DRIVERS_SHOWN}")
        if self.contact_sheet.suffix.lower() != ".png":
            raise ValueError(
                f"contact_sheet is a picture, found {self.contact_sheet}: wanted a name ending in .png"
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Nothing but the constructor's arguments: `load_settings` collects those."""
        return (init_settings,)

    def require_target(self) -> Path:
        """The target's path.

        Raises:
            SettingsError: none was given.
        """
        if self.target is None:
            raise SettingsError("no target given: wanted a picture with a face; use --target face.png")
        return self.target

    def require_recording(self) -> Path:
        """Where a rendered video goes: a file, or "none".

        Raises:
            SettingsError: the output is a camera, which an offline rendering would flood.
        """
        if self.output == "auto" or self.output.startswith(("/dev/", "v4l2", "pipewire", "pyvirtualcam")):
            raise SettingsError(
                f"--output {self.output} is a camera, and a rendering keeps no time: wanted a video file or "
                "none; name a file, or use 'xpcam start'"
            )
        return Path(self.output)

    def require_shareable(self, description: str, shareable: bool) -> None:
        """Agree to a contact sheet of the camera that was opened, if one is asked for.

        Raises:
            SettingsError: the camera shows who is there; nothing of that may be kept.
        """
        if self.contact_sheet is not None and not shareable:
            raise SettingsError(f"{NO_PERSON}, found camera {description}: {DRIVERS_SHOWN}")


def load_settings(flags: Mapping[str, object], *, config: Path | None = None) -> Settings:
    """Settings from the TOML file, the environment and flags, in that order; later ones win.

    Args:
        flags: values by option name; text is converted.
        config: the TOML file; without it `default_config()`, if that exists.

    Raises:
        SettingsError: an unknown key, a value of the wrong type or out of bounds, an unreadable file.
    """
    path = config or default_config()
    in_file = read_toml(path) if config or path.is_file() else {}
    _refuse_unknown(in_file, f"in {path}", "")
    variables = {name for name in os.environ if name.startswith(ENV_PREFIX)} - OTHER_VARIABLES
    _refuse_unknown(
        (name.removeprefix(ENV_PREFIX).lower() for name in variables), "in the environment", ENV_PREFIX
    )
    in_environment = EnvSettingsSource(Settings)()
    _refuse_unknown(flags, "among the flags", "--")
    sources = {str(path): in_file, "environment": in_environment, "flag": flags}
    try:
        return Settings(**{**in_file, **in_environment, **flags})
    except ValidationError as error:
        raise SettingsError(_first_problem(error, sources)) from None


def default_config() -> Path:
    """Where the TOML file is looked for: `$XDG_CONFIG_HOME/xpcam/config.toml`."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "xpcam" / "config.toml"


def wanted(name: str) -> str:
    """What an option takes, in words: "a number from 0 to 2"."""
    info = Settings.model_fields[name]
    least = next((bound.ge for bound in info.metadata if isinstance(bound, Ge)), None)
    most = next((bound.le for bound in info.metadata if isinstance(bound, Le)), None)
    bounds = "" if least is None else f" from {least:g} to {most:,}"
    kind: Any = info.annotation
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        return f"a {'whole ' if kind is int else ''}number{bounds}"
    if name in ("name", "profile"):
        return NAMES_ARE
    if name == "size":
        return f"WIDTHxHEIGHT, both even, {SMALLEST} to {LARGEST}"
    choices = getattr(kind, "__args__", ())
    if choices and all(isinstance(choice, str) for choice in choices):
        return " or ".join(choices)
    return "text" if kind is str else "a path"


def _refuse_unknown(names: Any, where: str, prefix: str) -> None:
    def spelled(name: str) -> str:
        return prefix + (name.upper() if prefix == ENV_PREFIX else name)

    for name in sorted(names):
        if name not in Settings.model_fields:
            near = get_close_matches(name, Settings.model_fields, n=1, cutoff=0.0)[0]
            raise SettingsError(
                f"unknown setting {spelled(name)} {where}: nearest is {spelled(near)}; "
                "'xpcam start --help' lists all"
            )


def _first_problem(error: ValidationError, sources: Mapping[str, Mapping[str, Any]]) -> str:
    problem = error.errors()[0]
    if not problem["loc"]:
        return str(problem["ctx"]["error"])
    name = str(problem["loc"][0])
    source = [where for where, values in sources.items() if name in values][-1]
    found = sources[source][name]
    place = {"flag": f"--{name.replace('_', '-')}", "environment": ENV_PREFIX + name.upper()}.get(source)
    return f"{place or f'{name} in {source}'}: found {found!r}, wanted {wanted(name)}; change or remove it"
