"""The control API: HTTP over the run's own socket, described in docs/openapi.json.

A request never waits for the frame loop, nor the frame loop for it. Whatever is asked wrongly is answered
with 4xx and one line.
"""

import secrets
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Final

from fastapi import FastAPI, HTTPException, Request
from fastapi import Path as InPath
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse

from xpcam import __version__
from xpcam.control import models
from xpcam.control.control import Control
from xpcam.errors import SettingsError, TargetError, XpcamError
from xpcam.settings import Settings
from xpcam.settings import wanted as wanted_of
from xpcam.steering import LIVE

TEXT: Final = "text/plain; version=0.0.4; charset=utf-8"
REFUSED: Final[dict[int | str, dict[str, Any]]] = {
    409: {"model": models.Problem, "description": "It cannot be done now."},
    422: {"model": models.Problem, "description": "What was asked for is wrong."},
}
Name = Annotated[str, InPath(pattern=models.NAME)]
Patch = models.SettingsPatch
Now = models.LiveSettings


def build(control: Control) -> FastAPI:
    """The API of one run."""
    app = FastAPI(
        title="Xpression Cam",
        version=__version__,
        description="Steers a running xpcam.",
        docs_url=None,
        redoc_url=None,
        responses=REFUSED,
    )
    app.add_exception_handler(XpcamError, _refused)
    app.add_exception_handler(RequestValidationError, _malformed)
    _add_reading(app, control)
    _add_steering(app, control)
    _add_neutral(app, control)
    return app


def _add_reading(app: FastAPI, control: Control) -> None:
    @app.get("/status")
    def status() -> models.Status:
        """How the run is."""
        return control.status()

    @app.get("/settings", response_model=Now)
    def settings() -> dict[str, object]:
        """The settings that change live, as they are now."""
        return control.settings()

    @app.get("/gallery")
    def gallery() -> list[models.Kept]:
        """The targets of the gallery, in the order of `next`."""
        return control.gallery()

    @app.get(
        "/gallery/{name}/thumbnail",
        response_class=FileResponse,
        responses={200: {"content": {"image/jpeg": {}}}, 404: {"model": models.Problem}},
    )
    def thumbnail(name: Name) -> FileResponse:
        """A small picture of a target."""
        try:
            path = control.thumbnail(name)
        except TargetError as error:
            raise HTTPException(404, str(error)) from error
        if not path.is_file():
            raise HTTPException(404, f"target {name} has no thumbnail: remove it and add it again")
        return FileResponse(path, media_type="image/jpeg")

    @app.get("/metrics", response_class=PlainTextResponse)
    def metrics() -> PlainTextResponse:
        """What the run counts, for Prometheus."""
        return PlainTextResponse(control.metrics(), media_type=TEXT)


def _add_steering(app: FastAPI, control: Control) -> None:
    @app.patch("/settings", response_model=Now)
    def change(wanted: Patch) -> dict[str, object]:  # type: ignore[valid-type]
        """Change settings, all those named at once, between two pictures."""
        return control.change(wanted.model_dump(exclude_unset=True))  # type: ignore[attr-defined]

    @app.put("/target")
    def use(wanted: models.TargetWanted) -> models.TargetShown:
        """Show another target. Where it cannot be used, what is on show stays."""
        return models.TargetShown(target=control.steering.use(wanted.target))

    @app.post("/target/next")
    def show_next() -> models.TargetShown:
        """Show the next still of the folder that is on show, else the next target of the gallery."""
        return models.TargetShown(target=control.steering.show_next())

    @app.post("/stop", status_code=202)
    def stop() -> None:
        """End the run: cameras and files are closed properly."""
        control.stop.set()


def _add_neutral(app: FastAPI, control: Control) -> None:
    @app.post("/neutral/relearn", status_code=204)
    def relearn() -> None:
        """Learn the neutral face anew, by itself."""
        control.steering.learn_neutral()

    @app.post("/neutral/calibrate")
    def calibrate(wanted: models.CalibrationWanted) -> models.Calibrated:
        """Take the neutral face from the next seconds; the answer comes then."""
        return control.calibrate(wanted.seconds, wanted.profile)

    @app.post("/neutral/profile", status_code=204)
    def use_profile(wanted: models.ProfileWanted) -> None:
        """Take the neutral face of a profile."""
        control.use_profile(wanted.profile)


def _one_line(text: str) -> str:
    return " ".join(text.split())


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    wrong = isinstance(error, SettingsError | TargetError)
    return JSONResponse({"detail": _one_line(str(error))}, 422 if wrong else 409)


async def _malformed(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    said = f"{where[:100]}: {first['msg']}"
    if where in LIVE:
        said = f"{where}: found {str(first['input'])[:40]!r}, wanted {wanted_of(where)}"
    elif where in Settings.model_fields and first["type"] == "extra_forbidden":
        said = f"{where} does not change while it runs: wanted one of {', '.join(LIVE)}; stop and start anew"
    elif first["type"] == "extra_forbidden" and request.url.path == "/settings":
        said = f"{where[:100]} is no setting: wanted one of {', '.join(LIVE)}"
    return JSONResponse({"detail": _one_line(said)}, 422)


Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def with_token(app: App, token: str) -> App:
    """Let requests pass that know the token: a port is open to every user of the machine."""
    wanted = f"Bearer {token}".encode("ascii")

    async def guarded(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await app(scope, receive, send)
            return
        given = dict(scope["headers"]).get(b"authorization", b"") if scope["type"] == "http" else b""
        if secrets.compare_digest(given, wanted):
            await app(scope, receive, send)
            return
        problem = {"detail": "no token, or not the one of this run: send 'Authorization: Bearer TOKEN'"}
        await JSONResponse(problem, 401, {"WWW-Authenticate": "Bearer"})(scope, receive, send)

    return guarded
