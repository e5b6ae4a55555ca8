"""Where the log goes: to people on a terminal as lines, to journald as records with fields.

The native protocol of journald (systemd.io/JOURNAL_NATIVE_PROTOCOL) is used only where $JOURNAL_STREAM says
that standard error is the journal, and standard error itself where the socket does not take a record. No
picture is ever logged: of an array or of bytes only the size is told.
"""

import logging
import os
import socket
import sys
from collections.abc import Mapping
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Final, TextIO

from xpcam.errors import SettingsError

SOCKET: Final = Path("/run/systemd/journal/socket")
NAME: Final = "xpcam"
MOST_BYTES: Final = 5_000_000  # of a log file and the older one together
LONGEST: Final = 32_000  # characters of a message; a datagram holds 200 kB
_PRIORITIES: Final = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}


def begin(level: str, environment: Mapping[str, str] = os.environ, *, file: Path | None = None) -> None:
    """Send the log of this process where it belongs, from `level` (such as "info") on.

    Raises:
        SettingsError: the log file cannot be written.
    """
    if file is not None:
        handler: logging.Handler = _file_handler(file)
    elif is_journal(sys.stderr, environment.get("JOURNAL_STREAM", "")):
        handler = JournalHandler(SOCKET)
        handler.setFormatter(logging.Formatter("%(message)s"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(logging.Formatter("xpcam: %(message)s"))
    handler.addFilter(without_pictures)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def _file_handler(file: Path) -> logging.Handler:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(file, maxBytes=MOST_BYTES // 2, backupCount=1, encoding="utf-8")
    except OSError as error:
        raise SettingsError(
            f"--log-file {file} cannot be written ({error.strerror}): wanted a file; name another place"
        ) from error
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    return handler


def complain(message: str, environment: Mapping[str, str] = os.environ) -> None:
    """Say one line on standard error why the program ends; journald is told that it is an error."""
    journal = is_journal(sys.stderr, environment.get("JOURNAL_STREAM", ""))
    print(f"{'<3>' if journal else ''}{NAME}: {message}", file=sys.stderr)


def is_journal(stream: TextIO, journal_stream: str) -> bool:
    """Whether `stream` is what $JOURNAL_STREAM ("device:inode") names: it may have been redirected."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # closed, or no file at all
        return False
    return journal_stream == f"{status.st_dev}:{status.st_ino}"


def without_pictures(record: logging.LogRecord) -> bool:
    """Put the size of an array or of bytes in its place; a filter that lets every record pass."""
    if isinstance(record.args, tuple):
        record.args = tuple(map(_described, record.args))
    elif isinstance(record.args, Mapping):
        record.args = {name: _described(value) for name, value in record.args.items()}
    return True


class JournalHandler(logging.Handler):
    """Writes each record to journald, with its priority and where in the code it comes from."""

    def __init__(self, place: Path, fallback: TextIO | None = None) -> None:
        super().__init__()
        self._place = str(place)
        self._fallback = fallback or sys.stderr
        self._line = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._line.setblocking(False)  # rather a line on standard error than a late picture

    def emit(self, record: logging.LogRecord) -> None:
        message = self.format(record)[:LONGEST]
        priority = _priority(record.levelno)
        try:
            self._line.sendto(packed(fields(record, message, priority)), self._place)
        except OSError:  # journald restarts, or a sandbox hides its socket
            for line in message.splitlines():
                print(f"<{priority}>{line}", file=self._fallback, flush=True)

    def close(self) -> None:
        self._line.close()
        super().close()


def fields(record: logging.LogRecord, message: str, priority: int) -> dict[str, str]:
    """A record as journald keeps it (systemd.journal-fields(7))."""
    return {
        "MESSAGE": message,
        "PRIORITY": str(priority),
        "SYSLOG_IDENTIFIER": NAME,
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName or "",
        "LOGGER": record.name,
        "THREAD_NAME": record.threadName or "",
    }


def packed(entry: Mapping[str, str]) -> bytes:
    """The datagram: lines `NAME=value`; a value of several lines comes after its length instead."""
    parts = []
    for name, value in entry.items():
        data = value.encode("utf-8", "replace")
        if b"\n" in data:
            parts.append(b"%s\n%s%s\n" % (name.encode(), len(data).to_bytes(8, "little"), data))
        else:
            parts.append(b"%s=%s\n" % (name.encode(), data))
    return b"".join(parts)


def _priority(level: int) -> int:
    """syslog's number for a level, the next lower level's where it has none."""
    return next((number for least, number in _PRIORITIES.items() if level >= least), 7)


def _described(value: object) -> object:
    shape = getattr(value, "shape", ())  # of numpy's, which is slow to import
    if isinstance(shape, tuple) and shape:
        return f"<array of {'x'.join(map(str, shape))}>"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"<{len(value)} bytes>"
    return value
