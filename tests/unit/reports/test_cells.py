"""Broken quotes are refused with their line, whatever they do to the rows after them."""

import zipfile
from pathlib import Path

import pytest

from medsyn2.errors import TableError
from medsyn2.reports.cells import read_cells

COLUMNS = ("VolumeName", "Findings_EN", "Impressions_EN")
HEAD = "VolumeName,Findings_EN,Impressions_EN\n"


def write(folder: Path, text: str) -> Path:
    """Write a table."""
    (folder / "table.csv").write_text(text, encoding="utf-8")
    return folder / "table.csv"


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ('a.nii.gz,"size 5 mm,y\nb.nii.gz,large left effusion,y\nc.nii.gz,"normal",y\nd.nii.gz,x,y\n', 2),
        ('a.nii.gz,x,y\nb.nii.gz,"size 5 mm,y\nc.nii.gz,x,y\n', 3),
        ('a.nii.gz,"two\nlines",y\nb.nii.gz,"5 mm,y\nc.nii.gz,x,y"\nd.nii.gz,x,y\n', 4),
        ('a.nii.gz,"5 mm"x,y\n', 2),
        ('train_1_a_1,"5 mm,y\ntrain_2_a_1,x",y\n', 2),
    ],
)
def test_a_quote_without_its_partner(tmp_path: Path, rows: str, line: int) -> None:
    with pytest.raises(TableError, match=rf"table-quotes.*line {line}\b"):
        read_cells(write(tmp_path, HEAD + rows), COLUMNS)


def test_a_row_within_a_cell_is_known_by_the_names_of_the_cohort(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + 'a,"5 mm,y\nscan-2,x",y\n')
    assert len(read_cells(path, COLUMNS).rows) == 1
    with pytest.raises(TableError, match=r"line 2: a cell of 'a' holds the row of 'scan-2'"):
        read_cells(path, COLUMNS, is_name=lambda text: text == "scan-2")
    path = write(tmp_path, HEAD + 'a,"Findings:\n1, a nodule\nChest, normal",y\n')
    assert len(read_cells(path, COLUMNS, is_name=lambda text: text in ("1", "Chest")).rows) == 1


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        (HEAD + 'a,"He said ""5 mm"".\nNo effusion, none.",y\n', [["a", 'He said "5 mm".\nNo effusion, none.', "y"]]),
        (HEAD + 'a,size 5" x,y\n', [["a", 'size 5" x', "y"]]),
        (HEAD + r'a,"size \"5 mm\", y",z' + "\n", [["a", 'size "5 mm", y', "z"]]),
        (HEAD + "a,x\n\n,,\nb,x,y,,\n", [["a", "x", ""], ["b", "x", "y"]]),
        ("sep=;\n" + HEAD.replace(",", ";") + "a;x, y;z\n", [["a", "x, y", "z"]]),
        ("\ufeffVolume\u200bName\tFindings_EN\tImpressions_EN\na\tx\ty\n", [["a", "x", "y"]]),
    ],
)
def test_sound_tables(tmp_path: Path, text: str, rows: list[list[str]]) -> None:
    assert read_cells(write(tmp_path, text), COLUMNS).rows == rows


def test_rows_know_their_lines(tmp_path: Path) -> None:
    cells = read_cells(write(tmp_path, "sep=,\n" + HEAD + 'a,"x\ny",z\nb,x,y\n'), COLUMNS)
    assert cells.lines == [3, 5]
    with pytest.raises(TableError, match="line 4 has 4 cells"):
        read_cells(write(tmp_path, "sep=,\n" + HEAD + "a,x,y\nb,x,y,z\n"), COLUMNS)


def test_a_workbook_is_named_whatever_its_name(tmp_path: Path) -> None:
    path = tmp_path / "reports.csv"
    with zipfile.ZipFile(path, "w") as workbook:
        workbook.writestr("xl/workbook.xml", "<workbook/>")
    with pytest.raises(TableError, match=r"table-malformed.*workbook"):
        read_cells(path, COLUMNS)
