"""The files that a user names in the configuration: which they are, and whether each is there.

A cohort's tables, its lists of exclusions, a template and public slices are inputs of the run. One that is missing
would be met by Snakemake as an unknown input, or by a job after days; it is named with its key and its remedy instead,
by ``medsyn2 doctor``, ``medsyn2 plan`` and the dry run of the jobs that need it.

Another file may lie in its place: git without its large-file extension leaves a pointer, a download without a login a
web page.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from medsyn2.config import Config
from medsyn2.errors import ConfigError, reason

TableKind = Literal["reports", "labels", "metadata"]
PUBLIC_SLICES = "evaluate_augmentation.public"

_PAGE = "is a web page: log in, accept the terms of the data set and get the file again"
_STAND_INS = {
    b"version https://git-lfs": "is a pointer of git-lfs, not the file: run git lfs pull in its folder",
    b"<!doctype": _PAGE,
    b"<html": _PAGE,
}
"""Beginnings of files that are not those asked for, in lower case."""
_TABLE = "correct the path, or leave the key out if there is no such table; CT-RATE has a table for each split"
_REMEDIES = {
    "cohort.exclude_txt": "correct the path, or leave the key out to exclude none; CT-RATE has a list for each split",
    "cohort.subjects_csv": "correct the path, or leave the key out if each file is a patient of its own",
    "template.path": "correct the path, or leave the key out to build the template from the training cases",
    PUBLIC_SLICES: "get both files from figshare 13521488, version 2, and write the split as JSON; or set it to null "
    "to take the cohort's own slices",
}


@dataclass(frozen=True)
class InputFile:
    """A file that the configuration names."""

    key: str  # The key that names it
    path: Path

    @property
    def remedy(self) -> str:
        """What to do if it is not there."""
        return _REMEDIES.get(self.key, _TABLE)

    @property
    def problem(self) -> str:
        """Why it cannot be used, as far as a look tells; empty if nothing speaks against it."""
        try:
            if not self.path.is_file():
                return "is no file" if self.path.exists() else "does not exist"
            with self.path.open("rb") as file:
                start = file.read(max(map(len, _STAND_INS))).lower()
        except OSError as error:
            return f"cannot be read: {reason(error)}"
        return next((found for mark, found in _STAND_INS.items() if start.startswith(mark)), "")


def table_key(kind: TableKind) -> str:
    """Return the key of a kind of the cohort's tables."""
    return f"cohort.{kind}_csv"


def input_files(config: Config) -> Iterator[InputFile]:
    """Yield each file that `config` names as an input of the run; weights are ``medsyn2.weights.needs``'s."""
    cohort = config.cohort
    if cohort.data_dir is not None:  # phantoms bring tables of their own
        for kind in get_args(TableKind):
            yield from (InputFile(table_key(kind), path) for path in getattr(cohort, f"{kind}_csv"))
        yield from (InputFile("cohort.exclude_txt", path) for path in cohort.exclude_txt)
        if cohort.subjects_csv is not None:
            yield InputFile("cohort.subjects_csv", cohort.subjects_csv)
    if config.template.path is not None:
        yield InputFile("template.path", config.template.path)
    if config.evaluate_augmentation.public is not None:
        yield from (InputFile(PUBLIC_SLICES, path) for path in config.evaluate_augmentation.public.files)


def require_files(files: Iterable[InputFile]) -> list[str]:
    """Return the paths of `files`.

    Raises:
        ConfigError: If one of them cannot be used; the message names each, with its key.
    """
    files = list(files)
    bad = [(file, problem) for file in files if (problem := file.problem)]
    if bad:
        remedies = "; ".join(dict.fromkeys(f"{file.key}: {file.remedy}" for file, _ in bad))
        raise ConfigError(
            "; ".join(f"{file.key} names {file.path}, which {problem}" for file, problem in bad) + ".",
            code="input-file-missing",
            remedy=f"{remedies}.",
        )
    return [str(file.path) for file in files]
