"""Everything that can go wrong and be named.

Each error is shown as one line that says what was found, what was wanted and what to do;
the command then ends with the error's exit code. Anything else is a bug and shows a traceback.

    XpcamError              1   (never raised itself)
    ├── SettingsError       2   an option, environment variable or configuration file is wrong
    ├── TargetError         3   the target picture cannot be used
    ├── CameraError         4   the camera (or driver video) cannot be opened or read
    ├── OutputError         5   the output cannot be opened or written
    ├── EngineError         6   an engine file or its run-time provider does not work
    ├── ServiceError        7   the service manager, or a file that belongs to the service, refuses
    └── ControlError        8   no xpcam of that name runs, one runs already, or it refuses
"""


class XpcamError(Exception):
    """Base of all named errors."""

    exit_code = 1


class SettingsError(XpcamError):
    exit_code = 2


class TargetError(XpcamError):
    exit_code = 3


class CameraError(XpcamError):
    exit_code = 4


class OutputError(XpcamError):
    exit_code = 5


class EngineError(XpcamError):
    exit_code = 6


class ServiceError(XpcamError):
    exit_code = 7


class ControlError(XpcamError):
    exit_code = 8
