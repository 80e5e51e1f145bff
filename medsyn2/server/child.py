"""Processes that do the server's work, so that a crash, a lack of memory or a stop is not the server's end.

They are forked from a process that has imported torch and nothing else has happened in: a killed worker is back in the
time that its model takes to load. Each message is JSON. A child ends when its server does, since its pipe ends then.
"""

import importlib
import json
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Literal, NoReturn

from medsyn2.server.problems import JSON

_PRELOAD = ["medsyn2.server.worker", "medsyn2.server.helper"]
UMASK = 0o077
_END_S = 5.0

Module = Literal["worker", "helper"]
Receive = Callable[[JSON], None]


class Child:
    """A process that reads and sends messages.

    Args:
        module: Its module below this room, which the server itself does not import, for it imports torch; the
            function ``serve`` in it gets an `Outbox` and `arguments`.
        receive: Called with each message, in a thread of its own.
        end: Called in that thread when the process has ended, however it did.
    """

    def __init__(self, module: Module, arguments: tuple[Path, ...], receive: Receive, end: Callable[[], None]) -> None:
        self._module, self._arguments, self._receive, self._end = module, arguments, receive, end
        self._process: ForkServerProcess | None = None
        self._connection: Connection | None = None
        self._sending = threading.Lock()

    def start(self) -> None:
        """Start the process."""
        context = get_context("forkserver")
        context.set_forkserver_preload(_PRELOAD)
        self._connection, other = context.Pipe()
        self._process = context.Process(target=run_child, args=(self._module, other, *self._arguments), daemon=True)
        self._process.start()
        other.close()
        threading.Thread(target=self._listen, args=(self._connection, self._process), daemon=True).start()

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.is_alive()

    def send(self, message: JSON) -> None:
        """Send a message; one to a process that has just died is lost, and its end is told."""
        with self._sending, suppress(OSError):
            assert self._connection is not None
            self._connection.send_bytes(json.dumps(message).encode())

    def kill(self) -> None:
        """End the process at once; `end` is called then."""
        if self._process is not None:
            self._process.kill()

    def close(self) -> None:
        """Let the process end, or end it."""
        if self._connection is not None and self._process is not None:
            self._process.terminate()
            self._process.join(_END_S)
            self._process.kill()

    def _listen(self, connection: Connection, process: ForkServerProcess) -> None:
        with suppress(EOFError, OSError):
            while True:
                self._receive(json.loads(connection.recv_bytes()))
        process.join()
        self._end()


def run_child(module: str, connection: Connection, *arguments: Path) -> None:
    """Run a child's function; Ctrl-C in the terminal is the server's to hear, SIGTERM ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    os.umask(UMASK)
    importlib.import_module(f"medsyn2.server.{module}").serve(Outbox(connection), *arguments)


class Outbox:
    """A child's end of its pipe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()

    def send(self, message: JSON) -> None:
        """Send a message to the server; without a server there is nothing left to do."""
        try:
            with self._sending:
                self._connection.send_bytes(json.dumps(message).encode())
        except OSError:
            os._exit(0)

    def listen(self, receive: Receive) -> None:
        """Call `receive` with each message, in a thread; end the process when the server ends."""

        def read() -> None:
            try:
                while True:
                    receive(json.loads(self._connection.recv_bytes()))
            except (EOFError, OSError):
                os._exit(0)

        threading.Thread(target=read, daemon=True).start()

    def wait(self) -> NoReturn:
        """Do nothing until the server ends."""
        while True:
            threading.Event().wait()
