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
from collections.abc import Callable
from dataclasses import asdict, fields
from pathlib import Path

# Before PyTorch is imported: the same number of threads gives the same bytes.
os.environ |= {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

from faults_rows.damage import cut, damage_row, flip, readers_of
from faults_rows.run import Finished, Job, Row, snakemake
from faults_rows.stops import disk_row, kill_row, memory_row, one_of_each, twice_row

TRAININGS = ("train_tokenizer", "train_text_encoder", "train_dit")


class Table:
    """The rows so far, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done = {row["name"] for row in csv.DictReader(path.open(encoding="utf-8"))} if path.exists() else set()

    def add(self, row: Row) -> None:
        """Print a row and write it."""
        print(
            f"{row.name} | {row.promise} | {row.count} | {row.result} | {'kept' if row.kept else 'BROKEN'}", flush=True
        )
        is_new = not self.path.exists()
        with self.path.open("a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, [one.name for one in fields(Row)])
            if is_new:
                writer.writeheader()
            writer.writerow(asdict(row))


def say(text: str) -> None:
    """Print how far it is."""
    print(text, flush=True)


def rows_of(finished: Finished, work: Path, quick: bool, seed: int) -> dict[str, Callable[[], Row]]:
    """Return the rows by their names."""
    jobs = one_of_each(finished.jobs)
    trainings = [job for job in jobs if job.stage in TRAININGS]
    readers: dict[str, list[Job]] = {}

    def damage(name: str, promise: str, how: Callable[..., bytes], count: int) -> Row:
        if not readers:
            readers.update(readers_of(finished, say))
        return damage_row(name, promise, how, count // (10 if quick else 1), finished, readers, seed, say)

    flips = "No flipped bit in a file that a stage reads passes in silence or as a traceback"
    cuts = "No cut does"
    return {
        "R1": lambda: kill_row(
            "R1",
            "A stage killed by SIGKILL ends with the same bytes when it runs again",
            finished,
            jobs,
            1 if quick else 2,
            seed,
            say,
        ),
        "R2": lambda: kill_row(
            "R2",
            "A training killed again and again ends with the same bytes",
            finished,
            trainings,
            2 if quick else 5,
            seed,
            say,
        ),
        "R3": lambda: damage("R3", flips, flip, 500),
        "R4": lambda: damage("R4", cuts, cut, 100),
        "R5": lambda: disk_row(
            "R5",
            "A full disk is named with the file, and costs nothing but time",
            finished,
            jobs,
            work / "disk",
            seed,
            say,
        ),
        "R6": lambda: memory_row(
            "R6", "Memory that ends is named, and costs nothing but time", finished, jobs, seed, say
        ),
        "R7": lambda: twice_row(
            "R7", "The same job twice at once ends twice, with the same bytes", finished, jobs, say
        ),
    }


def main() -> None:
    """Fill the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--rows", nargs="*", default=[], metavar="R")
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    original = options.work / "run"
    original.mkdir(parents=True, exist_ok=True)
    if not (original / "results/report.html").exists():
        say("making the run")
        snakemake(original, "--", "all")
    finished = Finished(original, options.work / "copy")
    table = Table(options.work / "faults.csv")
    rows = rows_of(finished, options.work, options.quick, options.seed)
    for name in options.rows or rows:
        if name not in table.done:
            table.add(rows[name]())


if __name__ == "__main__":
    main()
