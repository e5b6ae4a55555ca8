"""Serves the control API from threads of the run: on its socket, and on a port if asked to."""

import asyncio
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final

import uvicorn

from xpcam.control.api import build, with_token
from xpcam.control.control import Control
from xpcam.control.instance import Instance
from xpcam.errors import ControlError

log = logging.getLogger(__name__)

STARTS: Final = 10.0  # seconds a server may take to begin
ENDS: Final = 3.0  # seconds it may take to answer what was asked before the end


@contextmanager
def serving(control: Control, instance: Instance, port: int = 0) -> Iterator[None]:
    """Answer requests for as long as the context lasts.

    Raises:
        ControlError: the socket or the port cannot be used.
    """
    app = build(control)
    with ExitStack() as stack:
        stack.enter_context(_served(app, _own_socket(instance), "control"))
        if port:
            token = secrets.token_urlsafe(32)
            line = _port(port)
            _keep(token, instance)
            stack.enter_context(_served(with_token(app, token), line, "control-port"))
            log.info("control API on 127.0.0.1:%d, token in %s", line.getsockname()[1], instance.token)
        yield


def _own_socket(instance: Instance) -> socket.socket:
    line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    making = instance.socket.with_suffix(".new")  # who sees the socket can use it
    try:
        making.unlink(missing_ok=True)
        line.bind(str(making))  # in a folder that nobody else may enter
        making.chmod(0o600)
        line.listen(16)
        making.rename(instance.socket)
    except OSError as error:
        line.close()
        raise ControlError(
            f"the control socket {instance.socket} cannot be made ({error.strerror}): wanted a folder of "
            "this user's own; set XDG_RUNTIME_DIR, or use --no-control"
        ) from error
    return line


def _port(port: int) -> socket.socket:
    line = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        line.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        line.bind(("127.0.0.1", port))
        line.listen(16)
    except OSError as error:
        line.close()
        raise ControlError(
            f"--control-port {port} cannot be used ({error.strerror}): wanted a free port; choose another"
        ) from error
    return line


def _keep(token: str, instance: Instance) -> None:
    instance.token.unlink(missing_ok=True)
    handle = os.open(instance.token, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w", encoding="ascii") as file:
        file.write(token)


@contextmanager
def _served(app: Any, line: socket.socket, name: str) -> Iterator[None]:
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            loop="asyncio",
            http="h11",
            timeout_graceful_shutdown=int(ENDS),
        )
    )
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    thread = threading.Thread(
        target=lambda: asyncio.run(server.serve(sockets=[line])), name=name, daemon=True
    )
    thread.start()
    began = time.monotonic()
    while not server.started:
        if not thread.is_alive() or time.monotonic() - began > STARTS:
            raise ControlError("the control API does not start: wanted it to answer; use --no-control")
        time.sleep(0.005)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join(ENDS + 1.0)
        line.close()
