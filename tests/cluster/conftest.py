"""The smallest workflow, run by SLURM on this machine through the project's own profile."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from .slurm import PREFIX, NoDaemonError, Slurm, reason_not_to_start

ROOT = Path(__file__).parents[2]
CONFIGS = (ROOT / "tests/workflow/tiny.yaml", Path(__file__).with_name("tiny.yaml"))
TARGET = "results/sample/0000.json"
ALIKE = ("--set-threads", "train_tokenizer=1", "train_dit=1")
"""One thread a process: the bits of a training depend on the number of its threads."""


@dataclass(frozen=True)
class Run:
    """The workflow in a folder of its own, under one of the profiles."""

    folder: Path
    profile: str
    arguments: tuple[str, ...] = ()

    def start(self, said: Path) -> subprocess.Popen[bytes]:
        """Start Snakemake as far as the samples; it says what it does in a file."""
        command = [sys.executable, "-m", "snakemake", "--configfile", *map(str, CONFIGS), "--directory", self.folder]
        command += ["--snakefile", ROOT / "Snakefile", "--workflow-profile", ROOT / "profiles" / self.profile]
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        with said.open("wb") as file:
            return subprocess.Popen(
                [*command, *ALIKE, *self.arguments, "--", TARGET],
                stdout=file,
                stderr=file,
                env=environment,
                start_new_session=True,
            )

    def read(self, name: str) -> str:
        """Return the text of a file of the run."""
        return (self.folder / name).read_text("utf-8")


@pytest.fixture(scope="session")
def slurm() -> Iterator[Slurm]:
    """A cluster; where none can be had, the tests that ask for it are skipped and say why."""
    if reason := reason_not_to_start():
        pytest.skip(reason)
    cluster = Slurm(Path(tempfile.mkdtemp(prefix=PREFIX)))
    try:
        try:
            cluster.start()
        except NoDaemonError as error:
            pytest.skip(f"SLURM does not start here: {error}")
        yield cluster
    finally:
        cluster.stop()
