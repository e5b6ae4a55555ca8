"""The socket of a whole run: a thousand malformed requests, lines that are no HTTP, and other users."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
import urllib3
from controlled import kept, picture
from poison import Recorder, poison_in
from requests.adapters import HTTPAdapter
from schemathesis.core.result import Ok
from test_control_api import ask_often
from test_control_run import free_port, run, until

from xpcam.control.client import Client
from xpcam.control.openapi import description

REQUESTS = 1000
NOBODY = 65534


class _Line(urllib3.connection.HTTPConnection):
    """HTTP over the run's socket."""

    place = ""

    def _new_conn(self) -> socket.socket:
        line = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        line.settimeout(60)
        line.connect(self.place)
        return line


class _Adapter(HTTPAdapter):
    def __init__(self, place: Path) -> None:
        super().__init__()
        line = type("Line", (_Line,), {"place": str(place)})
        kind = type("Pool", (urllib3.HTTPConnectionPool,), {"ConnectionCls": line})
        self._pool = kind("xpcam")

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> Any:
        return self._pool

    def close(self) -> None:
        super().close()
        self._pool.close()


@pytest.fixture
def output() -> Recorder:
    return Recorder()


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, output: Recorder) -> Iterator[Client]:
    kept(tmp_path, "anna", 40)
    target = picture(tmp_path / "first.png", 70)
    with run(monkeypatch, output, target=target, control_port=free_port()) as made:
        yield made


def test_a_thousand_malformed_requests_over_the_socket(client: Client, output: Recorder) -> None:
    answered: list[int] = []
    schema = schemathesis.openapi.from_dict(description())
    operations = [one.ok() for one in schema.get_all_operations() if isinstance(one, Ok)]
    wrong = [one for one in operations if list(one.iter_parameters()) or one.body]
    before = client.ask("GET", "/settings")
    with requests.Session() as session:
        session.mount("http://", _Adapter(client.instance.socket))
        for operation in wrong:
            cases = operation.as_strategy(generation_mode=schemathesis.GenerationMode.NEGATIVE)
            ask_often(cases, REQUESTS // len(wrong), answered, session=session, base_url="http://xpcam")
    assert len(answered) >= 0.9 * REQUESTS
    assert max(answered) < 500
    assert sum(code >= 400 for code in answered) > 0.5 * REQUESTS
    count = len(output.seen)
    until(lambda: len(output.seen) > count + 5)  # it is alive, and shows pictures
    assert client.ask("GET", "/settings").keys() == before.keys()
    assert not any(poison_in(pixels) for pixels in output.seen)


@pytest.mark.parametrize(
    "sent",
    [
        b"\r\n\r\n",
        b"GET\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",  # TLS
        b"GET /status HTTP/9.9\r\n\r\n",
        b"GET /status HTTP/1.1\r\n" + b"x: " + b"y" * 200_000 + b"\r\n\r\n",
        b"PATCH /settings HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n{",
        b"PATCH /settings HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n{}",
        b"PATCH /settings HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET http://elsewhere/ HTTP/1.1\r\nHost: elsewhere\r\n\r\n",
        bytes(range(256)) * 64,
    ],
)
def test_lines_that_are_no_request_harm_nothing(client: Client, sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(5)
        line.connect(str(client.instance.socket))
        line.sendall(sent)
        line.shutdown(socket.SHUT_WR)
        said = b""
        try:
            while part := line.recv(65536):
                said += part
        except (TimeoutError, ConnectionResetError):
            pass
    assert b"HTTP/1.1 5" not in said
    assert client.ask("GET", "/status")["pid"] == os.getpid()


TRIES = """
import json, os, socket, sys
place, token, port, user = sys.argv[1:]
"x".encode("idna")  # what connecting imports may lie where others may not read
if int(user):
    os.setgroups([]), os.setgid(int(user)), os.setuid(int(user))
def tried(act):
    try:
        return act()
    except OSError as error:
        return type(error).__name__
def over_socket():
    with socket.socket(socket.AF_UNIX) as line:
        line.connect(place)
        return "connected"
def over_port():
    with socket.create_connection(("127.0.0.1", int(port))) as line:
        line.sendall(b"GET /status HTTP/1.0\\r\\n\\r\\n")
        return line.recv(12).decode()
print(json.dumps([tried(over_socket), tried(lambda: bool(open(token).read())), tried(over_port)]))
"""


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can be another user")
def test_another_user_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    port = free_port()
    target = picture(tmp_path / "first.png", 70)
    with run(monkeypatch, Recorder(), target=target, control_port=port) as client:
        one = client.instance
        until(one.token.exists)
        one.folder.parent.parent.chmod(0o755)  # as /run/user: who comes so far meets the run's own folder

        def tries(user: int) -> list[Any]:
            command = [sys.executable, "-c", TRIES, str(one.socket), str(one.token), str(port), str(user)]
            said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
            return list(json.loads(said.stdout))

        assert tries(0) == ["connected", True, "HTTP/1.1 401"]  # its owner, but without the token
        assert tries(NOBODY) == ["PermissionError", "PermissionError", "HTTP/1.1 401"]
