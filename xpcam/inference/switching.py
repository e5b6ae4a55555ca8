"""Lets another process build TensorRT engines while the camera runs, and tells who waits for them."""

import logging
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import Final

log = logging.getLogger(__name__)

NICE: Final = 10
"""How much the builder stands back from the camera on the processor."""

Done = Callable[[str], None]
"""Told that the engine is there, or why there will be none."""

_lock = Lock()
_waiting: dict[Path, list[Done]] = {}
_failed: dict[Path, str] = {}


def command(model: Path) -> list[str]:
    """What builds the engine of a model."""
    return [sys.executable, "-P", "-m", "xpcam", "engines", "build", str(model)]


def build_beside(model: Path, done: Done) -> str:
    """Have the engine of a model built by another process; returns at once.

    Args:
        model: the .onnx file.
        done: called from another thread when the process has ended, with nothing or with what went wrong.

    Returns:
        Why it is not tried (it failed before in this process), or nothing.
    """
    with _lock:
        if model in _failed:
            return _failed[model]
        _waiting.setdefault(model, []).append(done)
        if len(_waiting[model]) == 1:
            # a daemon: who closes the camera does not wait for a build; the other process ends by itself
            Thread(target=_wait, args=(model,), name=f"await-{model.stem}", daemon=True).start()
    return ""


def _wait(model: Path) -> None:
    log.info("the TensorRT engine of %s is being built, which can take minutes", model.stem)
    why = _build(model)
    with _lock:
        waiting = _waiting.pop(model, [])
        if why:
            _failed[model] = why
    if why:
        log.warning("TensorRT not used for %s: %s", model.stem, why)
    for done in waiting:
        done(why)


def _build(model: Path) -> str:
    """Why it failed, or nothing."""
    try:
        process = subprocess.Popen(
            command(model),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
    except OSError as error:
        return f"its builder cannot be started ({error.strerror})"
    with suppress(AttributeError, OSError):  # Windows has no such call
        os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
    _, said = process.communicate()
    if process.returncode == 0:
        return ""
    lines = said.strip().splitlines()
    return lines[-1].removeprefix("xpcam: ") if lines else f"its builder ended with {process.returncode}"
