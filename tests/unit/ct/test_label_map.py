"""Label maps are told from CTs, whatever their labels, and CTs of 8 bits are no label maps."""

import numpy as np
import pytest

from medsyn2.ct.label_map import is_label_map, refuse_label_map
from medsyn2.errors import InvalidVolumeError

RNG = np.random.default_rng(0)


def blocks(*labels: float, dtype: type = np.int16) -> np.ndarray:
    """A map of these labels, each a block, on a background of 0."""
    values = np.zeros((20, 30, 40), dtype)
    for index, label in enumerate(labels):
        values[4:16, 4:26, 2 + 6 * index : 8 + 6 * index] = label
    return values


def chest(bits: int) -> np.ndarray:
    """Noise of 20 HU about two tissues, brought to a number of bits."""
    hu = np.where(blocks(1, 0, 1) > 0, -850, 40) + RNG.normal(0, 20, (20, 30, 40))
    return np.rint((hu + 1024) / 4095 * (2**bits - 1))


@pytest.mark.parametrize(
    "values",
    [blocks(1), blocks(1, 2, 3, 4, 5), blocks(255), blocks(1, 117), blocks(-1, 2), blocks(1, 2, dtype=np.float32)],
)
def test_masks_and_label_maps(values: np.ndarray) -> None:
    assert is_label_map(values)
    with pytest.raises(InvalidVolumeError, match=r"label-map.*p1/seg\.nii.*exclude_dirs"):
        refuse_label_map(values, "p1/seg.nii")


@pytest.mark.parametrize(
    "values",
    [
        chest(12),
        chest(8),
        chest(12) - 1024,
        chest(12) / 4095,
        blocks(0),
        blocks(0.5, dtype=np.float32),
        1e9 * blocks(1),
    ],
)
def test_cts_blank_volumes_and_probabilities_are_none(values: np.ndarray) -> None:
    assert not is_label_map(values)
    refuse_label_map(values, "ct.nii")
