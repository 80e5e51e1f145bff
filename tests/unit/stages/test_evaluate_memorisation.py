"""A copied training volume is found among samples, named and drawn."""

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn2.cohort.artefacts import CaseWork, process_shard
from medsyn2.config import EvaluateFidConfig, EvaluateMemorisationConfig, GridConfig
from medsyn2.ct.nifti import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import EnvironmentFault
from medsyn2.stages.evaluate_memorisation import COLUMNS, evaluate_memorisation

SHAPE = (16, 24, 24)
GRID = GridConfig(shape=SHAPE, spacing_mm=(8.0, 8.0, 8.0))
AFFINE = axis_aligned_affine((8.0, 8.0, 8.0), (0.0, 0.0, 0.0))
SPLITS = {**{f"t{i}": "train" for i in range(8)}, **{f"h{i}": "test" for i in range(4)}}


def chest(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    hu = rng.normal(40, 30, SHAPE)
    left, right = rng.integers(3, 7), rng.integers(13, 16)
    hu[:, 6:18, left:11] = rng.normal(-850 + 20 * (seed % 5), 20 + seed % 7, (16, 12, 11 - left))
    hu[:, 6:18, right:21] = -850
    z, y = rng.integers(2, 12), rng.integers(7, 14)
    hu[z : z + 3, y : y + 3, 14:18] = 60
    return hu.astype(np.int16)


REAL = {case: chest(index) for index, case in enumerate(SPLITS)}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., tuple[pd.DataFrame, pd.DataFrame]]:
    def write(stage: str, work: Callable[..., dict], cases: Iterable[str]) -> Path:
        manifest = tmp_path / stage / "0000.json"
        process_shard(stage, manifest, [CaseWork(case, None) for case in cases], work, settings="")
        return manifest

    def searched(synthetic: dict[str, np.ndarray], real: tuple[str, ...] = tuple(SPLITS)) -> tuple:
        def registered(case: CaseWork, folder: Path) -> dict:
            write_ct(folder / "ct.nii.gz", CTVolume(REAL[case.case], AFFINE))
            return {"split": SPLITS[case.case], "subject": f"subject {case.case}"}

        def sampled(case: CaseWork, folder: Path) -> dict:
            write_ct(folder / "report.nii.gz", CTVolume(synthetic[case.case], AFFINE))
            samples = [{"condition": "report", "file": "report.nii.gz"}]
            return {"split": "test", "subject": f"subject {case.case}", "samples": samples}

        places = {name: tmp_path / name for name in ("banks", "cache", "table", "pairs", "sheet")}
        evaluate_memorisation(
            GRID,
            EvaluateFidConfig(slices_per_volume=8),
            EvaluateMemorisationConfig(num_pairs=2),
            register=[write("register", registered, real)],
            samples=[write("sample", sampled, list(synthetic))],
            **places,
        )
        assert places["sheet"].read_bytes().startswith(b"\x89PNG")
        return pd.read_csv(places["table"]), pd.read_csv(places["pairs"])

    return searched


def test_a_planted_copy_is_found_and_others_are_not(run) -> None:
    noise = np.random.default_rng(0).normal(0, 3, SHAPE)
    samples = {"h0": chest(50), "h1": (REAL["t5"] + noise).astype(np.int16), "h2": chest(51)}
    table, pairs = run(samples)
    assert list(table.columns) == COLUMNS
    assert table.loc[0, ["num_train", "num_held_out", "num_synthetic"]].tolist() == [8, 4, 3]
    assert pairs.loc[0, ["case", "nearest_training_case"]].tolist() == ["h1", "t5"]
    assert pairs.loc[0, "suspect"]
    assert (pairs["extractor"] == table.loc[0, "extractor"]).all()
    assert pairs.loc[0, "ratio"] < 0.7 * pairs.loc[1, "ratio"]
    assert pairs.loc[0, "correlation"] > 0.98
    assert table.loc[0, "largest_correlation"] > table.loc[0, "largest_held_out_correlation"]
    assert table.loc[0, "smallest_ratio"] == pytest.approx(pairs.loc[0, "ratio"], rel=1e-4)


def test_too_few_cases_say_so(run) -> None:
    with pytest.raises(EnvironmentFault, match=r"too-few-cases.*2 training cases, 4 held out"):
        run({"h0": chest(50)}, real=("t0", "t1", "h0", "h1", "h2", "h3"))
