"""The quick half of the table of reliability, on a finished run: every kind of stage that takes a second."""

import csv
import os
import subprocess
import sys
from pathlib import Path

from .conftest import ROOT, Workflow

# A file, a table, a shard, a training; the whole table takes all.
STAGES = ("encode_prompts", "evaluate_hu", "masks", "train_text_encoder")
# 20 flips, 4 cuts, a kill, a full disk and two at once of each stage.
SHARE = "0.04"


def test_every_promise_is_kept(finished: Workflow, tmp_path: Path) -> None:
    (tmp_path / "run").symlink_to(finished.folder)
    command = [sys.executable, ROOT / "benchmarks/faults.py", "--work", tmp_path, "--share", SHARE]
    command += ["--rows", "R1", "R3", "R4", "R5", "R7", "--stages", *STAGES]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    with (tmp_path / "faults.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["row"] for row in rows] == ["R1", "R3", "R4", "R5", "R7"]
    assert all(row["kept"] == "yes" for row in rows), done.stdout[-6000:]
