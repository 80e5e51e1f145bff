"""Floor, interval and extrapolation on Gaussians whose distance is known."""

from math import isnan

import numpy as np
import pytest

from medsyn2.config import EvaluateFidConfig
from medsyn2.evaluation.features.banks import Bank, BankFacts, Part
from medsyn2.evaluation.features.frechet import frechet_distance
from medsyn2.evaluation.fidelity.fidelity import fidelity, table_rows
from medsyn2.evaluation.fidelity.views import Views

FACTS = BankFacts("real", "gaussian", "none", "0", "nothing", {}, "0", (-1.0, 1.0), None)


def gaussian(seed: int, patients: int, shift: float = 0.0, slices: int = 4, width: int = 6) -> Bank:
    """Slices that are alike within a patient."""
    rng = np.random.default_rng(seed)
    values = rng.normal(size=(patients, 1, width)) * 0.8 + rng.normal(size=(patients, slices, width)) * 0.6 + shift
    part = Part(values.reshape(-1, width).astype(np.float32), np.repeat(np.arange(patients), slices))
    names = tuple(f"{seed}/{i:03d}" for i in range(patients))
    return Bank(FACTS, names, names, {"a": part})


def compared(real: Bank, synthetic: Bank, num_draws: int = 6):
    return fidelity(Views(real), Views(synthetic), ["a"], num_draws=num_draws, neighbours=5, seed=0)["a"]


def of_the_same_patients(real: Bank, noise: float, shift: float = 0.0) -> Bank:
    rng = np.random.default_rng(9)
    part = real.parts["a"]
    values = part.features + shift + noise * rng.normal(size=part.features.shape).astype(np.float32)
    return Bank(FACTS, real.ids, real.patients, {"a": Part(values, part.volume)})


def test_equal_distributions_lie_at_the_floor_and_extrapolate_to_nothing() -> None:
    rows = [compared(gaussian(seed, 60), gaussian(seed + 100, 60)) for seed in range(6)]
    fid, infinity = (np.mean([getattr(row, name) for row in rows]) for name in ("fid", "fid_infinity"))
    floor, at_floor = (np.mean([getattr(row, name) for row in rows]) for name in ("floor", "fid_at_floor"))
    assert rows[0].floor_patients == 30
    assert at_floor == pytest.approx(floor, rel=0.35)
    assert floor > 1.5 * fid  # half the patients, about twice the distance
    assert abs(infinity) < 0.4 * fid
    assert abs(np.mean([row.kid / row.kid_se for row in rows])) < 1.5


def test_a_shift_is_found_whatever_the_count() -> None:
    truth = 6 * 0.5**2
    rows = {num: compared(gaussian(1, num), gaussian(2, num, shift=0.5)) for num in (20, 80)}
    assert rows[20].fid - truth > rows[80].fid - truth > 0
    assert abs(rows[80].fid_infinity - truth) < abs(rows[20].fid - truth)
    assert rows[80].fid_low <= truth + 0.5
    assert rows[80].fid_at_floor > 2 * rows[80].floor
    assert rows[80].kid > 3 * rows[80].kid_se


@pytest.mark.parametrize("width", [6, 64])
def test_near_copies_of_the_same_patients_extrapolate_to_nothing(width: int) -> None:
    """Subsets of different patients would be far apart, and the line through them end far below zero."""
    real = gaussian(1, 40, width=width)
    row = compared(real, of_the_same_patients(real, noise=1e-3))
    assert row.fid < 1e-3
    assert abs(row.fid_infinity) < 1e-3 < row.floor


def test_a_shift_of_the_same_patients_is_what_remains_at_infinity() -> None:
    real = gaussian(1, 40)
    row = compared(real, of_the_same_patients(real, noise=0.1, shift=0.5))
    assert row.fid_infinity == pytest.approx(6 * 0.5**2, rel=0.1)


def test_interval_holds_the_value_and_shrinks_with_patients() -> None:
    few, many = (compared(gaussian(1, num), gaussian(2, num, shift=0.5)) for num in (12, 120))
    for row in (few, many):
        assert row.fid_low < row.fid < row.fid_high
    assert few.fid_high - few.fid_low > 2 * (many.fid_high - many.fid_low)


def test_too_few_patients_leave_what_cannot_be_said_undefined() -> None:
    row = compared(gaussian(1, 3), gaussian(2, 3))
    assert row.fid > 0
    assert all(isnan(getattr(row, name)) for name in ("fid_low", "fid_infinity", "floor", "fid_at_floor"))
    assert row.floor_patients == 0


def test_no_draws_leave_the_value_and_its_interval() -> None:
    row, drawn = (compared(gaussian(1, 9), gaussian(2, 9), num_draws=num) for num in (0, 2))
    assert (row.fid, row.fid_low, row.fid_high) == (drawn.fid, drawn.fid_low, drawn.fid_high)
    assert all(isnan(getattr(row, name)) for name in ("fid_infinity", "floor", "fid_at_floor"))
    assert row.floor_patients == 0 < drawn.floor_patients


@pytest.mark.parametrize("same_patients", [False, True])
def test_interval_is_that_of_a_bootstrap_by_patient(same_patients: bool) -> None:
    real = gaussian(1, 60)
    synthetic = of_the_same_patients(real, noise=1.0, shift=0.5) if same_patients else gaussian(2, 60, shift=0.5)
    row = compared(real, synthetic, num_draws=0)
    rng = np.random.default_rng(0)
    slices = [bank.parts["a"].features.reshape(60, 4, 6) for bank in (real, synthetic)]
    resampled = []
    for _ in range(600):
        chosen = rng.integers(0, 60, (2, 60))
        pair = [one[chosen[0 if same_patients else side]] for side, one in enumerate(slices)]
        resampled.append(frechet_distance(*(one.reshape(-1, 6) for one in pair)))
    low, high = np.percentile(resampled, [2.5, 97.5]) - np.mean(resampled) + row.fid
    width = high - low
    assert row.fid_low == pytest.approx(low, abs=0.12 * width)
    assert row.fid_high == pytest.approx(high, abs=0.12 * width)


def test_interval_holds_the_expected_distance_at_this_number_of_patients() -> None:
    """Where features outnumber patients too: 95 % of 60 cohorts, give or take twice the standard error."""
    rows = [
        compared(gaussian(seed, 12, width=64), gaussian(seed + 500, 12, shift=0.3, width=64), 0) for seed in range(60)
    ]
    expected = np.mean([row.fid for row in rows])
    covered = np.mean([row.fid_low <= expected <= row.fid_high for row in rows])
    assert 0.89 <= covered <= 1
    widths = np.array([row.fid_high - row.fid_low for row in rows])
    assert widths.mean() / 2 == pytest.approx(2.1 * np.std([row.fid for row in rows], ddof=1), rel=0.35)


def test_equal_seeds_give_equal_rows_and_the_mean_is_of_the_parts() -> None:
    real, synthetic = gaussian(1, 12), gaussian(2, 12, shift=0.3)
    twice = [Views(_with_second_part(bank)) for bank in (real, synthetic)]
    first, second = (fidelity(*twice, ["a", "b"], num_draws=3, neighbours=3, seed=5) for _ in range(2))
    assert first == second
    assert first["mean"].fid == pytest.approx((first["a"].fid + first["b"].fid) / 2)
    assert first["mean"].fid_low < first["mean"].fid < first["mean"].fid_high


def _with_second_part(bank: Bank) -> Bank:
    first = bank.parts["a"]
    return Bank(FACTS, bank.ids, bank.patients, {**bank.parts, "b": Part(first.features[:, ::2], first.volume)})


def bank(kind: str, seed: int) -> Bank:
    rng = np.random.default_rng(seed)
    facts = BankFacts(kind, f"{kind} ones", "weights", "0", "itself", {"name": "paper"}, "ab" * 32, (-1.0, 1.0), None)
    names = tuple(f"{kind}{i}" for i in range(5))
    part = Part(rng.normal(size=(10, 4)).astype(np.float32), np.repeat(np.arange(5), 2))
    return Bank(facts, names, names, {f"lung/{plane}": part for plane in ("axial", "sagittal", "coronal")})


def test_a_row_a_plane_and_their_mean() -> None:
    rows = table_rows("lung", Views(bank("real", 0)), Views(bank("synthetic", 1)), EvaluateFidConfig(num_draws=4))
    assert [row["plane"] for row in rows] == ["axial", "sagittal", "coronal", "mean"]
    assert {row["condition"] for row in rows} == {"synthetic ones"}
    assert rows[0]["compares_with"] == "itself"
    assert rows[0]["protocol_sha256"] == "ab" * 6
    assert (rows[0]["num_real"], rows[0]["num_patients"]) == (5, 5)


def test_copies_and_collapse_have_a_flag_and_other_patients_have_none() -> None:
    real = gaussian(1, 12)
    assert compared(real, gaussian(2, 12)).flag == ""
    assert "memorisation.csv" in compared(real, of_the_same_patients(real, 1e-4)).flag
    part = real.parts["a"]
    rows = np.tile(part.features[:4], (12, 1)) + 0.01 * np.random.default_rng(0).normal(size=part.features.shape)
    names = tuple(f"s{index}" for index in range(12))
    collapsed = Bank(FACTS, names, names, {"a": Part(rows.astype(np.float32), part.volume)})
    assert compared(real, collapsed).flag == "less variety than real volumes"
