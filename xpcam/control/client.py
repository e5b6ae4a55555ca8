"""Asks a run: what the command line does over the run's socket."""

from pathlib import Path
from typing import Any, Final

import httpx

from xpcam.control import instance as instances
from xpcam.control.instance import Instance
from xpcam.errors import ControlError

PATIENCE: Final = 10.0  # seconds for an answer; reading a clip anew takes longer, and says so


class Client:
    """Requests to the run of a name.

    Args:
        name: of the run.

    Raises:
        ControlError: none of that name runs.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self.instance: Instance = instances.find(name)
        if self.instance.pid() is None:
            others = ", ".join(one.name for one in instances.running())
            found = f"running: {others}" if others else "none runs"
            raise ControlError(f"no xpcam called {name!r} runs ({found}): 'xpcam start', or --name")

    def ask(self, method: str, path: str, body: object = None, *, patience: float = PATIENCE) -> Any:
        """The answer to a request, None where there is nothing to say.

        Raises:
            ControlError: it was refused, or nobody answered.
        """
        if not self.instance.socket.exists():
            raise self._silent("no socket yet")
        transport = httpx.HTTPTransport(uds=str(self.instance.socket), verify=False)
        try:
            with httpx.Client(transport=transport, base_url="http://xpcam", timeout=patience) as client:
                answer = client.request(method, path, json=body)
        except httpx.TimeoutException as error:
            raise ControlError(
                f"xpcam {self._name!r} has not answered for {patience:.0f} s: it may still do it; "
                "see 'xpcam status' and 'xpcam logs'"
            ) from error
        except httpx.TransportError as error:
            raise self._silent(str(error)) from error
        if answer.is_error:
            raise ControlError(_problem(answer))
        return answer.json() if answer.content else None

    def _silent(self, why: str) -> ControlError:
        if self.instance.pid() is None:
            return ControlError(
                f"xpcam {self._name!r} has ended; 'xpcam logs' says why, 'xpcam start' begins anew"
            )
        return ControlError(
            f"xpcam {self._name!r} (process {self.instance.pid()}) does not answer ({why}): it may be "
            "starting; see 'xpcam logs'"
        )


def _problem(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"the run answered {answer.status_code}: wanted another version of xpcam; restart it"


def absolute(target: str) -> str:
    """A path as the run, which may live in another folder, understands it; names stay."""
    return str(Path(target).absolute()) if Path(target).exists() else target
