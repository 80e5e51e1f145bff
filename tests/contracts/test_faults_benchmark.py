"""The table of reliability: a few trials of the rows that need no finished run; `make test-slow` has others."""

import random

import pytest

from benchmarks.faults_rows import ROWS
from benchmarks.faults_rows.row import Bench, Trial

CHEAP = {"R10": 12, "R16": 2, "R18": 12}
"""Trials of rows that read tables and small folders."""


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    return Bench(tmp_path_factory.mktemp("faults"), None, (), print)


def check(name: str, trials: list[Trial]) -> None:
    for trial in trials:
        tried = trial.try_out(random.Random(f"{name} {trial.name}"))
        assert tried.kept, f"{name} {trial.name}: {tried}"


@pytest.mark.parametrize("name", CHEAP)
def test_promises_on_tables_and_folders_are_kept(bench: Bench, name: str) -> None:
    check(name, random.Random(0).sample(list(ROWS[name].list_trials(bench)), CHEAP[name]))


@pytest.mark.parametrize("name", ["R14", "R15", "R20"])
def test_promises_on_volumes_are_kept(bench: Bench, name: str) -> None:
    trials = [trial for trial in ROWS[name].list_trials(bench) if trial.item.startswith("phantom 2")]
    check(name, random.Random(0).sample(trials, 1))


def test_every_promise_has_trials_of_names_of_their_own(bench: Bench) -> None:
    for row in ("R9", "R10", "R13", "R14", "R15", "R16", "R17", "R18", "R19", "R20"):
        names = [trial.name for trial in ROWS[row].list_trials(bench)]
        assert len(names) == len(set(names)) > 0
