"""Masks that others made: a user's own files, or those that CT-RATE publishes.

``files`` reads one file a structure, found by a pattern with the case's id in it; any non-zero voxel belongs to the
structure, except in lobe maps, whose labels are those of ``vocabulary.LOBES``. ``ct_rate`` reads the label maps that
CT-RATE publishes under ``ts_seg``, made with TotalSegmentator's tasks ``total``, ``lung_nodules`` and
``pleural_pericard_effusion``; the package's own table names their labels.

Both must lie on the grid of the case's CT, or of its file with the blank slices at its ends. A file that is not there
is the fault of the case. Nothing can be read for a volume that is no case, such as a generated one.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medsyn2.config import SegmentConfig
from medsyn2.ct.nifti.files import read_labels
from medsyn2.ct.volume import CTVolume, Grid, LabelMap
from medsyn2.errors import SegmenterError
from medsyn2.segmenters.tools.tool import ExternalTool, check_grid, name_labels
from medsyn2.segmenters.tools.totalsegmentator import TASKS, select_tasks
from medsyn2.vocabulary import CT_RATE_NAME, LOBES, Structure

CT_RATE_FOLDERS = {
    "total": "ts_total",
    "lung_nodules": "ts_lung_nodules",
    "pleural_pericard_effusion": "ts_pleural_pericard_effusion",
}
"""Folder below ``ts_seg`` of each of TotalSegmentator's tasks."""


class MaskFileSegmenter:
    """Reads a file of each structure, by the pattern ``segment.mask_files``."""

    name = "files"

    def __init__(self, config: SegmentConfig) -> None:
        assert config.mask_files is not None  # The configuration asks for it.
        self._pattern = config.mask_files

    def segment(
        self, volume: CTVolume, structures: Sequence[Structure], *, case: str = ""
    ) -> dict[Structure, LabelMap]:
        """Return the structures of the files.

        Raises:
            SegmenterError: If a file is not there or lies on another grid.
            MaskError: If a file is no label map.
        """
        return {structure: self._read(volume, structure, case) for structure in structures}

    def _read(self, volume: CTVolume, structure: Structure, case: str) -> LabelMap:
        path = _existing(self._path(structure, case), case)
        names = LOBES if structure == "lobes" else None
        found = cut_to_image(read_labels(path, names), volume.grid)
        check_grid(found.grid, volume.grid, str(path))
        if structure == "lobes":
            return LabelMap(found.labels, volume.affine_mm, found.names)
        return LabelMap((found.labels > 0).astype(np.uint8), volume.affine_mm, {1: structure})

    def _path(self, structure: Structure, case: str) -> Path:
        return Path(self._pattern.format(case=case, structure=structure))

    def versions(self) -> dict[str, str]:
        """Return nothing: who made the files is not known."""
        return {}

    def sources(self, structures: Sequence[Structure], case: str) -> list[Path]:
        """Return the files of a case that there are."""
        return [path for name in structures if (path := self._path(name, case)).is_file()]

    def close(self) -> None:
        """Nothing is held."""


class CtRateSegmenter(ExternalTool):
    """Reads the published label maps below ``segment.ct_rate_masks``, the folder ``ts_seg``."""

    name = "ct_rate"

    def __init__(self, config: SegmentConfig) -> None:
        assert config.ct_rate_masks is not None  # The configuration asks for it.
        self._folder = config.ct_rate_masks
        chosen = [structure for structure, tool in config.tools.items() if tool == self.name]
        super().__init__(config, "totalsegmentator", {"tasks": select_tasks(chosen), "labels_only": True})

    def segment(
        self, volume: CTVolume, structures: Sequence[Structure], *, case: str = ""
    ) -> dict[Structure, LabelMap]:
        """Return the structures of the published label maps.

        Raises:
            SegmenterError: If a file is not there or lies on another grid.
            MaskError: If a file is no label map.
            EnvironmentFault: If TotalSegmentator, whose table names the labels, is not installed.
        """
        labels = self._process.start()["labels"]
        wanted = [structure for structure in structures if TASKS[structure].name in CT_RATE_FOLDERS]
        maps: dict[str, LabelMap] = {}
        for task in select_tasks(wanted):
            path = _existing(self._path(task, case), case)
            found = read_labels(path, {int(label): name for label, name in labels[task].items()})
            maps[task] = cut_to_image(found, volume.grid)
            check_grid(maps[task].grid, volume.grid, str(path))
        return {
            structure: name_labels(maps[TASKS[structure].name], structure, TASKS[structure].words)
            for structure in wanted
        }

    def _path(self, task: str, case: str) -> Path:
        match = CT_RATE_NAME.match(case)
        if match is None:
            raise SegmenterError(
                f"expected a volume with CT-RATE's name, such as train_1_a_1, got {case!r}.",
                code="mask-file-missing",
                remedy="use ct_rate for CT-RATE's own volumes alone.",
            )
        split, patient, scan, _ = match.groups()
        place = Path(CT_RATE_FOLDERS[task], f"{split}_fixed", f"{split}_{patient}", f"{split}_{patient}_{scan}")
        return self._folder / place / f"{case}.nii.gz"

    def sources(self, structures: Sequence[Structure], case: str) -> list[Path]:
        """Return the published files of a case that there are."""
        if not CT_RATE_NAME.match(case):
            return []
        return [path for task in select_tasks(structures) if (path := self._path(task, case)).is_file()]


def _existing(path: Path, case: str) -> Path:
    if not path.is_file():
        raise SegmenterError(
            f"{path} does not exist; it would hold a mask of the case {case or '(a volume that is no case)'}.",
            code="mask-file-missing",
            remedy="add the file (all background where there is nothing), or set the structure's tool to null.",
        )
    return path


def cut_to_image(found: LabelMap, grid: Grid) -> LabelMap:
    """Leave out the slices of a label map in which the CT's file has no image, as the CT does."""
    blank = found.shape[0] - grid.shape[0]
    first = round(float((np.linalg.inv(found.affine_mm) @ grid.affine_mm[:, 3])[0]))
    if blank <= 0 or not 0 <= first <= blank:
        return found
    affine = found.affine_mm.copy()
    affine[:, 3] = found.affine_mm @ (first, 0.0, 0.0, 1.0)
    return LabelMap(found.labels[first : first + grid.shape[0]], affine, found.names)
