"""Every way in which a library says that the disk or the memory is at its end becomes one named error."""

import errno
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from safetensors import SafetensorError
from safetensors.torch import save_file

from medsyn2.errors import EnvironmentFault, InvalidVolumeError, MemoryFault
from medsyn2.faults import fault_of, name_file
from medsyn2.files import write_atomically, write_bytes, write_json

EXBIBYTE = 2**60


def test_python_and_its_libraries_say_the_same_of_memory() -> None:
    said = {}
    for name, allocate in {
        "numpy": lambda: np.empty(EXBIBYTE, np.uint8),
        "torch": lambda: torch.empty(EXBIBYTE, dtype=torch.uint8),
        "itk": lambda: sitk.Image([2**16, 2**16, 2**16], sitk.sitkVectorFloat64, 1000),
        "python": lambda: bytearray(EXBIBYTE),
    }.items():
        with pytest.raises((MemoryError, RuntimeError)) as raised:
            allocate()
        said[name] = fault_of(raised.value)
    for name, fault in said.items():
        assert isinstance(fault, MemoryFault), name
        assert fault.code == "environment-memory"
        assert "\n" not in str(fault)


def test_compiled_code_is_entered_with_memory_alone() -> None:
    # In a process of its own: the heap of a long run of tests may hold the bytes, and need no new addresses.
    script = """
import resource
from pathlib import Path
from medsyn2.errors import MemoryFault
from medsyn2.faults import fault_of, require_memory
require_memory()
used = int(Path("/proc/self/statm").read_text("utf-8").split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used + 2**24, resource.getrlimit(resource.RLIMIT_AS)[1]))
try:
    require_memory()
except MemoryError as error:
    print(isinstance(fault_of(error), MemoryFault))
"""
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, encoding="utf-8", check=False)
    assert (ran.stdout, ran.stderr) == ("True\n", "")


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 has a total capacity of 79 GiB"),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    ],
)
def test_a_full_gpu_has_a_name_of_its_own(error: Exception) -> None:
    fault = fault_of(error)
    assert isinstance(fault, MemoryFault)
    assert (fault.code, fault.exit_code) == ("environment-gpu-memory", 12)


@pytest.mark.parametrize(
    ("number", "code"),
    [
        (errno.ENOSPC, "environment-disk-full"),
        (errno.EDQUOT, "environment-disk-full"),
        (errno.EFBIG, "environment-file-limit"),
        (errno.EROFS, "environment-permission"),
        (errno.EACCES, "environment-permission"),
        (errno.EMFILE, "environment-open-files"),
        (errno.EIO, "environment-drive-lost"),
        (errno.ESTALE, "environment-drive-lost"),
        (errno.EPIPE, "environment-pipe"),
        (errno.ENOMEM, "environment-memory"),
        (errno.ENOTDIR, "environment-files"),
    ],
)
def test_each_number_of_the_system_has_a_name_and_the_file(number: int, code: str) -> None:
    for error in (OSError(number, os.strerror(number)), SafetensorError(f"I/O error: text (os error {number})")):
        fault = fault_of(error, Path("results/a.nii.gz"))
        assert isinstance(fault, EnvironmentFault)
        assert fault.code == code
        assert "results/a.nii.gz" in str(fault) or number == errno.ENOMEM
    named = fault_of(OSError(number, os.strerror(number), "b.csv"), Path("a"))
    assert named is not None
    assert "b.csv" in named.message or number == errno.ENOMEM


def test_a_mistake_of_the_program_is_no_fault_of_the_machine() -> None:
    case_error = InvalidVolumeError("out of memory", code="nifti-truncated", remedy="none.")
    for error in (RuntimeError("shape mismatch"), ValueError("out of memory"), KeyError("a"), case_error):
        assert fault_of(error) is None


FULL = Path("/dev/full")


@pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")
def test_a_full_disk_names_the_file_that_was_to_be(tmp_path: Path) -> None:
    def write(partial: Path) -> None:
        with FULL.open("wb", buffering=0) as file:
            file.write(b"a")

    with pytest.raises(OSError, match="No space left") as raised:
        write_atomically(tmp_path / "loss.csv", write)
    assert raised.value.filename == str(tmp_path / "loss.csv")
    assert list(tmp_path.iterdir()) == []


def _limit_files() -> None:
    """Let no file grow beyond 1,000 bytes, and keep Python from being ended for it."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))


LIMITED = """
import sys, torch
from pathlib import Path
from safetensors.torch import save_file
from medsyn2.faults import fault_of
from medsyn2.files import write_atomically, write_bytes
here = Path(sys.argv[1])
for path, write in (
    (here / "a.png", lambda: write_bytes(here / "a.png", bytes(5000))),
    (here / "b.safetensors", lambda: write_atomically(
        here / "b.safetensors", lambda partial: save_file({"x": torch.zeros(5000)}, partial))),
):
    try:
        write()
    except Exception as error:
        print(fault_of(error))
"""


def test_a_limit_of_the_size_of_files_is_named_for_bytes_and_for_tensors(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path],
        capture_output=True,
        encoding="utf-8",
        check=True,
        preexec_fn=_limit_files,
    )
    first, second = done.stdout.splitlines()
    assert first.startswith(f"[environment-file-limit] {tmp_path}/a.png")
    assert second.startswith(f"[environment-file-limit] {tmp_path}/b.safetensors")


def test_the_name_of_another_file_stays(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as raised, name_file(tmp_path / "copy"):
        (tmp_path / "original").read_bytes()
    assert raised.value.filename == str(tmp_path / "original")
    with pytest.raises(SafetensorError, match="header"), name_file(tmp_path / "a"):
        raise SafetensorError("invalid header")


def test_whole_files_are_written_as_before(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"a": 1})
    write_bytes(tmp_path / "b.png", b"b")
    write_atomically(tmp_path / "c.safetensors", lambda partial: save_file({"x": torch.zeros(2)}, partial))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.json", "b.png", "c.safetensors"]
