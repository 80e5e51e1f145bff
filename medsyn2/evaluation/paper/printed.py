"""The paper's tables as printed, so that their implications can be recomputed. None of these numbers is ours.

A table is text: a line a row, the row's name, then its numbers in the order of the columns; a dash where the
paper prints none. Names are the paper's.

Source: MedSyn2, Tables 1 to 8.
"""

from collections.abc import Mapping
from math import nan
from types import MappingProxyType

import pandas as pd

_WINDOWS = ("lung", "vessel", "soft_tissue", "bone")
_PLANES = ("axial", "sagittal", "coronal", "mean")
_OVERLAP = ("dice", "jaccard", "hd95", "asd")

_TABLES: dict[str, tuple[tuple[str, ...], str]] = {
    "1": (
        tuple(f"{window} {plane}" for window in _WINDOWS for plane in _PLANES),
        """
        GenerateCT 7.03 14.07 21.71 14.27 4.78 11.77 14.57 10.37 6.49 13.89 17.25 12.54 4.57 9.20 12.35 8.71
        MedSyn 9.37 14.27 14.84 12.83 13.59 16.33 17.24 15.72 13.96 18.59 20.00 17.52 5.86 8.23 8.22 7.44
        Text2CT 11.51 8.55 17.69 12.58 8.91 9.76 9.37 9.35 9.12 13.18 13.58 11.96 8.67 7.04 6.37 7.36
        MedSyn2 10.96 6.40 11.40 9.59 7.97 5.17 6.24 6.46 8.97 7.45 8.99 8.47 7.13 3.43 3.19 4.58
        """,
    ),
    "2": (
        ("CT-CLIP T2I", "CT-CLIP I2I", "Pillar-0 T2I", "Pillar-0 I2I"),
        """
        Real 16.46 - 26.36 -
        GenerateCT 14.70 59.03 22.10 32.11
        MedSyn 12.70 81.61 22.75 44.59
        Text2CT 20.17 72.37 25.80 49.38
        MedSyn2 14.74 83.00 27.61 46.79
        """,
    ),
    "3": (
        ("accuracy", "precision", "auroc", "f1"),
        """
        Real 67.81 32.00 67.34 58.95
        GenerateCT 28.24 19.77 50.57 26.33
        MedSyn 79.65 35.65 51.32 40.12
        Text2CT 45.06 23.76 50.96 37.43
        MedSyn2 63.55 24.90 52.24 48.40
        """,
    ),
    "4": (
        ("match", "partial", "not"),
        """
        R1_Real 49 10 16
        R1_Synthetic 40 18 17
        R2_Real 45 25 5
        R2_Synthetic 36 30 9
        """,
    ),
    "5": (
        ("dice", "jaccard", "asd", "hd95"),
        """
        Real_50 58.78 43.49 21.65 65.33
        Synthesized_416 48.82 32.30 56.32 10.61
        Combined_466 68.13 54.27 43.32 4.69
        Inf-Net 62.41 45.35 32.67 20.63
        MEDPSeg 65.20 48.13 28.45 5.51
        """,
    ),
    "6": (
        _OVERLAP,
        """
        Airway 84.89 74.22 2.26 0.76
        Vessel 62.31 45.35 2.77 0.69
        Heart 97.50 95.12 1.53 0.58
        GGO 88.44 79.29 1.73 0.76
        Consolidation 64.64 51.87 10.85 0.75
        Pleural_Effusion 80.77 71.33 2.08 0.98
        Pericardial_Effusion 82.45 71.64 1.99 0.78
        Nodule 63.49 49.32 3.57 0.78
        """,
    ),
    "7": (
        tuple(f"{pair} {name}" for pair in ("gen_gt", "rec_gt", "gen_rec") for name in _OVERLAP),
        """
        Lobe 93.44 89.16 10.21 3.19 - - - - - - - -
        Airway 69.07 53.73 41.22 4.97 84.89 74.22 2.26 0.76 68.50 52.93 41.96 4.63
        Vessel 54.82 37.76 44.55 9.11 62.31 45.35 2.77 0.69 53.80 36.80 3.16 2.39
        Heart 86.40 77.28 16.12 4.88 97.50 95.12 1.53 0.58 86.81 77.48 17.55 5.28
        GGO 74.15 58.92 13.15 4.10 88.44 79.29 1.73 0.76 64.60 47.71 17.72 3.23
        Consolidation 40.08 37.23 86.23 66.83 64.64 51.87 10.85 0.75 45.44 29.40 32.29 8.55
        Pleural_Effusion 82.79 80.32 40.06 21.34 80.77 71.33 2.08 0.98 78.73 64.92 14.17 5.11
        Pericardial_Effusion 39.01 24.23 27.92 13.58 82.45 71.64 1.99 0.78 70.99 55.03 24.41 4.67
        Nodule 41.77 40.54 94.04 60.14 63.49 49.32 3.57 0.78 42.03 40.81 95.17 60.88
        """,
    ),
    "8": (
        tuple(f"{reader} {kind} {answer}" for reader in ("R1", "R2") for kind in ("Real", "Synthetic")
              for answer in ("match", "partial", "not")),
        """
        Consolidation 10 2 3 3 5 7 4 9 2 0 9 6
        GGO 10 1 4 6 5 4 9 5 1 3 11 1
        Nodule 8 0 7 8 3 4 8 6 1 10 4 1
        Pericardial_Effusion 12 1 2 11 2 2 10 4 1 11 3 1
        Pleural_Effusion 9 6 0 12 3 0 14 1 0 12 3 0
        """,
    ),
}  # fmt: skip


def _frame(columns: tuple[str, ...], text: str) -> pd.DataFrame:
    rows = [line.split() for line in text.strip().splitlines()]
    values = [[nan if cell == "-" else float(cell) for cell in row[1:]] for row in rows]
    return pd.DataFrame(values, index=[row[0] for row in rows], columns=list(columns))


PRINTED: Mapping[str, pd.DataFrame] = MappingProxyType(
    {number: _frame(*table) for number, table in _TABLES.items()}
)
"""The paper's tables by number."""

VOXEL_MM = 0.7
"""Of the paper's volumes."""
TOKENIZER = "the tokenizer alone"
"""Maker of masks that no segmenter found."""

CAPTIONS: Mapping[str, str] = MappingProxyType(
    {
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
)
"""Subject of each table, and its units as printed."""

_UNITS = {"1": "", "2": "100 x cosine", "3": "%", "4": "cases", "8": "cases"}
_DISTANCE_UNITS = {"5": "pixel", "6": "voxel", "7": "mm"}
_SEGMENTERS = {
    "Lobe": "lungmask",
    "Airway": "TotalSegmentator",
    "Vessel": "TotalSegmentator [29]",
    "Heart": "TotalSegmentator",
    "GGO": "MedPSeg",
    "Consolidation": "MedPSeg",
    "Pleural_Effusion": "TotalSegmentator [32]",
    "Pericardial_Effusion": "TotalSegmentator [38]",
    "Nodule": "TotalSegmentator",
}
"""Numbers are the paper's references, to tasks of TotalSegmentator that have authors of their own."""


def unit_of(table: str, column: str) -> str:
    """Return the unit that the paper prints for a column; empty if the values have none."""
    if table in _UNITS:
        return _UNITS[table]
    return _DISTANCE_UNITS[table] if column.endswith(("hd95", "asd")) else "%"


def made_by(table: str, row: str, column: str) -> str:
    """Return the extractor, model or segmenter that a printed number was computed by, as far as the paper says."""
    if table == "2":
        return column.split()[0]
    if table == "5":
        return row if row in ("Inf-Net", "MEDPSeg") else "a U-Net"
    if table == "6" or column.startswith("rec_gt"):
        return TOKENIZER
    fixed = {"1": "not stated; RadImageNet's ResNet50, as far as can be told", "3": "CT-CLIP"}
    return fixed.get(table, _SEGMENTERS[row] if table == "7" else "radiologists")
