"""A case as evaluations see it, joined from the manifests of five stages."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.evaluation.held_out import Case, load_cases, volumes_by_condition
from medsyn2.facts import (
    CT_FILE,
    InventoryFacts,
    MasksFacts,
    ReconstructionFacts,
    RegisterFacts,
    Report,
    SampleFacts,
    mask_file,
    region_file,
)
from tests.unit.records import (
    inventory_facts,
    masks_facts,
    reconstruction_facts,
    register_facts,
    sample_facts,
    write_shard,
)

SPLITS = {"b": "test", "a": "test", "t": "train"}
AFFINE = np.diag([4.0, 4.0, 4.0, 1.0])
REPORT = Report("A nodule.")


def labels(value: int) -> LabelMap:
    return LabelMap(np.full((2, 2, 2), value, np.uint8), AFFINE)


def write_masks(case: str, folder: Path) -> MasksFacts:
    write_labels(folder / mask_file("lobes"), labels(0))
    write_labels(folder / region_file("lobes"), labels(3))
    write_labels(folder / mask_file("heart"), labels(1))
    return masks_facts(f"s_{case}", SPLITS[case], {"lobes": "present", "heart": "present", "nodules": "empty"})


def write_reconstruction(case: str, folder: Path) -> ReconstructionFacts:
    for structure in ("lobes", "heart"):
        write_labels(folder / mask_file(structure), labels(1))
    return reconstruction_facts(["lobes", "heart"])


def write_volume(case: str, folder: Path) -> RegisterFacts:
    write_ct(folder / CT_FILE, CTVolume(np.full((2, 2, 2), 7, np.int16), AFFINE))
    return register_facts(f"s_{case}", SPLITS[case])


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, list[Path]]:
    return {
        "register": [write_shard(tmp_path / "register/0000.json", RegisterFacts, SPLITS, write_volume)],
        "inventory": [
            write_shard(
                tmp_path / "inventory/0000.json",
                InventoryFacts,
                SPLITS,
                lambda case, folder: inventory_facts(report=REPORT if case == "b" else None),
            )
        ],
        "masks": [write_shard(tmp_path / "masks/0000.json", MasksFacts, "bt", write_masks)],
        "samples": [
            write_shard(
                tmp_path / "sample/0000.json",
                SampleFacts,
                "ba",
                lambda case, folder: sample_facts(case, {"report": None, "heart": "heart"}),
            )
        ],
        "reconstructions": [
            write_shard(tmp_path / "reconstruct/0000.json", ReconstructionFacts, "b", write_reconstruction)
        ],
    }


def names(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


def test_cases_are_those_of_a_split_in_the_cohort_s_order(paths: dict[str, list[Path]]) -> None:
    assert names(load_cases(**paths)) == ["b", "a"]
    assert names(load_cases(**paths, split="train")) == ["t"]
    assert names(load_cases(paths["register"], split=None)) == ["b", "a", "t"]


def test_lobes_are_compared_as_lungs_and_the_others_as_their_mask(paths: dict[str, list[Path]]) -> None:
    case = load_cases(**paths)[0]
    assert case.structures == ("lobes", "heart")
    assert not case.mask("lobes").binary().any()
    assert case.region("lobes").binary().all()
    assert case.region_path("heart") == case.mask_path("heart")
    assert case.segmenter("heart") == "classical"


def test_the_lungs_never_come_back_from_the_tokenizer(paths: dict[str, list[Path]]) -> None:
    case, other = load_cases(**paths)
    assert case.reconstruction_region("lobes") is None
    assert case.reconstruction_region("nodules") is None
    assert case.reconstruction_region("heart").binary().all()
    assert case.reconstruction == replace(case.volume, path=case.reconstruction.path)
    assert other.reconstruction is other.reconstruction_region("heart") is None


def test_records_that_are_not_there_say_nothing(paths: dict[str, list[Path]]) -> None:
    case, other = load_cases(**paths)
    assert (case.report, other.report) == (REPORT, None)
    assert other.structures == ()
    bare = load_cases(paths["register"])[0]
    assert (bare.report, bare.structures, dict(bare.samples), bare.reconstruction) == (None, (), {}, None)
    assert (bare.read().hu == 7).all()
    assert bare.subject == "s_b"


def test_samples_are_found_by_their_condition(paths: dict[str, list[Path]]) -> None:
    volumes = volumes_by_condition(load_cases(**paths))
    assert {name: [volume.id for volume in of] for name, of in volumes.items()} == {
        "report": ["b", "a"],
        "heart": ["b", "a"],
    }
    assert volumes["heart"][0].path.name == "heart.nii.gz"
