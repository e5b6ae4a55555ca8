"""What the control API takes and gives. Unknown fields, wrong types and values out of bounds are refused."""

from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, create_model

from xpcam.settings import Settings
from xpcam.steering import LIVE

NAME: Final = r"^[a-z0-9][a-z0-9_-]{0,39}$"
PROFILE: Final = r"^[a-z0-9][a-z0-9_-]{0,31}$"
PATH: Final = r"^[^\x00-\x1f\x7f]+$"
SIZE: Final = r"^[0-9]{2,4}x[0-9]{2,4}$"


class Strict(BaseModel):
    """No conversion, nothing unknown."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Problem(Strict):
    """Why something was refused."""

    detail: str = Field(description="one line: what was found, what was wanted, what to do")


class Rates(Strict):
    """Pictures per second, of the last three seconds."""

    generated: float = Field(description="made from a new camera frame")
    published: float = Field(description="given to the output, repeats and idle ones included")
    wanted: float = Field(description="the setting fps")


class Frames(Strict):
    """Counts since the run began."""

    generated: int
    published: int
    dropped: int = Field(description="camera frames that were overtaken by a newer one")
    late: int = Field(description="pictures that came too late for their slot and were left out")


class Times(Strict):
    """Milliseconds, of the last 300."""

    p50: float
    p95: float


class Made(Strict):
    """With what pictures are made, where the rate needs keeping."""

    step: int = Field(description="0: full quality; each further one is made with less")
    name: str
    why: str
    changes: int = Field(description="how often the step changed")
    held_by_others: float | None = Field(
        description="share of its time, 0 to 1, that the frame loop waited for a core; null where not known"
    )


class Status(Strict):
    """How a run is."""

    name: str
    version: str
    pid: int
    state: Literal["following", "idling", "asleep"]
    uptime_s: float
    camera: str
    output: str
    readers: int | None = Field(description="programs that look, at least; null where that is not known")
    size: tuple[int, int]
    target: str
    neutral: str = Field(description="where the neutral face comes from: automatic, calibrated or a profile")
    rates: Rates
    frames: Frames
    latency_ms: Times
    stages_ms: dict[str, Times]
    faults: dict[str, str] = Field(
        description="what does not work now, in a line for each part: camera, engines, face, output"
    )
    stood_still_s: float = Field(
        description="seconds in which nothing went on: the machine was suspended, or this was held up"
    )
    quality: Made | None = Field(description="null with --no-governor: always full")
    engines: dict[str, str] = Field(description="on which device each engine really runs")
    refused: dict[str, dict[str, str]] = Field(
        description="why each engine runs on nothing faster: reasons by device, by engine"
    )
    memory_mb: float


class TargetWanted(Strict):
    """A name of the gallery, or the path of a picture, clip or folder that the run can read."""

    target: Annotated[str, Field(min_length=1, max_length=4000, pattern=PATH)]


class TargetShown(Strict):
    """What is on show from the next picture on."""

    target: str


class Kept(Strict):
    """A target of the gallery."""

    name: str
    kind: Literal["still", "clip"]
    source: str
    added: str


class CalibrationWanted(Strict):
    """How long to look, and for whom the neutral face is kept."""

    seconds: Annotated[float, Field(ge=1, le=10)] = 2.0
    profile: Annotated[str, Field(pattern=PROFILE)] | None = None


class Judged(Strict):
    """One part of a calibration's quality."""

    value: float
    unit: str
    good: bool
    advice: str


class Calibrated(Strict):
    """How good a calibration was. It is taken all the same: what is not good says what to do."""

    quality: dict[str, Judged]


class ProfileWanted(Strict):
    """Whose neutral face to take."""

    profile: Annotated[str, Field(pattern=PROFILE)]


def _taken(name: str) -> Any:
    """The type in which the API takes and gives a setting."""
    info = Settings.model_fields[name]
    if name == "size":
        return Annotated[str, Field(pattern=SIZE)]
    if info.annotation is str:
        return Annotated[str, Field(min_length=1, max_length=4000, pattern=PATH)]
    return Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation


def _patch() -> type[BaseModel]:
    """The settings that change live, each with its own bounds, all optional."""
    fields: dict[str, Any] = {}
    for name in LIVE:
        about = Field(description=Settings.model_fields[name].description)
        fields[name] = (Annotated[_taken(name), about], None)
    return create_model("SettingsPatch", __base__=Strict, __doc__="Settings to change, at once.", **fields)


def _live_settings() -> type[BaseModel]:
    fields: dict[str, Any] = {name: (_taken(name), ...) for name in LIVE}
    return create_model("LiveSettings", __base__=Strict, __doc__="Settings that change live.", **fields)


SettingsPatch = _patch()
LiveSettings = _live_settings()
