"""Recompute what the paper's printed tables imply, draw them again, and set a run's values beside them.

    medsyn2 audit --out audit/ --results results/

audit/findings.csv has a row for everything that was recomputed: what agrees, what is notable, and what cannot be
what it is called (two exchanged columns, one distance in two units, ...), each with the arithmetic. audit/paper/ has
the paper's tables from its printed numbers alone, and audit/paper.html shows them with the findings, drawn as a run's
page draws its own. audit/tables.csv has every printed number with its unit, and in columns of their own a run's value
of the same quantity, or the nearest that it has, with a note of what differs. Grids and cohorts always do.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from medsyn2.evaluation.paper.audit import Finding, findings
from medsyn2.evaluation.paper.beside import FILES, beside
from medsyn2.evaluation.paper.printed import CAPTIONS, PRINTED
from medsyn2.files import write_text_atomically
from medsyn2.page.render import render, shown


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the tables go")
    parser.add_argument("--results", type=Path, metavar="DIR", help="a run's results, for the columns beside")


def run(arguments: argparse.Namespace) -> None:
    """Write the findings and the tables, and print what cannot be."""
    found = findings()
    frame = pd.DataFrame([asdict(finding) for finding in found])
    write_text_atomically(arguments.out / "findings.csv", frame.to_csv(index=False))
    tables = beside(_frames(arguments.results))
    write_text_atomically(arguments.out / "tables.csv", tables.to_csv(index=False, float_format="%.6g"))
    _draw(arguments.out, found)
    for finding in found:
        if finding.verdict == "cannot be":
            sys.stdout.write(f"Table {finding.table}, {finding.subject}: {finding.message}\n")
    counts = Counter(finding.verdict for finding in found)
    sys.stdout.write(
        ", ".join(f"{counts[name]} {name}" for name in ("agrees", "notable", "cannot be")) + "\n"
    )


def _frames(results: Path | None) -> dict[str, pd.DataFrame] | None:
    if results is None:
        return None
    return {name: pd.read_csv(results / name) for name in FILES if (results / name).is_file()}


def _draw(out: Path, found: Sequence[Finding]) -> None:
    """Write the paper's tables, and the page that shows them."""
    drawn = []
    for number, table in PRINTED.items():
        name = f"paper/table_{number}.csv"
        frame = table.rename_axis("as printed").reset_index()
        write_text_atomically(out / name, frame.to_csv(index=False))
        about = [asdict(finding) for finding in found if finding.table == number]
        drawn.append(
            {
                "number": number,
                "printed": shown(frame, file=name, about=CAPTIONS[number]),
                "findings": shown(pd.DataFrame(about), file="findings.csv"),
            }
        )
    write_text_atomically(out / "paper.html", render({"tables": drawn}, "paper.html"))
