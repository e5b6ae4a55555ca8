"""The size of a PipeWire camera is changed: its reader keeps what it has, the next one gets the new size."""

from contextlib import closing

import numpy as np
import pytest
from publisher import publishing
from session import PROGRAMS, Session, missing, wait_for
from test_pipewire_daemon import SIZE, desktop, halves, pictures, reader

from xpcam.output_switch import Format, OutputSwitch
from xpcam.virtual_camera import VirtualCamera, open_output
from xpcam.virtual_camera.pipewire import NODE_NAME

pytestmark = pytest.mark.skipif(bool(missing(PROGRAMS)), reason=missing(PROGRAMS))

__all__ = ["desktop"]

SMALL = (320, 180)


def opened(wanted: Format) -> VirtualCamera:
    return open_output(wanted.spec, size=wanted.size, fps=wanted.fps)


def offered(desktop: Session) -> dict[str, int]:
    node = desktop.node(NODE_NAME)
    return {} if node is None else dict(node["params"]["EnumFormat"][0]["size"])


def test_a_reader_keeps_its_size_and_the_next_one_gets_the_new(desktop: Session) -> None:
    wanted = {"width": SMALL[0], "height": SMALL[1]}
    first, other = Format("pipewire", SIZE, 30), Format("pipewire", SMALL, 30)
    with closing(OutputSwitch(opened, first)) as output:
        with publishing(output, halves(SIZE)):
            child = reader(desktop, 60)
            wait_for(output.readers, "the reader")
            output.change(other)
        with publishing(output, halves(SMALL)):  # what is drawn from now on
            seen = pictures(child)
            assert len(seen) == 60
            assert not any(picture.mean() < 40 for picture in seen)
            assert np.abs(seen[-1].astype(int) - seen[0]).mean() < 2
            wait_for(lambda: output.readers() == 0 and offered(desktop) == wanted, "the other size")
            assert pictures(reader(desktop, 5, SMALL), SMALL).shape[1:3] == (180, 320)
