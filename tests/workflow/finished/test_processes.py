"""Several processes share a training: as many as the rule has GPUs, started by the command itself."""

import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml

from tests.workflow.conftest import TINY, Workflow


def test_the_rule_starts_as_many_processes_as_it_has_gpus(finished: Workflow) -> None:
    rule = ("--set-resources", "train_tokenizer:gpu=2", "--resources", "gpu=2", "--forcerun", "train_tokenizer")
    shared = ("--config", "train_tokenizer={accumulate: 2}")
    text = finished.run("-n", "-p", *rule, *shared, "--", "results/train_tokenizer/tokenizer.json")
    assert "--processes 2" in text


def test_processes_that_cannot_share_a_step_are_refused_when_planned(finished: Workflow) -> None:
    command = finished.command("-n", "--set-resources", "train_tokenizer:gpu=2", "--", "all")
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode != 0
    assert "jobs.gpus.train_tokenizer" in done.stdout + done.stderr
    assert "train_tokenizer.accumulate, which is 1, got 2" in done.stdout + done.stderr


@pytest.mark.slow
def test_two_processes_train_what_one_does(finished: Workflow, tmp_path: Path) -> None:
    settings = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    settings["train_tokenizer"] |= {"num_steps": 6, "batch_size": 1, "accumulate": 2}
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(settings), encoding="utf-8")
    losses = [
        torch.from_numpy(pd.read_csv(trained(finished, config, tmp_path / str(number), number)).to_numpy())
        for number in (1, 2)
    ]
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-3, atol=1e-6)


def trained(workflow: Workflow, config: Path, folder: Path, processes: int) -> Path:
    """Train a tokenizer and return the table of its losses."""
    folder.mkdir()
    volumes = sorted((workflow.folder / "results/register").glob("*.json"))
    command = [sys.executable, "-m", "medsyn2", "train_tokenizer", "--config", str(config), "--register"]
    command += [*map(str, volumes), "--weights", str(folder / "tokenizer.json")]
    command += ["--loss", str(folder / "loss.csv"), "--processes", str(processes)]
    done = subprocess.run(command, env=workflow.environment, capture_output=True, encoding="utf-8", check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder / "loss.csv"
