"""A row of the table of reliability: a promise, and the trials that it is put to.

Every trial has a name, and draws of its own that follow from it. So a row can be broken off and gone on with, and takes
more trials after those that it has. What trials work on is made when the first of them asks for it.
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from medsyn2.ct.nifti.files import read_ct
from medsyn2.ct.volume import CTVolume
from medsyn2.phantoms.scanner import draw_acquisition, scan
from medsyn2.phantoms.subject import draw_subject

from .run import Finished, Job, snakemake

PHANTOMS = 6
PHANTOM_SPACING_MM = 3.0
AS_ACQUIRED = "_native"
"""End of the names of real CTs that are those of another name on a finer grid."""


@dataclass(frozen=True)
class Tried:
    """How a trial ended."""

    outcome: str  # In words; trials that end alike have the same
    kept: bool  # Whether the promise was kept
    note: str = ""  # For whoever looks closer, such as the code of an error
    count: int = 1  # Faults within the trial


@dataclass(frozen=True)
class Trial:
    """One trial of a row."""

    group: str  # The kind of file, stage or change that it is about
    item: str  # Tells it from others of its group
    try_out: Callable[[random.Random], Tried]

    @property
    def name(self) -> str:
        """Its name within the row."""
        return f"{self.group} | {self.item}"


@dataclass(frozen=True)
class Row:
    """A promise and its trials."""

    promise: str
    groups: str  # A word for the groups of its trials
    list_trials: Callable[["Bench"], Sequence[Trial]]  # Of the whole table


class Bench:
    """A finished run and CTs, on which trials take place.

    Args:
        work: Folder of all that is made.
        real: Folder with real CTs, to be used in place of phantoms.
        stages: The stages whose jobs are tried; all if empty.
    """

    def __init__(self, work: Path, real: Path | None, stages: Sequence[str], say: Callable[[str], object]) -> None:
        self.work, self.real, self.stages, self.say = work, real, tuple(stages), say
        self._cts: dict[str, CTVolume] = {}

    @cached_property
    def original(self) -> Path:
        """The folder of a finished run, which is made if it is not there."""
        folder = self.work / "run"
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "results/report.html").exists():
            self.say("making the run")
            snakemake(folder, "--", "all")
        return folder

    @cached_property
    def finished_run(self) -> Finished:
        """The finished run, with a copy for trials."""
        return Finished(self.original, self.work / "copy")

    @cached_property
    def jobs(self) -> list[Job]:
        """The jobs that are tried."""
        return [job for job in self.finished_run.jobs if not self.stages or job.stage in self.stages]

    @cached_property
    def one_of_each(self) -> list[Job]:
        """A job of each stage."""
        return list({job.stage: job for job in reversed(self.jobs)}.values())[::-1]

    @cached_property
    def paths(self) -> dict[str, Path]:
        """Files of the real CTs by name; none without real ones."""
        found = [] if self.real is None else [*self.real.glob("ct/*.nii.gz"), *self.real.glob("native/*.nii.gz")]
        return {path.name.removesuffix(".nii.gz"): path for path in sorted(found)}

    @property
    def names(self) -> list[str]:
        """Names of sound CTs."""
        return list(self.paths) or [f"phantom {index}" for index in range(PHANTOMS)]

    @property
    def patients(self) -> list[str]:
        """Names of sound CTs of different patients."""
        return [name for name in self.names if not name.endswith(AS_ACQUIRED)]

    def ct(self, name: str) -> CTVolume:
        """Return a sound CT: a real one, or a phantom."""
        if name not in self._cts:
            self._cts[name] = read_ct(self.paths[name]) if self.paths else _make_phantom(int(name.split()[1]))
        return self._cts[name]

    def folder(self, name: str) -> Path:
        """Return a folder for trials, which is there."""
        place = self.work / name
        place.mkdir(parents=True, exist_ok=True)
        return place


def _make_phantom(index: int) -> CTVolume:
    subject = draw_subject(0, index)
    return scan(subject, draw_acquisition(subject, PHANTOM_SPACING_MM)).volume
