"""Faults of the machine, named: foreign errors that mean a full disk, no memory, a lost drive or a broken pipe.

Libraries say the same in different ways. Python raises an `OSError` with a number; Rust's libraries (safetensors) write
that number into a text; PyTorch, CUDA and ITK raise a `RuntimeError` that speaks of memory. `fault_of` reads them all,
and the command line and the shards ask it. An error that is none of these is a mistake of the program and stays one.

This module uses the standard library alone.
"""

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from medsyn2.errors import EnvironmentFault, MedSyn2Error, MemoryFault, reason

_RUST_NUMBER = re.compile(r"\(os error (\d+)\)")

_SPEAKS_OF_MEMORY = re.compile(
    r"out of memory|(can't|cannot|could not|failed to|unable to) allocate|allocation fail|bad_?alloc|alloc_failed"
    r"|memoryallocationerror|can't start new thread|failed to map segment",
    re.IGNORECASE,
)
"""PyTorch, CUDA with its libraries, ITK, C++, threads without room for a stack, and libraries that cannot be mapped."""

_SPEAKS_OF_GPU = re.compile(r"cuda|cublas|cudnn|\bgpu\b|\bhip\b", re.IGNORECASE)


@dataclass(frozen=True)
class _Kind:
    """A kind of fault by the system's error numbers."""

    numbers: frozenset[int]
    code: str
    problem: str  # After the name of the file
    remedy: str


_KINDS = (
    _Kind(
        frozenset({errno.ENOSPC, errno.EDQUOT}),
        code="environment-disk-full",
        problem="cannot be written: the disk, or your share of it, is full",
        remedy="make room there (`df -h` and `df -i` show the room, `medsyn2 plan` the need) and run again; finished "
        "work is kept.",
    ),
    _Kind(
        frozenset({errno.EFBIG}),
        code="environment-file-limit",
        problem="cannot be written: it is larger than this job or the file system allows",
        remedy="raise the limit (`ulimit -f`), or use another file system, and run again; finished work is kept.",
    ),
    _Kind(
        frozenset({errno.EROFS, errno.EACCES, errno.EPERM}),
        code="environment-permission",
        problem="is not yours to use",
        remedy="correct its permissions, or those of its folder, or mount the disk for writing, and run again.",
    ),
    _Kind(
        frozenset({errno.EMFILE, errno.ENFILE}),
        code="environment-open-files",
        problem="cannot be opened: too many files are open",
        remedy="raise the limit (`ulimit -n 4096`) and run again; finished work is kept.",
    ),
    _Kind(
        frozenset({errno.EIO, errno.ESTALE, errno.ENXIO, errno.ENODEV, errno.EREMOTEIO, errno.ETIMEDOUT}),
        code="environment-drive-lost",
        problem="cannot be reached: the drive or the network file system failed",
        remedy="look at `dmesg` and the mount, and run again when it is back; finished work is kept.",
    ),
    _Kind(
        frozenset({errno.EPIPE, errno.ECONNRESET}),
        code="environment-pipe",
        problem="was closed by its reader before all was written",
        remedy="let the reader take everything, or write to a file; finished work is kept.",
    ),
)


_COMPILED_BYTES = 256 * 2**20
"""What a few threads of compiled code ask for: a stack and an arena of 64 MiB of addresses each."""


def require_memory() -> None:
    """Make sure that compiled code finds memory, where it would end the process without a word if there were none.

    Rust's libraries do so; those of Python, PyTorch and ITK raise an error.

    Raises:
        MemoryError: If there is none.
    """
    bytearray(_COMPILED_BYTES)


def fault_of(error: BaseException, place: Path | None = None) -> EnvironmentFault | None:
    """Return the fault of the machine that an error means, or None if it means none or is named already.

    Args:
        place: The file or folder that was in use, for errors that name none.
    """
    if isinstance(error, MedSyn2Error):
        return None
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return _memory_fault(error)
    if isinstance(error, OSError):
        return _file_fault(error, place)
    if (number := _rust_number(error)) is not None:
        return fault_of(OSError(number, os.strerror(number)), place)
    # All libraries that allocate by themselves raise a RuntimeError; what cannot be mapped is not imported.
    if isinstance(error, RuntimeError | ImportError) and _SPEAKS_OF_MEMORY.search(str(error)):
        return _memory_fault(error)
    return None


def _memory_fault(error: BaseException) -> MemoryFault:
    said = f" ({reason(error)})" if str(error) else ""
    if _SPEAKS_OF_GPU.search(str(error)):
        return MemoryFault(
            f"The GPU ran out of memory{said}.",
            code="environment-gpu-memory",
            remedy="use a GPU with more, end what else runs there (`nvidia-smi`), lower batch_size and raise "
            "accumulate in the section of this training, or set encode_latents.window.",
        )
    return MemoryFault(
        f"The machine ran out of memory{said}.",
        code="environment-memory",
        remedy="give the job more, lower cohort.shard_size or grid.shape, or set encode_latents.window.",
    )


def _file_fault(error: OSError, place: Path | None) -> EnvironmentFault:
    name = error.filename or place or "a file or stream"
    for kind in _KINDS:
        if error.errno in kind.numbers:
            return EnvironmentFault(f"{name} {kind.problem} ({reason(error)}).", code=kind.code, remedy=kind.remedy)
    return EnvironmentFault(
        f"{name} cannot be read or written: {reason(error)}.",
        code="environment-files",
        remedy="give a place that is there, that is yours to use, and on a disk with room.",
    )


def _rust_number(error: BaseException) -> int | None:
    found = _RUST_NUMBER.search(str(error))
    return int(found[1]) if found else None


@contextmanager
def name_file(path: Path, partial: Path | None = None) -> Iterator[None]:
    """Give errors of writing `path` its name, where they have none or that of the file that is to become it.

    A write that fails names no file, unlike an open; and a library in Rust raises an error of its own.

    Raises:
        OSError: With the name.
    """
    try:
        yield
    except OSError as error:
        if error.errno is None or error.filename not in (None, str(partial)):
            raise
        raise OSError(error.errno, os.strerror(error.errno), str(path)) from error
    except Exception as error:
        if (number := _rust_number(error)) is None:
            raise
        raise OSError(number, os.strerror(number), str(path)) from error
