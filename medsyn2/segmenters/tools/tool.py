"""The common parts of the adapters of external tools: the CT as a file, and label maps that must lie on its grid.

A tool gets a NIfTI in the CT's own geometry and gives a NIfTI on the same grid. Its numbers are turned into ours by
the *names* that its own tables give them: `name_labels` finds a structure's label by name, so that a tool whose
next version counts differently is refused or understood, and never misread.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from medsyn2.config import SegmentConfig
from medsyn2.ct.binary_mask import is_placeholder
from medsyn2.ct.nifti.files import read_labels, write_ct
from medsyn2.ct.volume import CTVolume, Grid, LabelMap
from medsyn2.errors import SegmenterError, WeightsError
from medsyn2.segmenters.tools.process import ToolProcess
from medsyn2.vocabulary import LOBES, Structure
from medsyn2.weights.needs import refuse_damaged

GRID_TOLERANCE_VOXELS = 0.5
"""A header that rounds the spacing, to 0.7031 for 0.703125, is 0.02 voxels off over 512; a voxel is a shift."""

ToolName = Literal["lungmask", "totalsegmentator", "medpseg"]


class ExternalTool:
    """An adapter of a tool in its own process, all but ``segment``."""

    def __init__(self, config: SegmentConfig, tool: ToolName, settings: Mapping[str, Any], **more: Any) -> None:
        python, limit_s = config.python.get(tool), config.time_limit_s
        self._process = ToolProcess(tool, f"run_{tool}", python=python, settings=settings, time_limit_s=limit_s, **more)

    def versions(self) -> dict[str, str]:
        """Return the versions of the tool's packages, as records carry them."""
        return dict(self._process.start()["versions"])

    def sources(self, structures: Sequence[Structure], case: str) -> list[Path]:
        """Return no files: the CT alone decides the result."""
        return []

    def close(self) -> None:
        """End the tool's process."""
        self._process.close()


def run_on(process: ToolProcess, volume: CTVolume, **request: object) -> dict[str, LabelMap]:
    """Let a tool segment a CT.

    Returns:
        The tool's label maps, by the worker's names, with the tool's own label names.

    Raises:
        SegmenterError: If the tool fails on this CT, or answers on another grid.
        EnvironmentFault: If the tool cannot work at all.
    """
    labels = process.start()["labels"]
    with tempfile.TemporaryDirectory(prefix="medsyn2-") as folder:
        ct = Path(folder, "ct.nii.gz")
        write_ct(ct, volume)
        files = process.segment({"ct": str(ct), "folder": folder, **request})["files"]
        return {
            name: _on_grid(Path(path), {int(label): word for label, word in labels[name].items()}, volume, process)
            for name, path in files.items()
        }


def check_grid(found: Grid, expected: Grid, subject: str) -> None:
    """Refuse a label map that does not lie on the CT's grid, to less than half a voxel over its extent."""
    corners = np.array([(*((np.array(expected.shape) - 1) * end), 1) for end in np.ndindex(2, 2, 2)])
    apart_mm = corners @ (found.affine_mm - expected.affine_mm).T
    if found.shape != expected.shape:
        problem = f"the shape {found.shape}"
    elif np.abs(apart_mm @ np.linalg.inv(expected.affine_mm).T).max() < GRID_TOLERANCE_VOXELS:
        return
    elif is_placeholder(found):
        problem = "the identity for its place in space, which programs write when they know none"
    else:
        problem = f"the same shape up to {np.abs(apart_mm).max():.3g} mm away"
    raise SegmenterError(
        f"{subject}: expected a label map on the CT's grid {expected.shape}, got {problem}.",
        code="tool-grid",
        remedy="give the file the CT's own affine, or check that the CT's header has a rotation and a spacing that the "
        "tool understands.",
    )


def name_labels(label_map: LabelMap, structure: Structure, words: Mapping[str, str]) -> LabelMap:
    """Return a structure's label map in our numbers.

    Args:
        label_map: As the tool wrote it, with the names its own table gives.
        words: The tool's name of each label that makes up the structure, and ours: the structure itself, or a
            lobe's name.
    """
    ours = LOBES if structure == "lobes" else {1: structure}
    number = {name: label for label, name in ours.items()}
    labels = np.zeros(label_map.shape, dtype=np.uint8)
    for label, name in label_map.names.items():
        if name in words:
            labels[label_map.labels == label] = number[words[name]]
    return LabelMap(labels, label_map.affine_mm, ours)


def _on_grid(path: Path, names: Mapping[int, str], volume: CTVolume, process: ToolProcess) -> LabelMap:
    found = read_labels(path, names)
    check_grid(found.grid, volume.grid, process.tool)
    return LabelMap(found.labels, volume.affine_mm, found.names)


def weights_folder(config: SegmentConfig, tool: str) -> Path:
    """Return where a tool's weights are, after comparing those that are there with their checksums.

    Raises:
        WeightsError: If the configuration names no folder of weights, or a file in it is damaged.
    """
    if config.weights_dir is None:
        raise WeightsError(
            f"segment.tools uses {tool}, whose weights lie in segment.weights_dir, which is empty.",
            code="weights-missing",
            remedy="give the folder that `medsyn2 fetch` made; `medsyn2 doctor` says what is missing in it.",
        )
    chosen = {structure for structure, name in config.tools.items() if name == tool}
    refuse_damaged(config.weights_dir, tool, chosen)
    # The tool's process may change its working directory.
    return (config.weights_dir / tool).resolve()
