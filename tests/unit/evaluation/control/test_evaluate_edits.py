"""Edits with a tiny model, whose volumes show no lungs; what is true of any model is checked."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn2.config import EvaluateEditsConfig, EvaluateMasksConfig, InferenceConfig, SampleConfig, SegmentConfig
from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.volume import LabelMap
from medsyn2.evaluation.control.effects import laterality
from medsyn2.evaluation.control.evaluate_edits import EDITS_COLUMNS, PROGRESSIVE_COLUMNS, SEEDS_COLUMNS, evaluate_edits
from medsyn2.facts import InventoryFacts, MasksFacts, RegisterFacts, Report
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.weights.model_folder import DESCRIPTION
from tests.unit.records import inventory_facts, masks_facts, register_facts, write_shard

FAST = Sampling("euler", 2, guidance_mask=1.0)
CASES = {
    "a": ("test", {"lobes": "present", "heart": "absent"}),
    "b": ("test", dict.fromkeys(("lobes", "heart", "pleural_effusion", "nodules"), "present")),
    "c": ("train", {"lobes": "present", "heart": "present"}),
    "d": ("test", {"lobes": "empty"}),
}
REPORT = Report("Large right pleural effusion. Small nodule in the left upper lobe.", "Right pleural effusion.")
TABLES = {"seeds": SEEDS_COLUMNS, "edits": EDITS_COLUMNS, "progressive": PROGRESSIVE_COLUMNS}

Run = Callable[..., dict[str, pd.DataFrame]]


def of_cases(table: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of single cases."""
    return table[table["patient"].notna()].reset_index(drop=True)


@pytest.fixture
def run(tmp_path: Path, tiny_model: Path, tiny_mask: np.ndarray) -> Run:
    affine = MedSyn2Pipeline.from_pretrained(tiny_model).grid.affine_mm

    def registered(case: str, folder: Path) -> RegisterFacts:
        return register_facts(f"patient {case}", CASES[case][0])

    def masked(case: str, folder: Path) -> MasksFacts:
        bilateral = tiny_mask | tiny_mask[:, :, ::-1]
        for name in ("lobes", "lobe_labels", "heart", "pleural_effusion", "nodules"):
            mask = bilateral if name == "pleural_effusion" else tiny_mask
            write_labels(folder / f"{name}.nii.gz", LabelMap(mask.astype(np.uint8), affine))
        return masks_facts(f"patient {case}", *CASES[case])

    def listed(case: str, folder: Path) -> InventoryFacts:
        return inventory_facts(f"patient {case}", CASES[case][0], report=None if case == "a" else REPORT)

    manifests = {
        "inventory": write_shard(tmp_path / "inventory/0000.json", InventoryFacts, CASES, listed),
        "register": write_shard(tmp_path / "register/0000.json", RegisterFacts, CASES, registered),
        "masks": write_shard(tmp_path / "masks/0000.json", MasksFacts, CASES, masked),
    }

    def evaluated(*, with_means: bool = False, **changes: object) -> dict[str, pd.DataFrame]:
        config = EvaluateEditsConfig(**{"max_cases": 2, "num_seeds": 2, "progressive": ("lobes", "heart"), **changes})
        evaluate_edits(
            SegmentConfig(working_spacing_mm=8.0),
            SampleConfig(),
            FAST,
            EvaluateMasksConfig(),
            config,
            InferenceConfig(),
            model=tiny_model / DESCRIPTION,
            **{name: [path] for name, path in manifests.items()},
            manifest=tmp_path / "evaluate_edits/held_out.json",
            **{name: tmp_path / f"{name}.csv" for name in TABLES},
            **{f"{name}_figure": tmp_path / f"{name}.png" for name in TABLES},
            settings=config.model_dump_json(),
        )
        tables = {name: pd.read_csv(tmp_path / f"{name}.csv") for name in TABLES}
        return tables if with_means else {name: of_cases(table) for name, table in tables.items()}

    return evaluated


def test_held_out_cases_with_the_structures_take_part(run: Run) -> None:
    tables = run()
    for name, columns in TABLES.items():
        assert list(tables[name].columns) == [*columns, "num", "num_patients"]
    assert tables["seeds"]["case"].tolist() == ["a", "b"]
    assert tables["edits"]["edit"].tolist() == ["mirrored", "moved"] * 2
    assert tables["progressive"]["case"].tolist() == ["b"]
    assert tables["progressive"]["added"].tolist() == ["heart"]


def test_seeds_differ_and_a_structure_that_is_not_found_agrees_with_nothing(run: Run) -> None:
    found = run()["seeds"]
    assert (found["outside_hu"] > 0).all()
    assert (found["dice_requested"] == 0).all()
    assert (found["outside_over_inside"] - found["outside_hu"] / found["inside_hu"]).abs().max() < 1e-3


def test_means_stand_above_the_cases_with_intervals_over_patients(run: Run) -> None:
    tables = run(with_means=True)
    seeds, edits, added = (tables[name] for name in TABLES)
    assert seeds["case"].tolist() == ["mean", "known", "a", "b"]
    assert seeds.loc[1, "outside_hu"] == 2
    assert seeds.loc[0, ["num", "num_patients", "num_seeds", "structure"]].tolist() == [2, 2, 2, "lobes"]
    assert edits.loc[edits["case"] == "mean", "edit"].tolist() == ["mirrored", "moved"]
    assert added["case"].tolist() == ["mean", "known", "b"]


def test_what_lies_on_both_sides_has_no_laterality(run: Run) -> None:
    lungs = run()["edits"]
    assert lungs[["laterality_requested", "laterality_found"]].isna().all(axis=None)


def test_the_request_is_mirrored_and_moved(run: Run, tiny_mask: np.ndarray) -> None:
    found = run(structures=("heart",), move_mm=(0.0, 6.0, 0.0))["edits"].set_index(["case", "edit"])
    assert found.loc[("b", "mirrored"), "laterality_requested"] == pytest.approx(-laterality(tiny_mask), abs=1e-4)
    assert found.loc[("b", "moved"), "asked_mm"] == pytest.approx(6.0, abs=0.7)
    assert found["centroid_error_mm"].isna().all()


def test_an_edit_without_noise_changes_nothing_and_one_with_all_of_it_keeps_little(run: Run) -> None:
    still, anew = (run(structures=(), strength=strength)["progressive"].iloc[0] for strength in (0.0, 1.0))
    assert still["outside_hu"] == 0
    assert still["inside_hu"] == 0
    assert anew["outside_hu"] > 0
    assert still["outside_new_noise_hu"] == anew["outside_new_noise_hu"] > 0


def test_figures_have_a_picture_for_each_seed_and_say_when_no_case_has_the_structures(run: Run, tmp_path: Path) -> None:
    run(num_seeds=3)
    first = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert set(first) == {"seeds.png", "edits.png", "progressive.png"}
    run(num_seeds=3)
    assert first == {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    tables = run(progressive=("lobes", "airways"))
    assert tables["progressive"].empty
    assert (tmp_path / "progressive.png").read_bytes() != first["progressive.png"]


def test_a_finding_is_kept_on_one_side_and_removed_with_its_sentences(run: Run, tiny_mask: np.ndarray) -> None:
    found = run(structures=("pleural_effusion", "heart"), progressive=("lobes", "airways"))["edits"].set_index(
        ["structure", "edit"]
    )
    effusion = found.loc["pleural_effusion"]
    assert effusion.index.tolist() == ["mirrored", "moved", "left kept", "right kept", "removed"]
    assert found.loc["heart"].index.tolist() == ["mirrored", "moved"]
    assert effusion["report"].tolist() == ["edited", "unchanged", "edited", "unchanged", "edited"]
    assert (found.loc["heart", "report"] == "unchanged").all()
    sizes, sides = effusion["requested_over_unedited"], effusion["laterality_requested"]
    assert sizes["left kept"] + sizes["right kept"] == pytest.approx(1, abs=1e-4)
    assert (sizes["mirrored"], sizes["removed"]) == (1, 0)
    assert (sides["left kept"], sides["right kept"]) == (1, -1)
    assert np.isnan(sides["removed"])


def test_edits_without_reports_are_of_the_mask_alone(run: Run) -> None:
    reports = run(progressive=("lobes", "airways"))["edits"].groupby("case")["report"].unique()
    assert (reports["a"].tolist(), reports["b"].tolist()) == (["none"], ["unchanged"])  # the case a has no report
    alone = run(structures=("heart",), progressive=("lobes", "airways"), with_report=False)["edits"]
    assert set(alone["report"]) == {"none"}


def test_a_healthy_report_makes_the_first_volume_of_the_progressive_synthesis(run: Run) -> None:
    one, other, alone = (
        run(structures=(), progressive=("lobes", "nodules"), **given)["progressive"].iloc[0]
        for given in ({}, {"healthy_report": "Large heart."}, {"with_report": False})
    )
    assert len({one["outside_hu"], other["outside_hu"], alone["outside_hu"]}) == 3


def test_a_stopped_study_goes_on_with_the_parts_that_are_missing(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(with_means=True)
    bytes_of = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    kept = tmp_path / "evaluate_edits/held_out"
    assert {path.stem for path in kept.glob("*.json")} == {"lobes-a", "lobes-b", "progressive-b"}
    (tmp_path / "evaluate_edits/held_out.json").unlink()
    (kept / "lobes-b.json").unlink()
    written = {path: path.stat().st_mtime_ns for path in kept.glob("*/*")}
    again = run(with_means=True)
    assert {path.parent.name for path, time in written.items() if path.stat().st_mtime_ns > time} == {"lobes-b"}
    for name, table in whole.items():
        pd.testing.assert_frame_equal(table, again[name])
    assert bytes_of == {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    monkeypatch.setattr(MedSyn2Pipeline, "from_pretrained", None)  # a finished study loads no model
    run()
