"""Logs: lines for people, records with fields for journald, pictures for nobody."""

import io
import logging
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from xpcam.service import journal
from xpcam.service.journal import (
    JournalHandler,
    begin,
    complain,
    fields,
    is_journal,
    packed,
    without_pictures,
)

log = logging.getLogger("xpcam.test")


def unpacked(data: bytes) -> dict[str, str]:
    """Reads a datagram as journald does."""
    found, stream = {}, io.BytesIO(data)
    while line := stream.readline():
        name, equals, value = line.rstrip(b"\n").partition(b"=")
        if not equals:
            value = stream.read(int.from_bytes(stream.read(8), "little"))
            assert stream.read(1) == b"\n"
        found[name.decode()] = value.decode()
    return found


@pytest.fixture
def journald(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    """A socket in place of journald's, and standard error that belongs to it."""
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line,
        (tmp_path / "stderr").open("w", buffering=1) as stream,
    ):
        line.bind(str(tmp_path / "socket"))
        line.settimeout(5)
        status = os.fstat(stream.fileno())
        monkeypatch.setattr(journal, "SOCKET", tmp_path / "socket")
        monkeypatch.setattr(journal, "sys", SimpleNamespace(stderr=stream))  # pytest has sys.stderr itself
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        yield line
        for handler in logging.root.handlers:
            if isinstance(handler, JournalHandler):
                handler.close()


def test_a_record_arrives_with_its_fields(journald: socket.socket) -> None:
    begin("info")
    log.debug("not this")
    log.warning("camera %s lost", "HD Webcam")
    found = unpacked(journald.recv(100_000))
    assert found["MESSAGE"] == "camera HD Webcam lost"
    assert found["PRIORITY"] == "4"
    assert found["SYSLOG_IDENTIFIER"] == "xpcam"
    assert found["LOGGER"] == "xpcam.test"
    assert found["CODE_FILE"] == __file__
    assert found["CODE_FUNC"] == "test_a_record_arrives_with_its_fields"


def test_several_lines_and_a_traceback_are_one_record(journald: socket.socket) -> None:
    begin("debug")
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        log.exception("two\nlines=here")
    found = unpacked(journald.recv(100_000))
    assert found["MESSAGE"].startswith("two\nlines=here\nTraceback")
    assert found["PRIORITY"] == "3"


def test_a_message_without_end_is_cut(journald: socket.socket) -> None:
    begin("info")
    log.error("x" * 10**6)
    assert len(unpacked(journald.recv(100_000))["MESSAGE"]) == journal.LONGEST


def test_without_journald_a_record_is_a_line_with_its_priority(tmp_path: Path) -> None:
    said = io.StringIO()
    handler = JournalHandler(tmp_path / "nobody", said)
    handler.emit(logging.LogRecord("x", logging.ERROR, "f", 1, "two\nlines", (), None))
    handler.close()
    assert said.getvalue() == "<3>two\n<3>lines\n"


@pytest.mark.parametrize("stream", ["", "1:2", "words"])
def test_another_stream_than_the_journal_gets_lines(
    stream: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("JOURNAL_STREAM", stream)
    assert not is_journal(sys.stderr, stream)
    begin("info")
    log.info("hello")
    complain("a line")
    assert capfd.readouterr().err == "xpcam: hello\nxpcam: a line\n"


def test_why_it_ends_is_an_error_to_journald(journald: socket.socket, tmp_path: Path) -> None:
    complain("no target given")
    assert (tmp_path / "stderr").read_text() == "<3>xpcam: no target given\n"


PICTURE = np.full((720, 1280, 3), 201, np.uint8)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((PICTURE,), "<array of 720x1280x3>"),
        ((PICTURE[:2, :2].tobytes(),), "<12 bytes>"),
        ((memoryview(b"abc"),), "<array of 3>"),
        ((np.float32(2.5),), "2.5"),
        (("HD Webcam",), "HD Webcam"),
    ],
)
def test_of_a_picture_only_its_size_is_logged(arguments: tuple[object, ...], said: str) -> None:
    record = logging.LogRecord("x", logging.INFO, "f", 1, "got %s", arguments, None)
    assert without_pictures(record)
    assert record.getMessage() == f"got {said}"


def test_a_picture_among_named_values_is_not_logged_either(journald: socket.socket) -> None:
    begin("info")
    log.info("got %(picture)s", {"picture": PICTURE})
    assert unpacked(journald.recv(100_000))["MESSAGE"] == "got <array of 720x1280x3>"


def test_every_value_survives_packing() -> None:
    record = logging.LogRecord("a.b", logging.CRITICAL, "p=q", 7, "m", (), None, func="f")
    wanted = fields(record, "é\n\0=x", 2)
    assert unpacked(packed(wanted)) == wanted
