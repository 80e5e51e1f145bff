from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from medsyn2.ct.intensity import hu_to_unit
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import ConfigError
from medsyn2.training.tokenizer import crops as crops_module
from medsyn2.training.tokenizer.crops import Crops, CropSettings, draw_mask

SETTINGS = CropSettings((6, 8, 9), (4, 4, 3), (-1024.0, 1024.0), mask_share=0.0, seed=1)


def hu_of(index: int) -> np.ndarray:
    return (np.arange(6 * 8 * 9, dtype=np.int16).reshape(6, 8, 9) + 500 * index - 1000).astype(np.int16)


@pytest.fixture
def volumes(tmp_path: Path) -> list[tuple[str, Path]]:
    affine = axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0))
    for index in range(3):
        write_ct(tmp_path / f"{index}.nii.gz", CTVolume(hu_of(index), affine))
    return [(f"case_{index}", tmp_path / f"{index}.nii.gz") for index in range(3)]


def test_a_crop_is_a_piece_of_its_volume(volumes: list[tuple[str, Path]]) -> None:
    data = Crops(volumes, SETTINGS)
    for position in range(12):
        (name,) = data.names([position])
        crop = data.batch([position])[0, 0].numpy()
        assert crop.shape == (4, 4, 3)
        whole = hu_to_unit(hu_of(int(name[-1])), SETTINGS.clip_hu)
        windows = np.lib.stride_tricks.sliding_window_view(whole, crop.shape)
        assert (windows == crop).all(axis=(3, 4, 5)).any()


def test_a_batch_is_its_samples_whatever_came_before(volumes: list[tuple[str, Path]]) -> None:
    first, second = Crops(volumes, SETTINGS), Crops(volumes, SETTINGS)
    first.batch(range(100, 120))
    at_once = first.batch(range(5, 9))
    assert torch.equal(at_once, torch.cat([second.batch([position]) for position in range(5, 9)]))
    assert at_once.dtype == torch.float32


def test_every_volume_is_seen_once_an_epoch_and_every_place_is_reached(volumes: list[tuple[str, Path]]) -> None:
    data = Crops(volumes, SETTINGS)
    assert all(len(set(data.names(range(3 * n, 3 * n + 3)))) == 3 for n in range(10))
    corners = {float(crop[0, 0, 0]) for crop in data.batch(range(3000))[:, 0]}
    assert len(corners) == 3 * (3 * 5 * 7)


def test_a_crop_as_large_as_the_volume_is_the_volume(volumes: list[tuple[str, Path]]) -> None:
    data = Crops(volumes[:1], CropSettings((6, 8, 9), (6, 8, 9), (-1024.0, 1024.0), 0.0, seed=0))
    np.testing.assert_array_equal(data.batch([4])[0, 0].numpy(), hu_to_unit(hu_of(0), (-1024.0, 1024.0)))


def test_impossible_requests_are_refused(volumes: list[tuple[str, Path]]) -> None:
    with pytest.raises(ConfigError, match="no-training-cases"):
        Crops([], SETTINGS)
    with pytest.raises(ConfigError, match="crop-too-large"):
        Crops(volumes, CropSettings((6, 8, 9), (4, 12, 3), (-1024.0, 1024.0), 0.0, seed=1))


def test_a_share_of_the_crops_is_drawn_masks(volumes: list[tuple[str, Path]]) -> None:
    data = Crops(volumes, replace(SETTINGS, mask_share=0.25))
    crops = data.batch(range(2000))
    drawn = (crops.abs() == 0.5).flatten(1).all(dim=1)
    assert abs(int(drawn.sum()) - 500) < 4 * (2000 * 0.25 * 0.75) ** 0.5
    assert 0.1 < (crops[drawn] > 0).float().mean() < 0.9
    assert torch.equal(data.batch([7]), crops[7:8])


def draws(count: int, shape: tuple[int, int, int] = (24, 32, 40)) -> list[torch.Tensor]:
    return [draw_mask(shape, torch.Generator().manual_seed(seed)) for seed in range(count)]


def test_a_mask_is_binary_and_of_the_wanted_shape():
    for mask in draws(20):
        assert mask.shape == (1, 24, 32, 40)
        assert set(mask.unique().tolist()) <= {-0.5, 0.5}


def test_a_seed_means_one_mask():
    first, second = (draw_mask((8, 8, 8), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first, second)


def test_a_sheet_is_the_surface_of_a_body_three_voxels_thick(monkeypatch):
    cube = np.ones((3, 3, 3))
    monkeypatch.setattr(crops_module, "SHEET_PROBABILITY", 0.0)
    bodies = draws(5)
    monkeypatch.setattr(crops_module, "SHEET_PROBABILITY", 1.0)
    for body, sheet in zip(bodies, draws(5), strict=True):
        inside = body[0].numpy() > 0
        surface = inside & ~ndimage.binary_erosion(inside, cube, border_value=1)
        assert np.array_equal(sheet[0].numpy() > 0, ndimage.binary_dilation(surface, cube))


def test_bodies_and_sheets_both_come():
    kinds = [ndimage.binary_erosion(mask[0] > 0, np.ones((5, 5, 5))).sum() > 100 for mask in draws(40)]
    assert 5 < sum(kinds) < 35
