"""A U-Net learns what is easy to see, in the steps it was given, and the same again."""

import numpy as np
import pytest
import torch

from medsyn2.config import EvaluateAugmentationConfig
from medsyn2.errors import NonFiniteLossError
from medsyn2.evaluation.augmentation.slice_segmenter import (
    UNet2d,
    _order,
    images_of,
    probabilities,
    segmentation_loss,
    train_segmenter,
)
from medsyn2.evaluation.augmentation.slices import LabelledSlice
from medsyn2.evaluation.similarity.overlap import dice


def training(num_steps: int, batch_size: int = 4, learning_rate: float = 1e-2) -> EvaluateAugmentationConfig:
    return EvaluateAugmentationConfig(
        num_steps=num_steps, batch_size=batch_size, learning_rate=learning_rate, channels=4, num_levels=2
    )


HOW = training(80)


def slices(num: int, seed: int, size: int = 32) -> list[LabelledSlice]:
    """Bright discs anywhere on a dark, noisy ground."""
    rng = np.random.default_rng(seed)
    made = []
    for index in range(num):
        row, column = rng.uniform(8, size - 8, 2)
        rows, columns = np.indices((size, size))
        inside = (rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(4, 7) ** 2
        hu = np.where(inside, 0, -850) + rng.normal(0, 60, (size, size))
        made.append(LabelledSlice(f"{index}", f"{index}", hu.astype(np.int16), inside, (1.0, 1.0)))
    return made


def test_what_is_bright_is_learnt_and_found_on_other_slices() -> None:
    test = slices(6, 1)
    found = probabilities(train_segmenter(slices(8, 0), HOW, seed=0), test)
    agreement = [dice(map_ >= 0.5, one.mask) for map_, one in zip(found, test, strict=True)]
    assert min(agreement) > 0.9


def test_seed_and_slices_decide_the_network() -> None:
    few = training(3)
    given = slices(5, 0)
    first, again, other = (train_segmenter(given, few, seed=seed).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_the_same_seed_starts_from_the_same_network_whatever_the_slices() -> None:
    none = training(1).model_copy(update={"num_steps": 0})
    first, second = (train_segmenter(slices(5, seed), none, seed=0).state_dict() for seed in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_global_generator_is_left_alone() -> None:
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    train_segmenter(slices(2, 0), training(1, 2), seed=9)
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("num", [1, 3, 10])
def test_every_slice_comes_once_before_any_comes_again(num: int) -> None:
    order = _order(num, 4, torch.Generator().manual_seed(0))
    seen = torch.cat([next(order) for _ in range(5)])
    for start in range(0, len(seen) - num + 1, num):
        assert sorted(seen[start : start + num].tolist()) == list(range(num))


def test_the_loss_of_a_sure_right_answer_is_none_and_of_a_wrong_one_much() -> None:
    masks = torch.zeros(2, 1, 8, 8)
    masks[0, :, 2:5, 2:5] = 1
    sure = 40 * (2 * masks - 1)
    assert segmentation_loss(sure, masks) == pytest.approx(0, abs=1e-5)
    assert segmentation_loss(-sure, masks) > 10


def test_the_input_is_the_lung_window() -> None:
    hu = np.array([[-1350, -600], [150, 3000]], np.int16)
    one = LabelledSlice("a", "a", hu, hu > 0, (1.0, 1.0))
    torch.testing.assert_close(images_of([one])[0, 0], torch.tensor([[-1.0, 0.0], [1.0, 1.0]]))


def test_a_training_that_diverges_says_so() -> None:
    with pytest.raises(NonFiniteLossError, match="step"):
        train_segmenter(slices(2, 0), training(20, 2, 1e30), seed=0)


@pytest.mark.parametrize(("channels", "num_levels"), [(4, 1), (4, 3), (8, 4)])
def test_logits_have_the_slice_s_size_and_all_weights_learn(channels: int, num_levels: int) -> None:
    network = UNet2d(channels, num_levels)
    logits = network(torch.randn(2, 1, 24, 32))
    assert logits.shape == (2, 1, 24, 32)
    logits.square().mean().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in network.parameters())


def test_the_original_s_number_of_weights() -> None:
    """The U-Net of five levels and 64 channels has 31.0 million weights; ours has norms in place of biases."""
    assert sum(parameter.numel() for parameter in UNet2d(64, 5).parameters()) == pytest.approx(31.03e6, rel=1e-3)


def test_slices_of_a_batch_are_alone() -> None:
    network = UNet2d(4, 3).eval()
    batch = torch.randn(3, 1, 16, 16)
    torch.testing.assert_close(network(batch)[1:2], network(batch[1:2]))
