"""What the process does when it is signalled: stop, stop at once, do something else meanwhile."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def call_on_signal(name: str, act: Callable[[], None]) -> Iterator[None]:
    """The signal of that name, where the system has it, calls `act`. Main thread only."""
    wanted = getattr(signal, name, None)
    if wanted is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(wanted, lambda _number, _frame: act())
    try:
        yield
    finally:
        signal.signal(wanted, before)


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event set by the first SIGINT or SIGTERM; a second one interrupts at once. Main thread only."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    wanted = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in wanted}

    def on_signal(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, signal.default_int_handler)

    for number in wanted:
        signal.signal(number, on_signal)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
