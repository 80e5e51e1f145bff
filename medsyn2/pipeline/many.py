"""Volumes of a table of requests, one after the other with one model.

A volume whose files are there already, unchanged and made by this model from this very request, is kept. Other
files of its name are left alone, and the volume is a failure: nothing of an earlier run is lost. So the same command
goes on with a run that was stopped or a table that was lengthened, and jobs with parts of one table need not know of
each other. A request that cannot be followed is a failure too; the others are made. Faults of the machine and of the
model end the run.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from medsyn2.errors import CaseError, ConfigError, IntegrityError
from medsyn2.flow.sampling import Sampling
from medsyn2.formats import open_volume, read_mask
from medsyn2.pipeline.generation import Progress
from medsyn2.pipeline.outputs import check_output, mask_path, sidecar_path
from medsyn2.pipeline.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.request_table import Failure, Row, Volume
from medsyn2.pipeline.synthetic import Recipe, Synthetic, read_sidecar


@dataclass(frozen=True, eq=False)
class Outcome:
    """The end of a volume of a table: made, kept or failed."""

    volume: Volume
    path: Path
    made: Synthetic | None = None  # None if it was kept or failed
    failure: Failure | None = None


def make_volumes(
    pipeline: MedSyn2Pipeline,
    volumes: Sequence[Volume],
    folder: Path,
    *,
    sampling: Sampling,
    progress: Progress | None = None,
) -> Iterator[Outcome]:
    """Make each volume, write it into `folder` and yield how it ended."""
    row: Row | None = None
    request: Recipe | CaseError | ConfigError | None = None
    for volume in volumes:
        path = folder / f"{volume.name}.nii.gz"
        if volume.row is not row:  # the seeds of a row share its mask
            row, request = volume.row, _request(pipeline, volume.row, sampling)
        try:
            if not isinstance(request, Recipe):
                assert request is not None
                raise request
            recipe = replace(request, seed=volume.seed)
            _remove_leftover(path, volume.seed)
            if is_kept(path, recipe, pipeline.description.fingerprint):
                yield Outcome(volume, path)
                continue
            made = pipeline.follow(recipe, progress)
            made.save(path)
        except (CaseError, ConfigError, IntegrityError) as error:
            yield Outcome(volume, path, failure=Failure.of(volume.row.line, volume.name, error))
        else:
            yield Outcome(volume, path, made)


def is_kept(path: Path, recipe: Recipe, model: str) -> bool:
    """Return whether a volume's files are there, whole, and of this recipe and model; False if none is there.

    The arithmetic may be another, as on another machine; the voxels then differ by its rounding.

    Raises:
        ConfigError: If a file of its name is there that is not the volume's, or the volume is of another request.
        IntegrityError: If a mask of the volume is missing or damaged.
        EnvironmentFault: If nothing can be written there.
    """
    check_output(path, [])
    if not path.exists():
        return False
    earlier, by = read_sidecar(sidecar_path(path))
    differing = [] if by == model else ["model"]
    differing += [
        name for name in ("report", "words", "seed", "sampling", "strength", "before") if _differ(name, earlier, recipe)
    ]
    if not _same_mask(earlier, recipe):
        differing.append("mask")
    if differing:
        raise ConfigError(
            f"{path} is there already and was made with another {', '.join(differing)}.",
            code="output-of-another-request",
            remedy="move it, name the row otherwise, or write into another folder.",
        )
    return True


def _same_mask(one: Recipe, other: Recipe) -> bool:
    if one.mask is None or other.mask is None:
        return one.mask is other.mask
    return np.array_equal(one.mask, other.mask)


def _remove_leftover(path: Path, seed: int) -> None:
    """Remove the files of a volume that a killed run left without the sidecar, which is written last."""
    if path.is_file() and not sidecar_path(path).exists():
        description = open_volume(path).description
        if description.startswith("SYNTHETIC medsyn2 ") and description.endswith(f" seed={seed}"):
            mask_path(path, 0).unlink(missing_ok=True)
            path.unlink()


def _differ(name: str, one: Recipe, other: Recipe) -> bool:
    return bool(getattr(one, name) != getattr(other, name))


def _request(pipeline: MedSyn2Pipeline, row: Row, sampling: Sampling) -> Recipe | CaseError | ConfigError:
    """Return the recipe of a row, or why it is none."""
    try:
        mask = None if row.mask is None else read_mask(row.mask)[0]
        return pipeline.recipe(row.report, mask=mask, mask_text=row.words, seed=row.seed, sampling=sampling)
    except (CaseError, ConfigError) as error:
        return error
