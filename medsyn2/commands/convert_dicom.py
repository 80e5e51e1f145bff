"""Convert a folder or an archive of DICOM to volumes: each study's best series, or all, and tables of what was refused.

Unlike a cohort, which takes a study a folder, this opens every file, so patients and studies may be mixed as they like.
The names of the volumes are pseudonyms of patient, study and series; ``volumes.csv`` says where each came from and why
others were refused, and ``subjects.csv`` is the table for ``cohort.subjects_csv``.
"""

import argparse
import logging
from collections import defaultdict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, get_args

import pandas as pd
from tqdm import tqdm

from medsyn2.commands.answers import answer
from medsyn2.dicom.archive import folder_of
from medsyn2.dicom.identity import Identity
from medsyn2.dicom.members import is_archive_name
from medsyn2.dicom.series import find_stacks
from medsyn2.dicom.slices import Slice, read_slices
from medsyn2.dicom.stack import Stack
from medsyn2.dicom.volume import find_files, read_stack
from medsyn2.errors import CaseError, ConfigError
from medsyn2.files import write_atomically, write_table
from medsyn2.formats.writing import WRITABLE, write_ct
from medsyn2.vocabulary import ARCHIVE_SUFFIXES, SeriesRule

log = logging.getLogger(__name__)

_RULES = (*get_args(SeriesRule)[:2], "all")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "source", type=Path, metavar="PATH", help="folder or archive of DICOM files, at any depth and in any order"
    )
    parser.add_argument(
        "--series",
        choices=_RULES,
        default="largest",
        help="of each study the series of most voxels, the one of the nearest slices, or all (default: %(default)s)",
    )
    parser.add_argument(
        "--suffix", choices=WRITABLE, default=".nii.gz", help="format of the volumes (default: %(default)s)"
    )


def run(arguments: argparse.Namespace) -> None:
    """Convert all studies of a folder or an archive.

    Raises:
        ConfigError: If the source is neither, or the place of the result holds files.
        CaseError: If the archive cannot be used.
    """
    is_archive = arguments.source.is_file() and is_archive_name(arguments.source.name)
    if not arguments.source.is_dir() and not is_archive:
        raise ConfigError(
            f"{arguments.source} is no folder and no archive.",
            code="dicom-no-folder",
            remedy=f"give the folder of the DICOM files, or an archive of them ({', '.join(ARCHIVE_SUFFIXES)}).",
        )
    if arguments.to.exists() and any(arguments.to.iterdir()):
        raise ConfigError(
            f"{arguments.to} holds files already; expected a new or an empty folder.",
            code="output-taken",
            remedy="give another folder.",
        )
    source: AbstractContextManager[Path] = folder_of(arguments.source) if is_archive else nullcontext(arguments.source)
    with source as folder:
        _convert_all(folder, arguments)


def _convert_all(folder: Path, arguments: argparse.Namespace) -> None:
    slices, others = read_slices(tqdm(sorted(find_files(folder)), desc="headers", disable=None))
    for kind, count in others.most_common():
        log.warning("left out: %d files, %s", count, kind)
    studies: dict[Identity, list[Slice]] = defaultdict(list)
    for one in slices:
        studies[one.identity].append(one)
    arguments.to.mkdir(parents=True, exist_ok=True)
    rows = [row for study in studies.values() for row in _convert(study, arguments)]
    made = [row for row in rows if row["VolumeName"]]
    write_table(arguments.to / "volumes.csv", pd.DataFrame(rows, columns=list(_row("", "", "", ""))))
    write_table(arguments.to / "subjects.csv", pd.DataFrame(made, columns=["VolumeName", "Subject"]))
    values = {"folder": arguments.to, "num_studies": len(studies), "num_volumes": len(made), "rows": rows}
    answer(arguments, "convert", values, f"{arguments.to}: {len(made)} volumes of {len(studies)} studies\n")


def _convert(study: list[Slice], arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    rule: SeriesRule = "largest" if arguments.series == "all" else arguments.series
    found = find_stacks(study, rule)
    for error in found.refused:
        yield _row("", "", error.code, error.message)
    done = False
    for stack in found.stacks:
        if done and arguments.series != "all":
            yield _row("", "", "not-chosen", f"{stack.name}: another series of the study was taken")
            continue
        try:
            name = _write(stack, arguments)
        except CaseError as error:
            yield _row("", "", error.code, error.message)
            continue
        done = True
        yield _row(name, _subject(stack), "", stack.name) | {
            "Slices": len(stack.slices),
            "Step_mm": round(stack.step_mm, 4),
        }


def _write(stack: Stack, arguments: argparse.Namespace) -> str:
    volume = read_stack(stack).read_ct()
    first = stack.slices[0].identity
    name = "_".join(part[:8] for part in (first.patient or "unknown", first.study or "unknown", stack.id))
    path = arguments.to / f"{name}{arguments.suffix}"
    write_atomically(path, lambda partial: write_ct(partial, volume))
    return path.name


def _subject(stack: Stack) -> str:
    identity = stack.slices[0].identity
    return identity.patient or identity.study or stack.id


def _row(name: str, subject: str, code: str, told: str) -> dict[str, Any]:
    return {"VolumeName": name, "Subject": subject, "Refusal": code, "Series": told, "Slices": None, "Step_mm": None}
