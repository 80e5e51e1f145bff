import logging

import pytest
import torch
from torch import nn

from medsyn2.config import TrainTokenizerConfig
from medsyn2.nn.autoencoder.tokenizer import CausalVideoVAE, Posterior
from medsyn2.nn.perceptual import Perceptual
from medsyn2.training.tokenizer.objective import (
    DISCRIMINATOR,
    TOKENIZER,
    TokenizerObjective,
    make_discriminator,
    tokenizer_learners,
)


@pytest.fixture
def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    tokenizer = CausalVideoVAE(8, num_res_blocks=1, norm_groups=4)
    return {TOKENIZER: tokenizer, DISCRIMINATOR: make_discriminator()}


@pytest.fixture
def batch() -> torch.Tensor:
    return torch.rand(2, 1, 8, 16, 16, generator=torch.Generator().manual_seed(1)) * 2 - 1


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def test_loss_is_l1_and_weighted_kl(networks, batch):
    loss = TokenizerObjective(0.25, 0.5, None).generator_loss(networks, batch, noise(), 0)
    reconstruction, moments = networks[TOKENIZER](batch, noise())
    l1 = (reconstruction - batch).abs().mean()
    mean, logvar = moments.chunk(2, dim=1)
    kl = torch.distributions.kl_divergence(
        torch.distributions.Normal(mean, (0.5 * logvar).exp()), torch.distributions.Normal(0.0, 1.0)
    ).mean()
    torch.testing.assert_close(loss.total, l1 + 0.25 * kl)
    torch.testing.assert_close(loss.sums, torch.stack([l1, kl]).detach())


def test_means_weigh_as_upstreams_sums_do():
    """Sums over slices and volume with 1e-6, against means with 5e-7, at 96 slices."""
    x, y = torch.rand(2, 3, 96, 16, 16).unbind(0)
    posterior = Posterior(torch.randn(1, 4, 24, 2, 2), torch.randn(1, 4, 24, 2, 2))
    upstream = (x - y).abs().sum() / 96, 1e-6 * posterior.kl().sum()
    ours = (x - y).abs().mean(), 5e-7 * posterior.kl().mean()
    torch.testing.assert_close(upstream[1] / upstream[0], ours[1] / ours[0])


def test_before_its_start_the_discriminator_has_no_say(networks, batch):
    plain = TokenizerObjective(1e-6, 0.5, None).generator_loss(networks, batch, noise(), 3)
    early = TokenizerObjective(1e-6, 0.5, 4).generator_loss(networks, batch, noise(), 3)
    assert torch.equal(plain.total, early.total)
    assert early.sums[2:].tolist() == [0.0, 0.0]


def test_adversarial_gradient_is_scaled_to_the_reconstructions(networks, batch):
    loss = TokenizerObjective(0.0, 0.5, 4).generator_loss(networks, batch, noise(), 4)
    l1, _, adversarial, weight = loss.sums
    torch.testing.assert_close(loss.total.detach(), l1 + weight * adversarial)
    tokenizer = networks[TOKENIZER]
    reconstruction, _ = tokenizer(batch, noise())
    last = tokenizer.decoder.conv_out.conv.weight
    wanted, found = (
        torch.autograd.grad(value, last, retain_graph=True)[0].norm()
        for value in ((reconstruction - batch).abs().mean(), -networks[DISCRIMINATOR](reconstruction)[-1].mean())
    )
    torch.testing.assert_close(weight, 0.5 * wanted / (found + 1e-4), rtol=1e-3, atol=0)


def test_each_network_gets_gradients_from_its_own_loss_alone(networks, batch):
    objective = TokenizerObjective(1e-6, 0.5, 0)
    objective.generator_loss(networks, batch, noise(), 0).total.backward()
    assert all(p.grad is None and p.requires_grad for p in networks[DISCRIMINATOR].parameters())
    assert all(p.grad is not None for p in networks[TOKENIZER].parameters())
    networks[TOKENIZER].zero_grad()
    objective.discriminator_loss(networks, batch, noise(), 0).total.backward()
    assert all(p.grad is None for p in networks[TOKENIZER].parameters())
    assert all(p.grad is not None for p in networks[DISCRIMINATOR].parameters())


def test_hinge_loss_by_hand(batch):
    """A discriminator that judges by the mean: 0.4 for the real crop, -0.2 for the false one."""

    class Mean(nn.Module):
        def forward(self, x):
            return [x.mean().view(1, 1)]

    class Constant(nn.Module):
        def forward(self, ct, generator):
            return torch.full_like(ct, -0.2), None

    real = torch.full((1, 1, 4, 8, 8), 0.4)
    networks = {TOKENIZER: Constant(), DISCRIMINATOR: Mean()}
    loss = TokenizerObjective(0.0, 0.5, 0).discriminator_loss(networks, real, noise(), 0)
    assert loss.total.item() == pytest.approx(0.5 * ((1 - 0.4) + (1 - 0.2)))
    torch.testing.assert_close(loss.sums, torch.tensor([0.4, -0.2]))


def test_learners_follow_the_settings(networks, caplog):
    tokenizer = networks[TOKENIZER]
    with caplog.at_level(logging.INFO):
        alone = tokenizer_learners(tokenizer, TrainTokenizerConfig(gan_start=None))
    assert list(alone) == [TOKENIZER]
    assert alone[TOKENIZER].parts == ("l1", "kl")
    assert "without the paper's perceptual loss" in caplog.text
    assert "without an adversarial loss" in caplog.text
    both = tokenizer_learners(tokenizer, TrainTokenizerConfig(gan_start=7, learning_rate=2e-4))
    assert list(both) == [TOKENIZER, DISCRIMINATOR]
    assert both[DISCRIMINATOR].first_step == 7
    assert both[DISCRIMINATOR].optimizer.learning_rate == 2e-4


def perceptual() -> Perceptual:
    torch.manual_seed(3)
    made = Perceptual((2, 3, 4, 5, 6))
    for name, tensor in made.state_dict().items():
        tensor.copy_(torch.rand_like(tensor) if name.startswith("lin") else 0.5 * torch.randn_like(tensor))
    return made


def test_perceptual_loss_is_part_of_the_reconstruction(networks, batch):
    objective = TokenizerObjective(0.25, 0.5, 0, perceptual(), 0.3)
    assert objective.generator_parts == ("l1", "kl", "perceptual", "adversarial", "adversarial_weight")
    loss = objective.generator_loss(networks, batch, noise(), 0)
    reconstruction, _ = networks[TOKENIZER](batch, noise())
    distance = perceptual()(reconstruction, batch)
    l1, kl, logged, adversarial, weight = loss.sums
    torch.testing.assert_close(logged, distance.detach())
    torch.testing.assert_close(loss.total.detach(), l1 + 0.25 * kl + 0.3 * logged + weight * adversarial)
    last = networks[TOKENIZER].decoder.conv_out.conv.weight
    error = (reconstruction - batch).abs().mean() + 0.3 * distance
    wanted, found = (
        torch.autograd.grad(value, last, retain_graph=True)[0].norm()
        for value in (error, -networks[DISCRIMINATOR](reconstruction)[-1].mean())
    )
    torch.testing.assert_close(weight, 0.5 * wanted / (found + 1e-4), rtol=1e-3, atol=0)


def test_perceptual_gradient_reaches_the_tokenizer_alone(networks, batch):
    network = perceptual()
    plain = TokenizerObjective(0.0, 0.5, None).generator_loss(networks, batch, noise(), 0)
    both = TokenizerObjective(0.0, 0.5, None, network).generator_loss(networks, batch, noise(), 0)
    (both.total - plain.total).backward()
    assert networks[TOKENIZER].decoder.conv_out.conv.weight.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in network.parameters())


def test_has_upstreams_size_at_three_channels():
    assert sum(p.numel() for p in make_discriminator(3).parameters()) == 4_665_729


def test_judges_patches_of_4_by_8_by_8_voxels():
    with torch.device("meta"):
        judgements = make_discriminator()(torch.empty(1, 1, 96, 96, 96))[-1]
    assert judgements.shape == (1, 1, 24, 12, 12)
