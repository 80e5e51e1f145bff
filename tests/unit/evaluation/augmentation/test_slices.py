"""The rule by which slices are drawn, on masks made by hand."""

import numpy as np
import pytest

from medsyn2.evaluation.augmentation.slices import LabelledSlice, draw_names, largest_slice, resize_slice

SPACING_MM = (5.0, 2.0, 3.0)


def mask_of(areas: list[int]) -> np.ndarray:
    """A volume whose slices have so many pixels each."""
    mask = np.zeros((len(areas), 6, 6), dtype=bool)
    for flat, area in zip(mask.reshape(len(areas), -1), areas, strict=True):
        flat[:area] = True
    return mask


@pytest.mark.parametrize(
    ("areas", "min_area_mm2", "expected"),
    [
        ([0, 3, 9, 4], 0.0, 2),
        ([0, 9, 2, 9], 0.0, 1),  # of equals the lowest
        ([0, 3, 9, 4], 54.0, 2),  # 9 pixels of 2 x 3 mm
        ([0, 3, 9, 4], 54.1, None),
        ([0, 0, 0], 0.0, None),
    ],
)
def test_the_largest_slice_of_at_least_the_smallest_area_is_taken(
    areas: list[int], min_area_mm2: float, expected: int | None
) -> None:
    assert largest_slice(mask_of(areas), SPACING_MM, min_area_mm2) == expected


def test_so_many_are_drawn_in_their_order_and_equally_often() -> None:
    names = [f"case_{index}" for index in range(9)]
    counts = dict.fromkeys(names, 0)
    for seed in range(300):
        chosen = draw_names(names, 3, seed)
        assert chosen == sorted(set(chosen))
        assert len(chosen) == 3
        for name in chosen:
            counts[name] += 1
    assert draw_names(names, 3, 1) == draw_names(names, 3, 1)
    assert min(counts.values()) > 60  # 100 expected, standard deviation 8
    assert draw_names(names, None, 0) == draw_names(names, 9, 0) == names


def disc(size: int, spacing_mm: tuple[float, float]) -> LabelledSlice:
    rows, columns = np.indices((size, size)) - (size - 1) / 2
    inside = (rows * spacing_mm[0]) ** 2 + (columns * spacing_mm[1]) ** 2 < 60.0**2
    return LabelledSlice("one", "one", np.where(inside, 40, -850).astype(np.int16), inside, spacing_mm)


@pytest.mark.parametrize("size", [48, 96, 200])
def test_resizing_keeps_millimetres_values_and_place(size: int) -> None:
    before = disc(96, (2.0, 2.0))
    after = resize_slice(before, size)
    assert after.hu.shape == after.mask.shape == (size, size)
    assert after.spacing_mm == pytest.approx((192 / size, 192 / size))
    area_mm2 = after.mask.sum() * np.prod(after.spacing_mm)
    assert area_mm2 == pytest.approx(np.pi * 60.0**2, rel=0.02)
    np.testing.assert_allclose(np.mean(np.nonzero(after.mask), axis=1), (size - 1) / 2, atol=0.01)
    assert after.hu[size // 2, size // 2] == pytest.approx(40, abs=1)
    assert after.hu[0, 0] == pytest.approx(-850, abs=1)


def test_a_slice_of_the_size_is_left_as_it_is() -> None:
    one = disc(32, (4.0, 4.0))
    assert resize_slice(one, 32) is one
