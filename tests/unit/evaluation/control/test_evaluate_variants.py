"""Variants of a tiny model: one with the same weights, one with others that never saw a mask of nodules."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from medsyn2.config import EvaluateVariantsConfig, FlowConfig, InferenceConfig, SampleConfig
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import ConfigError, EnvironmentFault
from medsyn2.evaluation.control.evaluate_variants import ORDER, evaluate_variants
from medsyn2.evaluation.control.sizes import TIMES
from medsyn2.evaluation.control.variant_parts import AT_TIME
from medsyn2.evaluation.similarity.overlap import FLAGS, VALUES
from medsyn2.evaluation.statistics.paired import CASE_COLUMNS, COLUMNS
from medsyn2.facts import CT_FILE, InventoryFacts, MasksFacts, RegisterFacts, Report, SampleFacts
from medsyn2.flow import Sampling
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.weights.model_folder import DESCRIPTION, read_description, write_description
from tests.unit.records import change_facts, inventory_facts, masks_facts, register_facts, sample_facts, write_shard

FAST = Sampling("euler", 2, guidance_mask=1.0)
SPLIT = {"a": "test", "b": "test", "c": "train"}
REPORT = Report("A nodule of 5 mm.", "Large pleural effusion.")
KEPT = "evaluate_variants/held_out.json"
OUTPUTS = {"table": "variants.csv", "cases": "cases.csv", "figure": "v.png", "left_out_figure": "l.png"}


@dataclass(frozen=True)
class Run:
    """The folder that the main model and its variants are in, as the workflow lays them out."""

    root: Path
    shared: dict[str, list[Path]]

    def of(self, variant: str) -> Path:
        return self.root if variant == "main" else self.root / "variants" / variant

    def add(self, variant: str, model: Path, mask: np.ndarray, without: tuple[str, ...] = ()) -> None:
        """Put a model into its place, with samples of the held-out cases and the tables of other stages."""
        folder = self.of(variant) / "train_dit/model"
        shutil.copytree(model, folder)
        described = read_description(folder)
        seen = {name: n for name, n in described.training.structures.items() if name not in without}
        write_description(folder, replace(described, training=replace(described.training, structures=seen)))
        pipeline = MedSyn2Pipeline.from_pretrained(folder)
        given = LabelMap(mask.astype(np.uint8), pipeline.grid.affine_mm)

        def sampled(case: str, folder: Path) -> SampleFacts:
            made = pipeline(mask=given, mask_text="lobes", seed=1, sampling=FAST)
            write_ct(folder / "lobes.nii.gz", made.volume)
            return sample_facts(case, {"lobes": "lobes"})

        held_out = [case for case, split in SPLIT.items() if split == "test"]
        write_shard(self.of(variant) / "sample/0000.json", SampleFacts, held_out, sampled)
        names = {"structure": "lungs", "condition": "lobes"}
        agreement = pd.DataFrame(
            [
                {**names, "comparison": name, "case": case, "other": case, "dice": 0.9}
                for case in "ab"
                for name in ("requested", "shuffled", "ceiling", "reconstructed_ct", "reconstructed_mask")
            ],
            columns=["structure", "condition", "comparison", "case", "other", "segmenter", *VALUES, *FLAGS],
        )
        agreement.to_csv(self.of(variant) / "mask_agreement_cases.csv", index=False)
        # The table's own means are not one more case.
        attention = {"case": ["mean", "a"], "first_token_mass": [0.7, 0.2], "entropy_share": 0.9}
        pd.DataFrame({**attention, "finding_over_alike": 1.1}).to_csv(self.of(variant) / "attention.csv", index=False)
        fid = {"window": "lung", "condition": "lobes", "plane": ["axial", "mean"], "fid": [3.0, 4.0]}
        pd.DataFrame(fid).to_csv(self.of(variant) / "fid_lung.csv", index=False)

    def compare(self, *variants: str, **changes: object) -> tuple[pd.DataFrame, pd.DataFrame]:
        folders = [self.of(name) for name in ("main", *variants)]
        evaluate_variants(
            FlowConfig(),
            SampleConfig(),
            FAST,
            EvaluateVariantsConfig(**changes),
            InferenceConfig(),
            models=[folder / "train_dit/model" / DESCRIPTION for folder in folders],
            samples=[folder / "sample/0000.json" for folder in folders],
            agreement=[folder / "mask_agreement_cases.csv" for folder in folders],
            attention=[folder / "attention.csv" for folder in folders],
            fid=[folder / "fid_lung.csv" for folder in folders],
            **self.shared,
            manifest=self.root / KEPT,
            **{option: self.root / name for option, name in OUTPUTS.items()},
            settings=json.dumps(changes),
        )
        return pd.read_csv(self.root / "variants.csv"), pd.read_csv(self.root / "cases.csv")


@pytest.fixture(scope="module")
def run(tmp_path_factory, tiny_model, other_tiny_model, tiny_mask) -> Run:
    root = tmp_path_factory.mktemp("results")
    grid = MedSyn2Pipeline.from_pretrained(tiny_model).grid

    def inventory(case: str, folder: Path) -> InventoryFacts:
        return inventory_facts(case, SPLIT[case], report=REPORT if case == "a" else None)

    def register(case: str, folder: Path) -> RegisterFacts:
        hu = np.random.default_rng(ord(case)).integers(-1000, 1000, grid.shape).astype(np.int16)
        write_ct(folder / CT_FILE, CTVolume(hu, grid.affine_mm))
        return register_facts(case, SPLIT[case])

    def masks(case: str, folder: Path) -> MasksFacts:
        nodules = np.zeros_like(tiny_mask)
        nodules[3:5, 6:8, 6:8] = nodules[10:14, 18:26, 20:28] = True
        for name, mask in (("lobes", tiny_mask), ("nodules", nodules)):
            write_labels(folder / f"{name}.nii.gz", LabelMap(mask.astype(np.uint8), grid.affine_mm))
        nodules_state = "present" if case == "a" else "empty"
        return masks_facts(case, SPLIT[case], {"lobes": "present", "nodules": nodules_state})

    shared = {
        work.__name__: [write_shard(root / work.__name__ / "0000.json", kind, SPLIT, work)]
        for work, kind in ((inventory, InventoryFacts), (register, RegisterFacts), (masks, MasksFacts))
    }
    made = Run(root, shared)
    made.add("main", tiny_model, tiny_mask)
    made.add("same", tiny_model, tiny_mask)
    made.add("other", other_tiny_model, tiny_mask, without=("nodules",))
    return made


Tables = tuple[pd.DataFrame, pd.DataFrame]


@pytest.fixture(scope="module")
def found(run: Run) -> Tables:
    """The tables of both variants."""
    return run.compare("same", "other", diameters_mm=(20.0,))


def rows(table: pd.DataFrame, measure: str, variant: str) -> pd.DataFrame:
    return table[(table["measure"] == measure) & (table["variant"] == variant)].set_index("part")


def test_a_variant_with_the_same_weights_differs_by_exactly_nothing(found: Tables) -> None:
    same = found[0][found[0]["variant"] == "same"]
    assert set(same["measure"]) >= {"flow_loss", "blockiness", "dice_requested", "fid", "first_token_mass"}
    assert (same["difference"] == 0).all()
    assert same.loc[same["num_subjects"] < 5, ["low", "high"]].isna().all(axis=None)


def test_other_weights_have_other_losses_on_the_same_pairs(found: Tables) -> None:
    table, _ = found
    other, main = (rows(table, "flow_loss", name) for name in ("other", "main"))
    assert (other["difference"] != 0).all()
    np.testing.assert_allclose(other["value"] - other["main"], other["difference"], atol=0.02)
    np.testing.assert_allclose(other["main"], main["value"], rtol=1e-4)
    assert other.loc["mean", ["num_pairs", "num_subjects"]].tolist() == [2, 2]
    assert other.loc["given report", "num_pairs"] == 1  # the other held-out case has none


def test_the_mean_loss_is_that_of_its_times(found: Tables) -> None:
    loss, at_time = (rows(found[0], measure, "main")["value"] for measure in ("flow_loss", AT_TIME))
    assert at_time.mean() == pytest.approx(loss["mean"], rel=1e-3)
    assert len(at_time) == len(TIMES)


def test_real_and_reconstructed_volumes_stand_beside_the_models(found: Tables) -> None:
    seams = found[0][found[0]["measure"] == "blockiness"]
    assert seams["variant"].tolist() == ["main", "same", "other", "real", "reconstruction"]
    real = rows(found[0], "blockiness", "real")
    assert real.loc["lobes", "value"] == pytest.approx(1, abs=0.1)  # noise has no seams
    assert rows(found[0], "dice_requested", "real").loc["lungs", "value"] == 0.9


def test_only_what_a_variant_left_out_is_made_lesion_by_lesion(found: Tables) -> None:
    lesions = found[0][found[0]["measure"] == "lesion_made"]
    assert set(lesions["variant"]) == {"main", "other"}
    assert set(lesions["part"]) == {"nodules, any size", "nodules, 0 to 20 mm", "nodules, 20 mm and more"}
    items = found[1].query("measure == 'lesion_made' and part == 'nodules, any size' and variant == 'main'")
    assert items["item"].tolist() == ["a, 1", "a, 2"]


def test_tables_have_their_columns_and_the_run_repeats_itself(run: Run, found: Tables) -> None:
    table, cases = found
    assert (list(table.columns), list(cases.columns)) == (COLUMNS, CASE_COLUMNS)
    assert tuple(table["measure"].unique()) == ORDER
    before = {name: (run.root / name).read_bytes() for name in OUTPUTS.values()}
    run.compare("same", "other", diameters_mm=(20.0,))
    assert {name: (run.root / name).read_bytes() for name in OUTPUTS.values()} == before


def test_a_stopped_study_goes_on_with_the_parts_that_are_missing(
    run: Run, found: Tables, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: (run.root / name).read_bytes() for name in OUTPUTS.values()}
    kept = (run.root / KEPT).with_suffix("")
    assert {path.stem for path in kept.glob("*.json")} == {"case-a", "case-b", "nodules-a"}
    (kept / "case-b.json").unlink()
    (run.root / KEPT).unlink()
    times = {name: (kept / name / "rows.json").stat().st_mtime_ns for name in ("case-a", "case-b", "nodules-a")}
    run.compare("same", "other", diameters_mm=(20.0,))
    assert {name: (run.root / name).read_bytes() for name in OUTPUTS.values()} == before
    done = {name for name, time in times.items() if (kept / name / "rows.json").stat().st_mtime_ns > time}
    assert done == {"case-b"}
    monkeypatch.setattr(MedSyn2Pipeline, "from_pretrained", None)  # a finished study loads no model
    run.compare("same", "other", diameters_mm=(20.0,))


def test_agreement_with_a_report_is_a_part_of_its_own(run: Run) -> None:
    path = run.of("main") / "mask_agreement_cases.csv"
    alone = pd.read_csv(path)
    pd.concat([alone, alone.assign(condition="report_and_lobes", dice=0.5)]).to_csv(path, index=False)
    table, _ = run.compare("same")
    alone.to_csv(path, index=False)
    values = rows(table, "dice_requested", "main")["value"].to_dict()
    assert values == {"lungs": 0.9, "lungs, report_and_lobes": 0.5}


def test_without_a_structure_left_out_there_is_a_picture_that_says_so(run: Run) -> None:
    table, _ = run.compare("same")
    assert not table["measure"].str.startswith("lesion").any()
    assert (run.root / "l.png").stat().st_size > 0


def test_files_of_another_number_of_models_are_refused(run: Run) -> None:
    with pytest.raises(ConfigError, match="as many files of each of 3 models"):
        evaluate_variants(
            FlowConfig(),
            SampleConfig(),
            FAST,
            EvaluateVariantsConfig(),
            InferenceConfig(),
            models=[run.of(name) / "train_dit/model" / DESCRIPTION for name in ("main", "same", "other")],
            samples=[],
            agreement=[],
            attention=[],
            fid=[run.of("main") / "fid_lung.csv"],
            **run.shared,
            manifest=run.root / KEPT,
            **{option: run.root / name for option, name in OUTPUTS.items()},
            settings="",
        )


def test_without_held_out_cases_nothing_is_compared(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "0000.json"
    shutil.copyfile(run.shared["register"][0], path)
    change_facts(path, RegisterFacts, lambda facts: replace(facts, split="train"))
    with pytest.raises(EnvironmentFault, match="0 cases"):
        replace(run, shared={**run.shared, "register": [path]}).compare("same")
