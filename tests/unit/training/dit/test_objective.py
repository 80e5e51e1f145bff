"""The objective, and that a network trained by it obeys its conditions."""

import pytest
import torch

from medsyn2.config import FlowConfig
from medsyn2.flow.path import interpolate, velocity_loss
from medsyn2.flow.sampling import Sampling
from medsyn2.flow.solvers import edit, solve
from medsyn2.flow.timesteps import draw_times
from medsyn2.nn.transformer.conditioning import Conditioning
from medsyn2.nn.transformer.dit import DiT
from medsyn2.training.dit.objective import DiTBatch, DiTObjective, sum_by_time

GRID = (4, 8, 8)
PLACES = torch.cartesian_prod(*(torch.arange(size) for size in GRID))
HELD_OUT = PLACES.sum(1) % 5 == 0
PROMPT, BRIGHT, DARK, PADDING = torch.eye(4, 8)
SAMPLING = Sampling("unipc", 8)


def ball_batch(places, bright, has_mask, has_report) -> DiTBatch:
    """Balls at `places`, bright or dark. The mask says where, the report whether bright or dark."""
    n = len(places)
    grid = torch.stack(torch.meshgrid(*(torch.arange(size) for size in GRID), indexing="ij"), dim=-1)
    distance = (grid - places[:, None, None, None]).square().sum(-1)
    ball = 3.0 * torch.exp(-distance / 2.0)[:, None]
    sign = torch.where(bright, 1.0, -1.0).view(-1, 1, 1, 1, 1)
    mask_latents = torch.where(has_mask.view(-1, 1, 1, 1, 1), ball, 0.0)
    word = torch.where(bright[:, None], BRIGHT, DARK)
    text = torch.stack((PROMPT.expand(n, -1), 9.0 * PADDING.expand(n, -1), word), dim=1)
    text_mask = torch.stack((torch.ones(n), torch.zeros(n), has_report), dim=1).bool()
    return DiTBatch(sign * ball, Conditioning(mask_latents, text, text_mask))


def train_small_dit(num_steps: int, report_share: float) -> DiT:
    """A tiny network that has seen balls at the places that are not held out, most with a mask."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    dit = DiT(latent_channels=1, text_width=8, width=48, depth=2, num_heads=4, patch=(1, 2, 2), qk_norm=True)
    objective = DiTObjective(FlowConfig())
    optimizer = torch.optim.AdamW(dit.parameters(), lr=2e-3)
    places = PLACES[~HELD_OUT]
    for _ in range(num_steps):
        chosen = places[torch.randint(len(places), (16,), generator=generator)]
        shares = torch.tensor([[0.5], [0.8], [report_share]])
        bright, has_mask, has_report = torch.rand(3, 16, generator=generator) < shares
        losses = objective(dit, ball_batch(chosen, bright, has_mask, has_report), generator)
        optimizer.zero_grad()
        losses.loss.backward()
        torch.nn.utils.clip_grad_norm_(dit.parameters(), 1.0)
        optimizer.step()
    return dit


def held_out_batch(*, has_mask: bool, has_report: bool) -> DiTBatch:
    places = PLACES[HELD_OUT][:48:2]
    flags = (torch.full((24,), flag) for flag in (has_mask, has_report))
    return ball_batch(places, torch.arange(24) % 2 == 0, *flags)


def noise(seed: int = 1):
    return torch.randn(24, 1, *GRID, generator=torch.Generator().manual_seed(seed))


def correlations(samples, clean):
    return torch.stack(
        [torch.corrcoef(torch.stack(pair))[0, 1] for pair in zip(samples.flatten(1), clean.flatten(1), strict=True)]
    )


def test_a_held_out_mask_says_where_and_the_report_what():
    dit = train_small_dit(200, report_share=1.0)
    batch = held_out_batch(has_mask=True, has_report=True)
    samples = solve(batch.conditioning.bind(dit), noise(), SAMPLING)
    assert correlations(samples, batch.clean_latents).min() > 0.8

    report_only = held_out_batch(has_mask=False, has_report=True)
    samples = solve(report_only.conditioning.bind(dit), noise(), SAMPLING)
    peaks = samples.flatten(1).gather(1, samples.flatten(1).abs().argmax(1, keepdim=True))
    asked = report_only.clean_latents.flatten(1).sum(1, keepdim=True).sign()
    assert (peaks.sign() == asked).float().mean() > 0.75


@pytest.mark.slow
def test_all_four_modes_and_editing_after_longer_training():
    dit = train_small_dit(600, report_share=0.8)
    both = held_out_batch(has_mask=True, has_report=True)
    samples = solve(both.conditioning.bind(dit), noise(), SAMPLING)
    assert correlations(samples, both.clean_latents).min() > 0.95

    mask_only = held_out_batch(has_mask=True, has_report=False)
    samples = solve(mask_only.conditioning.bind(dit), noise(), SAMPLING)
    following = correlations(samples, mask_only.clean_latents)
    # Without a report bright and dark are as likely; few steps may leave a path between the two undecided.
    assert following.abs().sort().values[1] > 0.9
    assert following.min() < 0 < following.max()

    neither = held_out_batch(has_mask=False, has_report=False)
    free = solve(neither.conditioning.bind(dit), noise(), SAMPLING)
    assert len(free.flatten(1).abs().argmax(1).unique()) > 8
    assert 3 <= (free.flatten(1).sum(1) > 0).sum() <= 21

    edited = edit(both.conditioning.bind(dit), free, noise(), SAMPLING, strength=0.95)
    assert correlations(edited, both.clean_latents).mean() > 0.8


def test_the_loss_is_that_of_its_parts():
    batch = held_out_batch(has_mask=True, has_report=True)
    dit = train_small_dit(2, report_share=1.0)
    flow = FlowConfig(t_distribution="logit_normal", t_logit_mean=0.2, t_logit_std=0.5, t_clamp=0.1)
    losses = DiTObjective(flow)(dit, batch, torch.Generator().manual_seed(3))

    generator = torch.Generator().manual_seed(3)
    t = draw_times(24, "logit_normal", 0.2, 0.5, generator)
    z = interpolate(batch.clean_latents, torch.randn(24, 1, *GRID, generator=generator), t)
    expected = velocity_loss(batch.conditioning.bind(dit)(z, t), batch.clean_latents, t, 0.1)
    torch.testing.assert_close(losses.loss, expected.mean())
    torch.testing.assert_close(losses.bin_sums.sum(), expected.sum())
    assert losses.bin_counts.sum() == 24
    assert losses.loss.requires_grad
    assert not losses.bin_sums.requires_grad


def test_draws_depend_on_the_generator_alone():
    batch = held_out_batch(has_mask=True, has_report=True)
    dit, objective = train_small_dit(2, report_share=1.0), DiTObjective(FlowConfig())
    first, second, other = (objective(dit, batch, torch.Generator().manual_seed(seed)).loss for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)


def test_losses_are_summed_in_the_tenth_of_their_time():
    sums, counts = sum_by_time(torch.tensor([1.0, 2.0, 4.0, 8.0]), torch.tensor([0.0, 0.05, 0.95, 1.0]))
    assert sums.tolist() == [3.0, *[0.0] * 8, 12.0]
    assert counts.tolist() == [2.0, *[0.0] * 8, 2.0]


def test_the_first_loss_for_unit_variance_is_the_mean_weight():
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(256, 4, 4, 4, 4, generator=generator)
    dit = DiT(latent_channels=4, text_width=8, width=12, depth=1, num_heads=2, patch=(4, 4, 4))
    batch = DiTBatch(latents, Conditioning(torch.zeros_like(latents), torch.ones(256, 1, 8)))
    flow = FlowConfig(t_distribution="logit_normal", t_logit_mean=0.8, t_logit_std=0.8)
    assert DiTObjective(flow)(dit, batch, generator).loss.item() == pytest.approx(2.96, rel=0.15)
