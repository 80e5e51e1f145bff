"""The table of reliability: every promise R1 to R7 tried on a finished small run, on one core.

    python benchmarks/faults.py --work /tmp/faults              # all rows, hours
    python benchmarks/faults.py --work /tmp/faults --quick      # a tenth of the trials
    python benchmarks/faults.py --work /tmp/faults --rows R3 R4

Makes the run first (``tests/workflow/tiny.yaml``), unless FOLDER/run holds it. Rows are printed and written to
FOLDER/faults.csv as they end, and those that are there are not done again. The small disk of R5 is a tmpfs, which
root alone can mount.
"""

import argparse
import csv
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

# Before PyTorch is imported: the same number of threads gives the same bytes.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

from faults_rows.damage import cut_files, flip_bits
from faults_rows.run import Finished, Outcome, Trials, snakemake
from faults_rows.stops import fill_disk, kill_stages, kill_trainings, limit_memory, run_twice

PROMISES: dict[str, tuple[str, Callable[[Trials], Outcome]]] = {
    "R1": ("A stage that is killed ends with the same bytes when it runs again", kill_stages),
    "R2": ("A training that is killed again and again ends with the same bytes", kill_trainings),
    "R3": ("A flipped bit in a file that a stage reads is seen, and the remedy heals it", flip_bits),
    "R4": ("A cut of a file that a stage reads is seen, and the remedy heals it", cut_files),
    "R5": ("A full disk is named with the file, and costs nothing but time", fill_disk),
    "R6": ("The end of the memory is named, and costs nothing but time", limit_memory),
    "R7": ("A job that is started twice at once ends twice, with the same bytes", run_twice),
}
COLUMNS = ("row", "promise", "trials", "result", "kept")
QUICK = 0.1
"""Share of the trials in the quick table."""


def main() -> None:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--rows", nargs="*", default=list(PROMISES), choices=list(PROMISES), metavar="R")
    parser.add_argument("--share", type=float, default=1.0, help="share of the trials")
    parser.add_argument("--quick", dest="share", action="store_const", const=QUICK, help="a tenth of the trials")
    parser.add_argument("--stages", nargs="*", metavar="STAGE", help="these stages' jobs alone")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    original, table = options.work / "run", options.work / "faults.csv"
    original.mkdir(parents=True, exist_ok=True)
    if not (original / "results/report.html").exists():
        print("making the run", flush=True)
        snakemake(original, "--", "all")
    finished = Finished(original, options.work / "copy")
    if options.stages:
        finished.jobs = [job for job in finished.jobs if job.stage in options.stages]
    done = [row["row"] for row in csv.DictReader(table.open(encoding="utf-8"))] if table.exists() else []
    for name in (name for name in options.rows if name not in done):
        promise, try_out = PROMISES[name]
        seed = f"{name} {options.seed}"
        outcome = try_out(Trials(finished, options.work, seed, options.share, partial(print, flush=True)))
        add_row(table, (name, promise, outcome.count, outcome.result, "yes" if outcome.kept else "NO"))


def add_row(table: Path, row: Sequence[object]) -> None:
    """Print a row of the table and write it."""
    print("|", " | ".join(map(str, row)), "|", flush=True)
    head = [] if table.exists() else [COLUMNS]
    with table.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([*head, row])


if __name__ == "__main__":
    main()
