"""Protocols: what they take of a volume, which way it lies, and that every detail changes the hash."""

from dataclasses import fields, replace

import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.features.protocols import PLANES, make_protocol, plane_slices, prepare_volume

CLIP_HU = (-1024.0, 1024.0)
PAPER = make_protocol("paper", clip_hu=CLIP_HU)
MAISI = make_protocol("maisi", clip_hu=CLIP_HU)


def volume(hu: np.ndarray, spacing_mm: float = 1.0) -> CTVolume:
    return CTVolume(hu, axis_aligned_affine((spacing_mm,) * 3, (0.0, 0.0, 0.0)))


def test_every_detail_is_in_the_hash() -> None:
    others = {
        "name": "other", "clip_hu": (-1.0, 1.0), "windows_hu": {}, "scaling": "extremes", "resample_mm": 2.0,
        "cube": 7, "frame": "xyz_ras", "central_share": 0.5, "num_slices": 3, "max_volumes": 9,
    }  # fmt: skip
    assert set(others) == {field.name for field in fields(PAPER)}
    hashes = {PAPER.sha256, *(replace(PAPER, **{name: value}).sha256 for name, value in others.items())}
    assert len(hashes) == 1 + len(others)
    assert make_protocol("paper", clip_hu=CLIP_HU).sha256 == PAPER.sha256


def test_names_say_which_slices() -> None:
    assert PAPER.name == "paper"
    assert make_protocol("vlm3d", clip_hu=CLIP_HU, num_slices=8).name == "vlm3d, 8 slices"


def test_slices_are_all_the_middle_share_or_evenly_spaced() -> None:
    assert PAPER.slice_positions(5).tolist() == [0, 1, 2, 3, 4]
    assert MAISI.slice_positions(10).tolist() == [3, 4, 5, 6]
    assert replace(PAPER, num_slices=2).slice_positions(100).tolist() == [25, 75]
    assert replace(PAPER, num_slices=200).slice_positions(100).tolist() == list(range(100))
    assert len(MAISI.slice_positions(1)) == 1


def test_slices_of_the_paper_lie_as_in_memory() -> None:
    hu = np.random.default_rng(0).integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
    held = prepare_volume(volume(hu), PAPER)
    window = (-1000.0, 1000.0)
    found = {plane: plane_slices(held, plane, window, PAPER) for plane in PLANES}
    assert {plane: slices.shape for plane, slices in found.items()} == {
        "axial": (4, 5, 6),
        "sagittal": (6, 4, 5),
        "coronal": (5, 4, 6),
    }
    np.testing.assert_allclose(found["coronal"][2] * 2000 - 1000, hu[:, 2], atol=1e-3)


def test_slices_of_maisi_lie_as_nibabel_loads_ras() -> None:
    """The marked voxel is at the patient's right, front and bottom: index 0 of LPS; of RAS it is last, last, first."""
    hu = np.zeros((4, 5, 6), np.int16)
    hu[0, 0, 0] = 900
    held = prepare_volume(volume(hu), replace(MAISI, cube=None))
    assert held.shape == (6, 5, 4)
    assert np.argwhere(held == 900).tolist() == [[5, 4, 0]]
    every = replace(MAISI, cube=None, central_share=1.0)
    axial = plane_slices(held, "axial", (-1000.0, 1000.0), every)
    assert axial.shape == (4, 6, 5)
    assert axial[0].max() == 1.0


def test_maisi_resamples_pads_and_scales_by_extremes() -> None:
    hu = np.full((8, 8, 8), -500, np.int16)
    hu[:4] = 2000
    held = prepare_volume(volume(hu, 2.0), replace(MAISI, cube=32))
    assert held.shape == (32, 32, 32)
    assert (held.min(), held.max()) == (-1000, 1000)
    assert (held > -1000).sum() == 15**3
    bone = plane_slices(held, "sagittal", (-700.0, 300.0), replace(MAISI, cube=32))
    assert (bone.min(), bone.max()) == (0.0, 1.0)


def test_a_cube_cuts_what_is_larger() -> None:
    hu = np.arange(11, dtype=np.int16)[:, None, None] * np.ones((1, 4, 4), np.int16)
    held = prepare_volume(volume(hu), replace(MAISI, cube=5, frame="zyx_lps"))
    assert held.shape == (5, 5, 5)
    assert held[:, 2, 2].tolist() == [3, 4, 5, 6, 7]


@pytest.mark.parametrize("value", [-5000, 5000])
def test_what_lies_outside_the_range_is_clipped(value: int) -> None:
    held = prepare_volume(volume(np.full((3, 3, 3), value, np.int16)), PAPER)
    assert abs(held).max() == 1024
