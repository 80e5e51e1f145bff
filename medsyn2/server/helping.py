"""The server's side of the helper: a task is asked, awaited and given up."""

import asyncio
import itertools
from typing import Any, Protocol

from medsyn2.server.problems import JSON, Refusal, read_error

PATIENCE_S = 300.0
"""For a task: the registration of a large CT on a slow machine takes a minute."""


class Process(Protocol):
    """The process that does the tasks."""

    def start(self) -> None:
        """Start it."""

    def send(self, message: JSON) -> None:
        """Send it a task."""

    def kill(self) -> None:
        """End it at once."""


class Helpers:
    """The tasks that were asked; it belongs to the loop of the server."""

    def __init__(self) -> None:
        self._process: Process | None = None
        self._tasks: dict[int, asyncio.Future[Any]] = {}
        self._numbers = itertools.count()

    def employ(self, process: Process) -> None:
        """Take a helper and start it."""
        self._process = process
        process.start()

    async def ask(self, task: str, /, **arguments: Any) -> Any:
        """Let the helper do a task, and return its answer.

        Raises:
            Refusal: If the task fails, takes too long, or the helper dies.
        """
        assert self._process is not None
        number, future = next(self._numbers), asyncio.get_running_loop().create_future()
        self._tasks[number] = future
        self._process.send({"task": number, "name": task, "arguments": arguments})
        try:
            async with asyncio.timeout(PATIENCE_S):
                return await future
        except TimeoutError:
            self._process.kill()
            raise Refusal(
                503,
                f"the file was not done within {PATIENCE_S:.0f} s.",
                code="task-slow",
                remedy="try a smaller file, or when the machine has less to do.",
            ) from None
        finally:
            self._tasks.pop(number, None)

    def hear(self, message: JSON) -> None:
        """Take an answer of the helper."""
        future = self._tasks.get(message["task"])
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(read_error(message["error"]))
        else:
            future.set_result(message["answer"])

    def hear_end(self) -> None:
        """Take the end of the helper's process, and start another."""
        assert self._process is not None
        self._process.start()
        for future in self._tasks.values():
            if not future.done():
                error = "the process that reads and writes files ended in the middle of it."
                remedy = "the file is damaged, or the machine has too little memory for it."
                future.set_exception(Refusal(503, error, code="helper-died", remedy=remedy))
