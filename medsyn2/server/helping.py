"""The server's side of the helper: a task is asked, awaited and given up."""

import asyncio
import itertools
from typing import Any, Protocol

from medsyn2.server.problems import JSON, Refusal, read_error

PATIENCE_S = 300.0
"""For a task: the registration of a large CT on a slow machine takes a minute."""

MAX_DEATHS = 3
"""Without an answer in between; then it is not the files."""


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
        self._deaths = 0  # Since the last answer

    def employ(self, process: Process) -> None:
        """Take a helper and start it."""
        self._process = process
        process.start()

    async def ask(self, task: str, /, **arguments: Any) -> Any:
        """Let the helper do a task, and return its answer.

        Raises:
            Refusal: If the task fails, takes too long, or the helper dies.
        """
        if self._process is None or self._deaths >= MAX_DEATHS:
            raise _death()
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
        self._deaths = 0
        future = self._tasks.get(message["task"])
        if future is None or future.done():
            return
        if "error" in message:
            future.set_exception(read_error(message["error"]))
        else:
            future.set_result(message["answer"])

    def hear_end(self) -> None:
        """Take the end of the helper's process, and start another unless several died without an answer."""
        assert self._process is not None
        self._deaths += 1
        if self._deaths < MAX_DEATHS:
            self._process.start()
        for future in self._tasks.values():
            if not future.done():
                future.set_exception(_death())


def _death() -> Refusal:
    return Refusal(
        503,
        "the process that reads and writes files died.",
        code="helper-died",
        remedy="the file is damaged, or the machine has too little memory for it; if all files fail, start the page "
        "again.",
    )
