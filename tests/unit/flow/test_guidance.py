"""Guidance: a wrapper of predictions."""

import pytest
import torch

from medsyn2.flow.guidance import guide
from medsyn2.flow.path import along

Z, T = torch.randn(2, 4, 2, 2, 2, generator=torch.Generator().manual_seed(0)), torch.tensor([0.5, 0.9])


class Counted:
    """A prediction that counts its evaluations."""

    def __init__(self, factor: float) -> None:
        self.factor, self.calls = factor, 0

    def __call__(self, latents, t):
        self.calls += 1
        return self.factor * latents + t.view(-1, 1, 1, 1, 1)


@pytest.fixture
def predictions():
    return Counted(0.3), Counted(-0.7), Counted(1.1)


def test_scales_of_one_are_the_conditional_prediction_itself(predictions):
    assert guide(*predictions, report_scale=1.0, mask_scale=1.0) is predictions[0]


def test_scales_of_zero_ignore_the_conditions(predictions):
    assert guide(*predictions, report_scale=0.0, mask_scale=0.0) is predictions[2]


def test_two_scales_take_three_evaluations(predictions):
    both, mask_only, neither = predictions
    guided = guide(*predictions, report_scale=2.5, mask_scale=1.5)(Z, T)
    assert [p.calls for p in predictions] == [1, 1, 1]
    nothing, mask, full = neither(Z, T), mask_only(Z, T), both(Z, T)
    torch.testing.assert_close(guided, nothing + 1.5 * (mask - nothing) + 2.5 * (full - mask))


def test_equal_scales_are_the_single_scale_form_with_two_evaluations(predictions):
    both, mask_only, neither = predictions
    guided = guide(*predictions, report_scale=3.0, mask_scale=3.0)(Z, T)
    assert [p.calls for p in predictions] == [1, 0, 1]
    torch.testing.assert_close(guided, neither(Z, T) + 3.0 * (both(Z, T) - neither(Z, T)))
    assert mask_only.calls == 0


def test_without_a_report_only_the_masks_scale_counts(predictions):
    mask_only, _, neither = predictions
    guided = guide(mask_only, mask_only, neither, report_scale=7.0, mask_scale=1.5)(Z, T)
    assert [mask_only.calls, neither.calls] == [1, 1]
    torch.testing.assert_close(guided, neither(Z, T) + 1.5 * (mask_only(Z, T) - neither(Z, T)))
    assert guide(mask_only, mask_only, neither, report_scale=7.0, mask_scale=1.0) is mask_only


def test_without_a_mask_only_the_reports_scale_counts(predictions):
    report_only, _, neither = predictions
    guided = guide(report_only, neither, neither, report_scale=2.5, mask_scale=9.0)(Z, T)
    torch.testing.assert_close(guided, neither(Z, T) + 2.5 * (report_only(Z, T) - neither(Z, T)))
    assert guide(report_only, neither, neither, report_scale=1.0, mask_scale=9.0) is report_only


def test_guiding_clean_latents_is_guiding_velocities(predictions):
    guided = guide(*predictions, report_scale=2.5, mask_scale=1.5)(Z, T)
    full, mask, nothing = ((Z - predict(Z, T)) / along(T, Z) for predict in predictions)
    velocity = (Z - guided) / along(T, Z)
    torch.testing.assert_close(velocity, nothing + 1.5 * (mask - nothing) + 2.5 * (full - mask))
