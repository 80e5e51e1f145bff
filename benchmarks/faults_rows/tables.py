"""Tables of reports and labels: odd ones, which mean the same and must be read so, and hostile ones, which are broken.

Each report holds a word of its own, so that no case can get a part of another's unseen.
"""

import csv
import gzip
import io
import random
from collections.abc import Callable
from functools import partial

from medsyn2.errors import MedSyn2Error
from medsyn2.reports.table import REPORT_COLUMNS, read_labels, read_reports
from medsyn2.vocabulary import ABNORMALITY_LABELS

from .row import Bench, Trial, Tried

NAMES = ("lung_1", "scan-22", "train_3_a_1", "P 4")
REPORTS = {
    name: (
        f'Findings own{n}: a nodule; "{n} mm", round.\nNo effusion, none.',
        f"Impression own{n}: İki akciğer, ≥ 5 mm.",
    )
    for n, name in enumerate(NAMES)
}
"""Findings and impression by volume."""

ODD, FUZZED = 200, 200

Rows = list[list[str]]
_Break = Callable[[bytes, random.Random], bytes]


# ---- odd tables


def write_oddly(bench: Bench) -> list[Trial]:
    """Write the reports and labels in the ways of spreadsheets and exports, several at once."""
    return [
        *(Trial("reports", str(number), partial(_read_oddly, bench)) for number in range(ODD)),
        *(Trial("labels", str(number), partial(_read_labels, bench)) for number in range(ODD // 4)),
    ]


def _read_oddly(bench: Bench, draw: random.Random) -> Tried:
    path = bench.folder("tables") / "odd.csv"
    way = draw.choice(["plain", "spreadsheet", "escaped"])
    path.write_bytes(_pack(_write(_odd_rows(draw), draw, way), draw, way))
    try:
        found = read_reports([path], NAMES)
    except MedSyn2Error as error:
        return Tried("REFUSED", kept=False, note=f"{error.code}: {error.message}")
    read = {name: (report.findings, report.impression) for name, report in found.values.items()}
    wanted = {name: tuple(" ".join(text.split()) for text in texts) for name, texts in REPORTS.items()}
    if read != wanted or found.faults:
        return Tried("MISREAD", kept=False, note=f"{read} {found.faults}"[:300])
    return Tried("read as meant", kept=True)


def _odd_rows(draw: random.Random) -> Rows:
    """Return the table with names in other forms, columns in another order, and rows and columns of no use."""
    forms = (
        "{}",
        "{}.nii.gz",
        "{}.NII",
        " {} ",
        "'{}.nii.gz'",
        "/data/imagesTr/{}.nii.gz",
        "C:\\cts\\{}.nii",
        "\u200b{}",
    )
    columns = ["VolumeName", *REPORT_COLUMNS, *(draw.sample(["", "Age", "ClinicalInformation_EN"], draw.randrange(3)))]
    draw.shuffle(columns)
    rows = [columns]
    for name, (findings, impression) in draw.sample(list(REPORTS.items()), len(REPORTS)):
        cells = {"VolumeName": draw.choice(forms).format(name), "Findings_EN": findings, "Impressions_EN": impression}
        row = [cells.get(column, draw.choice(["", "7", "x y"])) for column in columns]
        rows += [row] * draw.choice([1, 1, 1, 2])
        rows += [[""] * len(columns)] * draw.choice([0, 0, 1])
    stranger = {"VolumeName": "elsewhere_9", "Findings_EN": "of nobody"}
    return [*rows, [stranger.get(column, "") for column in columns]]


def _write(rows: Rows, draw: random.Random, way: str) -> str:
    """Write rows with a separator, quotes and line ends of some program."""
    text = io.StringIO()
    separator = draw.choice(",;\t")
    escaped = {"escapechar": "\\", "doublequote": False} if way == "escaped" else {}
    quoting = csv.QUOTE_ALL if way == "escaped" else draw.choice([csv.QUOTE_ALL, csv.QUOTE_MINIMAL])
    ends = draw.choice(["\n", "\r\n", "\r"])
    csv.writer(text, delimiter=separator, quoting=quoting, lineterminator="\n", **escaped).writerows(rows)
    hint = f"sep={separator}\n" if way == "spreadsheet" else ""
    return (hint + text.getvalue()).replace("\n", ends)


def _pack(text: str, draw: random.Random, way: str) -> bytes:
    encodings = ("utf-16", "utf-8-sig") if way == "spreadsheet" else ("utf-8", "utf-8-sig", "utf-16", "utf-16-le")
    content = text.encode(draw.choice(encodings))
    return gzip.compress(content) if draw.random() < 0.2 else content


def _read_labels(bench: Bench, draw: random.Random) -> Tried:
    """Write each label in a word for yes or no; one volume has a word for neither, and loses its labels alone."""
    yes, no = draw.choice(
        [("1", "0"), ("1.0", "0.0"), ("True", "False"), ("yes", "no"), (" Y ", "n"), ("TRUE", "FALSE")]
    )
    truth = {name: {label: draw.randrange(2) for label in ABNORMALITY_LABELS} for name in NAMES}
    rows = [[name, *(yes if value else no for value in truth[name].values())] for name in NAMES]
    unclear = draw.randrange(len(NAMES))
    rows[unclear][1 + draw.randrange(len(ABNORMALITY_LABELS))] = draw.choice(["", "-1", "-1.0", "u", "nan", "2", "?"])
    path = bench.folder("tables") / "labels.csv"
    path.write_text(_write([["VolumeName", *ABNORMALITY_LABELS], *rows], draw, "plain"), encoding="utf-8", newline="")
    found = read_labels([path], NAMES)
    wanted = {name: labels for name, labels in truth.items() if name != NAMES[unclear]}
    kept = found.values == wanted and set(found.faults) == {NAMES[unclear]}
    return Tried("read as meant" if kept else "MISREAD", kept, "" if kept else f"{found.faults} {rows[unclear]}"[:300])


# ---- hostile tables


def break_tables(bench: Bench) -> list[Trial]:
    """Break the table of reports in known ways, and at random."""
    known = [Trial(name, "known", partial(_read_broken, bench, change)) for name, change in BREAKS.items()]
    return [
        *known,
        *(Trial("random damage", str(number), partial(_read_broken, bench, _fuzz)) for number in range(FUZZED)),
    ]


def _read_broken(bench: Bench, change: _Break, draw: random.Random) -> Tried:
    path = bench.folder("tables") / "broken.csv"
    path.write_bytes(change(_plain(), draw))
    try:
        found = read_reports([path], NAMES)
    except MedSyn2Error as error:
        return Tried("refused by name", kept=True, note=f"{error.code}: {error.message}"[:200])
    except Exception as error:  # noqa: BLE001 - which is the finding
        return Tried("RAW", kept=False, note=repr(error)[:300])
    for name, report in found.values.items():
        said = f"{report.findings} {report.impression}"
        others = [n for n, other in enumerate(NAMES) if other != name and f"own{n}" in said]
        if others:
            return Tried("GIVEN TO ANOTHER", kept=False, note=f"{name}: {said}"[:300])
    lost = [name for name in NAMES if name not in found.values]
    return Tried("a case without a report" if lost else "read, each with its own", kept=True, note=" ".join(lost))


def _plain() -> bytes:
    text = io.StringIO()
    rows = [[f"{name}.nii.gz", *texts] for name, texts in REPORTS.items()]
    csv.writer(text, lineterminator="\n").writerows([["VolumeName", *REPORT_COLUMNS], *rows])
    return text.getvalue().encode()


def _fuzz(content: bytes, draw: random.Random) -> bytes:
    """Insert, remove or change a few bytes, of which those with a meaning in a table are likelier.

    A piece that is cut out ends with its line at the latest: where the end of a row goes with it, nothing is left by
    which two rows could be told.
    """
    damaged = bytearray(content)
    for _ in range(draw.randint(1, 4)):
        at = draw.randrange(len(damaged))
        special = draw.choice(b'"\n,;\t\\\0\r')
        match draw.choice(["insert", "remove", "change", "flip", "cut"]):
            case "insert":
                damaged.insert(at, special)
            case "remove":
                del damaged[at]
            case "change":
                damaged[at] = special
            case "flip":
                damaged[at] ^= 1 << draw.randrange(8)
            case "cut":
                end = damaged.find(b"\n", at)
                del damaged[at : min(at + draw.randrange(80), end if end >= 0 else len(damaged))]
    return bytes(damaged)


def _replace(old: bytes, new: bytes, content: bytes, draw: random.Random) -> bytes:
    assert old in content
    return content.replace(old, new, 1)


def _whole(new: Callable[[bytes], bytes], content: bytes, draw: random.Random) -> bytes:
    return new(content)


def _one_quote(content: bytes, draw: random.Random) -> bytes:
    """Remove one of the quotes."""
    places = [at for at, byte in enumerate(content) if byte == ord('"')]
    at = draw.choice(places)
    return content[:at] + content[at + 1 :]


BREAKS: dict[str, _Break] = {
    "nothing": partial(_whole, lambda content: b""),
    "a header alone": partial(_whole, lambda content: content.partition(b"\n")[0] + b"\n"),
    "no header": partial(_whole, lambda content: content.partition(b"\n")[2]),
    "a workbook": partial(_whole, lambda content: b"PK\x03\x04\x14\0\x06\0\x08\0" + bytes(range(256))),
    "a page": partial(_whole, lambda content: b"<!DOCTYPE html><html><body>404, not found</body></html>"),
    "a Git LFS pointer": partial(_whole, lambda content: b"version https://git-lfs.github.com/spec/v1\nsize 7\n"),
    "an old encoding": partial(_whole, lambda content: content.decode().replace("≥", ">").encode("iso-8859-9")),
    "UTF-32": partial(_whole, lambda content: content.decode().encode("utf-32")),
    "half of a gzip stream": partial(_whole, lambda content: gzip.compress(content)[:-20]),
    "a cell of a million letters": partial(_replace, b"own1", b"own1" + b"x" * 1_000_000),
    "a million separators": partial(_replace, b"own1", b"own1" + b"," * 1_000_000),
    "zeros at the end": partial(_whole, lambda content: content + bytes(4096)),
    "a column missing": partial(_replace, b"Impressions_EN", b"Impression"),
    "a column twice": partial(_replace, b"Impressions_EN", b"Findings_EN,Impressions_EN"),
    "a row of another report": partial(_replace, b"P 4.nii.gz", b"lung_1.nii.gz"),
    "a quote missing": _one_quote,
    "a quote too many": partial(_replace, b"own1", b'own1"'),
    "a separator too many": partial(_replace, b"train_3_a_1.nii.gz", b"train_3_a_1.nii.gz,,"),
    "a line break in a name": partial(_replace, b"scan-22", b"scan\n-22"),
    "a formula": partial(_replace, b"scan-22.nii.gz", b"=HYPERLINK(1)"),
    "placeholders": partial(_replace, b"Findings own1", b"#N/A"),
}
