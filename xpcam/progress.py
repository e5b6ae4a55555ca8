"""How far a long task has come, told to whoever wants to show it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

Progress = Callable[[int, int | None], None]
"""Told how many parts are done, and of how many where that is known."""
Bar = Callable[[str], AbstractContextManager[Progress]]
"""Shows a progress bar with a title for as long as the context lasts."""


def unseen(_done: int, _total: int | None) -> None:
    """A progress that nobody sees."""


def no_bar(_title: str) -> AbstractContextManager[Progress]:
    """A progress bar that nobody sees."""
    return nullcontext(unseen)
