"""Ends by signals: Ctrl-C, SIGTERM, and SIGHUP of a terminal that was closed.

A command ends with an exception, so that half-written files are removed, with one line, and with the status that a
shell gives: 128 and the signal's number. A training ends at the end of its step instead. A signal that was ignored when
the command started, as under ``nohup``, stays ignored. This module uses only the standard library.
"""

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
CLOSED_PIPE = 128 + signal.SIGPIPE
"""Exit status of a command whose output nobody reads any more."""


class Stopped(SystemExit):
    """The end of a command by a signal; uncaught, it ends the process with the usual status.

    Args:
        number: The signal.
        remark: How far it got, for the message.
    """

    def __init__(self, number: int, remark: str = "") -> None:
        super().__init__(128 + number)
        self.number, self.remark = signal.Signals(number), remark

    def __str__(self) -> str:
        name = "Ctrl-C" if self.number == signal.SIGINT else self.number.name
        return f"ended by {name}{self.remark}"


def end_in_a_line(arguments: list[str], run: Callable[[list[str]], int]) -> int:
    """Run a command and return its exit status; where a signal ends it, say so in a line.

    Args:
        arguments: The command's verb and its options, for `run`.
    """
    try:
        with raise_stops():
            return run(arguments)
    except Stopped as stop:
        verb = arguments[0] if arguments else "medsyn2"
        with suppress(OSError):  # nobody may read it
            sys.stderr.write(f"medsyn2: {verb} was {stop}. Finished work is kept; the same command goes on with it.\n")
        return 128 + stop.number


@contextmanager
def raise_stops() -> Iterator[None]:
    """Raise `Stopped` where a signal arrives, instead of ending the process."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    with _handle_stops(stop):
        yield


@contextmanager
def collect_stops() -> Iterator[list[int]]:
    """Yield a list that signals are added to, instead of ending the process; a second Ctrl-C raises `Stopped`."""
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and number in received:
            raise Stopped(number)
        received.append(number)

    with _handle_stops(note):
        yield received


@contextmanager
def _handle_stops(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Handle the signals that are not ignored; outside the main thread, which alone can, leave them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in STOPS}
    handled = {number: old for number, old in before.items() if old is not signal.SIG_IGN}
    for number in handled:
        signal.signal(number, handler)
    try:
        yield
    finally:
        for number, old in handled.items():
            signal.signal(number, old)
