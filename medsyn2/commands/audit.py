"""Recompute what the paper's printed tables imply, and set its values beside a run's own.

    medsyn2 audit --out audit/ --results results/

audit/findings.csv has a row for everything that was recomputed: what agrees, what is notable, and what cannot be
what it is called (two exchanged columns, one distance in two units, ...), each with the arithmetic. audit/tables.csv
has every number that the paper prints, as printed, in a column of its own; a run's value of the same quantity, if
there is one, stands in another column and is never mixed with it: grids, cohorts and extractors differ.
"""

import argparse
import sys
from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from medsyn2.files import write_text_atomically
from medsyn2.metrics.audit import findings
from medsyn2.metrics.printed import PRINTED
from medsyn2.vocabulary import WINDOWS_HU

_STRUCTURES = {
    "Lobe": "lungs",
    "Airway": "airways",
    "Vessel": "vessels",
    "Heart": "heart",
    "GGO": "ground_glass",
    "Consolidation": "consolidation",
    "Pleural_Effusion": "pleural_effusion",
    "Pericardial_Effusion": "pericardial_effusion",
    "Nodule": "nodules",
}
_VALUES = {"dice": "dice", "jaccard": "jaccard", "hd95": "hd95_max_mm", "asd": "assd_mm"}
_PERCENT = ("dice", "jaccard")
_CONDITION = "report"
"""The paper's Tables 1 to 3 are of volumes from reports alone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the two tables go")
    parser.add_argument("--results", type=Path, metavar="DIR", help="a run's results, for the column beside")


def run(arguments: argparse.Namespace) -> None:
    """Write the findings and the tables, and print what cannot be."""
    found = findings()
    frame = pd.DataFrame([asdict(finding) for finding in found])
    write_text_atomically(arguments.out / "findings.csv", frame.to_csv(index=False))
    write_text_atomically(arguments.out / "tables.csv", _tables(arguments.results).to_csv(index=False))
    for finding in found:
        if finding.verdict == "cannot be":
            sys.stdout.write(f"Table {finding.table}, {finding.subject}: {finding.message}\n")
    counts = Counter(finding.verdict for finding in found)
    sys.stdout.write(
        ", ".join(f"{counts[name]} {name}" for name in ("agrees", "notable", "cannot be")) + "\n"
    )


def _tables(results: Path | None) -> pd.DataFrame:
    ours = {} if results is None else {**_fid(results), **_masks(results)}
    rows = [
        {
            "table": number,
            "row": row,
            "column": column,
            "paper_as_printed": value,
            "this_run": ours.get((number, str(row), str(column))),
        }
        for number, table in PRINTED.items()
        for (row, column), value in table.stack().dropna().items()
    ]
    return pd.DataFrame(rows)


def _fid(results: Path) -> dict[tuple[str, str, str], float]:
    found = {}
    for window in WINDOWS_HU:
        path = results / f"fid_{window}.csv"
        if path.is_file():
            rows = pd.read_csv(path)
            for row in rows[rows["condition"] == _CONDITION].itertuples():
                found["1", "MedSyn2", f"{window} {row.plane}"] = float(row.fid)
    return found


def _masks(results: Path) -> dict[tuple[str, str, str], float]:
    found = {}
    sources = [
        ("6", "", "mask_reconstruction.csv", None),
        ("7", "gen_gt ", "mask_agreement.csv", "requested"),
    ]
    for number, prefix, file, comparison in sources:
        path = results / file
        if not path.is_file():
            continue
        rows = pd.read_csv(path)
        if comparison is not None:
            rows = rows[rows["comparison"] == comparison]
        by_structure = rows.set_index("structure")
        for name, structure in _STRUCTURES.items():
            if structure in by_structure.index:
                for printed, column in _VALUES.items():
                    scale = 100.0 if printed in _PERCENT else 1.0
                    found[number, name, f"{prefix}{printed}"] = scale * float(
                        by_structure.loc[structure, column]
                    )
    return found
