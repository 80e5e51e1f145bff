import numpy as np
import torch
from scipy import ndimage

from medsyn2.training.tokenizer import drawn_masks
from medsyn2.training.tokenizer.drawn_masks import draw_mask


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
    monkeypatch.setattr(drawn_masks, "SHEET_PROBABILITY", 0.0)
    bodies = draws(5)
    monkeypatch.setattr(drawn_masks, "SHEET_PROBABILITY", 1.0)
    for body, sheet in zip(bodies, draws(5), strict=True):
        inside = body[0].numpy() > 0
        surface = inside & ~ndimage.binary_erosion(inside, cube, border_value=1)
        assert np.array_equal(sheet[0].numpy() > 0, ndimage.binary_dilation(surface, cube))


def test_bodies_and_sheets_both_come():
    kinds = [ndimage.binary_erosion(mask[0] > 0, np.ones((5, 5, 5))).sum() > 100 for mask in draws(40)]
    assert 5 < sum(kinds) < 35
