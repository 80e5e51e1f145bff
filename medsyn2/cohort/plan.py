"""The plan of a run's cohort: its cases by shard and split, and the parameters of the rules that read the user's files.

Snakemake makes this plan whenever it parses the workflow. It only lists folders; the state of files is looked up for
the shards whose jobs are planned, and the tables are read when a run starts.

On a cluster every job parses the workflow, too: thousands of jobs would each list a file system of a million slices.
They take the cases that the run's start kept, which are those that their jobs were planned with.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any

from medsyn2.cohort.file_state import find_repeats, mark_repeats, mask_paths, state_of
from medsyn2.cohort.folder import ORDER, places_of
from medsyn2.cohort.input_files import TableKind, input_files, require_files, table_key
from medsyn2.cohort.matches import list_matches
from medsyn2.cohort.selection import RESULTS, Order, Selection, cohort_folder, select_files
from medsyn2.cohort.shards import Case, Cohort, append_to_order, case_json, order_text, plan_cohort, read_order
from medsyn2.cohort.studies import folder_key
from medsyn2.cohort.subjects import SubjectTable, read_subjects
from medsyn2.config import Config
from medsyn2.dicom.identity import Identity
from medsyn2.files import write_text_atomically
from medsyn2.fingerprints import fingerprint
from medsyn2.integrity import read_sealed, write_sealed
from medsyn2.reports.names import VolumeNames
from medsyn2.version import __version__
from medsyn2.vocabulary import Split

ORDER_FILE = RESULTS / ORDER
STUDIES_FILE = ORDER_FILE.with_name("studies.txt")
PHANTOM_DIR = Path("results/phantoms")
KEPT_FILE = Path(".snakemake/medsyn2-cohort.json")

BATCH_VOXELS = 2**27
"""Voxels of the cases that a job of an evaluation measures, at least, on the grid: 64 cases of 128 x 128 x 128. Fewer
would take less time than the start of the job."""

_TYPICAL = 9

_READ_WHEN_PLANNED = ("cohort.exclude_txt", "cohort.subjects_csv")


@dataclass(frozen=True)
class Listing:
    """The files of a cohort as they were found, and their places."""

    known: Order  # The order that earlier runs left
    order: Order  # The same with this run's new cases
    selection: Selection  # The files of the cases
    names: VolumeNames  # The same as tables name them
    subjects: SubjectTable  # The table of subjects
    known_studies: Order  # Patient and study of folders of slices that earlier runs left, by their key
    studies: Order  # The same with this run's

    def save_order(self) -> None:
        """Write the order for later runs, if it has changed."""
        if self.order != self.known:
            write_text_atomically(ORDER_FILE, order_text(self.order))
        if self.studies != self.known_studies:
            write_text_atomically(STUDIES_FILE, order_text(self.studies))


@dataclass(frozen=True)
class RunPlan:
    """The cohort of a run."""

    config: Config  # The run's configuration
    cohort: Cohort  # The cases, shard by shard
    listing: Listing | None  # None in a job, which takes the cases that the run's start kept
    kept_repeats: Mapping[str, str] | None = None  # The files that seem to be copies, where a start kept them

    @property
    def has_phantoms(self) -> bool:
        """Whether the cohort is the embedded one."""
        return self.config.cohort.data_dir is None

    @property
    def shards(self) -> list[str]:
        """Names of all shards."""
        return list(self.cohort.shards)

    @property
    def template_shards(self) -> list[str]:
        """Names of the shards that the template is made from."""
        return self.cohort.first_training_shards(self.config.template.num_cases)

    @property
    def prompt_shards(self) -> list[str]:
        """Names of the shards whose training cases the search for copies asks the model for."""
        return self.cohort.first_training_shards(self.config.evaluate_memorisation.num_prompts)

    def shards_with(self, split: Split) -> list[str]:
        """Return the names of the shards that hold a case of `split`."""
        return self.cohort.shards_with(split)

    def batches(self, split: Split | None = None) -> dict[str, list[str]]:
        """Return the shards that one job measures, with cases of `split` or all, by the name of the first."""
        counts = [self._count([shard], split) for shard in self.shards]
        groups = group_shards(counts, prod(self.config.grid.shape))
        return {self.shards[group[0]]: [self.shards[position] for position in group] for group in groups}

    def first_batches(self, batches: Mapping[str, Sequence[str]], split: Split, num_cases: int | None) -> list[str]:
        """Return the names of the first batches that together hold `num_cases` cases of `split`, or all of them."""
        chosen: list[str] = []
        left = self.num_cases(split) if num_cases is None else num_cases
        for name, shards in batches.items():
            held = self._count(shards, split)
            if held and left > 0:
                chosen.append(name)
                left -= held
        return chosen

    def _count(self, shards: Iterable[str], split: Split | None) -> int:
        return sum(split in (None, case.split) for shard in shards for case in self.cohort.shards[shard])

    def num_cases(self, split: Split) -> int:
        """Return the number of cases of `split`."""
        return sum(self.counts(split))

    def counts(self, split: Split) -> tuple[int, ...]:
        """Return the number of cases of `split` in each shard."""
        return tuple(sum(case.split == split for case in cases) for cases in self.cohort.shards.values())

    @property
    def typical_files(self) -> list[str]:
        """Some evenly chosen files of the user's, whose headers tell how large the CTs are; none of phantoms."""
        if self.has_phantoms:
            return []
        paths = sorted(case.path for cases in self.cohort.shards.values() for case in cases)
        return paths[:: max(len(paths) // _TYPICAL, 1)][:_TYPICAL]

    def cases(self, shard: str) -> str:
        """Return a shard's cases as JSON: one that joins or leaves re-runs this shard and no other."""
        return case_json(self.cohort.shards[shard])

    def inventory_cases(self, shard: str) -> str:
        """Return a shard's cases as JSON, the files that seem to be copies marked."""
        cases = self.cohort.shards[shard]
        return case_json(cases if self.has_phantoms else mark_repeats(cases, self._repeats))

    def file_state(self, shard: str) -> str:
        """Return the state of a shard's CTs: a changed file re-runs its shard. Phantoms have a manifest for that."""
        cases = () if self.has_phantoms else self.cohort.shards[shard]
        return state_of(path for case in cases for path in (case.path, *(case.later or ())))

    def mask_state(self, shard: str) -> str:
        """Return the state of the user's own masks of a shard's cases."""
        segment = self.config.segment
        structures = [name for name, tool in segment.tools.items() if tool == "files"]
        return state_of(mask_paths(segment.mask_files, self.cohort.shards[shard], structures))

    def tables(self, kind: TableKind, shard: str) -> list[str]:
        """Return a shard's tables of one kind: the shard's own from the phantoms, the user's files, or none.

        Raises:
            ConfigError: If one of the user's files is not there.
        """
        if self.has_phantoms:
            return [] if kind == "metadata" else [f"{PHANTOM_DIR}/{shard}_{kind}.csv"]
        return self.input_paths(table_key(kind))

    def input_paths(self, key: str) -> list[str]:
        """Return the files that the user names under `key`.

        Raises:
            ConfigError: If one of them is not there.
        """
        return require_files(file for file in input_files(self.config) if file.key == key)

    def notes(self) -> list[str]:
        """Return, for whoever starts a run, which files are not looked at, and how many rows of each table are used.

        Raises:
            TableError: If a table cannot be read, or is of no case of the cohort.
        """
        if self.has_phantoms or self.listing is None:
            return []
        selection, names, subjects = self.listing.selection, self.listing.names, self.listing.subjects
        return [*selection.notes, *list_matches(self.config.cohort, names, subjects)]

    def save(self) -> None:
        """Write the order for later runs, if it has changed, and the cohort for the run's jobs."""
        assert self.listing is not None  # a job starts no run
        self.listing.save_order()
        # As JSON in JSON, which takes names of files that are no UTF-8.
        shards = {name: case_json(cases) for name, cases in self.cohort.shards.items()}
        kept = {"of": _cohort_identity(self.config), "shards": shards, "repeats": json.dumps(self._repeats)}
        write_sealed(KEPT_FILE, kept)

    @cached_property
    def _repeats(self) -> Mapping[str, str]:
        """The files that seem to be copies, of the whole cohort; phantoms are none."""
        if self.kept_repeats is not None or self.has_phantoms:
            return self.kept_repeats or {}
        return find_repeats(case for cases in self.cohort.shards.values() for case in cases)


def plan_job(config: Config) -> RunPlan:
    """Return the plan that the run of this job started with; list the files where none was kept that can be read."""
    try:
        kept = read_sealed(KEPT_FILE)
        if kept["of"] == _cohort_identity(config):
            shards = {name: tuple(map(_case_of, json.loads(cases))) for name, cases in kept["shards"].items()}
            return RunPlan(config, Cohort(shards), None, json.loads(kept["repeats"]))
    except (OSError, ValueError, KeyError, TypeError):  # such as on a machine that shares no folder with the start's
        pass
    return plan_run(config)


def _cohort_identity(config: Config) -> str:
    return fingerprint(config.cohort.model_dump(mode="json", by_alias=True), __version__)


def _case_of(values: Mapping[str, Any]) -> Case:
    later = values.get("later")
    return Case(**{**values, "later": None if later is None else tuple(later)})


def plan_run(config: Config) -> RunPlan:
    """List the cohort's files and place each in a shard.

    Raises:
        ConfigError: If a list is not there, the data folder holds nothing usable, or a subject would be in both splits.
    """
    require_files(file for file in input_files(config) if file.key in _READ_WHEN_PLANNED)
    known, known_studies = read_order(ORDER_FILE), read_order(STUDIES_FILE)
    looked_into = {key: Identity(*text.split(" ")) for key, text in known_studies.items()}
    selection = select_files(config.cohort, PHANTOM_DIR, known, looked_into)
    root = cohort_folder(config.cohort, PHANTOM_DIR)
    order = append_to_order(known, selection.files, root)
    keys = selection.keys(root)
    names = VolumeNames(keys.values())
    subjects = read_subjects(config.cohort.subjects_csv, names)
    studies = known_studies | {key: f"{one.patient} {one.study}" for key, one in selection.studies.folders.items()}
    patients = _patients(selection, order, root, studies)
    cohort = plan_cohort(selection, order, config.cohort, subjects=subjects, keys=keys, patients=patients)
    return RunPlan(config, cohort, Listing(known, order, selection, names, subjects, known_studies, studies))


def _patients(selection: Selection, order: Order, root: Path, studies: Order) -> dict[str, str]:
    """Return the patient of each DICOM study by its place, of those that are gone as far as their folder was known."""
    places = places_of(selection.studies.patients, root)
    found = {place: selection.studies.patients[path] for path, place in places.items()}
    gone = {} if not studies else {place: folder_key(place, "") for place in order.values() if place not in found}
    before = {place: studies[key].split(" ")[0] for place, key in gone.items() if key in studies}
    return found | {place: patient for place, patient in before.items() if patient}


def group_shards(counts: Sequence[int], voxels: int) -> list[list[int]]:
    """Return the positions of the shards that one job measures: as few as hold `BATCH_VOXELS`, in their order.

    Args:
        counts: Cases of each shard; shards without any are left out.
        voxels: Voxels of a case.
    """
    groups: list[list[int]] = []
    room = 0
    for position, count in enumerate(counts):
        if count and room <= 0:
            groups.append([])
            room = BATCH_VOXELS
        if count:
            groups[-1].append(position)
            room -= voxels * count
    return groups


def manifests(stage: str, shards: Iterable[str]) -> list[str]:
    """Return the manifests of a stage for some shards; `stage` may have a prefix with wildcards."""
    return [f"results/{stage}/{shard}.json" for shard in shards]
