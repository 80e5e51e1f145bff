"""Regions around masks, on a CT's grid and on a model's that lies elsewhere."""

import numpy as np

from medsyn2.ct.edit_region import MARGIN_MM, find_edit_region
from medsyn2.ct.volume import Grid, LabelMap, axis_aligned_affine

CT = Grid((40, 50, 60), axis_aligned_affine((2.0, 1.0, 1.0), (0.0, 0.0, 0.0)))
MODEL = Grid((16, 16, 16), axis_aligned_affine((5.0, 4.0, 4.0), (-100.0, 0.0, 0.0)))
TO_CT = np.eye(4)
TO_CT[0, 3] = 100.0


def block(*corner: int) -> LabelMap:
    inside = np.zeros(CT.shape, bool)
    inside[tuple(slice(start, start + 4) for start in corner)] = True
    return LabelMap(inside, CT.affine_mm)


def find(align=lambda: TO_CT, **given):
    masks = {"mask": None, "remove": None, "region": None, "margin_mm": None, **given}
    return find_edit_region(CT, MODEL, align, **masks)[0]


def test_the_region_lies_within_the_margin_of_what_comes_and_of_what_goes() -> None:
    come, go = block(10, 10, 10), block(30, 40, 50)
    place = find(mask=come, remove=go, margin_mm=3.0)
    assert place.region[9, 10, 10]
    assert place.region[10, 7, 10]
    assert not place.region[10, 6, 10]
    assert not place.region[8, 10, 10]  # two slices of 2 mm
    assert place.region[30, 40, 53 + 3]
    np.testing.assert_array_equal(place.mask, come.binary())
    far = find(mask=come)
    assert far.region[10, 10, 10 + 3 + int(MARGIN_MM)]
    assert not far.region[10, 10, 10 + 4 + int(MARGIN_MM)]


def test_the_model_s_region_is_every_voxel_that_the_ct_s_reaches_into() -> None:
    place = find(region=block(10, 12, 20))
    depth, height, width = (sorted(set(index.tolist())) for index in np.nonzero(place.model_region))
    assert (depth[0], depth[-1]) == (4, 5)  # 20 to 26 mm of voxels of 5 mm, and the neighbours that share them
    assert (height[0], width[0]) == (3, 5)
    assert place.model_mask is None


def test_what_goes_alone_asks_for_an_empty_mask() -> None:
    place = find(remove=block(10, 10, 10))
    assert not place.mask.any()
    assert not place.model_mask.binary().any()


def test_a_part_beyond_the_model_and_a_part_outside_the_region_are_noted() -> None:
    low = np.eye(4)
    low[:3, 3] = 100.0, 0.0, 12.0  # the model begins 12 mm above the CT
    place = find(lambda: low, region=block(4, 12, 20))
    assert place.notes == ("25% of the region lie beyond the model's grid and stay as they are",)
    part = np.zeros(CT.shape, bool)
    part[10:12, 10:14, 10:14] = True
    notes = find(mask=block(10, 10, 10), region=LabelMap(part, CT.affine_mm)).notes
    assert any("50% of the mask lie outside the region" in note for note in notes)


def test_the_registration_is_asked_once() -> None:
    asked = []

    def align() -> np.ndarray:
        asked.append(1)
        return TO_CT

    find(align, mask=block(10, 10, 10), remove=block(12, 12, 12))
    assert len(asked) == 1
