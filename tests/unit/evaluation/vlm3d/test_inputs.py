"""Volumes as the challenge's program gives them to its networks; both were equal to it on public CTs."""

import numpy as np
import torch

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.vlm3d.inputs import for_ct_clip, for_ctnet


def volume(hu, spacing_mm=(1.5, 0.75, 0.75)):
    return CTVolume(np.asarray(hu, np.int16), axis_aligned_affine(spacing_mm, (0.0, 0.0, 0.0)))


def ramps():
    """HU that tell the place along each axis."""
    depth, height, width = np.meshgrid(np.arange(4) * 100, np.arange(6) * 10, np.arange(8), indexing="ij")
    return depth + height + width - 300


def test_ctnet_sees_the_whole_ct_with_height_and_width_swapped():
    found = for_ctnet(CTVolume(ramps()[:, :, :6].astype(np.int16), volume(ramps()).affine_mm), 4, 6)
    expected = (torch.from_numpy(ramps()[:, :, :6].transpose(0, 2, 1)).float() + 1000) / 1200 - 0.449
    torch.testing.assert_close(found, expected)
    assert for_ctnet(volume(ramps()), 9, 12).shape == (9, 12, 12)


def test_values_end_where_the_networks_training_did():
    extremes = volume(np.where(ramps() < -100, -3000, 3000))
    found = for_ctnet(extremes, 4, 6)
    torch.testing.assert_close(torch.stack([found.min(), found.max()]), torch.tensor([-0.449, 0.551]))
    assert for_ct_clip(extremes, (4, 8, 6)).abs().max() == 1


def test_ct_clip_keeps_the_spacing_and_is_cut_or_padded_about_its_centre():
    expected = torch.from_numpy(ramps().transpose(0, 2, 1)).float() / 1000
    torch.testing.assert_close(for_ct_clip(volume(ramps()), (4, 8, 6)), expected)
    padded = for_ct_clip(volume(ramps()), (7, 10, 6))
    torch.testing.assert_close(padded[1:5, 1:9], expected)
    assert (padded[5:] == -0.001).all()  # the value of water, as the challenge has it
    torch.testing.assert_close(for_ct_clip(volume(ramps()), (4, 6, 3)), expected[:, 1:7, 2:5])
    assert for_ct_clip(volume(ramps(), (3.0, 0.75, 0.75)), (8, 8, 6))[:, 4, 3].unique().numel() > 4
