"""The weight-free features are fixed, see textures, and take slices from where they say."""

import numpy as np
import torch
from scipy import ndimage

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.features.extractors import RandomBank, estimate_cost, volume_features
from medsyn2.evaluation.features.frechet import frechet_distance
from medsyn2.evaluation.features.protocols import PLANES, make_protocol


def textures(seed: int, sigma: float) -> np.ndarray:
    """Noise of one smoothness in [0, 1]."""
    noise = np.random.default_rng(seed).normal(size=(24, 32, 40))
    smooth = np.stack([ndimage.gaussian_filter(piece, sigma) for piece in noise])
    return np.clip(0.5 + smooth / smooth.std() / 6, 0, 1)


def test_equal_seeds_give_equal_features_and_other_seeds_others() -> None:
    slices = textures(0, 1)
    np.testing.assert_array_equal(RandomBank(0)(slices), RandomBank(0)(slices))
    assert not np.array_equal(RandomBank(0)(slices), RandomBank(1)(slices))
    assert RandomBank(0).name != RandomBank(1).name


def test_features_do_not_depend_on_the_batch() -> None:
    slices = textures(0, 1)
    np.testing.assert_allclose(RandomBank(0)(slices)[5:9], RandomBank(0)(slices[5:9]), rtol=1e-4, atol=1e-6)


def test_distance_orders_textures_by_likeness() -> None:
    bank = RandomBank(0)
    reference = bank(textures(0, 1.0))
    same, near, far = (frechet_distance(reference, bank(textures(1, sigma))) for sigma in (1.0, 1.5, 3.0))
    assert same < near < far


def test_a_volume_has_features_for_each_window_and_plane() -> None:
    volume = CTVolume(
        np.random.default_rng(0).integers(-1000, 1000, (12, 16, 20)).astype(np.int16),
        axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0)),
    )
    protocol = make_protocol("paper", clip_hu=(-1024.0, 1024.0), num_slices=5)
    parts = volume_features(volume, protocol, RandomBank(0), ("lung", "bone"))
    assert list(parts) == [f"{window}/{plane}" for window in ("lung", "bone") for plane in PLANES]
    assert all(part.shape[0] == 5 for part in parts.values())
    line = estimate_cost(volume, protocol, RandomBank(0), num_windowed=14)
    assert "14 volumes in a window x 15 slices = 210 slices" in line


def test_tiles_see_where_and_whole_slices_do_not() -> None:
    """Under a name of their own, so that banks of both are never compared."""
    slices = textures(3, 1.0)
    slices[:, : slices.shape[1] // 2] *= 0.3
    flipped = slices[:, ::-1].copy()
    whole, tiles = RandomBank(0), RandomBank(0, tiles=3)
    assert tiles.name == "weight_free_3x3(seed=0)" != whole.name
    assert tiles(slices).shape[1] == 9 * whole(slices).shape[1]
    apart = {
        bank.name: np.abs(bank(slices) - bank(flipped)).mean() / np.abs(bank(slices)).mean() for bank in (whole, tiles)
    }
    assert apart[tiles.name] > 3 * apart[whole.name]
    assert np.isfinite(tiles(slices[:, :12, :9])).all()  # tiles of a pixel


def test_mean_and_deviation_are_torch_s_and_tiles_share_the_filters_of_whole_slices() -> None:
    slices = textures(3, 1.0).astype(np.float32)
    whole, tiles = RandomBank(0), RandomBank(0, tiles=3)
    maps = whole.filter(torch.from_numpy(slices))
    expected = torch.cat([part for one in maps for part in (one.mean(dim=(2, 3)), one.std(dim=(2, 3)))], dim=1)
    np.testing.assert_allclose(whole.summarise(maps), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(tiles.summarise(maps), tiles(slices))
