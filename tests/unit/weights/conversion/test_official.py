import numpy as np
import pytest

from medsyn2.errors import WeightsError
from medsyn2.vocabulary import STRUCTURES
from medsyn2.weights.conversion.official import (
    MASK_STATISTICS,
    PROMPT_FILES,
    find_official,
    half,
    pool_mask_statistics,
    read_prompt,
)


def test_every_structure_has_its_statistics_and_its_prompt():
    assert set(MASK_STATISTICS) == set(STRUCTURES)
    assert set(PROMPT_FILES) == {None, *STRUCTURES}
    assert len(set(PROMPT_FILES.values())) == 10
    for mean, std in MASK_STATISTICS.values():
        assert len(mean) == len(std) == 4
        assert min(std) > 0


def test_half_precision_is_numpy_s():
    assert half((0.8824114, -7.0781837)) == (0.88232421875, -7.078125)


def test_pooled_statistics_are_those_of_all_masks_together():
    generator = np.random.default_rng(0)
    kinds = [MASK_STATISTICS[name] for name in STRUCTURES if name != "consolidation"]
    drawn = np.concatenate([generator.normal(mean, std, (200_000, 4)) for mean, std in kinds])
    mean, std = pool_mask_statistics()
    np.testing.assert_allclose(mean, drawn.mean(axis=0), atol=0.01)
    np.testing.assert_allclose(std, drawn.std(axis=0), atol=0.01)


def test_parts_may_lie_elsewhere(tmp_path):
    places = {name: tmp_path / name for name in ("release", "lm", "prompts")}
    (places["release"] / "final_ckpt").mkdir(parents=True)
    for place in ("lm", "prompts"):
        places[place].mkdir()
    (places["release"] / "final_ckpt" / "model.safetensors").touch()
    (places["release"] / "vae.ckpt").touch()
    (places["lm"] / "pytorch_model.bin").touch()
    (places["lm"] / "optimizer.bin").touch()
    for name in PROMPT_FILES.values():
        (places["prompts"] / name).touch()
    found = find_official(places["release"], language_model=places["lm"], prompts=places["prompts"])
    assert found.network == places["release"] / "final_ckpt" / "model.safetensors"
    assert found.language_model == places["lm"] / "pytorch_model.bin"
    with pytest.raises(WeightsError, match=r"11 files are missing: .*pretrained_lm.*empty_msk\.npy"):
        find_official(places["release"])


def test_a_prompt_is_32_finite_tokens_of_the_right_width(tmp_path):
    path = tmp_path / "p.npy"
    values = np.random.default_rng(0).normal(size=(1, 32, 6)).astype(np.float16)
    np.save(path, values)
    np.testing.assert_array_equal(read_prompt(path, 6).numpy(), values[0].astype(np.float32))
    np.save(path, values[0])
    assert read_prompt(path, 6).shape == (32, 6)
    for wrong in (values[:, :16], values[..., :5], np.full((1, 32, 6), np.nan), np.zeros((1, 32, 6), int)):
        np.save(path, wrong)
        with pytest.raises(WeightsError, match="official-prompt"):
            read_prompt(path, 6)
    path.write_bytes(b"no array")
    with pytest.raises(WeightsError, match="weights-unreadable"):
        read_prompt(path, 6)
