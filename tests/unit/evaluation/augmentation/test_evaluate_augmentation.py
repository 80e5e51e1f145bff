"""The augmentation study with a tiny model: who is trained on, who is tested, and that nothing is made twice."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from medsyn2.config import EvaluateAugmentationConfig, EvaluateMasksConfig, InferenceConfig, SampleConfig, SegmentConfig
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import ConfigError
from medsyn2.evaluation.augmentation.arms import ARMS, CASES_COLUMNS, table_columns
from medsyn2.evaluation.augmentation.evaluate_augmentation import SliceFacts, evaluate_augmentation
from medsyn2.evaluation.augmentation.slice_set import IMAGES, MASKS
from medsyn2.facts import CT_FILE, MasksFacts, RegisterFacts, mask_file
from medsyn2.flow import Sampling
from medsyn2.integrity import read_sealed, write_sealed
from medsyn2.pipeline import MedSyn2Pipeline
from medsyn2.pipeline.seeds import derive_seed
from medsyn2.store.artefacts import load_manifest
from medsyn2.weights.model_folder import DESCRIPTION
from tests.unit.records import change_facts, masks_facts, register_facts, write_shard

SPLITS = {"a": "train", "b": "train", "c": "train", "d": "train", "e": "test", "f": "test", "g": "test"}
STATES = {"a": "present", "b": "present", "c": "present", "d": "empty", "e": "present", "f": "present", "g": "empty"}
SMALL: dict[str, Any] = {
    "max_real": 1, "max_synthetic": 2, "image_size": 16, "channels": 2, "num_levels": 2, "num_steps": 3,
    "num_seeds": 2, "min_area_mm2": 1.0,
}  # fmt: skip
FAST = Sampling("euler", 2, guidance_mask=1.0)


class Study:
    """The stage's inputs, and what it wrote."""

    def __init__(self, root: Path, model: Path, mask: np.ndarray) -> None:
        self.root, self.model, self.mask = root, model, mask
        self.affine = MedSyn2Pipeline.from_pretrained(model).grid.affine_mm
        write_shard(root / "register/0000.json", RegisterFacts, SPLITS, self._registered)
        write_shard(root / "masks/0000.json", MasksFacts, SPLITS, self._masked)

    def _registered(self, case: str, folder: Path) -> RegisterFacts:
        hu = np.random.default_rng(ord(case)).normal(-800, 50, self.mask.shape)
        write_ct(folder / CT_FILE, CTVolume((hu + 850 * self.mask).astype(np.int16), self.affine))
        return register_facts(f"s_{case}", SPLITS[case])

    def _masked(self, case: str, folder: Path) -> MasksFacts:
        mask = self.mask & (np.arange(self.mask.shape[0])[:, None, None] <= 5)
        for name in ("heart", "lobes", "lobe_labels"):
            write_labels(folder / f"{name}.nii.gz", LabelMap(mask.astype(np.uint8), self.affine))
        return masks_facts(f"s_{case}", SPLITS[case], dict.fromkeys(("heart", "lobes"), STATES[case]))

    @property
    def manifest(self) -> Path:
        return self.root / "evaluate_augmentation" / "slices.json"

    @property
    def networks(self) -> Path:
        return self.root / "evaluate_augmentation" / "networks.json"

    def run(self, sampling: Sampling = FAST, **changes: Any) -> pd.DataFrame:
        evaluate_augmentation(
            SegmentConfig(working_spacing_mm=8.0),
            SampleConfig(),
            sampling,
            EvaluateMasksConfig(),
            EvaluateAugmentationConfig(**{**SMALL, **changes}),
            InferenceConfig(),
            model=self.model / DESCRIPTION,
            register=[self.root / "register/0000.json"],
            masks=[self.root / "masks/0000.json"],
            slices=self.manifest,
            networks=self.networks,
            table=self.root / "augmentation.csv",
            cases=self.root / "augmentation_cases.csv",
            figure=self.root / "augmentation.png",
        )
        return pd.read_csv(self.root / "augmentation.csv")

    def cases(self) -> pd.DataFrame:
        return pd.read_csv(self.root / "augmentation_cases.csv")

    def outputs(self) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in self.root.glob("augmentation*")}


@pytest.fixture
def study(tmp_path: Path, tiny_model: Path, tiny_mask: np.ndarray) -> Study:
    return Study(tmp_path, tiny_model, tiny_mask)


def test_three_sets_are_trained_equally_long_and_tested_on_held_out_cases_that_have_the_structure(study: Study) -> None:
    table, cases = study.run(), study.cases()
    assert list(table.columns) == table_columns()
    assert list(cases.columns) == CASES_COLUMNS
    assert table["arm"].tolist() == list(ARMS)
    assert table["num_steps"].tolist() == [3, 3, 3]
    assert table[["num_real", "num_synthetic"]].to_numpy().tolist() == [[1, 0], [0, 2], [1, 2]]
    assert set(cases["case"]) == {"e", "f"}
    assert set(table["segmenter"]) == set(cases["segmenter"]) == {"classical"}
    assert set(cases["patient"]) == {"s_e", "s_f"}
    assert cases.groupby(["arm", "seed"]).size().tolist() == [2] * 6


def test_masks_are_of_training_cases_that_are_not_trained_on_where_there_are_enough(study: Study) -> None:
    study.run()
    made = load_manifest(study.manifest, SliceFacts).records
    assert len(made) == 2
    assert {SPLITS[case] for case in made} == {"train"}
    study.run(max_synthetic=None)
    assert set(load_manifest(study.manifest, SliceFacts).records) == {"a", "b", "c"}


def test_a_synthetic_slice_is_that_of_the_volume_that_the_case_s_own_seed_gives(study: Study) -> None:
    study.run()
    case, record = next(iter(load_manifest(study.manifest, SliceFacts).records.items()))
    pipeline = MedSyn2Pipeline.from_pretrained(study.model)
    given = study.mask & (np.arange(study.mask.shape[0])[:, None, None] <= 5)
    volume = pipeline(
        mask=LabelMap(given.astype(np.uint8), study.affine),
        mask_text="heart",
        seed=derive_seed(0, case, "augmentation heart"),
        sampling=FAST,
    ).volume
    assert record.facts.index == 4  # the lowest of the mask's slices, which are alike
    np.testing.assert_array_equal(np.load(record.path("hu.npy")), volume.hu[4])
    np.testing.assert_array_equal(np.load(record.path("mask.npy")), given[4])


def test_a_second_run_gives_the_same_bytes_and_another_training_makes_no_volume_again(study: Study) -> None:
    study.run()
    first = study.outputs()
    made = {path: path.stat().st_mtime_ns for path in study.manifest.with_suffix("").glob("*.json")}
    trained = {path: path.stat().st_mtime_ns for path in study.networks.with_suffix("").glob("*.json")}
    assert sorted(path.stem for path in trained) == sorted(f"{arm}_{seed}" for arm in ARMS for seed in range(2))
    study.run()
    assert study.outputs() == first
    study.run(num_seeds=1)
    assert {path: path.stat().st_mtime_ns for path in trained} == trained
    study.run(num_steps=2)
    assert study.outputs()["augmentation.csv"] != first["augmentation.csv"]
    assert {path: path.stat().st_mtime_ns for path in made} == made
    study.run(sampling=replace(FAST, num_steps=3))
    assert all(path.stat().st_mtime_ns != before for path, before in made.items())


def test_volumes_may_be_labelled_again(study: Study) -> None:
    study.run(relabel=True)
    for record in load_manifest(study.manifest, SliceFacts).records.values():
        # The tiny model's volumes show no lungs, so that nothing is found in them.
        assert not np.load(record.path("mask.npy")).any()
        assert record.facts.dice_requested == 0


def test_labelling_again_needs_a_tool_that_looks(study: Study) -> None:
    with pytest.raises(ConfigError) as caught:
        evaluate_augmentation(
            SegmentConfig(tools={"heart": "ct_rate"}, ct_rate_masks=study.root),
            SampleConfig(),
            FAST,
            EvaluateMasksConfig(),
            EvaluateAugmentationConfig(**SMALL, relabel=True),
            InferenceConfig(),
            model=study.model / DESCRIPTION,
            register=[study.root / "register/0000.json"],
            masks=[study.root / "masks/0000.json"],
            slices=study.manifest,
            networks=study.networks,
            table=study.root / "augmentation.csv",
            cases=study.root / "augmentation_cases.csv",
            figure=study.root / "augmentation.png",
        )
    assert caught.value.code == "relabel-tool"


def test_where_no_case_has_the_structure_the_tables_are_empty_and_the_figure_says_so(study: Study) -> None:
    assert study.run(structure="nodules").empty
    assert study.cases().empty
    assert list(study.cases().columns) == CASES_COLUMNS
    assert (study.root / "augmentation.png").is_file()


def public_slices(folder: Path) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    labels = np.zeros((24, 24, 6), np.float32)
    labels[6:14, 8:16] = 1
    labels[:, :, 5] = 0
    hu = rng.normal(-800, 40, labels.shape) + 850 * (labels > 0)
    for name, values in ((IMAGES, np.rint(hu)), (MASKS, labels)):
        nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), np.diag([-1, -1, 1, 1])), folder / name)
    split = folder / "split.json"
    split.write_text(json.dumps({"train": [0, 1, 2], "test": [3, 4, 5]}), encoding="utf-8")
    return {"folder": folder, "split": split}


def test_public_slices_take_the_place_of_the_cohort_s(study: Study, tmp_path: Path, tiny_model: Path) -> None:
    public = public_slices(tmp_path)
    # The tiny model knows no ground glass; its masks are hearts by another name.
    masks = study.root / "masks/0000.json"
    values = read_sealed(masks)
    for record, held in zip(load_manifest(masks, MasksFacts).records.values(), values["cases"], strict=True):
        record.place(mask_file("ground_glass")).write_bytes(record.path(mask_file("heart")).read_bytes())
        held["files"][f"{record.case}/{mask_file('ground_glass')}"] = record.sha256(mask_file("heart"))
    write_sealed(masks, values)
    change_facts(masks, MasksFacts, lambda facts: replace(facts, masks={"ground_glass": facts.masks["heart"]}))
    table = study.run(structure="ground_glass", public=public, masks_from="test", max_real=2, max_synthetic=None)
    assert table["num_real"].tolist() == [2, 0, 2]
    assert table["num_test"].tolist() == [3, 3, 3]
    assert table["num_present"].tolist() == [2, 2, 2]
    assert set(table["segmenter"]) == {"people"}
    assert set(study.cases()["case"]) == {"slice_003", "slice_004", "slice_005"}
    assert set(load_manifest(study.manifest, SliceFacts).records) == {"e", "f"}


@pytest.mark.parametrize("wrong", [{"masks_from": "test"}, {"image_size": 60}, {"image_size": 8}])
def test_impossible_settings_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        EvaluateAugmentationConfig(**wrong)
