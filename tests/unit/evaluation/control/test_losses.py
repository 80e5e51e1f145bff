"""Losses of a tiny model against the formula, and what decides them."""

import numpy as np
import pytest
import torch

from medsyn2.ct.volume import CTVolume
from medsyn2.evaluation.control.losses import combinations, encode_volume, flow_losses, reconstruct_volume
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline, Recipe

REPORT = "A nodule of 5 mm in the right upper lobe."


@pytest.fixture(scope="module")
def pipeline(tiny_model):
    return MedSyn2Pipeline.from_pretrained(tiny_model)


@pytest.fixture(scope="module")
def clean(pipeline):
    hu = np.random.default_rng(0).integers(-1000, 1000, pipeline.grid.shape).astype(np.int16)
    return encode_volume(pipeline, CTVolume(hu, pipeline.grid.affine_mm))


def test_the_loss_is_the_velocity_s_square_error(pipeline, clean):
    recipe = Recipe(REPORT, None, None, 7, Sampling())
    [found] = flow_losses(pipeline, clean, recipe, [0.5], 0.05)
    noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(7))
    noisy = 0.5 * clean + 0.5 * noise
    predicted = pipeline.predict_clean(recipe)[0](noisy, torch.tensor([0.5]))
    velocity = (noisy - predicted) / 0.5
    assert found == pytest.approx(float((velocity - (noise - clean)).square().mean()), rel=1e-4)


def test_the_same_seed_gives_the_same_loss_and_conditions_change_it(pipeline, clean, tiny_mask):
    recipes = list(combinations(REPORT, tiny_mask, "heart", 3))
    assert [recipe.mode for recipe in recipes] == ["neither", "mask", "report", "both"]
    first, again = ([flow_losses(pipeline, clean, one, [0.9], 0.05) for one in recipes] for _ in range(2))
    assert first == again
    assert len({losses[0] for losses in first}) == 4


def test_what_is_not_given_is_not_combined(tiny_mask):
    assert [recipe.mode for recipe in combinations(None, None, None, 0)] == ["neither"]
    assert [recipe.mode for recipe in combinations(None, tiny_mask, "heart", 0)] == ["neither", "mask"]


def test_a_reconstruction_is_the_tokenizer_s_round_trip(pipeline, clean):
    described = pipeline.description
    assert clean.shape == (1, *described.latents.shape)
    assert clean.abs().max() > 0
    hu = np.full(pipeline.grid.shape, 40, np.int16)
    volume = CTVolume(hu, pipeline.grid.affine_mm)
    after = reconstruct_volume(pipeline, volume)
    with torch.inference_mode():
        unit = torch.full((1, 1, *hu.shape), 40 / 1024)
        expected = pipeline.tokenizer.decode(pipeline.tokenizer.encode(unit).mode())[0, 0]
    np.testing.assert_allclose(after.hu, (expected * 1024).clamp(-1024, 1024).numpy(), atol=1.0)
    np.testing.assert_array_equal(after.affine_mm, volume.affine_mm)
