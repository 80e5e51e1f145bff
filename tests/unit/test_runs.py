"""Runs with the same settings share a folder; one with others is refused."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from medsyn2.errors import EnvironmentFault
from medsyn2.processes import Holder
from medsyn2.runs import RUNS, enter

RUN = """
import json, os, sys
from medsyn2.runs import enter

enter(json.loads(sys.argv[1]))
print("entered", flush=True)
sys.stdin.readline()
os.chdir("/")  # as Snakemake does before it ends
"""


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("atexit.register", lambda leave: None)


def start(**settings: int) -> subprocess.Popen[str]:
    """A run in a process of its own."""
    command = [sys.executable, "-c", RUN, json.dumps({"train_dit": settings})]
    run = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, encoding="utf-8")
    assert run.stdout is not None
    assert run.stdout.readline() == "entered\n"
    return run


def test_a_run_with_other_settings_is_refused_and_names_the_first(tmp_path: Path) -> None:
    first = start(seed=0, num_steps=80)
    start(seed=0, num_steps=80).communicate("\n")
    with pytest.raises(EnvironmentFault, match=f"in use by process {first.pid} on") as caught:
        enter({"train_dit": {"seed": 0, "num_steps": 3}})
    assert caught.value.code == "folder-in-use"
    assert "train_dit.num_steps 3 instead of 80" in caught.value.message
    assert f"kill {first.pid} on" in caught.value.remedy
    first.communicate("\n")


def test_a_run_that_ended_or_was_killed_stands_in_nobodys_way() -> None:
    start(seed=1).communicate("\n")
    killed = start(seed=2)
    killed.kill()
    killed.communicate()
    assert len(list(RUNS.glob("*.json"))) == 1
    last = start(seed=3)
    assert [path.name.split("-")[-1] for path in RUNS.glob("*.json")] == [f"{last.pid}.json"]
    last.communicate("\n")
    assert list(RUNS.glob("*.json")) == []


def test_a_run_on_another_machine_is_refused_with_how_to_remove_it(tmp_path: Path) -> None:
    RUNS.mkdir(parents=True)
    holder = replace(Holder.of_this_process(), name="process 7 on login2", host="login2", boot="another", pid=7)
    record = RUNS / "login2-7.json"
    record.write_text(f'{holder.text()}\n{{"train_dit": {{"seed": 1}}}}\n', encoding="utf-8")
    with pytest.raises(EnvironmentFault, match="cannot tell whether it still works") as caught:
        enter({"train_dit": {"seed": 0}})
    assert caught.value.code == "used-elsewhere"
    assert f"remove {record}" in caught.value.remedy
    record.unlink()
    enter({"train_dit": {"seed": 0}})
