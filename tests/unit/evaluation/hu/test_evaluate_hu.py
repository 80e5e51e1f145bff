"""Boxes of known HU are measured and compared, cases without a mask counted, outliers listed by name."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from medsyn2.config import GridConfig
from medsyn2.config.evaluation import EvaluateHuConfig
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.evaluation.hu.evaluate_hu import evaluate_hu
from medsyn2.evaluation.hu.measure_hu import measure_hu
from medsyn2.facts import CT_FILE, MasksFacts, RegisterFacts, SampleFacts, region_file
from medsyn2.vocabulary import Structure
from tests.unit.records import masks_facts, register_facts, sample_facts, write_shard

AFFINE = axis_aligned_affine((5.0, 5.0, 5.0), (0.0, 0.0, 0.0))
LUNG, HEART = np.s_[4:12, 4:12, 3:8], np.s_[4:12, 4:12, 10:14]
BOTH: tuple[Structure, ...] = ("lobes", "heart")

Tables = tuple[pd.DataFrame, pd.DataFrame]


def chest(lung_hu: float, heart_hu: float) -> CTVolume:
    """A body of muscle (50 HU) in air, with a lung and a heart."""
    hu = np.full((16, 16, 18), -1000, dtype=np.int16)
    hu[2:14, 2:14, 2:16] = 50
    hu[LUNG], hu[HEART] = lung_hu, heart_hu
    return CTVolume(hu, AFFINE)


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., Tables]:
    """Evaluate real and synthetic chests, each given as the HU of its lung and heart; return table and cases."""

    def evaluated(
        real: Mapping[str, tuple[float, float]],
        synthetic: Mapping[str, tuple[float, float]],
        masks: Mapping[str, tuple[Structure, ...]],
        joint: Mapping[str, Structure] = MappingProxyType({}),
    ) -> Tables:
        def register(case: str, folder: Path) -> RegisterFacts:
            write_ct(folder / CT_FILE, chest(*real[case]))
            return register_facts(f"patient {case}", "test")

        def mask(case: str, folder: Path) -> MasksFacts:
            for structure in masks[case]:
                labels = np.zeros((16, 16, 18), dtype=np.uint8)
                labels[LUNG if structure == "lobes" else HEART] = 1
                write_labels(folder / region_file(structure), LabelMap(labels, AFFINE))
            return masks_facts(f"patient {case}", "test", dict.fromkeys(masks[case], "present"))

        def sample(case: str, folder: Path) -> SampleFacts:
            conditions: dict[str, Structure | None] = {"report": None, **{name: name for name in masks[case]}}
            if case in joint:
                conditions[f"report_and_{joint[case]}"] = joint[case]
            for condition in conditions:
                write_ct(folder / f"{condition}.nii.gz", chest(*synthetic[case]))
            return sample_facts(f"patient {case}", conditions)

        results = [tmp_path / name for name in ("hu.csv", "hu_cases.csv", "hu.png")]
        samples = [write_shard(tmp_path / "sample/0000.json", SampleFacts, synthetic, sample)]
        measured = tmp_path / "measure_hu/0000.json"
        measure_hu(
            GridConfig(clip_hu=(-1024.0, 300.0)),
            register=[write_shard(tmp_path / "register/0000.json", RegisterFacts, real, register)],
            masks=[write_shard(tmp_path / "masks/0000.json", MasksFacts, masks, mask)],
            samples=samples,
            manifest=measured,
            settings="",
        )
        evaluate_hu(
            EvaluateHuConfig(),
            measured=[measured],
            samples=samples,
            table=results[0],
            cases=results[1],
            figure=results[2],
        )
        assert results[2].read_bytes().startswith(b"\x89PNG")
        return pd.read_csv(results[0]), pd.read_csv(results[1])

    return evaluated


def row_of(table: pd.DataFrame, region: str, source: str) -> pd.Series:
    """Return the only row of a region and condition."""
    return table[(table["region"] == region) & (table["source"] == source)].iloc[0]


def test_known_hu_are_measured_inside_masks_and_thresholds(run) -> None:
    table, cases = run({"a": (-850, 40), "b": (-830, 60)}, {"a": (-800, 40), "b": (-790, 60)}, {"a": BOTH, "b": BOTH})
    lungs = row_of(table, "lungs", "lobes")
    assert (lungs["real_median_hu"], lungs["synthetic_median_hu"]) == (-840, -795)
    assert lungs["difference_hu"] == 45
    assert np.isnan(lungs["difference_hu_low"])  # of two patients
    assert row_of(table, "heart", "heart")["difference_hu"] == 0
    assert row_of(table, "muscle", "report")["synthetic_median_hu"] == 50
    assert set(cases["source"]) == {"real", "report", "lobes", "heart"}
    # Nothing was requested of vessels and nothing is as dense as bone.
    assert row_of(table, "bone", "report")["num_synthetic_missing"] == 2
    assert table.set_index("region").loc["vessels", ["num_real", "num_real_missing"]].tolist() == [0, 2]


def test_values_beyond_the_model_s_range_are_clipped_on_both_sides(run) -> None:
    table, _ = run({"a": (-850, 900)}, {"a": (-850, 300)}, {"a": BOTH})
    assert row_of(table, "heart", "heart")["difference_hu"] == 0
    assert row_of(table, "bone", "report")["real_median_hu"] == 300


def test_a_case_without_a_mask_is_counted_as_missing(run) -> None:
    table, cases = run(
        {"a": (-850, 40), "b": (-830, 60)}, {"a": (-800, 40), "b": (-790, 60)}, {"a": BOTH, "b": ("lobes",)}
    )
    heart = row_of(table, "heart", "heart")
    assert heart[["num_real", "num_real_missing", "num_synthetic", "num_synthetic_missing"]].tolist() == [1, 1, 1, 1]
    assert (heart["real_median_hu"], heart["num_pairs"]) == (40, 1)
    assert np.isnan(heart["difference_hu_low"])
    missing = cases[(cases["case"] == "b") & (cases["region"] == "heart")]
    assert missing["median_hu"].isna().all()
    assert (missing["num_voxels"] == 0).all()


def test_a_case_without_a_report_is_not_missing_in_the_rows_of_report_and_mask(run) -> None:
    real = {"a": (-850, 40), "b": (-830, 60)}
    table, _ = run(real, real, dict.fromkeys(real, BOTH), {"a": "heart"})
    both = row_of(table, "heart", "report_and_heart")
    assert both[["num_synthetic", "num_synthetic_missing", "num_pairs"]].tolist() == [1, 0, 1]
    assert row_of(table, "heart", "heart")["num_synthetic"] == 2
    assert row_of(table, "muscle", "report_and_heart")["num_synthetic"] == 1


def test_an_outlier_is_named_and_kept_in_the_mean(run) -> None:
    real = {name: (-850 + shift, 40) for name, shift in zip("abcde", (-4, -2, 0, 2, 4), strict=True)}
    table, cases = run(real, {**real, "c": (-100, 40)}, dict.fromkeys(real, BOTH))
    lungs = row_of(table, "lungs", "lobes")
    assert lungs["outliers"] == "c (lobes)"
    assert lungs["synthetic_median_hu"] == -700
    assert cases.loc[cases["beyond_robust_sd"], "case"].unique().tolist() == ["c"]
