"""Recompute the implications of the paper's printed tables: which numbers agree, and which cannot be right.

    python benchmarks/paper_tables.py > docs/explanation/paper-tables.md

Each finding names the arithmetic that makes it, so that a reader can do it by hand:

* a mean of planes is the mean of the planes;
* of distances d with 95th percentile q and largest value M, mean(d) <= 0.95 q + 0.05 M; a pair of columns that
  breaks this with the largest distance that the image allows is not the pair it is called;
* per-case means of Dice D and Jaccard J satisfy J >= D / (2 - D), equal only if all cases are alike; far above it,
  the cases are of two kinds, and with one kind at Dice 1 the share of it follows from D and J;
* a classifier that finds nothing has an accuracy of 1 - prevalence;
* of two readers' counts, the marginals bound the agreement that is possible.

A finding is ``agrees``, ``notable`` or ``cannot be``.
"""

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd
from scipy import optimize

sys.path.insert(0, str(Path(__file__).parents[1]))

from medsyn2.evaluation.paper.printed import PRINTED
from medsyn2.evaluation.readers.reader_plan import Cases, match_difference

Verdict = Literal["agrees", "notable", "cannot be"]

CAPTIONS = {
    "1": "Frechet distance of volumes from reports alone, by HU window and plane; lower is closer.",
    "2": "CLIP scores of volumes from reports alone, 100 x cosine, by two models.",
    "3": "Zero-shot labels (CT-CLIP) of volumes from reports alone, in %.",
    "4": "Readers' answers whether an image matches its report and mask, in cases.",
    "5": "Segmentation networks trained on real and synthetic slices of ground-glass opacity; Dice and Jaccard in "
    "%, ASD and HD95 in pixels.",
    "6": "Masks through the tokenizer and back; Dice and Jaccard in %, HD95 and ASD in voxels.",
    "7": "Masks of generated volumes (gen), requested (gt) and after the tokenizer (rec); Dice and Jaccard in %, "
    "HD95 and ASD in mm.",
    "8": "Table 4 by finding, in cases.",
}
"""Subject of each table, and its units as printed."""

_ROUNDING = 0.011
_IMAGE_DIAGONAL_PX = 724.1
_CT_CLIP_PREVALENCE = 0.200
_CASES = 75
_MARGIN = 0.15


@dataclass(frozen=True)
class Finding:
    """One thing that a printed table implies.

    Attributes:
        table: The paper's table.
        subject: Row or rows it is about.
        verdict: See the module docstring.
        message: What was recomputed, with the numbers.
    """

    table: str
    subject: str
    verdict: Verdict
    message: str


def findings() -> list[Finding]:
    """Return everything that the printed tables imply, table by table."""
    checks = (_fid_means, _fid_best, _clip, _zero_shot, _swapped, _jaccards, _units, _reader_sums, _readers)
    return [finding for check in checks for finding in check()]


def two_groups(dice: float, jaccard: float) -> tuple[float, float] | None:
    """Return the share of cases with Dice 1 and the Dice of all others that give two printed means.

    Args:
        dice: Mean Dice, 0 to 1.
        jaccard: Mean Jaccard, 0 to 1.

    Returns:
        The share and the Dice; None if J is not between D / (2 - D) and D, so that no such pair exists.
    """

    def share(rest: float) -> float:
        return (dice - rest) / (1 - rest)

    def excess(rest: float) -> float:
        return share(rest) + (1 - share(rest)) * rest / (2 - rest) - jaccard

    if not dice / (2 - dice) < jaccard < dice:
        return None
    rest = float(optimize.brentq(excess, 0.0, dice))
    return share(rest), rest


def _fid_means() -> Iterator[Finding]:
    table = PRINTED["1"]
    for model, row in table.iterrows():
        for window in ("lung", "vessel", "soft_tissue", "bone"):
            planes = row[[f"{window} {plane}" for plane in ("axial", "sagittal", "coronal")]]
            fits = abs(planes.mean() - row[f"{window} mean"]) < _ROUNDING
            text = f"mean of the planes {planes.mean():.2f}, printed {row[f'{window} mean']:.2f}"
            yield Finding("1", f"{model}, {window}", "agrees" if fits else "cannot be", text)


def _fid_best() -> Iterator[Finding]:
    table = PRINTED["1"]
    for column in table.columns:
        best = table[column].idxmin()
        ours, others = table.loc["MedSyn2", column], table.drop(index="MedSyn2")[column].min()
        if column.endswith("mean"):
            text = f"{(1 - ours / others):.1%} below the best other ({others:.2f})"
            yield Finding("1", f"MedSyn2, {column}", "agrees" if best == "MedSyn2" else "cannot be", text)
        elif best != "MedSyn2":
            text = f"{best} is best with {others:.2f}, MedSyn2 has {ours:.2f}"
            yield Finding("1", f"MedSyn2, {column}", "notable", text)


def _clip() -> Iterator[Finding]:
    table = PRINTED["2"]
    for column in ("CT-CLIP T2I", "Pillar-0 T2I"):
        real = table.loc["Real", column]
        for model in table.index[table[column] > real]:
            text = f"{table.loc[model, column]:.2f} is above the real volumes' {real:.2f}: not a scale of realism"
            yield Finding("2", f"{model}, {column}", "notable", text)


def _zero_shot() -> Iterator[Finding]:
    table = PRINTED["3"]
    nothing = 100 * (1 - _CT_CLIP_PREVALENCE)
    for model, row in table.drop(index="Real").iterrows():
        above = f"AUROC {row['auroc']:.2f} is {row['auroc'] - 50:.2f} above chance"
        text = f"{above}, that of real volumes {table.loc['Real', 'auroc'] - 50:.2f}"
        yield Finding("3", str(model), "notable", text)
    best = table["accuracy"].idxmax()
    highest = table.loc[best, "accuracy"]
    text = f"accuracy {highest:.2f}; finding nothing gives {nothing:.1f} at CT-CLIP's mean prevalence"
    yield Finding("3", str(best), "notable", text)


def _swapped() -> Iterator[Finding]:
    for row, values in PRINTED["5"].iterrows():
        printed, exchanged = (
            mean <= 0.95 * percentile + 0.05 * _IMAGE_DIAGONAL_PX
            for mean, percentile in ((values["asd"], values["hd95"]), (values["hd95"], values["asd"]))
        )
        bound = 0.95 * values["hd95"] + 0.05 * _IMAGE_DIAGONAL_PX
        told = f"ASD {values['asd']:.2f} against at most 0.95 x {values['hd95']:.2f} + 0.05 x 724 = {bound:.1f}"
        if not printed:
            yield Finding("5", str(row), "cannot be", f"{told}: ASD and HD95 are exchanged")
        elif values["asd"] > values["hd95"]:
            yield Finding("5", str(row), "notable", f"{told}; ASD above HD95 is possible, but very unusual")
        else:
            rest = "" if exchanged else "; exchanged it could not be, so the rows do not have one order"
            yield Finding("5", str(row), "agrees", told + rest)


def _jaccards() -> Iterator[Finding]:
    sets = [("5", ""), ("6", ""), *(("7", f"{pair} ") for pair in ("gen_gt", "rec_gt", "gen_rec"))]
    for number, prefix in sets:
        columns = PRINTED[number][[f"{prefix}dice", f"{prefix}jaccard"]].dropna() / 100
        for row, (dice, jaccard) in columns.iterrows():
            least = dice / (2 - dice)
            subject = f"{row}, {prefix}".rstrip(", ")
            told = f"J {100 * jaccard:.2f}, D / (2 - D) {100 * least:.2f}"
            groups = two_groups(dice, jaccard)
            if abs(jaccard - least) < _ROUNDING / 100:
                yield Finding(number, subject, "notable", f"{told}: J was computed from the mean Dice")
            elif groups is None:
                yield Finding(number, subject, "cannot be", f"{told}: J is outside D / (2 - D) to D")
            elif jaccard - least > 0.05:
                text = f"{told}: as of {groups[0]:.0%} of cases at Dice 1 and the rest at {groups[1]:.2f}"
                yield Finding(number, subject, "notable", f"{text}; are empty masks counted as 1?")
            else:
                yield Finding(number, subject, "agrees", told)


def _units() -> Iterator[Finding]:
    voxels = PRINTED["6"]
    mm = PRINTED["7"].loc[voxels.index, [f"rec_gt {name}" for name in voxels.columns]]
    if np.array_equal(voxels.to_numpy(), mm.to_numpy()):
        text = "Table 6 in voxels and Table 7 in mm print the same distances; at 0.7 mm one unit is wrong"
        yield Finding("7", "reconstructed against real", "cannot be", text)


def _reader_sums() -> Iterator[Finding]:
    total = PRINTED["8"].sum()
    for row, values in PRINTED["4"].iterrows():
        reader, kind = str(row).split("_")
        sums = [total[f"{reader} {kind} {answer}"] for answer in values.index]
        fits = sums == values.tolist()
        text = f"Table 8 sums to {[int(one) for one in sums]}, Table 4 prints {[int(one) for one in values]}"
        yield Finding("4", str(row), "agrees" if fits else "cannot be", text)


def _readers() -> Iterator[Finding]:
    table = PRINTED["4"]
    for reader in ("R1", "R2"):
        matches = [np.arange(_CASES) < int(table.loc[f"{reader}_{kind}", "match"]) for kind in ("Synthetic", "Real")]
        cases = Cases(np.repeat([True, False], _CASES), np.arange(2 * _CASES))
        found = match_difference(np.concatenate(matches)[None].astype(float), cases)
        text = (
            f"matches synthetic - real {found.value:+.1%} (95 % interval {found.low:+.1%} to {found.high:+.1%}): not "
            f"inferior by {_MARGIN:.0%} is {'shown' if found.low > -_MARGIN else 'not shown'}"
        )
        yield Finding("4", reader, "notable", text)
    for kind in ("Real", "Synthetic"):
        bound = _largest_kappa(PRINTED["8"], kind)
        text = f"no agreement of the readers is printed; the counts allow a kappa of at most {bound:.2f}"
        yield Finding("8", kind, "notable", text)


def _largest_kappa(counts: pd.DataFrame, kind: str) -> float:
    readers = [
        counts[[f"{reader} {kind} {answer}" for answer in ("match", "partial", "not")]].to_numpy()
        for reader in ("R1", "R2")
    ]
    possible = np.minimum(*readers).sum() / _CASES
    chance = np.prod([one.sum(axis=0) / _CASES for one in readers], axis=0).sum()
    return float((possible - chance) / (1 - chance))


ABOUT = """# The paper's printed tables

2026-11. Every value here is the paper's (MedSyn2, Tables 1 to 8), as printed; none is of this software or of a run
of it. Written by `python benchmarks/paper_tables.py`, which recomputes the implications of the printed numbers from
them alone and explains the arithmetic. A finding is *agrees*, *notable* or *cannot be*. The page of a run sets the
paper's values against the run's own.
"""


def render_page() -> str:
    """Return the page in Markdown: the printed tables, each with its findings."""
    found = findings()
    counts = Counter(finding.verdict for finding in found)
    parts = [ABOUT, ", ".join(f"{counts[name]} {name}" for name in ("cannot be", "notable", "agrees")) + ".\n"]
    for number, table in PRINTED.items():
        parts.append(f"## Table {number}\n\n{CAPTIONS[number]}\n")
        parts.append(_markdown(["", *table.columns], [[row, *values] for row, values in table.iterrows()]))
        about = [finding for finding in found if finding.table == number]
        parts.append(_markdown(["about", "verdict", ""], [[f.subject, f.verdict, f.message] for f in about]))
    return "\n".join(parts)


def _markdown(columns: list[str], rows: list[list[object]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "".join(f"| {' | '.join(_cell(cell) for cell in line)} |\n" for line in lines)


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if np.isnan(value) else f"{value:g}"
    return str(value)


if __name__ == "__main__":
    sys.stdout.write(render_page())
