"""The blocked kernel distance is unbiased where slices come in clusters; shares on points in known places."""

from math import isnan

import numpy as np
import pytest

from medsyn2.evaluation.fidelity.kernel import Slices, kid_between_patients, neighbourhood


def clustered(rng: np.random.Generator, volumes: int, slices: int = 6, shift: float = 0.0) -> Slices:
    centres = rng.normal(size=(volumes, 4)) * 0.7 + shift
    features = np.repeat(centres, slices, axis=0) + rng.normal(size=(volumes * slices, 4)) * 0.7
    names = tuple(f"{rng.integers(1 << 40)}" for _ in range(volumes))
    return Slices(features, np.repeat(np.arange(volumes), slices), names)


def plain_kid(first: np.ndarray, second: np.ndarray) -> float:
    """The usual estimate: only a slice with itself is left out."""
    kernels = [(a @ b.T / a.shape[1] + 1) ** 3 for a, b in ((first, first), (second, second), (first, second))]
    within = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in kernels[:2]]
    return within[0] + within[1] - 2 * kernels[2].mean()


def test_is_unbiased_for_clustered_slices_where_the_usual_estimate_is_not() -> None:
    rng = np.random.default_rng(0)
    blocked, plain = [], []
    for _ in range(200):
        first, second = clustered(rng, 10), clustered(rng, 10)
        blocked.append(kid_between_patients(first, second).kid)
        plain.append(plain_kid(first.features, second.features))
    error = np.std(blocked) / np.sqrt(200)
    assert abs(np.mean(blocked)) < 3 * error
    assert np.mean(plain) > 3 * error


def test_without_clusters_it_is_the_usual_estimate() -> None:
    rng = np.random.default_rng(1)
    first, second = clustered(rng, 12, slices=1), clustered(rng, 9, slices=1, shift=0.5)
    expected = plain_kid(first.features, second.features)
    assert kid_between_patients(first, second).kid == pytest.approx(expected, rel=1e-9)


def test_a_report_s_patient_and_what_was_generated_for_it_are_no_pair() -> None:
    rng = np.random.default_rng(2)
    first = clustered(rng, 20)
    copies = Slices(first.features, first.volume, first.patient)
    strangers = Slices(first.features, first.volume, tuple(f"other {name}" for name in first.patient))
    assert abs(kid_between_patients(first, copies).kid) < 1e-9
    assert kid_between_patients(first, strangers).kid < kid_between_patients(first, copies).kid


def test_standard_error_is_about_the_spread() -> None:
    rng = np.random.default_rng(3)
    found = [kid_between_patients(clustered(rng, 20), clustered(rng, 20, shift=0.4)) for _ in range(60)]
    spread = np.std([one.kid for one in found])
    assert np.median([one.standard_error for one in found]) == pytest.approx(spread, rel=0.5)
    assert isnan(kid_between_patients(clustered(rng, 1), clustered(rng, 1)).standard_error)


def test_thinning_many_slices_keeps_the_value_near() -> None:
    rng = np.random.default_rng(4)
    first, second = clustered(rng, 30, slices=40), clustered(rng, 30, slices=40, shift=1.0)
    thin = [Slices(s.features[:], s.volume, s.patient) for s in (first, second)]
    every = plain_kid(first.features, second.features)
    assert kid_between_patients(*thin).kid == pytest.approx(every, rel=0.3)


def everyone(num: int, name: str) -> list[str]:
    return [f"{name}{index}" for index in range(num)]


def test_shares_of_points_in_known_places() -> None:
    line = np.arange(10.0)[:, None]
    own, others = everyone(10, "p"), everyone(10, "q")
    same = neighbourhood(line, line, (own, others), neighbours=2)
    assert (same.precision, same.recall, same.coverage, same.neighbours) == (1.0, 1.0, 1.0, 2)
    far = neighbourhood(line, line + 1000, (own, others), neighbours=2)
    assert (far.precision, far.recall, far.density, far.coverage) == (0, 0, 0, 0)
    half = neighbourhood(line, np.concatenate([line[:5], line[:5] + 1000]) + 0.01, (own, others), neighbours=2)
    assert half.precision == 0.5
    assert 0.4 <= half.coverage <= 0.7
    assert neighbourhood(line[:3], line, (own[:3], others)).neighbours == 0


def test_k_is_at_most_a_quarter_of_the_patients() -> None:
    points = np.random.default_rng(0).normal(size=(16, 3))
    for num, k in ((4, 1), (8, 2), (16, 4)):
        found = neighbourhood(points[:num], points, (everyone(num, "p"), everyone(16, "q")), neighbours=9)
        assert found.neighbours == k


def test_shares_follow_their_definitions() -> None:
    rng = np.random.default_rng(5)
    real, synthetic, k = rng.normal(size=(15, 3)), rng.normal(size=(12, 3)) + 0.5, 3
    found = neighbourhood(real, synthetic, (everyone(15, "p"), everyone(12, "q")), neighbours=k)

    def radius(points: np.ndarray, i: int) -> float:
        return sorted(np.linalg.norm(points - points[i], axis=1))[k]

    inside = np.array([[np.linalg.norm(r - s) < radius(real, i) for s in synthetic] for i, r in enumerate(real)])
    reached = [any(np.linalg.norm(r - s) < radius(synthetic, j) for j, s in enumerate(synthetic)) for r in real]
    assert found.precision == pytest.approx(inside.any(0).mean())
    assert found.recall == pytest.approx(np.mean(reached))
    assert found.density == pytest.approx(inside.sum() / (k * 12))
    assert found.coverage == pytest.approx(inside.any(1).mean())


def test_several_volumes_of_each_patient_leave_a_perfect_generator_its_precision() -> None:
    """Balls to the nearest volumes, of the same patient, gave a precision of 0.78 at three volumes a patient."""
    rng = np.random.default_rng(6)

    def cohort(volumes: int) -> np.ndarray:
        return np.repeat(rng.normal(size=(20, 4)), volumes, axis=0) + 0.05 * rng.normal(size=(20 * volumes, 4))

    shares = []
    for volumes in (1, 3, 6):
        owners = [list(np.repeat(everyone(20, name), volumes)) for name in "pq"]
        found = [neighbourhood(cohort(volumes), cohort(volumes), (owners[0], owners[1])) for _ in range(10)]
        shares.append(np.mean([one.precision for one in found]))
    assert min(shares) > 0.9
    assert max(shares) - min(shares) < 0.05


def test_a_point_is_in_no_ball_of_its_own_patient() -> None:
    line = np.arange(8.0)[:, None] * 10
    own = everyone(8, "p")
    assert neighbourhood(line, line, (own, own), neighbours=1).precision == 0
    assert neighbourhood(line, line, (own, everyone(8, "q")), neighbours=1).precision == 1
