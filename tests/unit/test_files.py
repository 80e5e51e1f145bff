"""Files appear whole or not at all."""

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from medsyn2.errors import EnvironmentFault
from medsyn2.files import lock, sha256_of, write_atomically, write_bytes, write_json, write_table
from medsyn2.processes import Holder


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "value.nii.gz"
    path.write_text("old", encoding="utf-8")

    def fail(partial: Path) -> None:
        partial.write_text("half", encoding="utf-8")
        assert partial.name.endswith(".nii.gz")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_atomically(path, fail)
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.nii.gz"]
    assert path.read_text("utf-8") == "old"


WRITER = """
import os, signal, sys
from pathlib import Path
from medsyn2.files import write_atomically

def write(partial):
    partial.write_text("theirs")
    print("writing", flush=True)
    if sys.argv[2] == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.readline()

write_atomically(Path(sys.argv[1]), write)
"""


def start_writer(path: Path, fate: str) -> subprocess.Popen[str]:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, path, fate], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    return writer


def test_what_a_killed_writer_left_is_gone_after_the_next_write(tmp_path: Path) -> None:
    path = tmp_path / "[odd].nii.gz"
    start_writer(path, "killed").communicate()
    assert len(list(tmp_path.iterdir())) == 1
    write_atomically(tmp_path / "other.nii.gz", lambda partial: partial.write_text("other", encoding="utf-8"))
    assert len(list(tmp_path.iterdir())) == 2
    write_atomically(path, lambda partial: partial.write_text("ours", encoding="utf-8"))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["[odd].nii.gz", "other.nii.gz"]
    assert path.read_text("utf-8") == "ours"


def test_what_another_process_is_writing_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    writer = start_writer(path, "goes on")
    write_atomically(path, lambda partial: partial.write_text("ours", encoding="utf-8"))
    assert path.read_text("utf-8") == "ours"
    writer.communicate("\n")
    assert writer.returncode == 0
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.json"]
    assert path.read_text("utf-8") == "theirs"


def test_json_is_sorted_and_reproducible(tmp_path: Path) -> None:
    write_json(tmp_path / "a/1.json", {"b": 1, "a": "é"})
    write_json(tmp_path / "a/2.json", {"a": "é", "b": 1})
    assert (tmp_path / "a/1.json").read_bytes() == (tmp_path / "a/2.json").read_bytes()
    assert sha256_of(tmp_path / "a/1.json") == sha256_of(tmp_path / "a/2.json")


def test_a_table_has_no_index_and_the_digits_that_are_asked_for(tmp_path: Path) -> None:
    table = pd.DataFrame({"case": ["a"], "value": [1 / 3]})
    write_table(tmp_path / "rounded.csv", table)
    write_table(tmp_path / "exact.csv", table, digits=None)
    assert (tmp_path / "rounded.csv").read_text("utf-8") == "case,value\na,0.33333\n"
    assert (tmp_path / "exact.csv").read_text("utf-8") == f"case,value\na,{1 / 3}\n"


def test_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_bytes(tmp_path / "new/figure.png", b"\x89PNG")
    assert (tmp_path / "new/figure.png").read_bytes() == b"\x89PNG"


HOLDER = """
import sys
from pathlib import Path
from medsyn2.files import lock

with lock(Path(sys.argv[1]), use="one thing"):
    print("holding", flush=True)
    sys.stdin.readline()
"""


def start_holder(path: Path) -> subprocess.Popen[str]:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8"
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "holding\n"
    return holder


def test_a_lock_names_its_holder_and_is_not_waited_for_longer_than_allowed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "model"
    holder = start_holder(path)
    with pytest.raises(EnvironmentFault, match=f"process {holder.pid} on") as caught, lock(path, patience_s=0.1):
        pass
    assert caught.value.code == "made-by-another"
    assert f"kill {holder.pid}" in caught.value.remedy
    assert f"waiting for process {holder.pid}" in caplog.text
    holder.communicate("\n")
    caplog.clear()
    with lock(path):
        assert f"process {os.getpid()} on" in (tmp_path / ".model.lock").read_text("utf-8")
    assert caplog.text == ""
    assert (tmp_path / ".model.lock").read_text("utf-8") == ""


def test_a_holder_that_makes_another_thing_is_not_waited_for(tmp_path: Path) -> None:
    holder = start_holder(tmp_path / "model")
    refused = pytest.raises(EnvironmentFault, match=f"in use by process {holder.pid} on")
    with refused as caught, lock(tmp_path / "model", use="another"):
        pass
    assert caught.value.code == "used-otherwise"
    holder.communicate("\n")


def test_without_locks_of_the_file_system_the_written_holder_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    holder = start_holder(tmp_path / "model")

    def no_locks(file: object, operation: int) -> None:
        raise OSError(errno.ENOTSUP, "not supported")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with pytest.raises(EnvironmentFault, match=f"process {holder.pid} on"), lock(tmp_path / "model", patience_s=0.1):
        pass
    holder.kill()
    holder.communicate()
    with lock(tmp_path / "model"):
        assert f"process {os.getpid()} on" in (tmp_path / ".model.lock").read_text("utf-8")


def test_a_holder_on_another_machine_is_named_with_how_to_remove_it(tmp_path: Path) -> None:
    other = replace(Holder.of_this_process(), name="process 7 on login2", host="login2", boot="another", pid=7)
    (tmp_path / ".model.lock").write_text(other.text(), encoding="utf-8")
    with pytest.raises(EnvironmentFault, match="in use by process 7 on login2") as caught, lock(tmp_path / "model"):
        pass
    assert caught.value.code == "used-elsewhere"
    assert f"remove {tmp_path / '.model.lock'}" in caught.value.remedy
    assert "ps -p 7" in caught.value.remedy


def test_the_lock_of_a_killed_holder_is_taken_and_says_who_it_was(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    holder = start_holder(tmp_path / "model")
    holder.kill()
    holder.communicate()
    with lock(tmp_path / "model"):
        assert f"process {holder.pid} on" in caplog.text
        assert "was killed" in caplog.text
