"""Grids that must agree, and labels that are found by name."""

import numpy as np
import pytest

from medsyn2.config import SegmentConfig
from medsyn2.ct.volume import Grid, LabelMap, axis_aligned_affine
from medsyn2.errors import SegmenterError, WeightsError
from medsyn2.segmenters.tools.tool import check_grid, name_labels, weights_folder
from medsyn2.vocabulary import LOBES

AFFINE = axis_aligned_affine((2.0, 1.0, 1.0), (5.0, 6.0, 7.0))
SHAPE = (20, 30, 40)


def moved(**changes: float) -> np.ndarray:
    affine = AFFINE.copy()
    affine[0, 3] += changes.get("shift_mm", 0)
    affine[2, 0] *= changes.get("stretch", 1)
    return affine


def test_rounding_of_a_header_is_no_other_grid() -> None:
    check_grid(Grid(SHAPE, moved(shift_mm=0.004)), Grid(SHAPE, AFFINE), "a.nii")
    fine, rounded = (axis_aligned_affine((1.0, size, size), (0.0, 0.0, 0.0)) for size in (0.703125, 0.7031))
    check_grid(Grid((30, 512, 512), rounded), Grid((30, 512, 512), fine), "a.nii")


@pytest.mark.parametrize(
    ("grid", "named"),
    [
        (Grid((20, 30, 39), AFFINE), r"the shape \(20, 30, 39\)"),
        (Grid(SHAPE, moved(shift_mm=0.5)), "0.5 mm away"),
        (Grid(SHAPE, moved(stretch=1.03)), "mm away"),
        (Grid(SHAPE, AFFINE * [[-1], [1], [1], [1]]), "mm away"),
    ],
)
def test_another_grid_is_refused(grid: Grid, named: str) -> None:
    with pytest.raises(SegmenterError, match=named) as caught:
        check_grid(grid, Grid(SHAPE, AFFINE), "a.nii")
    assert caught.value.code == "tool-grid"


def test_labels_follow_their_names() -> None:
    labels = np.array([[[0, 10, 14, 51]]], np.uint8)
    found = LabelMap(labels, AFFINE, {10: "upper left", 14: "lower right", 51: "heart"})
    lobes = name_labels(found, "lobes", {"upper left": "left_upper", "lower right": "right_lower"})
    assert lobes.labels.ravel().tolist() == [0, 1, 5, 0]
    assert lobes.names == LOBES
    heart = name_labels(found, "heart", {"heart": "heart"})
    assert heart.labels.ravel().tolist() == [0, 0, 0, 1]


def test_weights_lie_in_a_folder_of_the_tool(tmp_path) -> None:
    assert weights_folder(SegmentConfig(weights_dir=tmp_path), "lungmask") == tmp_path / "lungmask"
    with pytest.raises(WeightsError, match="which is empty"):
        weights_folder(SegmentConfig(), "lungmask")
