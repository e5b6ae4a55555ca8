"""What every test may rely on: no settings of the developer's own, no traces of other tests."""

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def clean_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a configuration file nor XPCAM_ variables of the person who runs the tests."""
    for name in os.environ:
        if name.startswith("XPCAM_"):
            monkeypatch.delenv(name)
    for name in ("PIPEWIRE_RUNTIME_DIR", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)  # no test shows a camera on the desktop of that person
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))


@pytest.fixture(autouse=True)
def leave_no_trace() -> Iterator[None]:
    """The command line sets up logging and signals for its process: here they are put back."""
    handlers, level = logging.root.handlers[:], logging.root.level
    on_term = signal.getsignal(signal.SIGTERM)
    yield
    logging.root.handlers[:] = handlers
    logging.root.setLevel(level)
    signal.signal(signal.SIGTERM, on_term)
