"""The Frechet distances of a cohort of three volumes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from matplotlib.image import imread

from medsyn2.config import EvaluateFidConfig, GridConfig
from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import EnvironmentFault, IntensityError, TableError
from medsyn2.evaluation.fidelity.evaluate_fid import evaluate_fid
from medsyn2.facts import CT_FILE, RegisterFacts, SampleFacts
from medsyn2.vocabulary import WINDOWS_HU
from tests.unit.records import register_facts, sample_facts, write_shard

SHAPE = (16, 24, 24)
GRID = GridConfig(shape=SHAPE, spacing_mm=(8.0, 8.0, 8.0), clip_hu=(-1024.0, 1024.0))
AFFINE = axis_aligned_affine((8.0, 8.0, 8.0), (0.0, 0.0, 0.0))
COLUMNS = [
    "window", "condition", "plane", "fid", "fid_low", "fid_high", "fid_infinity", "fid_at_floor", "floor",
    "floor_patients", "kid", "kid_se", "mmd", "mmd_floor", "mmd_p", "precision", "recall", "density", "coverage",
    "neighbours", "variety", "variety_low", "variety_high", "flag", "num_real", "num_synthetic", "num_patients",
    "num_shared_patients", "protocol", "protocol_sha256", "extractor", "compares_with", "smallest_visible",
]  # fmt: skip

COLUMN_PIXELS = 338
"""Width of one picture of the comparison: 2.6 inches at 130 dots."""

Volumes = Mapping[str, np.ndarray]


def chest(seed: int, lung_hu: float = -850.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 30, SHAPE)
    # Lungs of one value would be padding.
    lung = lung_hu + rng.normal(0, 10, SHAPE)
    for part in (np.s_[:, 6:18, 3 + seed % 3 : 10], np.s_[:, 6:18, 14:21]):
        hu[part] = lung[part]
    hu[:, :5] = -1000.0
    return hu.astype(np.int16)


REAL = {case: chest(seed) for seed, case in enumerate("abc")}


@pytest.fixture
def run(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, pd.DataFrame]]:
    """Compare volumes a condition with the real ones, and return the table of each window and the other tables."""

    def compared(
        synthetic: Mapping[str, Volumes],
        real: Volumes = REAL,
        train: Volumes = MappingProxyType({}),
        with_indices: bool = False,
        **settings: Any,
    ) -> dict[str, pd.DataFrame]:
        root = tmp_path_factory.mktemp("cohort")

        def registered(case: str, folder: Path) -> RegisterFacts:
            write_ct(folder / CT_FILE, CTVolume({**real, **train}[case], AFFINE))
            return register_facts(case, "train" if case in train else "test")

        def sampled(case: str, folder: Path) -> SampleFacts:
            given = [condition for condition, volumes in synthetic.items() if case in volumes]
            for condition in given:
                write_ct(folder / f"{condition}.nii.gz", CTVolume(synthetic[condition][case], AFFINE))
            return sample_facts(case, dict.fromkeys(given))

        tables = [root / f"fid_{window}.csv" for window in WINDOWS_HU]
        evaluate_fid(
            GRID,
            EvaluateFidConfig(slices_per_volume=6, num_draws=8, **settings),
            register=[write_shard(root / "register/0000.json", RegisterFacts, [*real, *train], registered)],
            samples=[write_shard(root / "sample/0000.json", SampleFacts, real, sampled)],
            banks=root / "banks",
            cache=root / "features",
            tables=tables[::-1],
            figure=root / "comparison.png",
            indices=root / "indices.csv",
            index_cases=root / "index_cases.csv",
            indices_figure=root / "indices.png",
        )
        columns = 1 + len(synthetic) + len(settings.get("baselines", {}))
        assert imread(root / "comparison.png").shape[1] == COLUMN_PIXELS * columns
        others = [root / "indices.csv", root / "index_cases.csv"] * bool(with_indices)
        return {path.stem.removeprefix("fid_"): pd.read_csv(path) for path in [*tables, *others]}

    return compared


def test_each_window_has_a_table_of_planes_and_conditions(run) -> None:
    tables = run({"report": REAL, "heart": {"a": REAL["a"]}})
    for window, table in tables.items():
        assert list(table.columns) == COLUMNS
        assert (table["window"] == window).all()
        assert table["plane"].tolist() == ["axial", "sagittal", "coronal", "mean"] * 3
        assert table["condition"].tolist() == ["real"] * 4 + ["heart"] * 4 + ["report"] * 4
        assert table["num_real"].tolist() == [2] * 4 + [3] * 8  # one half of the real patients against the other
        assert table["num_synthetic"].tolist() == [1] * 8 + [3] * 4
        assert table["num_shared_patients"].tolist() == [0] * 4 + [1] * 4 + [3] * 4
        assert (table["extractor"] == "weight_free(seed=0)").all()
        for _, rows in table.groupby("condition"):
            fid = rows.set_index("plane")["fid"]
            assert fid["mean"] == pytest.approx(fid.drop("mean").mean(), rel=1e-4)
        assert (table["compares_with"] == "nothing but values of this extractor and protocol").all()
        assert (table["protocol"] == "paper, 6 slices").all()
        assert table["fid_low"].isna().all()  # three patients have no interval worth the name


def test_the_real_volumes_themselves_are_at_distance_zero(run) -> None:
    other = {case: chest(seed + 10, lung_hu=-500.0) for seed, case in enumerate("abc")}
    for table in run({"report": REAL, "heart": other}).values():
        fid = table.groupby("condition")["fid"].max()
        assert abs(fid["report"]) < 1e-3
        assert fid["heart"] > 10 * abs(fid["report"])


def test_what_the_model_cannot_express_does_not_count(run) -> None:
    """Metal and padding beyond the model's range are clipped from both sides alike."""
    bright = {case: np.where(hu > 100, 3000, hu).astype(np.int16) for case, hu in REAL.items()}
    clipped = {case: np.minimum(hu, 1024).astype(np.int16) for case, hu in bright.items()}
    for table in run({"report": clipped}, real=bright).values():
        assert (table.loc[table["condition"] == "report", "fid"].abs() < 1e-3).all()


def test_enough_patients_give_an_interval_a_floor_and_an_extrapolation(run) -> None:
    real = {f"case{seed}": chest(seed) for seed in range(6)}
    synthetic = {case: chest(seed + 50, lung_hu=-700.0) for seed, case in enumerate(real)}
    for whole in run({"report": synthetic}, real=real).values():
        assert (
            whole["smallest_visible"]
            .str.fullmatch(r"at 3 patients: blur of .* mm, noise of .* HU, shift of .* HU")
            .all()
        )
        table = whole[whole["condition"] == "report"]
        assert (table["fid_low"] <= table["fid"]).all()
        assert (table["fid"] <= table["fid_high"]).all()
        assert (table["floor_patients"] == 3).all()
        assert table[["floor", "fid_at_floor", "fid_infinity", "kid", "kid_se"]].notna().all(axis=None)
    lung = run({"report": synthetic}, real=real)["lung"]
    lung = lung[lung["condition"] == "report"]
    assert (lung["fid_at_floor"] > lung["floor"]).all()


def test_another_generator_is_a_row_of_its_own(run, tmp_path: Path) -> None:
    for case, hu in REAL.items():
        write_ct(tmp_path / f"{case}.nii.gz", CTVolume(hu, AFFINE))
    baseline = {"Other": {"folder": tmp_path}}
    table = run({"report": {"a": chest(40), "b": chest(41)}}, baselines=baseline)["lung"]
    assert table["condition"].unique().tolist() == ["real", "Other", "report"]
    assert table.set_index("condition").loc["Other", "fid"].abs().max() < 1e-3


def test_every_volume_is_judged_by_itself(run, tmp_path: Path) -> None:
    real = {f"case{seed}": chest(seed) for seed in range(8)}
    flipped = {case: hu[:, ::-1] for case, hu in real.items()}
    write_folder(tmp_path, {case: np.minimum(hu, 600) for case, hu in real.items()})
    other = {"Other": {"folder": tmp_path, "clip_hu": [-1024, 600]}}
    tables = run({"report": flipped}, real=real, baselines=other, with_indices=True)
    facing = tables["indices"].query("index == 'facing'").set_index("source")
    assert facing.index.tolist() == ["real", "Other", "report"]
    assert facing.loc["real", "median"] > 0 > facing.loc["report", "median"]
    assert "outside" in facing.loc["report", "flag"]
    assert tables["indices"].query("source == 'Other'")["flag"].isna().all()  # equal where both end at one value
    assert len(tables["index_cases"]) == 3 * 8


def write_folder(folder: Path, volumes: Volumes) -> None:
    for name, hu in volumes.items():
        write_ct(folder / f"{name}.nii.gz", CTVolume(hu, AFFINE))


def test_another_generator_s_values_are_looked_at(run, tmp_path: Path) -> None:
    write_folder(tmp_path, {case: hu + 1024 for case, hu in REAL.items()})
    with pytest.raises(IntensityError, match=r"state it with evaluate_fid\.baselines\.Other\.in_hu: true"):
        run({"report": REAL}, baselines={"Other": {"folder": tmp_path}})


def test_another_generator_s_range_is_that_of_the_real_ones_or_stated(run, tmp_path: Path) -> None:
    real = {case: np.where(hu > 100, 1000, hu).astype(np.int16) for case, hu in REAL.items()}
    write_folder(tmp_path, {case: np.minimum(hu, 600) for case, hu in real.items()})
    with pytest.raises(EnvironmentFault, match=r"hu-range-differs.*evaluate_fid\.baselines\.Other\.clip_hu: \[-1024"):
        run({"report": real}, real=real, baselines={"Other": {"folder": tmp_path}})
    stated = {"Other": {"folder": tmp_path, "clip_hu": [-1024, 600]}}
    table = run({"report": real}, real=real, baselines=stated)["bone"]
    assert table["condition"].tolist() == ["real"] * 4 + ["Other"] * 4 + ["report"] * 4
    assert table["fid"][4:].abs().max() < 1e-3  # the same chests, each compared in its own range
    assert table["protocol_sha256"].nunique() == 2


def test_another_generator_s_patients_are_the_cohort_s_or_the_table_s(
    run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_folder(tmp_path, {"a": REAL["a"], "b": REAL["b"], "x": REAL["c"]})
    table = tmp_path / "patients.csv"
    with caplog.at_level("INFO"):
        run({"report": REAL}, baselines={"Other": {"folder": tmp_path}})
        assert "Other: 3 volumes, of 2 held-out patients" in caplog.text
        table.write_text("id,patient\na.nii.gz,a\nb.nii.gz,b\nx.nii.gz,c\n", encoding="utf-8")
        run({"report": REAL}, baselines={"Other": {"folder": tmp_path, "patients": table}})
        assert "Other: 3 volumes, of 3 held-out patients" in caplog.text
    table.write_text("id,patient\nc,c\n", encoding="utf-8")
    with pytest.raises(TableError, match=r"patients\.csv has 1 rows that name no volume"):
        run({"report": REAL}, baselines={"Other": {"folder": tmp_path, "patients": table}})


def test_a_generator_on_another_grid_is_refused(run, tmp_path: Path) -> None:
    for case, hu in REAL.items():
        write_ct(tmp_path / f"{case}.nii.gz", CTVolume(hu, axis_aligned_affine((1.0, 1.0, 1.0), (0, 0, 0))))
    with pytest.raises(EnvironmentFault, match=r"banks-differ.*spacing_mm \(8.0, 8.0, 8.0\) and \(1.0"):
        run({"report": REAL}, baselines={"Other": {"folder": tmp_path}})
    stated = {"Other": {"folder": tmp_path, "spacing_mm": (8.0, 8.0, 8.0)}}
    assert "Other" in run({"report": REAL}, baselines=stated)["lung"]["condition"].tolist()


def test_cases_for_training_are_left_out(run) -> None:
    with_training = run({"report": REAL}, train={"t": np.zeros(SHAPE, np.int16)})
    for window, table in run({"report": REAL}).items():
        pd.testing.assert_frame_equal(table, with_training[window])


def test_too_few_cases_or_no_samples_say_so(run) -> None:
    with pytest.raises(EnvironmentFault, match=r"too-few-cases.*got 1 cases.*cohort\.test_every"):
        run({"report": REAL}, real={"a": REAL["a"]})
    with pytest.raises(EnvironmentFault, match="no condition"):
        run({})
