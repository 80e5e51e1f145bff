r"""Score embeddings of a vision-language model: CLIP scores (Table 2) and zero-shot labels (Table 3).

    medsyn2 scores --real real.json --text text.json --synthetic ours.json other.json \
        --labels labels.csv --prompts prompts.json --scale 14.3 --out scores/

The model runs in its own environment and writes banks (see docs/how-to/score-with-a-clip-model.md). Give the real
volumes as acquired (--real) and on the model's grid (--real-on-grid): their difference is the effect of resampling and
cropping. Synthetic volumes are compared with those on the grid if given, else with those as acquired.

scores/clip.csv has a row per source and target, with the score of shuffled pairs; scores/zero_shot.csv has a row per
source, with thresholds tuned on other patients' real volumes and all three averages of F1, and rows for predicting no
and all labels. Rows of generators have the names of their files.

Labels are 1 or 0, or yes and no, or true and false. In the tables of chest X-rays (CheXpert, MIMIC-CXR) -1 means
uncertain: it is neither, and the volume is left out of that label's scores alone. A blank cell means that the report
does not mention the finding, and counts as 0; a row of blanks alone has lost its labels, and is refused.
"""

import argparse
import logging
from math import nan
from pathlib import Path

import numpy as np
import pandas as pd

from medsyn2.errors import ConfigError, TableError
from medsyn2.evaluation.features.banks import Bank, read_bank
from medsyn2.evaluation.text.score_tables import ON_GRID, REAL, TRIVIAL, clip_table, zero_shot_table
from medsyn2.files import write_table
from medsyn2.reports.table import NAME, read_label, read_table
from medsyn2.vocabulary import ABNORMALITY_LABELS, volume_key

log = logging.getLogger(__name__)

_FIRST_ROW = 2
"""Number of the first row below the header in a spreadsheet."""

_UNCERTAIN, _BLANK = ("-1", "-1.0"), ("", "nan")
"""Cells of CheXpert's tables; pandas writes the second where it was told to write something."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--real", type=Path, metavar="JSON", help="bank of the real volumes as acquired")
    parser.add_argument("--real-on-grid", type=Path, metavar="JSON", help="the same, brought to the model's grid")
    parser.add_argument("--text", type=Path, required=True, metavar="JSON", help="bank of their reports")
    parser.add_argument(
        "--synthetic", type=Path, nargs="+", default=[], metavar="JSON", help="banks of generators, a row each"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the tables go")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of permutations (default: 0)")

    labels = parser.add_argument_group("zero-shot labels; all three or none")
    labels.add_argument(
        "--labels",
        type=Path,
        metavar="CSV",
        help=f"{NAME} and CT-RATE's 18 columns of 1 and 0 (or yes and no); -1: uncertain, left out; blank: 0",
    )
    labels.add_argument("--prompts", type=Path, metavar="JSON", help="bank with <label>/present and <label>/absent")
    labels.add_argument("--scale", type=float, metavar="X", help="what the model multiplies cosines by")


def run(arguments: argparse.Namespace) -> None:
    """Write the tables."""
    asked = [getattr(arguments, name) is not None for name in ("labels", "prompts", "scale")]
    if any(asked) and not all(asked):
        raise ConfigError(
            "--labels, --prompts and --scale belong together, only some are given.",
            code="option-without-effect",
            remedy="give all three for zero-shot labels, or none.",
        )
    sources, text = _sources(arguments), read_bank(arguments.text)
    truth = _truth(arguments.labels) if all(asked) else None
    place = arguments.out / "clip.csv"
    write_table(place, clip_table(sources, text, seed=arguments.seed))
    log.info("%s written", place)
    if truth is not None:
        place, prompts = arguments.out / "zero_shot.csv", read_bank(arguments.prompts)
        table = zero_shot_table(sources, prompts, truth, truth_of=str(arguments.labels), scale=arguments.scale)
        write_table(place, table)
        log.info("%s written", place)


def _sources(arguments: argparse.Namespace) -> dict[str, Bank]:
    """Read the banks of volumes by the names of their rows in the tables."""
    real = {name: path for name in (REAL, ON_GRID) if (path := getattr(arguments, name)) is not None}
    if not real:
        raise ConfigError(
            "expected a bank of the real volumes, got neither --real nor --real-on-grid.",
            code="real-missing",
            remedy="give the real volumes of the same cases, on the model's grid, as acquired, or both.",
        )
    named = dict(real)
    for path in arguments.synthetic:
        if path.stem in (REAL, ON_GRID, *TRIVIAL, *named):
            taken = named.get(path.stem, "the tables' own rows")
            raise ConfigError(
                f"the row of {path} would be called {path.stem!r}, a name that belongs to {taken}.",
                code="source-name-taken",
                remedy="rename its two files (.json and .npz); rows are called as files are.",
            )
        named[path.stem] = path
    return {name: read_bank(path) for name, path in named.items()}


def _truth(path: Path) -> pd.DataFrame:
    """Read the labels as 1, 0 and NaN, indexed by volume."""
    table = read_table(path, (NAME, *ABNORMALITY_LABELS))
    labels = table[list(ABNORMALITY_LABELS)].set_axis(table[NAME].map(volume_key), axis="index")
    if (again := labels.index.duplicated()).any():
        second = int(np.argmax(again))
        first = labels.index.get_indexer_for(labels.index[[second]])[0]
        raise _wrong_row(path, second, f"is of {labels.index[second]}, as is row {first + _FIRST_ROW}")
    values = np.array([_read_row(path, row, labels.iloc[row]) for row in range(len(labels))])
    told = {
        "are uncertain (-1) and left out of their label's scores": np.isnan(values),
        "are blank and count as 0": labels.map(_is_blank).to_numpy(),
    }
    for words, cells in told.items():
        if cells.any():
            log.warning("%d labels of %d volumes in %s %s", cells.sum(), cells.any(axis=1).sum(), path, words)
    return pd.DataFrame(values, labels.index, labels.columns)


def _read_row(path: Path, row: int, cells: "pd.Series[str]") -> list[float]:
    """Return the labels of a volume: 1, 0, and NaN for an uncertain one."""
    if all(map(_is_blank, cells)):
        raise _wrong_row(path, row, f"says nothing of {cells.name}: all its labels are blank")
    try:
        return [_read_cell(cell, str(label)) for label, cell in cells.items()]
    except ValueError as error:
        raise _wrong_row(path, row, f"says of {cells.name} that {error}, or -1 for an uncertain one") from error


def _read_cell(cell: str, label: str) -> float:
    if _is_blank(cell):
        return 0.0
    return nan if cell.strip() in _UNCERTAIN else float(read_label(cell, label))


def _is_blank(cell: str) -> bool:
    return cell.strip().lower() in _BLANK


def _wrong_row(path: Path, row: int, what: str) -> TableError:
    return TableError(
        f"row {row + _FIRST_ROW} of {path} {what}.",
        code="labels-wrong",
        remedy="correct or delete the row; the header is row 1.",
    )
