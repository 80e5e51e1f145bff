"""The names of a generated volume's files, and the files they may replace.

A name belongs to one volume: ``ct.nii.gz``, ``ct.json``, the masks ``ct_mask*.nii.gz`` and the region of an edit,
``ct_region.nii.gz``, go together. What is there already may be replaced if it is an earlier volume of that name,
unchanged since: the sidecar names the files that were written with it, and their sha256. Anything else is somebody's,
and so are the inputs of the new volume. This is asked before any computation, as is whether the place can be written
to.
"""

import json
import re
from collections.abc import Iterable
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

from medsyn2.cohort.folder import stem_of as name_of
from medsyn2.errors import ConfigError, EnvironmentFault, reason
from medsyn2.files import sha256_of
from medsyn2.formats.writing import WRITABLE
from medsyn2.pipeline.volume_output import ARCHIVE, hash_of, is_dicom_name


def stem_of(volume: Path) -> str:
    """Return the name of a volume without the suffix of its format."""
    return volume.stem if volume.suffix.lower() == ARCHIVE else name_of(volume)


def sidecar_path(volume: Path) -> Path:
    """Return where the sidecar of a volume is."""
    return volume.with_name(f"{stem_of(volume)}.json")


def mask_path(volume: Path, depth: int) -> Path:
    """Return where the mask of a volume is, or of the one that it was made from `depth` edits ago."""
    return volume.with_name(f"{stem_of(volume)}_mask{f'_before_{depth}' if depth else ''}.nii.gz")


def model_mask_path(volume: Path) -> Path:
    """Return where the mask on the model's grid is, of a volume that was brought to another grid."""
    return volume.with_name(f"{stem_of(volume)}_mask_model.nii.gz")


def region_path(volume: Path) -> Path:
    """Return where the region of an edited CT is."""
    return volume.with_name(f"{stem_of(volume)}_region.nii.gz")


def check_file_name(volume: Path) -> None:
    """Refuse a name that no volume can be saved under.

    Raises:
        ConfigError: If its end is none of a format that is written, or it has nothing before that.
        EnvironmentFault: If it is to be DICOM and highdicom is not installed.
    """
    if not stem_of(volume) or not (volume.name.lower().endswith(WRITABLE) or is_dicom_name(volume)):
        raise ConfigError(
            f"Expected a name that ends in {', '.join(WRITABLE)} or {ARCHIVE}, or the name of a folder, got "
            f"{volume.name!r}.",
            code="output-suffix",
            remedy="name the output like synthetic.nii.gz, or like synthetic/ for a DICOM series.",
        )
    if is_dicom_name(volume):
        from medsyn2.dicom.segmentation import require_highdicom  # imports pydicom

        require_highdicom()


def check_paths(volume: Path) -> tuple[Path, Path]:
    """Return where the picture and the record of a volume's check are."""
    stem = stem_of(volume)
    return volume.with_name(f"{stem}_check.png"), volume.with_name(f"{stem}_check.json")


def check_output(volume: Path, made_from: Iterable[Path], *, with_check: bool = False) -> None:
    """Refuse a place that a volume, its sidecar and its masks cannot be written to without harm.

    Makes the folder, since nothing else tells for certain that it can be made.

    Args:
        with_check: Whether the files of `check_paths` are written too; they may replace those of an earlier volume.

    Raises:
        ConfigError: If the name is of no format, or a file that is not an earlier output would be replaced.
        EnvironmentFault: If nothing can be written there.
    """
    check_file_name(volume)
    _check_writable(volume)
    inputs = {path.resolve() for path in made_from}
    earlier = _files_of_sidecar(volume)
    checks = [] if not with_check or earlier else check_paths(volume)
    for path in (volume, sidecar_path(volume), *_masks_of(volume), *checks):
        if path.resolve() in inputs:
            raise ConfigError(
                f"{volume} would be written over {path}, which it is to be made from.",
                code="output-is-input",
                remedy="give the output another name; its JSON and its mask take their names from it.",
            )
        if path.exists() and not (_is_own(path, earlier) or _is_empty_folder(path)):
            raise ConfigError(
                f"{path} is there already and is not what was written with an earlier {volume.name}.",
                code="output-taken",
                remedy="give the output another name, since its JSON and its mask take their names from it, or move "
                "what is there.",
            )


def remove_earlier_masks(volume: Path) -> None:
    """Remove the masks of the earlier volume of this name: the next one may have none."""
    earlier = _files_of_sidecar(volume)
    for path in _masks_of(volume):
        if _is_own(path, earlier):
            path.unlink()


def _masks_of(volume: Path) -> list[Path]:
    """Return the masks and the region that there are of a volume of this name."""
    name = re.compile(rf"{re.escape(stem_of(volume))}_(mask(_model|_before_[1-9]\d*)?|region)\.nii\.gz")
    return sorted(path for path in volume.parent.iterdir() if name.fullmatch(path.name))


def _files_of_sidecar(volume: Path) -> dict[str, str]:
    """Return the sha256 of the files that a sidecar names, by file name; empty if it is no sidecar."""
    sidecar = sidecar_path(volume)
    try:
        values = json.loads(sidecar.read_text(encoding="utf-8"))
        if values["synthetic"] is not True or values["volume"]["file"] != volume.name:
            return {}
        files = [values["volume"], *([values["edit"]["region"]] if "edit" in values else [])]
        files += [values["output"]["mask"]] if values.get("output", {}).get("mask") else []
        recipe: Any = values
        while recipe is not None:
            files += [] if recipe["mask"] is None else [recipe["mask"]]
            recipe = recipe["before"]
        return {sidecar.name: sha256_of(sidecar), **{str(one["file"]): str(one["sha256"]) for one in files}}
    except (OSError, ValueError, TypeError, KeyError):
        return {}


def _is_own(path: Path, written: dict[str, str]) -> bool:
    return path.name in written and path.exists() and hash_of(path) == written[path.name]


def _is_empty_folder(path: Path) -> bool:
    return is_dicom_name(path) and path.is_dir() and not any(path.iterdir())


def _check_writable(volume: Path) -> None:
    try:
        if not volume.parent.exists():
            volume.parent.mkdir(parents=True)
        with NamedTemporaryFile(dir=volume.parent, prefix=f".{volume.name}."):
            pass
    except OSError as error:
        raise EnvironmentFault(
            f"{volume} cannot be written: {reason(error)}.",
            code="output-unwritable",
            remedy="give a place in a folder that is yours to write to, on a disk with room.",
        ) from error
