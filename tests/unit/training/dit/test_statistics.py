import numpy as np
import pytest

from medsyn2.errors import WeightsError
from medsyn2.facts import ChannelSums
from medsyn2.training.dit.statistics import channel_statistics


def sums_of(values: np.ndarray) -> ChannelSums:
    flat = values.reshape(len(values), -1)
    return ChannelSums(
        flat.shape[1], tuple(flat.sum(axis=1).tolist()), tuple(np.square(flat).sum(axis=1).tolist())
    )


def test_sums_of_cases_give_numpy_s_statistics_of_all() -> None:
    draw = np.random.default_rng(0)
    cases = [draw.normal([[3.0], [-40.0]], [[0.5], [7.0]], (2, n)) for n in (100, 37, 512)]
    found = channel_statistics([sums_of(case) for case in cases], subject="image")
    together = np.concatenate(cases, axis=1)
    assert found is not None
    np.testing.assert_allclose(found.mean, together.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found.std, together.std(axis=1), rtol=1e-9)


def test_normalised_latents_have_mean_zero_and_standard_deviation_one() -> None:
    values = np.random.default_rng(1).normal(5.0, 3.0, (4, 1000))
    found = channel_statistics([sums_of(values)], subject="image")
    assert found is not None
    normal = (values - np.array(found.mean)[:, None]) / np.array(found.std)[:, None]
    np.testing.assert_allclose(normal.mean(axis=1), 0, atol=1e-9)
    np.testing.assert_allclose(normal.std(axis=1), 1, rtol=1e-9)


def test_cases_without_latents_do_not_count() -> None:
    empty = ChannelSums(0, (), ())
    values = sums_of(np.random.default_rng(2).normal(size=(2, 50)))
    assert channel_statistics([empty, values, empty], subject="mask") == channel_statistics(
        [values], subject="mask"
    )
    assert channel_statistics([empty], subject="mask") is None
    assert channel_statistics([], subject="mask") is None


def test_a_constant_channel_is_refused() -> None:
    with pytest.raises(WeightsError, match="latents-constant"):
        channel_statistics([sums_of(np.ones((2, 10)))], subject="image")
