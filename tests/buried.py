"""What tests start in the background ends with them, however they end."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

GUARD = """
import os, signal, sys
from xpcam.control.instance import running
sys.stdin.read()
for one in running():
    if one.folder.is_relative_to(os.environ["XDG_RUNTIME_DIR"]) and (pid := one.pid()):
        os.kill(pid, signal.SIGKILL)
"""


@contextmanager
def buried(environment: Mapping[str, str] = os.environ) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that outlives this one, and kills the runs in that environment's runtime folder then.

    It is told by the end of its input, so a `kill -9` of this process, or of its group, is no way around it.
    """
    guard = subprocess.Popen(
        (sys.executable, "-c", GUARD), env=environment, stdin=subprocess.PIPE, start_new_session=True
    )
    try:
        yield guard
    finally:
        guard.communicate()
