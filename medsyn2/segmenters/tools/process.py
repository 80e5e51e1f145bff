"""A tool in a process of its own, which many cases share so that its weights are loaded once.

The process runs ``workers/serve.py`` with the tool's Python, which may be another environment's, and speaks JSON, a
line each way. So a tool's dependencies, global settings and crashes stay outside of ours:

- its answer that the CT failed, and a death or a silence beyond the time limit, is a *case error*; the next
  case gets a fresh process, and a case that ran out of time or memory is tried again by the next run;
- its answer that the set-up failed, a process that cannot start, and three deaths without one success in
  between are *environment errors*.

The process and all it started are one group, which is killed as a whole. When this process dies, the tool's reads
the end of its input and ends too. Its output goes to a file; its end is logged with every error.
"""

import json
import logging
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from medsyn2.errors import EnvironmentFault, MedSyn2Error, SegmenterError, ToolLimitError, WeightsError

log = logging.getLogger(__name__)

MAX_DEATHS = 3
START_LIMIT_S = 600.0
_QUOTED, _LOGGED = 400, 4000
_KINDS: dict[str, type[MedSyn2Error]] = {"weights-missing": WeightsError, "tool-memory": ToolLimitError}
_OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
_SERVE = Path(__file__).parents[1] / "workers" / "serve.py"


class ToolProcess:
    """Starts a tool's process when the first case comes, and again after a death.

    Args:
        python: The Python that has the tool; None takes the one that runs this.
        settings: Argument of the worker's ``prepare``. In a text, ``{home}`` becomes a folder of this process alone.
        home_files: Files to write into that folder before the tool starts, by name.
    """

    def __init__(
        self,
        tool: str,
        worker: str,
        *,
        python: Path | None,
        settings: Mapping[str, Any],
        time_limit_s: float,
        environment: Mapping[str, str] | None = None,
        home_files: Mapping[str, str] | None = None,
    ) -> None:
        self.tool = tool
        self.settings = dict(settings)
        self.time_limit_s = time_limit_s
        self.facts: dict[str, Any] = {}
        self._command = [str(python or sys.executable), str(_SERVE), worker]
        self._environment = dict(environment or {})
        self._home_files = dict(home_files or {})
        self._home: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._unread = b""
        self._deaths = 0

    def start(self) -> dict[str, Any]:
        """Start the tool unless it runs, and return its versions and labels.

        Raises:
            EnvironmentFault: If it cannot be started or made ready.
        """
        if self._process is not None:
            return self.facts
        if self._home is None:
            self._home = tempfile.TemporaryDirectory(prefix=f"medsyn2-{self.tool}-")
            for name, text in self._home_files.items():
                Path(self._home.name, name).write_text(text, encoding="utf-8")
        extra = {name: self._fill_home(value) for name, value in self._environment.items()}
        try:
            with Path(self._home.name, "log.txt").open("ab") as log_file:
                self._process = subprocess.Popen(
                    self._command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log_file,
                    env={**os.environ, **_OFFLINE, **extra},
                    start_new_session=True,
                )
        except OSError as error:
            raise EnvironmentFault(
                f"{self.tool} cannot be started with {self._command[0]}: {error}.",
                code="tool-not-installed",
                remedy=f"give the Python that has {self.tool} as segment.python.{self.tool}.",
            ) from error
        self._unread = b""
        try:
            settings = {name: self._fill_home(value) for name, value in self.settings.items()}
            self.facts = self._ask({"settings": settings}, START_LIMIT_S)["ready"]
        except SegmenterError as error:
            raise EnvironmentFault(
                f"{self.tool} could not be made ready: {error.message}", code="tool-not-ready", remedy=error.remedy
            ) from error
        return self.facts

    def segment(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Let the tool work on one CT and return its answer.

        Raises:
            SegmenterError: If this CT cannot be segmented by it.
            EnvironmentFault: If no CT can.
        """
        self.start()
        try:
            done = self._ask({"case": request}, self.time_limit_s)["done"]
        except SegmenterError as error:
            if error.code in {"tool-died", "tool-timeout"}:
                self._deaths += 1
                if self._deaths >= MAX_DEATHS:
                    raise EnvironmentFault(
                        f"{self.tool} died or hung on {self._deaths} CTs and finished none: {error.message}",
                        code="tool-broken",
                        remedy="run the tool on one CT by hand; check memory and segment.time_limit_s.",
                    ) from error
            raise
        self._deaths = 0
        return dict(done)

    def close(self) -> None:
        """End the process and all it started, and remove its folder."""
        self._kill()
        if self._home is not None:
            self._home.cleanup()
            self._home = None

    def _fill_home(self, value: Any) -> Any:
        """Return a value with the folder of this process in the place of ``{home}``."""
        return value.replace("{home}", self._home.name) if isinstance(value, str) and self._home else value

    def _ask(self, request: Mapping[str, Any], limit_s: float) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._report_death() from None
        answer = json.loads(self._line(time.monotonic() + limit_s, limit_s))
        for kind, error in (("case_error", SegmenterError), ("environment_error", EnvironmentFault)):
            if kind in answer:
                raise self._error(error, **answer[kind])
        return dict(answer)

    def _line(self, deadline: float, limit_s: float) -> bytes:
        """Return the next line of the tool's answers; kill it if there is none in time."""
        assert self._process is not None
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            ready, _, _ = select.select([descriptor], [], [], max(deadline - time.monotonic(), 0))
            if not ready:
                self._kill()
                raise self._error(
                    ToolLimitError,
                    "tool-timeout",
                    f"no result within {limit_s:g} s",
                    "raise segment.time_limit_s, or look at this CT in a viewer",
                )
            chunk = os.read(descriptor, 65536)
            if not chunk:
                raise self._report_death()
            self._unread += chunk
        line, self._unread = self._unread.split(b"\n", 1)
        return line

    def _report_death(self) -> MedSyn2Error:
        assert self._process is not None
        status = self._process.wait()
        self._kill()
        how = f"was ended by {signal.Signals(-status).name}" if status < 0 else f"ended with status {status}"
        memory = ", which the system sends when memory runs out" if status == -signal.SIGKILL else ""
        return self._error(
            ToolLimitError,
            "tool-died",
            f"its process {how}{memory}",
            "read the stage's log; give the job more memory and run again with --forcerun segment",
        )

    def _error(self, kind: type[MedSyn2Error], code: str, message: str, remedy: str) -> MedSyn2Error:
        kind = _KINDS.get(code, kind)
        last = self._last_words()
        log.warning("%s: the end of what it printed:\n%s", self.tool, last)
        quote = " | ".join(line.strip() for line in last.split("\n") if line.strip())[-_QUOTED:]
        quoted = f" Its last words: {quote}" if quote and code in {"tool-died", "tool-not-ready"} else ""
        return kind(f"{self.tool}: {message}.{quoted}", code=code, remedy=f"{remedy.rstrip('.')}.")

    def _last_words(self) -> str:
        if self._home is None:
            return ""
        printed = Path(self._home.name, "log.txt").read_text(encoding="utf-8", errors="replace")
        return printed[-_LOGGED:].strip()

    def _kill(self) -> None:
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()
        self._process = None
