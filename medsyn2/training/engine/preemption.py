"""Handling of SIGTERM, which a cluster sends before it takes a machine away."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

PREEMPTED = 75
"""Exit status of a job that wrote a checkpoint and should be restarted (``EX_TEMPFAIL``)."""


@contextmanager
def catch_sigterm() -> Iterator[threading.Event]:
    """Yield an event that SIGTERM sets instead of ending the process; outside the main thread it is never set."""
    received = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    before = signal.signal(signal.SIGTERM, lambda number, frame: received.set())
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, before)
