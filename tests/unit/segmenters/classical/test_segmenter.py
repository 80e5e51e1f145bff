"""The classical segmenter as the workflow runs it, on real CTs that people or a model have labelled."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from medsyn2.config import SegmentConfig
from medsyn2.ct.geometry import nearest_labels, resample_mask
from medsyn2.ct.lungs import segment_lungs
from medsyn2.ct.nifti.files import read_ct, read_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import SegmenterError
from medsyn2.evaluation.similarity.overlap import dice
from medsyn2.phantoms import draw_acquisition, draw_subject, scan
from medsyn2.segmenters import get_segmenter
from medsyn2.vocabulary import STRUCTURE_WORDS, STRUCTURES

RTSTRUCT = {"lobes": [1, 2], "heart": [3]}
LABELLED = {
    "LUNG1-001_rtstruct": RTSTRUCT,
    "LUNG1-002_rtstruct": RTSTRUCT,
    "R01-001_aimi": {"lobes": [8, 9], "nodules": [8]},
}
"""Which labels of each file are which structure; lobes are judged as the lungs that they make up."""

TUMOUR = 6
"""The radiotherapy's target: a mass, which is neither lung nor nodule, and is not judged."""


def agreements(folder: Path, name: str) -> dict[str, float | str]:
    """The Dice of each structure that has labels, the lungs' outside the tumour; of the others the volume found."""
    case, labels = name.split("_")[0], read_labels(folder / f"labels/{name}.nii.gz")
    tool = get_segmenter("classical", SegmentConfig())
    maps = tool.segment(read_ct(folder / f"ct/{case}.nii.gz"), STRUCTURES)
    found: dict[str, float | str] = {}
    for structure in STRUCTURES:
        mask = resample_mask(maps[structure], labels.grid, None, 0.5)
        truth = np.isin(labels.labels, LABELLED[name].get(structure, []))
        if structure == "lobes":
            mask &= labels.labels != TUMOUR
        found[structure] = dice(mask, truth) if truth.any() else _volume(mask, labels.spacing_mm)
    return found


def printed(table: dict[str, dict[str, float | str]]) -> str:
    """The table with a row a structure."""
    lines = [f"| structure | {' | '.join(table)} |", "|---" * (len(table) + 1) + "|"]
    for structure in STRUCTURES:
        cells = [found[structure] for found in table.values()]
        shown = (cell if isinstance(cell, str) else f"{cell:.3f}" for cell in cells)
        lines.append(f"| {STRUCTURE_WORDS[structure]} | {' | '.join(shown)} |")
    return "\n".join(lines)


def _volume(mask: np.ndarray, spacing_mm: tuple[float, float, float]) -> str:
    return f"no label, {np.count_nonzero(mask) * np.prod(spacing_mm) / 1000:.1f} ml"


def test_a_structure_is_the_same_alone_and_after_those_it_builds_on() -> None:
    subject = draw_subject(0, 0)
    volume = scan(subject, draw_acquisition(subject, 4.0)).volume
    tool = get_segmenter("classical", SegmentConfig(working_spacing_mm=4.0))
    together = tool.segment(volume, STRUCTURES)
    assert list(together) == list(STRUCTURES)
    for structure in ("vessels", "consolidation", "pericardial_effusion"):
        alone = tool.segment(volume, [structure])[structure]
        np.testing.assert_array_equal(alone.labels, together[structure].labels)


@pytest.fixture(scope="module")
def chest() -> CTVolume:
    subject = draw_subject(0, 3)
    return scan(subject, draw_acquisition(subject, 6.0)).volume


def codes(volume: CTVolume) -> dict[str, str]:
    """Return the code of each structure that could not be looked for."""
    found = get_segmenter("classical", SegmentConfig(working_spacing_mm=6.0)).segment(volume, STRUCTURES)
    return {structure: one.code for structure, one in found.items() if isinstance(one, SegmenterError)}


def lungs_of(volume: CTVolume) -> LabelMap:
    return nearest_labels(segment_lungs(volume, 6.0), volume.grid)


@pytest.mark.parametrize("side", [1, 2])
def test_with_one_lung_all_but_the_airways_fail_and_nothing_is_empty(chest: CTVolume, side: int) -> None:
    hu = np.where(ndimage.binary_dilation(lungs_of(chest).labels == side, iterations=2), np.int16(20), chest.hu)
    failed = codes(CTVolume(hu, chest.affine_mm))
    assert {failed[structure] for structure in STRUCTURES if structure != "airways"} == {"one-lung"}
    assert failed.get("airways", "trachea-not-found") == "trachea-not-found"


def test_without_a_trachea_airways_and_the_vessels_that_build_on_them_fail(chest: CTVolume) -> None:
    lungs = lungs_of(chest)
    assert codes(chest) == {}
    airways = (chest.hu < -400) & (lungs.labels == 0)
    filled = np.where(airways & (np.cumsum(chest.hu > -300, axis=1) > 0), np.int16(40), chest.hu)
    assert codes(CTVolume(filled, chest.affine_mm)) == {"airways": "trachea-not-found", "vessels": "trachea-not-found"}


@pytest.mark.realdata
def test_lungs_of_labelled_cts_agree_and_the_rest_is_reported(
    real_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = {name: agreements(real_data, name) for name in LABELLED}
    with capsys.disabled():
        sys.stdout.write(f"\n{printed(table)}\n")
    assert min(found["lobes"] for found in table.values()) >= 0.93
    hearts = [found["heart"] for found in table.values() if not isinstance(found["heart"], str)]
    assert hearts
    assert min(hearts) >= 0.5
