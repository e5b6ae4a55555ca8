"""What every test may rely on: no settings of the developer's own, no traces of other tests."""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from xpcam import cli

Run = Callable[..., int]


@pytest.fixture
def runtime_folder() -> Iterator[Path]:
    """A folder whose name is short enough for sockets."""
    with tempfile.TemporaryDirectory(prefix="xp-") as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def clean_settings(tmp_path: Path, runtime_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a configuration file nor XPCAM_ variables of the person who runs the tests."""
    for name in os.environ:
        if name.startswith("XPCAM_"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("PIPEWIRE_RUNTIME_DIR", raising=False)
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime_folder))  # no test shows a camera on a desktop
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "no-data"))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "no-state"))


@pytest.fixture(autouse=True)
def leave_no_trace() -> Iterator[None]:
    """The command line sets up logging and signals for its process: here they are put back."""
    handlers, level = logging.root.handlers[:], logging.root.level
    on_term = signal.getsignal(signal.SIGTERM)
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    signal.signal(signal.SIGTERM, on_term)


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `xpcam` with arguments in this process; gives the exit code."""

    def call(*arguments: object) -> int:
        monkeypatch.setattr(sys, "argv", ["xpcam", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        return int(ended.value.code or 0)

    return call
