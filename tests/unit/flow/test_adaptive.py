"""The adaptive solver stays inside the interval, meets its tolerance and says when it cannot."""

import pytest
import torch

from medsyn2.errors import ConfigError
from medsyn2.flow.adaptive import ATOL, RTOL, adaptive_dopri5
from medsyn2.flow.sampling import Sampling
from medsyn2.flow.solvers import solve

STD = torch.tensor([0.1, 0.5, 1.0, 2.0], dtype=torch.float64)


class Centred:
    """Gaussian clean latents of mean zero; the flow takes noise to STD times it. Keeps the times it is asked for."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, z, t):
        self.times.append(t)
        return (1 - t) * STD**2 / (((1 - t) * STD) ** 2 + t**2) * z


def noise():
    return torch.randn(64, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def integrated(flow, *, t_end=1e-3, num_steps=10, **tolerances):
    states = adaptive_dopri5(flow, noise(), num_steps=num_steps, t_start=1.0, t_end=t_end, **tolerances)
    ((t, clean),) = states
    assert t == t_end
    return clean


@pytest.mark.parametrize("num_steps", [1, 2, 10, 1000])
@pytest.mark.parametrize("t_end", [0.3, 0.05, 1e-3, 1e-5])
def test_no_evaluation_outside_the_interval_and_the_last_at_its_end(t_end, num_steps):
    flow = Centred()
    integrated(flow, t_end=t_end, num_steps=num_steps)
    assert max(flow.times) == flow.times[0] == 1.0
    assert min(flow.times) == flow.times[-1] == t_end


def test_plain_torchdiffeq_leaves_the_interval():
    """The reason for this module; when this fails, torchdiffeq has changed."""
    import torchdiffeq

    flow = Centred()
    times = torch.tensor([1.0, 1e-3], dtype=torch.float64)
    torchdiffeq.odeint(lambda t, z: (z - flow(z, t.item())) / t, noise(), times, method="dopri5", rtol=RTOL, atol=ATOL)
    assert min(flow.times) < 0


def test_the_error_follows_the_tolerance():
    exact = STD * noise()
    errors = [(integrated(Centred(), t_end=1e-5, rtol=r, atol=r) - exact).abs().max() for r in (1e-3, 1e-5, 1e-8)]
    assert errors[0] < 2e-2
    assert errors[1] < 0.1 * errors[0]
    assert errors[2] < 1e-6


def test_it_takes_few_evaluations_and_fewer_for_less():
    strict, loose = Centred(), Centred()
    integrated(strict, rtol=1e-8, atol=1e-8)
    integrated(loose)
    assert len(loose.times) < 100 < len(strict.times)


def test_the_first_step_decides_little():
    torch.testing.assert_close(
        integrated(Centred(), num_steps=3), integrated(Centred(), num_steps=300), atol=2e-2, rtol=0.0
    )


@pytest.mark.parametrize("from_evaluation", [0, 20])
def test_nan_is_reported_and_not_looped_on(from_evaluation):
    flow = Centred()

    def broken(z, t):
        clean = flow(z, t)
        return clean if len(flow.times) <= from_evaluation else clean * torch.nan

    with pytest.raises(ConfigError, match="NaN"):
        integrated(broken)


def test_float32_in_inference_mode_is_repeatable():
    def predict(z, t):
        return 0.5 * z.bfloat16() * t[:, None].bfloat16()

    with torch.inference_mode():
        first, second = (solve(predict, noise().float(), Sampling("dopri5_adaptive", 5, 1e-3)) for _ in range(2))
    assert first.dtype == torch.float32
    assert torch.equal(first, second)
