"""A part of the table of reliability, on a finished run: damage to files that stages read."""

import csv
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflow.conftest import ROOT, Workflow

# A table and a shard; the whole table takes all stages.
STAGES = ("evaluate_hu", "masks")
# Four flips and one cut: each costs two starts of the workflow.
SHARE = "0.008"
ROWS = ("R3", "R4")


@pytest.mark.slow
def test_damage_is_seen_and_healed(finished: Workflow, tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(finished.folder)
    command = [sys.executable, ROOT / "benchmarks/faults.py", "--work", tmp_path, "--share", SHARE]
    command += ["--rows", *ROWS, "--stages", *STAGES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with (tmp_path / "faults.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(row["row"] for row in rows) == ROWS
    assert all(row["kept"] == "yes" for row in rows), done.stdout[-6000:]
