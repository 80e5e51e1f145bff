"""Which process holds something, and whether it still works.

A file lock (``flock``) ends with its process. But some file systems have none, and others keep it within one machine,
so that two machines that share a folder by NFS may both hold it. The holder therefore writes down who it is: its
machine, its number, and when both started, since numbers are given again. A process of this machine is looked up; one
of a machine that has been started since is gone; one of SLURM's jobs is asked after. Of a process on another machine
nothing is known, and a person has to say that it is gone. This module uses only the standard library, because
Snakemake's own process imports it.
"""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from medsyn2.slurm import describe_process, job_id, job_number, job_works

State = Literal["works", "gone", "unknown"]

_START_FIELD = 19
"""Place of the start time in ``/proc/PID/stat``, after the name in parentheses (proc(5))."""


@dataclass(frozen=True)
class Holder:
    """A process that holds something."""

    name: str  # Its job and node, or its number and machine
    host: str  # Name of its machine
    pid: int  # Its number
    boot: str  # Which start of that machine; empty where the system does not say
    space: str  # In which space of numbers, as containers have their own; empty where the system does not say
    started: str  # When it started, in ticks after the machine; empty where the system does not say
    since: str  # Since when it holds
    use: str = ""  # For what, as a hash: those of one use wait for each other

    @classmethod
    def of_this_process(cls, use: str = "") -> "Holder":
        """Return the description of this process."""
        pid, now = os.getpid(), time.strftime("%Y-%m-%d %H:%M:%S")
        return cls(describe_process(), platform.node(), pid, _boot(), _space(), _start_of(pid) or "", now, use)

    @classmethod
    def read(cls, text: str) -> "Holder | None":
        """Return the holder that `text` describes, or None."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError):
            return None

    def text(self) -> str:
        """Return the description that `read` understands."""
        return json.dumps(asdict(self))

    def state(self, *, has_lock: bool) -> State:
        """Say whether the process still works.

        Args:
            has_lock: Whether this process holds the file lock that the other one must have held.
        """
        same_machine = self.boot == _boot() if self.boot else self.host == platform.node()
        if same_machine and self.space == _space():
            return "works" if self._is_there() else "gone"
        if same_machine:  # another container of this machine, where the lock is one
            return "gone" if has_lock else "unknown"
        if self.host == platform.node():  # which was started again
            return "gone"
        job = job_number(self.name)
        if job is None:
            return "unknown"
        return "works" if job != job_id() and job_works(job) else "gone"

    def _is_there(self) -> bool:
        if self.started:
            return _start_of(self.pid) == self.started
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return False
        except PermissionError:
            return True
        return True


def _boot() -> str:
    return _read_or_empty(Path("/proc/sys/kernel/random/boot_id"))


def _space() -> str:
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _start_of(pid: int) -> str | None:
    """Return when a process started, in ticks after the machine did; None if there is none, or it has ended."""
    fields = _read_or_empty(Path(f"/proc/{pid}/stat")).rpartition(")")[2].split()
    return fields[_START_FIELD] if fields and fields[0] not in "ZX" else None


def _read_or_empty(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
