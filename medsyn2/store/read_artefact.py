"""Volumes and masks that an earlier stage made, read back.

They were whole when their record was written. One that cannot be read now was moved, cut or overwritten since; that is
no fault of the case, which would be lost to the run for good if it went to quarantine. So it stops the run, like any
damage to an artefact.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

from medsyn2.ct.nifti.files import read_ct, read_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import CaseError, IntegrityError

Made = TypeVar("Made", CTVolume, LabelMap)


def read_made_ct(path: Path) -> CTVolume:
    """Read a CT that an earlier stage wrote.

    Raises:
        IntegrityError: If it is not there or is damaged.
    """
    return _read(path, lambda: read_ct(path))


def read_made_labels(path: Path, names: Mapping[int, str] | None = None) -> LabelMap:
    """Read a label map that an earlier stage wrote.

    Raises:
        IntegrityError: If it is not there, is damaged, or has labels without a name in `names`.
    """
    return _read(path, lambda: read_labels(path, names))


def _read(path: Path, read: Callable[[], Made]) -> Made:
    try:
        return read()
    except CaseError as error:
        manifest = path.parent.parent.with_suffix(".json")
        raise IntegrityError(
            f"{path}, which an earlier stage wrote, cannot be read: {error.message}",
            code="artefact-damaged",
            remedy=f"put the file back, or delete the manifest {manifest} and run the workflow again; that case "
            "alone is made again.",
        ) from error
