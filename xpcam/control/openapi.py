"""The description of the control API: `python -m xpcam.control.openapi > docs/openapi.json`."""

import json
import sys
from typing import Any, cast

from xpcam.control.api import build
from xpcam.control.control import Control


def description() -> dict[str, Any]:
    """What docs/openapi.json holds."""
    return build(cast("Control", None)).openapi()  # no request is answered


if __name__ == "__main__":
    json.dump(description(), sys.stdout, indent=1)
    sys.stdout.write("\n")
