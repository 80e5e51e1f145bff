"""The table of reliability: each promise put to its trials, on one core.

    python benchmarks/faults.py --work /tmp/faults              # all rows, hours
    python benchmarks/faults.py --work /tmp/faults --quick      # a tenth of the trials
    python benchmarks/faults.py --work /tmp/faults --rows R3 R4
    python benchmarks/faults.py --work /tmp/faults --list       # the rows and their promises

Trials that need a finished run make it first (``tests/workflow/tiny.yaml``), unless FOLDER/run holds it. Those of CTs
take phantoms, or real CTs (``--real FOLDER``, with ``ct/*.nii.gz`` and ``native/*.nii.gz`` in it).

Trials are written to FOLDER/trials.csv as they end, and FOLDER/faults.csv sums them up. A trial whose promise was kept
is not made again, so that a row can be broken off and gone on with, or take more trials (``--share``) after those that
it has. The small disk of R5 is a tmpfs, and the missing network of R11 a namespace: both need root.
"""

import argparse
import csv
import os
import random
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

# Before PyTorch is imported: the same number of threads gives the same bytes.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

from faults_rows import ROWS
from faults_rows.row import Bench, Row, Trial

TRIAL_COLUMNS = ("row", "trial", "outcome", "kept", "count", "note")
COLUMNS = ("row", "promise", "trials", "result", "kept")
QUICK = 0.1
"""Share of the trials in the quick table."""

Record = dict[str, str]


def main() -> None:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--rows", nargs="*", default=list(ROWS), choices=list(ROWS), metavar="R")
    parser.add_argument("--share", type=float, default=1.0, help="share of the trials")
    parser.add_argument("--quick", dest="share", action="store_const", const=QUICK, help="a tenth of the trials")
    parser.add_argument("--stages", nargs="*", default=[], metavar="STAGE", help="these stages' jobs alone")
    parser.add_argument("--real", type=Path, metavar="FOLDER", help="real CTs, in place of phantoms")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--list", action="store_true", help="print the rows and their promises")
    options = parser.parse_args()
    if options.list:
        print("\n".join(f"{name:4} {row.promise}" for name, row in ROWS.items()))
        return
    options.work.mkdir(parents=True, exist_ok=True)
    bench = Bench(options.work.resolve(), options.real, options.stages, partial(print, flush=True))
    for name in options.rows:
        chosen = choose(name, ROWS[name].list_trials(bench), options.share)
        fill_row(name, chosen, options)
        write_table(options.work)


def choose(name: str, trials: Sequence[Trial], share: float) -> list[Trial]:
    """Return a share of a row's trials in their order; a larger share holds those of a smaller one."""
    places = list(range(len(trials)))
    random.Random(name).shuffle(places)
    return [trials[place] for place in sorted(places[: max(round(share * len(trials)), 1)])]


def fill_row(name: str, trials: Sequence[Trial], options: argparse.Namespace) -> None:
    """Make the trials that have not been made, or in which the promise was not kept."""
    table = options.work / "trials.csv"
    done = {record["trial"] for record in read_trials(table) if record["row"] == name and record["kept"] == "yes"}
    for position, trial in enumerate(trials, 1):
        if trial.name in done:
            continue
        tried = trial.try_out(random.Random(f"{name} {trial.name} {options.seed}"))
        kept = "yes" if tried.kept else "NO"
        print(f"{name} {position}/{len(trials)}: {trial.name}: {tried.outcome} {tried.note}", flush=True)
        add_row(table, TRIAL_COLUMNS, (name, trial.name, tried.outcome, kept, tried.count, tried.note))


def read_trials(table: Path) -> list[Record]:
    """Return the last record of each trial."""
    if not table.exists():
        return []
    with table.open(encoding="utf-8", newline="") as file:
        return list({(record["row"], record["trial"]): record for record in csv.DictReader(file)}.values())


def write_table(work: Path) -> None:
    """Sum the trials of each row up."""
    table = work / "faults.csv"
    table.unlink(missing_ok=True)
    records = read_trials(work / "trials.csv")
    for name, row in ROWS.items():
        own = [record for record in records if record["row"] == name]
        if own:
            add_row(table, COLUMNS, sum_up(name, row, own))


def sum_up(name: str, row: Row, records: Sequence[Record]) -> tuple[object, ...]:
    """Return a row of the table."""
    counts = Counter[str]()
    for record in records:
        counts[record["outcome"]] += int(record["count"])
    groups = len({record["trial"].partition(" | ")[0] for record in records})
    result = ", ".join(f"{count} {outcome}" for outcome, count in counts.most_common())
    kept = all(record["kept"] == "yes" for record in records)
    return name, row.promise, counts.total(), f"{result}; {groups} {row.groups}", "yes" if kept else "NO"


def add_row(table: Path, columns: Sequence[str], row: Sequence[object]) -> None:
    """Write a row at the end of a table."""
    head = [] if table.exists() else [columns]
    with table.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([*head, row])


if __name__ == "__main__":
    main()
