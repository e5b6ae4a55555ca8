"""Composition root of a live run: builds everything, runs it, and stops it in reverse."""

import logging
import socket
from contextlib import AbstractContextManager, ExitStack, closing
from functools import partial
from typing import Final

from xpcam.builders import open_governor, open_pipeline, open_steering
from xpcam.camera.opening import Camera, Known, check_camera, open_camera
from xpcam.camera.spec import table_of
from xpcam.contact_sheet import contact_sheet_at
from xpcam.control.control import Control
from xpcam.control.instance import Instance, claim
from xpcam.errors import SettingsError
from xpcam.live import Live
from xpcam.meter import Meter, RunReport
from xpcam.output_switch import Format, OutputSwitch
from xpcam.progress import Bar, no_bar
from xpcam.rehearsal import rehearsing
from xpcam.retargeting.parameter_file import ParameterFile
from xpcam.service.notify import Heartbeat, folder_of_service
from xpcam.settings import Settings
from xpcam.signals import call_on_signal, stop_on_signals
from xpcam.target_loader import default_store
from xpcam.virtual_camera import VirtualCamera, open_output
from xpcam.virtual_camera.keeping import Keeping, StandIn, dismiss, keep_for
from xpcam.wiring import Wiring

RESTARTS: Final = 300.0  # seconds a service may take to be there again, as its unit says

log = logging.getLogger(__name__)


def run_live(settings: Settings, bar: Bar = no_bar) -> RunReport:
    """Follow a camera and publish the target until told to stop, or until a file that plays once ends.

    The output shows the idling target before the camera is even opened, and whenever there is no face. Where
    the output tells who reads, the camera is open only while somebody does (`demand`).

    Raises:
        TargetError, OutputError, CameraError, EngineError: what could not be opened; or an output that broke.
    """
    meter, heart = Meter(), Heartbeat()
    with ExitStack() as stack:
        stop = stack.enter_context(stop_on_signals())
        instance = stack.enter_context(claim(settings.name)) if controllable(settings) else None
        table = table_of(settings.camera)
        driver = None if table is None else ParameterFile(table)
        with bar("reading the target") as progress:
            pipeline = open_pipeline(settings, stack, meter, progress)
        keeping = _keeping(settings, instance, stand_in := StandIn())
        first = Format(settings.output, settings.size, settings.fps)
        output = stack.enter_context(closing(OutputSwitch(partial(_open_output, keeping), first)))
        log.info("output: %s", output.description)
        if keeping is not None and keeping.stays:
            stack.callback(keep_for, keeping.place, keeping.stays)  # before the output is closed
        stack.callback(heart.stopping)
        steering = open_steering(settings, pipeline, stack)
        if settings.keep_output:
            stack.enter_context(rehearsing(stand_in, pipeline.targets, lambda: steering.target))
        stack.enter_context(call_on_signal("SIGUSR1", lambda: steering.soon(steering.learn_neutral)))
        stack.enter_context(call_on_signal("SIGUSR2", lambda: steering.soon(steering.show_next)))
        governor = open_governor(settings, steering)
        live = Live(settings, output, pipeline, heart, stop, governor)
        wiring = Wiring(settings, live, output, _find_camera, _open_camera)
        steering.connection = wiring
        if instance is not None:
            control = Control(live, pipeline, output, steering, default_store(), stop)
            stack.enter_context(_serving(control, instance, settings.control_port))
        if driver is not None:
            live.perform(driver)
            return meter.report()
        wiring.find(wait=settings.wait_for_camera)
        camera = stack.enter_context(closing(wiring.camera))
        sheet = stack.enter_context(contact_sheet_at(settings.contact_sheet))
        live.follow(camera, sheet)
        report = meter.report(camera.dropped)
    return report  # noqa: RET504 - to mypy, an ExitStack might have swallowed an error


def controllable(settings: Settings) -> bool:
    """Whether the run can be steered from outside, here."""
    return settings.control and hasattr(socket, "AF_UNIX")


def _keeping(settings: Settings, instance: Instance | None, stand_in: StandIn) -> Keeping | None:
    """How the output outlasts the run, where it shall. Raises SettingsError where it cannot."""
    if settings.keep_output and instance is None:
        raise SettingsError(
            "--keep-output with --no-control: wanted the run's folder, for a socket; leave one of them out"
        )
    if instance is None:
        return None
    if not settings.keep_output:
        dismiss(instance.keeper)  # one that waits for a run which died holds the output
        return None
    folder = folder_of_service()
    if folder is None:
        return Keeping(instance.keeper, stand_in)
    return Keeping(folder / instance.keeper.name, stand_in, stays=RESTARTS)


def _serving(control: Control, instance: Instance, port: int) -> AbstractContextManager[None]:
    from xpcam.control.server import serving  # slow to import, and not every run needs it

    return serving(control, instance, port)


def _open_output(keeping: Keeping | None, wanted: Format) -> VirtualCamera:
    return open_output(wanted.spec, size=wanted.size, fps=wanted.fps, lasting=True, keeping=keeping)


def _find_camera(settings: Settings, *, wait: bool) -> Known:
    return check_camera(settings.camera, wait=wait)


def _open_camera(settings: Settings, known: Known) -> Camera:
    camera = open_camera(
        settings.camera, size=settings.size, fps=settings.fps, loop=settings.loop, known=known
    )
    try:
        settings.require_shareable(camera.description, camera.shareable)
    except SettingsError:
        camera.close()
        raise
    return camera
