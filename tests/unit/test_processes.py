"""Whether the holder of something still works, as far as this machine can tell."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from medsyn2.processes import Holder

SQUEUE = """#!/bin/sh
case "$*" in
    *--jobs=11) echo RUNNING ;;
    *--jobs=13) echo COMPLETED ;;
esac
"""


def test_this_process_works_and_is_read_back() -> None:
    own = Holder.of_this_process("training")
    assert own.state(has_lock=False) == "works"
    assert Holder.read(own.text()) == own
    assert (own.pid, own.use) == (os.getpid(), "training")
    assert [Holder.read(text) for text in ("", "process 7 on host", "{}", '{"name": "cut')] == [None] * 4


def test_a_process_that_ended_is_gone_and_so_is_one_whose_number_was_given_again() -> None:
    own = Holder.of_this_process()
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert replace(own, pid=child.pid).state(has_lock=True) == "gone"
    assert replace(own, started="1").state(has_lock=True) == "gone"


def test_a_machine_that_was_started_again_has_none_of_its_processes() -> None:
    assert replace(Holder.of_this_process(), boot="another").state(has_lock=True) == "gone"


def test_in_another_container_of_this_machine_the_lock_tells() -> None:
    other = replace(Holder.of_this_process(), space="pid:[1]", host="container")
    assert other.state(has_lock=True) == "gone"
    assert other.state(has_lock=False) == "unknown"


def test_of_a_process_on_another_machine_nothing_is_known() -> None:
    other = replace(Holder.of_this_process(), boot="another", host="elsewhere")
    assert other.state(has_lock=True) == "unknown"


@pytest.mark.parametrize(("job", "state"), [("11", "works"), ("12", "gone"), ("13", "gone"), ("14", "gone")])
def test_slurm_is_asked_for_a_job_of_another_machine(
    job: str, state: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = tmp_path / "squeue"
    command.write_text(SQUEUE, encoding="utf-8")
    command.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("SLURM_JOB_ID", "12")
    other = replace(Holder.of_this_process(), name=f"SLURM job {job} on gpu7", boot="another", host="gpu7")
    assert other.state(has_lock=True) == state


def test_without_the_times_of_the_system_the_number_tells() -> None:
    own = Holder.of_this_process()
    assert replace(own, started="").state(has_lock=True) == "works"
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    assert replace(own, started="", pid=child.pid).state(has_lock=True) == "gone"
