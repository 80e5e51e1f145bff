"""``medsyn2 generate --table``: the volumes of a table of requests, with progress and a table of failures."""

import argparse
import logging
import time
from dataclasses import asdict, replace
from pathlib import Path

import pandas as pd

from medsyn2.commands.answers import answer
from medsyn2.commands.request import load_model, progress_bar, sampling_of, write_check
from medsyn2.errors import CaseError, ConfigError
from medsyn2.files import write_table
from medsyn2.pipeline.many import Outcome, make_volumes
from medsyn2.pipeline.request_table import Failure, list_volumes, parse_shard, read_requests

log = logging.getLogger(__name__)


def add_table(parser: argparse.ArgumentParser) -> None:
    """Declare the options of a table."""
    many = parser.add_argument_group("many volumes")
    many.add_argument(
        "--table",
        type=Path,
        metavar="CSV",
        help="a row a volume: name, and each optional report, mask, words, seed; --output is a folder then",
    )
    many.add_argument("--seeds", type=int, metavar="N", help="volumes of each row, of different seeds (default: 1)")
    many.add_argument("--shard", metavar="I/N", help="make the I-th of N parts of the table, for N jobs")


def run_table(arguments: argparse.Namespace) -> None:
    """Make the volumes of a table that are not there yet, and list those that could not be made.

    Raises:
        CaseError: If a volume could not be made.
    """
    folder, num_seeds = arguments.output, 1 if arguments.seeds is None else arguments.seeds
    if num_seeds < 1 or folder.suffix.lower() in (".gz", ".nii"):
        raise ConfigError(
            f"expected a folder and 1 seed or more for a table, got {folder} and {num_seeds}.",
            code="table-options",
            remedy="give --output a folder, such as volumes/.",
        )
    shard = parse_shard(arguments.shard or "1/1")
    rows, failures = read_requests(arguments.table, first_seed=arguments.seed or 0)
    volumes = list_volumes(rows, arguments.table, num_seeds=num_seeds, shard=shard)
    failures = [one for one in failures if shard[0] == 1]  # each is listed once, by the first part
    pipeline = load_model(arguments)
    sampling = replace(pipeline.sampling, **sampling_of(arguments))
    listed = folder / f"failed{'' if shard == (1, 1) else f'_{shard[0]}_of_{shard[1]}'}.csv"
    meter = _Meter(len(volumes))
    try:
        with progress_bar() as progress:
            for outcome in make_volumes(pipeline, volumes, folder, sampling=sampling, progress=progress):
                meter.count(outcome)
                if arguments.check and outcome.made is not None:
                    write_check(outcome.path, outcome.made)
                if outcome.failure is not None:
                    failures.append(outcome.failure)
    finally:
        _list_failures(listed, failures)
    log.info("%s: %d made, %d kept, %d failed", folder, meter.made, meter.kept, len(failures))
    values = {"folder": folder, "num_made": meter.made, "num_kept": meter.kept, "num_failed": len(failures)}
    answer(arguments, "table", {**values, "failed": listed if failures else None}, "")
    if failures:
        raise CaseError(
            f"{len(failures)} of {len(volumes) + len(failures) - meter.failed} volumes could not be made; the first: "
            f"{failures[0].name}: {failures[0].message}",
            code="rows-failed",
            remedy=f"see {listed}; the others are made. Correct the rows and run again, which keeps what is there.",
        )


class _Meter:
    """Counts how volumes ended and says how long the rest may take."""

    def __init__(self, total: int) -> None:
        self.total, self.made, self.kept, self.failed = total, 0, 0, 0
        self.start_s = time.monotonic()

    def count(self, outcome: Outcome) -> None:
        """Count a volume and log it."""
        if outcome.failure is not None:
            self.failed += 1
            log.warning("%s failed: %s", outcome.volume.name, outcome.failure.message)
        elif outcome.made is None:
            self.kept += 1
        else:
            self.made += 1
            each_s = (time.monotonic() - self.start_s) / self.made
            left = self.total - self.made - self.kept - self.failed
            log.info(
                "%s written, %d of %d; %s each, about %s left",
                outcome.path,
                self.total - left,
                self.total,
                _duration(each_s),
                _duration(each_s * left),
            )


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def _list_failures(path: Path, failures: list[Failure]) -> None:
    """Write the failures, or remove the list of an earlier run if there are none."""
    if failures:
        columns = list(Failure.__dataclass_fields__)
        write_table(path, pd.DataFrame([asdict(one) for one in failures], columns=columns))
    else:
        path.unlink(missing_ok=True)
