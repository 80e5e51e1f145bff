"""Say of volumes whether they are marked as synthetic, by which sign, and how sure that is.

    medsyn2 is-synthetic made.nii.gz series/ archive.zip downloads/*

A sidecar that has the sha256 of the file is certain. A mark in a header (NIfTI's description or comment, MetaImage's
Comment, NRRD's description, DICOM's SyntheticData) is what the file says of itself. No sign proves nothing: programs
drop headers when they save a volume again.

Exit status: 0 if each path has a sign, 3 if one has none, and as of other commands for paths that cannot be read.
"""

import argparse
from dataclasses import asdict
from pathlib import Path

from medsyn2.commands.answers import add_json, answer
from medsyn2.pipeline.marks import find_mark

UNMARKED = 3
"""Exit status if a path has no sign."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", type=Path, nargs="+", metavar="PATH", help="files, archives or folders of DICOM")
    add_json(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each path."""
    marks = [find_mark(path) for path in arguments.paths]
    rows = [{"path": path, **asdict(mark)} for path, mark in zip(arguments.paths, marks, strict=True)]
    text = "".join("{path}: {verdict}: {sign}\n".format(**row) for row in rows)
    answer(arguments, "is-synthetic", {"volumes": rows}, text)
    return UNMARKED if any(mark.verdict == "unmarked" for mark in marks) else 0
