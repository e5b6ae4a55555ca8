"""What every test may rely on: no settings of the developer's own."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def clean_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a configuration file nor XPCAM_ variables of the person who runs the tests."""
    for name in os.environ:
        if name.startswith("XPCAM_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-config"))
