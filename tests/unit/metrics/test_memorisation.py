"""Planted copies are found, honest samples are not accused, and patients are no neighbours of themselves."""

import numpy as np
import pytest

from medsyn2.metrics.memorisation import Points, correlation, memorisation, thumbnail

WIDTH = 12


def cohort(seed: int, num: int, name: str, shift: float = 0.0) -> Points:
    features = np.random.default_rng(seed).normal(size=(num, WIDTH)) + shift
    return Points(features, tuple(f"{name}{i}" for i in range(num)))


TRAIN, HELD_OUT = cohort(0, 200, "t"), cohort(1, 100, "h")


def test_planted_copies_are_found_and_are_of_the_right_volumes() -> None:
    honest = cohort(2, 40, "s").features
    copies = TRAIN.features[[7, 99, 123]] + np.random.default_rng(3).normal(size=(3, WIDTH)) * 0.05
    found = memorisation(TRAIN, HELD_OUT, Points(np.concatenate([honest, copies]), tuple("x" * 43)))
    assert found.suspect[-3:].all()
    assert found.suspect[:-3].sum() <= 2
    assert found.synthetic.index[-3:].tolist() == [7, 99, 123]
    assert found.synthetic.ratio[-3:].max() < 0.2


def test_honest_samples_look_like_held_out_ones() -> None:
    found = [memorisation(TRAIN, HELD_OUT, cohort(seed, 100, "s")) for seed in range(10, 20)]
    assert abs(np.mean([one.copying_z for one in found])) < 1.0
    assert np.mean([one.suspect.mean() for one in found]) < 0.04
    for one in found:
        assert one.authenticity == pytest.approx(one.held_out_authenticity, abs=20)


def test_a_generator_that_copies_everything_is_seen_by_every_number() -> None:
    noise = np.random.default_rng(4).normal(size=TRAIN.features.shape) * 0.02
    found = memorisation(TRAIN, HELD_OUT, Points(TRAIN.features + noise, TRAIN.patients))
    assert found.copying_z < -10
    assert found.authenticity == 0
    assert found.suspect.all()


def test_two_scans_of_one_patient_are_not_neighbours() -> None:
    """Otherwise each training volume's own distance is small, and copies look authentic."""
    twice = Points(np.concatenate([TRAIN.features, TRAIN.features + 1e-3]), TRAIN.patients * 2)
    copies = Points(TRAIN.features[:20] + 0.02, tuple("c" * 20))
    assert memorisation(twice, HELD_OUT, copies).suspect.all()


def test_statistic_is_the_mann_whitney_z() -> None:
    found = memorisation(TRAIN, HELD_OUT, cohort(5, 60, "s", shift=1.0))
    first, second = found.synthetic.distance, found.held_out.distance
    above = (first[:, None] > second[None]).sum()
    n, m = len(first), len(second)
    assert found.copying_z == pytest.approx((above - n * m / 2) / np.sqrt(n * m * (n + m + 1) / 12))
    assert found.copying_z > 3


def test_shared_patients_and_too_few_are_refused() -> None:
    with pytest.raises(ValueError, match="both in training and held out"):
        memorisation(TRAIN, Points(HELD_OUT.features, TRAIN.patients[:100]), HELD_OUT)
    with pytest.raises(ValueError, match="three training patients"):
        memorisation(Points(TRAIN.features[:4], ("a", "a", "b", "b")), HELD_OUT, HELD_OUT)


def test_constant_features_say_nothing_and_scale_does_not_matter() -> None:
    wide = [
        Points(np.concatenate([p.features * 100, np.full((len(p.patients), 1), 7.0)], 1), p.patients)
        for p in (TRAIN, HELD_OUT, cohort(6, 30, "s"))
    ]
    plain = memorisation(TRAIN, HELD_OUT, cohort(6, 30, "s"))
    np.testing.assert_allclose(memorisation(*wide).synthetic.distance, plain.synthetic.distance, rtol=1e-6)


@pytest.mark.parametrize("shape", [(64, 64, 64), (20, 130, 200)])
def test_thumbnails_correlate_with_themselves(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(7)
    hu = rng.normal(-800, 10, shape)
    hu[: shape[0] // 2, : shape[1] // 2] = 100
    small = thumbnail(hu, (-1350.0, 150.0))
    assert small.shape == (64, 64, 64)
    assert correlation(small, small) == pytest.approx(1.0)
    assert correlation(small, thumbnail(hu[::-1], (-1350.0, 150.0))) < 0.7
    assert correlation(small, np.zeros_like(small)) == 0.0
