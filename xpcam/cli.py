"""The command line. No logic: flags become `Settings`, and one call does the work.

Flags come from `xpcam/settings.py`, by way of `xpcam/flags.py`. What is imported inside a command is
heavy, and `xpcam --help` needs none of it.
"""

import json
import signal
import sys
from pathlib import Path
from typing import Annotated, Final, Literal

import typer

from xpcam import __version__, machine_commands
from xpcam.camera.spec import DEMO, path_of, table_of
from xpcam.commands import engines, pictures, running, target
from xpcam.commands.bars import bar
from xpcam.errors import SettingsError, XpcamError
from xpcam.flags import takes
from xpcam.resources import shipped
from xpcam.service import journal
from xpcam.settings import Settings

EXIT_CODES: Final = (
    "Exit codes: 0 done; 1 a bug, shown with a traceback; 2 settings; 3 target; 4 camera or driver video; "
    "5 output; 6 engine; 7 service; 8 control; 130 interrupted."
)
LOOK: Final = ("engine", "backbone", "target", "size", "mouth", "eyes", "brows", "head", "mirror")
MACHINE: Final = ("tracker", "smoothing", "device", "threads", "log_level")

DRIVER: Final = ("--driver", "video of the person whose expressions the target makes, csv:FILE, or demo")
RENDERED: Final = ("--output", "video file to write (.mp4, .mkv, .mov), or none")

app = typer.Typer(
    help="A portrait makes your expressions, as a camera anyone can select.",
    epilog=EXIT_CODES,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.command()
@takes(*Settings.model_fields)
def start(
    settings: Settings,
    detach: Annotated[bool, typer.Option("--detach", help="run in the background")] = False,
) -> None:
    """Follow a camera and show the target on the output, until stopped.

    SIGUSR1 learns the neutral face anew: look straight ahead, relaxed, then 'pkill -USR1 xpcam'.
    SIGUSR2 changes to the next picture of a folder, else to the next target of the gallery.
    """
    _check_contact_sheet(settings)
    if detach:
        from xpcam.commands import launching

        settings.require_target()
        if not settings.control:
            raise SettingsError("--detach with --no-control: nothing could stop the run; leave one out")
        arguments = [argument for argument in sys.argv[2:] if argument != "--detach"]
        print(launching.launch(settings.name, arguments))
        return
    from xpcam import daemon

    report = daemon.run_live(settings, bar)
    print(report)
    if settings.contact_sheet is not None:
        print(f"contact sheet: {settings.contact_sheet}")


@app.command()
@takes(*LOOK, *MACHINE, "seconds", "frames", "contact_sheet", camera=DRIVER, output=RENDERED)
def render(settings: Settings) -> None:
    """Make a video of the target following a driver video: every frame, with its sound."""
    from xpcam import offline

    output = settings.require_recording()
    _check_contact_sheet(settings)
    table = table_of(settings.camera)
    driver = shipped("demo.mp4") if settings.camera == DEMO else path_of(settings.camera)
    with bar("rendering") as progress:
        if table is not None:
            report = offline.render_table(settings, table, output, progress)
        else:
            report = offline.render_video(settings, driver, output, progress)
    print(report)


@app.command()
@takes(*MACHINE)
def track(
    settings: Settings,
    video: Annotated[Path, typer.Argument(help="video with a face")],
    output: Annotated[Path, typer.Option(help="file to write, .npz or .csv")],
    layout: Annotated[
        Literal["landmarks", "live-link"],
        typer.Option("--format", help="columns of a .csv; live-link: blend shapes, as Live Link Face writes"),
    ] = "landmarks",
) -> None:
    """Write the landmarks, confidence, pose, expression and gaze of every frame of a video."""
    from xpcam import offline
    from xpcam.tracking import export as tracking_export

    tracking_export.check_output(output, layout)
    with bar("tracking") as progress:
        found = tracking_export.collect(offline.track_video(settings, video, progress))
    tracking_export.save(found, output, layout)
    print(f"{output}: a face in {found.faces} of {len(found.confidence)} frames")


@app.command()
@takes(*MACHINE)
def inspect(
    settings: Settings,
    image: Annotated[Path, typer.Argument(help="picture with one face")],
    output: Annotated[Path, typer.Option(help="picture to write, .png or .jpg")],
) -> None:
    """Show what the 3D face model makes of a face: shape, albedo, light, and what it could not explain."""
    from xpcam import inspect as inspection
    from xpcam import offline

    inspection.check_output(output)
    found = offline.inspect_picture(settings, image)
    inspection.save(found.picture, output)
    print(f"{output}: {found}")


@app.command()
def devices(
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of lines")] = False,
) -> None:
    """List cameras and virtual cameras, who holds them, and whether they can be used."""
    from xpcam.device_report import report

    found = report()
    if as_json:
        print(json.dumps([entry.as_dict() for entry in found], indent=2))
        return
    if not any(entry.device.path.is_absolute() for entry in found):
        print(
            "no video devices found; --camera takes a video file, a stream URL or 'demo' as well"
            if sys.platform == "linux"
            else "this system lists no cameras; --camera takes an index (0, 1, ...), a file, a URL or 'demo'"
        )
    for entry in found:
        print(entry)


@app.command()
@takes(*LOOK, *MACHINE, "seconds")
def bench(
    settings: Settings,
    as_json: Annotated[bool, typer.Option("--json", help="print JSON instead of a table")] = False,
) -> None:
    """Measure this machine: the whole chain at full speed, beside a fixed baseline."""
    from xpcam import bench as benchmark

    with bar("measuring") as progress:
        result = benchmark.run(settings, progress)
    print(json.dumps(result.as_dict(), indent=2) if as_json else result)


app.command()(machine_commands.doctor)
app.add_typer(machine_commands.service, name="service")


@app.command()
def version() -> None:
    """Print the version."""
    print(__version__)


for _command in (running.stop, running.restart, running.status, running.logs, running.calibrate):
    app.command()(_command)
app.command("set")(running.change)
app.command()(pictures.video2images)
app.command()(pictures.images2video)
app.add_typer(target.app, name="target")
app.add_typer(engines.app, name="engines")


def main() -> None:
    """Entry point: a known error is one line and its exit code, anything else a traceback."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        app(prog_name="xpcam")
    except XpcamError as error:
        journal.complain(" ".join(str(error).split()))
        sys.exit(error.exit_code)


def _check_contact_sheet(settings: Settings) -> None:
    from xpcam import contact_sheet

    if settings.contact_sheet is not None:
        contact_sheet.check_place(settings.contact_sheet)
