import csv
import gzip
import io

import pandas as pd
import pytest

from medsyn2.errors import ReportError, TableError
from medsyn2.reports.table import Acquisition, Report, read_labels, read_metadata, read_reports, read_table
from medsyn2.vocabulary import ABNORMALITY_LABELS, volume_key

COLUMNS = ("VolumeName", "ClinicalInformation_EN", "Technique_EN", "Findings_EN", "Impressions_EN")


def csv_text(rows, columns=COLUMNS):
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(rows)
    return text.getvalue()


def reports_of(tmp_path, rows, wanted, columns=COLUMNS):
    path = tmp_path / "reports.csv"
    path.write_text(csv_text(rows, columns), encoding="utf-8", newline="")
    return read_reports([path], wanted)


def test_ct_rates_columns_and_its_ways_to_say_nothing(tmp_path):
    rows = [
        ("train_1_a_1.nii.gz", "cough", "CT", 'Nodule, "6 mm".\nNo effusion.', "Follow up."),
        ("train_2_a_1", "", "", "Not given.", "Normal."),
        ("train_3_a_1.nii.gz", "", "", "", "NaN"),
        ("train_4_a_1.nii.gz", "", "", "x", "y"),
    ]
    found = reports_of(tmp_path, rows, {"train_1_a_1", "train_2_a_1", "train_3_a_1", "train_9_a_1"})
    assert found.get("train_1_a_1") == Report('Nodule, "6 mm". No effusion.', "Follow up.")
    assert found.get("train_2_a_1") == Report(None, "Normal.")
    assert found.get("train_3_a_1") == Report(None, None)
    assert found.get("train_9_a_1") is None
    assert "train_4_a_1" not in found.values
    assert found.total == 4


def test_repeated_rows_are_one_and_conflicting_rows_are_a_fault_of_that_case_alone(tmp_path, caplog):
    rows = [
        ("a.nii.gz", "", "", "x", "y"),
        ("a", "", "", "x", "y"),
        ("b.nii.gz", "", "", "x", "y"),
        ("b.nii.gz", "", "", "x", "z"),
        ("c.nii.gz", "", "", "x", "y"),
    ]
    found = reports_of(tmp_path, rows, {"a", "b", "c"})
    assert found.get("a") == found.get("c") == Report("x", "y")
    assert "1 rows repeat" in caplog.text
    with pytest.raises(ReportError, match="Impressions_EN") as caught:
        found.get("b")
    assert caught.value.code == "report-conflict"


def test_a_conflict_between_two_tables_is_found(tmp_path):
    for name, text in (("one.csv", "x"), ("two.csv", "y")):
        (tmp_path / name).write_text(csv_text([("a", "", "", text, "")]), encoding="utf-8")
    with pytest.raises(ReportError, match="report-conflict"):
        read_reports([tmp_path / "one.csv", tmp_path / "two.csv"], {"a"}).get("a")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_any_unicode_encoding_and_line_end_gives_the_same_text(tmp_path, encoding, newline):
    text = csv_text([("a.nii.gz", "", "", "İki akciğerde ﬁbrozis\r\n5 mm\0", "\U0001fac1 normal")])
    path = tmp_path / "reports.csv"
    path.write_bytes(text.replace("\r\n", newline).encode(encoding))
    assert read_reports([path], {"a"}).get("a") == Report("İki akciğerde fibrozis 5 mm", "\U0001fac1 normal")


ROWS = [
    ("train_1_a_1.nii.gz", "cough", "CT", 'Nodule; "6 mm",\tround.', "Follow up."),
    ("valid_2_b_1.nii.gz", "", "", "x", "y"),
]
BOTH = {"train_1_a_1": Report('Nodule; "6 mm", round.', "Follow up."), "valid_2_b_1": Report("x", "y")}


def separated(rows, by=",", encoding="utf-8", columns=COLUMNS):
    text = io.StringIO()
    csv.writer(text, delimiter=by).writerows([columns, *rows])
    return text.getvalue().encode(encoding)


WAYS = {
    "one table": [separated(ROWS)],
    "a table for each split": [separated([row]) for row in ROWS],
    "every row in both": [separated(ROWS), separated(ROWS)],
    "packed": [gzip.compress(separated([row])) for row in ROWS],
    "semicolons": [separated(ROWS, ";")],
    "semicolons after a mark": [separated(ROWS, ";", "utf-8-sig")],
    "tabs in UTF-16": [separated(ROWS, "\t", "utf-16")],
    "one of each": [separated(ROWS[:1]), gzip.compress(separated(ROWS[1:], ";"))],
    "names without a suffix": [separated([(row[0].removesuffix(".nii.gz"), *row[1:]) for row in ROWS])],
    "paths as names": [separated([(f"dataset/train/train_1/{row[0]}", *row[1:]) for row in ROWS])],
    "columns in another order": [separated([row[::-1] for row in ROWS], columns=COLUMNS[::-1])],
    "a numbered row": [separated([(n, *row) for n, row in enumerate(ROWS)], columns=("", *COLUMNS))],
}


@pytest.mark.parametrize("contents", WAYS.values(), ids=WAYS)
def test_ways_in_which_the_tables_come_give_the_same_reports(tmp_path, contents):
    paths = [tmp_path / f"{index}.csv" for index, _ in enumerate(contents)]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content)
    found = read_reports(paths, set(BOTH))
    assert (found.values, found.faults) == (BOTH, {})


def test_a_missing_column_stops_the_run_and_says_what_was_found(tmp_path):
    with pytest.raises(TableError, match="Impressions_EN") as caught:
        reports_of(tmp_path, [("a", "x")], {"a"}, ("VolumeName", "Findings_EN"))
    assert caught.value.code == "table-columns"
    assert "found ['VolumeName', 'Findings_EN']" in caught.value.message


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "table-malformed"),
        (b"VolumeName,Findings_EN,Impressions_EN\na,b,c,d\n", "table-malformed"),
        (b"VolumeName,Findings_EN,Impressions_EN\na,b,c\na,b,c,d\n", "table-malformed"),
        (b'VolumeName,Findings_EN,Impressions_EN\na,"b,c\n', "table-quotes"),
        (b"volume;findings;impressions\na;b;c\n", "table-columns"),
        (gzip.compress(b"VolumeName,Findings_EN,Impressions_EN\n", mtime=0)[:-9], "table-unreadable"),
        (b"PK\x03\x04 a workbook \xff", "table-malformed"),
        (b"VolumeName,Findings_EN,Impressions_EN\na,\xe7\xf6,c\n", "table-encoding"),
        (None, "table-unreadable"),
    ],
)
def test_what_is_no_table_stops_the_run(tmp_path, content, code):
    path = tmp_path / "reports.csv"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TableError) as caught:
        read_reports([path], {"a"})
    assert caught.value.code == code


def test_a_cell_that_swallowed_the_table_is_a_fault_of_its_case(tmp_path):
    found = reports_of(tmp_path, [("a", "", "", "x" * 70_000, ""), ("b", "", "", "x", "")], {"a", "b"})
    with pytest.raises(ReportError, match="report-too-long"):
        found.get("a")
    assert found.get("b") == Report("x", None)


def test_labels_are_0_or_1_in_ct_rates_order(tmp_path):
    path = tmp_path / "labels.csv"
    rows = [("a.nii.gz", *["1", "0.0"] * 9), ("b.nii.gz", *["2"] * 18), ("c.nii.gz", *[""] * 18)]
    path.write_text(csv_text(rows, ("VolumeName", *ABNORMALITY_LABELS)), encoding="utf-8")
    found = read_labels([path], {"a", "b", "c"})
    assert list(found.get("a")) == list(ABNORMALITY_LABELS)
    assert list(found.get("a").values()) == [1, 0] * 9
    for key in ("b", "c"):
        with pytest.raises(ReportError, match="labels-value"):
            found.get(key)


def test_metadata_cells_are_numbers_lists_or_empty(tmp_path):
    columns = [
        "VolumeName",
        "RescaleSlope",
        "RescaleIntercept",
        "XYSpacing",
        "ZSpacing",
        "ImagePositionPatient",
        "ImageOrientationPatient",
        "Rows",
        "Columns",
        "NumberofSlices",
    ]
    rows = [
        ("a.nii.gz", "1.0", "-8192", "[0.74, 0.75]", "1.5", "[-1, 2, 3.5]", "[1, 0, 0, 0, 1, -0.0]", "6", "5", "40"),
        ("b.nii.gz", "", "nan", "", "", "", "", "", "", ""),
        ("c.nii.gz", "1", "0", "[0.7]", "1", "", "", "", "", ""),
        ("d.nii.gz", "one", "0", "[0.7, 0.7]", "1", "", "", "", "", ""),
    ]
    path = tmp_path / "metadata.csv"
    path.write_text(csv_text(rows, columns), encoding="utf-8")
    found = read_metadata([path], {"a", "b", "c", "d"})
    orientation = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
    assert found.get("a") == Acquisition(1.0, -8192.0, (0.74, 0.75, 1.5), (-1.0, 2.0, 3.5), orientation, (5, 6, 40))
    assert found.get("b") == Acquisition()
    for key in ("c", "d"):
        with pytest.raises(ReportError, match="metadata-value"):
            found.get(key)


@pytest.mark.realdata
def test_real_metadata_and_reports_are_read(real_data):
    reports = real_data / "reports"
    path = reports / "ctrate_validation_metadata.csv"
    names = pd.read_csv(path).VolumeName
    found = read_metadata([path], {volume_key(name) for name in names})
    assert (len(found.values), found.faults, found.total) == (len(names), {}, len(names))
    first = found.get("valid_1_a_1")
    assert first.spacing_mm == (0.341796875, 0.341796875, 1.5)
    assert first.size == (1024, 1024, 251)
    table = read_table(reports / "ctclip_train.csv", ("AccessionNo", "report_text", *ABNORMALITY_LABELS))
    assert len(table) == 800
    assert table["report_text"].str.len().min() > 100
    with pytest.raises(TableError, match="table-columns"):
        read_labels([reports / "ctclip_train.csv"], {"train_1"})
