"""Edits with a tiny model, whose volumes show no lungs; what is true of any model is checked."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn2.cohort.artefacts import CaseWork, process_shard
from medsyn2.config import EvaluateEditsConfig, EvaluateMasksConfig, SampleConfig, SegmentConfig
from medsyn2.ct.nifti import write_labels
from medsyn2.ct.volume import LabelMap
from medsyn2.metrics.control import laterality
from medsyn2.model_folder import DESCRIPTION
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.stages.evaluate_edits import (
    EDITS_COLUMNS,
    PROGRESSIVE_COLUMNS,
    SEEDS_COLUMNS,
    evaluate_edits,
)

FAST = SampleConfig(solver="euler", num_steps=2, guidance_mask=1.0)
CASES = {
    "a": ("test", {"lobes": "present", "heart": "absent"}),
    "b": ("test", {"lobes": "present", "heart": "present"}),
    "c": ("train", {"lobes": "present", "heart": "present"}),
    "d": ("test", {"lobes": "empty"}),
}
TABLES = {"seeds": SEEDS_COLUMNS, "edits": EDITS_COLUMNS, "progressive": PROGRESSIVE_COLUMNS}

Run = Callable[..., dict[str, pd.DataFrame]]


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, tiny_mask: np.ndarray) -> Run:
    affine = MedSyn2Pipeline.from_pretrained(tiny_model).grid.affine_mm

    def registered(case: CaseWork, folder: Path) -> dict:
        return {"split": CASES[case.case][0]}

    def masked(case: CaseWork, folder: Path) -> dict:
        states = CASES[case.case][1]
        for name in ("lobes", "lobe_labels", "heart"):
            write_labels(folder / f"{name}.nii.gz", LabelMap(tiny_mask.astype(np.uint8), affine))
        return {
            "split": CASES[case.case][0],
            "masks": {name: {"state": state} for name, state in states.items()},
        }

    manifests = {}
    for stage, work in (("register", registered), ("masks", masked)):
        manifests[stage] = tmp_path / stage / "0000.json"
        process_shard(stage, manifests[stage], [CaseWork(case, None) for case in CASES], work, settings="")

    def evaluated(**changes: object) -> dict[str, pd.DataFrame]:
        config = {"max_cases": 2, "num_seeds": 2, "progressive": ("lobes", "heart"), **changes}
        evaluate_edits(
            SegmentConfig(working_spacing_mm=8.0),
            FAST,
            EvaluateMasksConfig(),
            EvaluateEditsConfig(**config),
            model=tiny_model / DESCRIPTION,
            register=[manifests["register"]],
            masks=[manifests["masks"]],
            **{name: tmp_path / f"{name}.csv" for name in TABLES},
            **{f"{name}_figure": tmp_path / f"{name}.png" for name in TABLES},
        )
        return {name: pd.read_csv(tmp_path / f"{name}.csv") for name in TABLES}

    return evaluated


def test_held_out_cases_with_the_structures_take_part(run: Run) -> None:
    tables = run()
    for name, columns in TABLES.items():
        assert list(tables[name].columns) == columns
    assert tables["seeds"]["case"].tolist() == ["a", "b"]
    assert tables["edits"]["edit"].tolist() == ["mirrored", "moved"] * 2
    assert tables["progressive"]["case"].tolist() == ["b"]
    assert tables["progressive"]["added"].tolist() == ["heart"]


def test_seeds_differ_and_a_structure_that_is_not_found_agrees_with_nothing(run: Run) -> None:
    found = run()["seeds"]
    assert (found["outside_hu"] > 0).all()
    assert (found["dice_requested"] == 0).all()
    assert (found["outside_over_inside"] - found["outside_hu"] / found["inside_hu"]).abs().max() < 1e-3


def test_the_request_is_mirrored_and_moved(run: Run, tiny_mask: np.ndarray) -> None:
    found = run(move_mm=(0.0, 6.0, 0.0)).get("edits").set_index(["case", "edit"])
    assert found.loc[("a", "mirrored"), "laterality_requested"] == pytest.approx(
        -laterality(tiny_mask), abs=1e-4
    )
    assert found.loc[("a", "moved"), "asked_mm"] == pytest.approx(6.0, abs=0.7)
    assert found["centroid_error_mm"].isna().all()


def test_an_edit_without_noise_changes_nothing_and_one_with_all_of_it_keeps_little(run: Run) -> None:
    still, anew = (run(strength=strength)["progressive"].iloc[0] for strength in (0.0, 1.0))
    assert still["outside_hu"] == 0
    assert still["inside_hu"] == 0
    assert anew["outside_hu"] > 0
    assert still["outside_new_noise_hu"] == anew["outside_new_noise_hu"] > 0


def test_figures_have_a_picture_for_each_seed_and_say_when_no_case_has_the_structures(
    run: Run, tmp_path: Path
) -> None:
    run(num_seeds=3)
    first = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert set(first) == {"seeds.png", "edits.png", "progressive.png"}
    run(num_seeds=3)
    assert first == {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    tables = run(progressive=("lobes", "nodules"))
    assert tables["progressive"].empty
    assert (tmp_path / "progressive.png").read_bytes() != first["progressive.png"]
