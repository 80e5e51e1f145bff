"""Faults of single volumes are outside the real ones' range, and a perfect generator seldom has a flag."""

import numpy as np
import pandas as pd
import pytest

from medsyn2.evaluation.features.sizes import THUMBNAIL
from medsyn2.evaluation.fidelity.indices import ALL_INDICES, COLUMNS, align, judge_indices, place_indices
from medsyn2.facts import REAL

CENTRES = dict(zip(ALL_INDICES, (1.2, 0.85, 0.02, 1.05, 4.0, 90.0, 0.9, 0.25, 0.3, 0.1, 0.8), strict=True))


def cases(seed: int, num_real: int = 8, num_synthetic: int = 8, volumes: int = 1, **faults: float) -> pd.DataFrame:
    """Volumes of patients; each index varies by a quarter, and has the value of a fault in all synthetic volumes."""
    rng = np.random.default_rng(seed)
    rows = []
    for source, num in ((REAL, num_real), ("made", num_synthetic)):
        for patient in range(num):
            spread = rng.normal(0, 1, len(ALL_INDICES))
            for volume in range(volumes):
                values = {
                    name: float(np.tanh(1.1 + 0.2 * s)) if name == "symmetry" else centre * float(np.exp(0.25 * s))
                    for (name, centre), s in zip(CENTRES.items(), spread, strict=True)
                }
                own = {} if source == REAL else faults
                rows.append({"case": f"{patient}/{volume}", "patient": f"{source} {patient}", "source": source}
                            | values | own)  # fmt: skip
    return pd.DataFrame(rows)


def flags(table: pd.DataFrame) -> set[str]:
    return set(table.loc[table["flag"] != "", "index"])


FAULTS = [{"jump_hu": 5.0}, {"nyquist_hu": 5.0}, {"seams": 40.0}, {"bone_percent": 0.0}, {"symmetry": 0.999},
          {"upright": -0.25}, {"sharpness_hu": 15.0}]  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: next(iter(fault)))
def test_a_fault_of_every_volume_is_flagged_by_its_index_alone(fault: dict[str, float]) -> None:
    table, judged = judge_indices(cases(3, **fault))
    assert list(table.columns) == COLUMNS
    assert flags(table) == set(fault)
    row = table[(table["index"] == next(iter(fault))) & (table["source"] == "made")].iloc[0]
    assert (row["outside_percent"], row["num_outside"], row["num_patients"]) == (100, 8, 8)
    assert judged["outside"].str.contains(next(iter(fault))).sum() == 8


def test_real_volumes_are_quiet_and_perfect_generators_seldom_flagged() -> None:
    tables = [judge_indices(cases(seed))[0] for seed in range(60)]
    shares = [table.loc[table["source"] == REAL, "outside_percent"].mean() for table in tables]
    assert np.mean(shares) < 2
    assert np.mean([bool(flags(table)) for table in tables]) <= 0.11  # one in twenty, and twice the standard error


def test_a_patient_counts_once_whatever_his_volumes() -> None:
    one, six = (judge_indices(cases(5, volumes=volumes, jump_hu=5.0))[0] for volumes in (1, 6))
    assert one["p_outside"].equals(six["p_outside"])
    assert one["limit_high"].tolist() == pytest.approx(six["limit_high"].tolist())


def test_real_volumes_are_judged_by_the_others() -> None:
    """One odd CT is outside the range of the others, though it is among the real ones."""
    frame = cases(1, num_real=30)
    frame.loc[0, "sharpness_hu"] = 4000.0
    table, judged = judge_indices(frame)
    assert "sharpness_hu" in judged["outside"][0]
    row = table[(table["index"] == "sharpness_hu") & (table["source"] == REAL)].iloc[0]
    assert row["num_outside"] == 1


def test_too_few_real_patients_have_no_range() -> None:
    table, judged = judge_indices(cases(1, num_real=2, jump_hu=50.0))
    assert table["limit_low"].isna().all()
    assert flags(table) == set()
    assert (judged["outside"] == "").all()


def test_an_index_that_was_not_measured_is_left_out() -> None:
    frame = cases(1)
    frame.loc[frame["source"] == "made", "seams"] = np.nan
    row = judge_indices(frame)[0].query("index == 'seams' and source == 'made'").iloc[0]
    assert (row["num_volumes"], row["flag"]) == (0, "")


def unit(cube: np.ndarray) -> np.ndarray:
    flat = (cube - cube.mean()).ravel()
    return flat / np.linalg.norm(flat)


def test_orientation_and_symmetry_of_thumbnails() -> None:
    depth, height, width = np.meshgrid(*[np.linspace(-1, 1, THUMBNAIL)] * 3, indexing="ij")
    usual = 2 * np.cos(2 * width) + depth + height + width * height
    own = usual + 0.02 * np.random.default_rng(0).normal(size=usual.shape)
    found = place_indices(align(unit(own)), usual)
    assert min(found["upright"], found["facing"], found["sided"]) > 0.9
    for name, axis in (("upright", 0), ("facing", 1), ("sided", 2)):
        assert place_indices(align(unit(np.flip(own, axis))), usual)[name] == pytest.approx(-found[name], abs=1e-6)
    half = own[..., : THUMBNAIL // 2]
    mirrored = np.concatenate([half, half[..., ::-1]], axis=2)
    assert found["symmetry"] < 0.99
    assert place_indices(align(unit(mirrored)), usual)["symmetry"] == pytest.approx(1)
    assert place_indices(align(unit(mirrored)), usual)["sided"] == pytest.approx(0, abs=0.05)
    assert place_indices(align(unit(np.roll(mirrored, 1, 2))), usual)["symmetry"] > 0.999  # a body beside the middle
