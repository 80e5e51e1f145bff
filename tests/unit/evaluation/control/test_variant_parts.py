"""Parts of a comparison of variants: which there are, and what makes one be measured again."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.config import EvaluateVariantsConfig, SampleConfig
from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.volume import LabelMap, axis_aligned_affine
from medsyn2.evaluation.control.variant_parts import Model, Part, Study
from medsyn2.evaluation.held_out import load_cases
from medsyn2.flow import Sampling
from medsyn2.weights.model_folder import DESCRIPTION
from tests.unit.records import masks_facts, register_facts, sample_facts, write_manifest

AFFINE = axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0))


@pytest.fixture
def parts(tmp_path: Path, tiny_model: Path):
    """Return the parts of the cases of a study of one model, given the number of voxels of their masks."""

    def found(voxels: int, max_cases: int = 2) -> dict[str, Part]:
        def draw(case: str, folder: Path) -> None:
            mask = np.arange(8).reshape(2, 2, 2) < voxels
            write_labels(folder / "nodules.nii.gz", LabelMap(mask.astype(np.uint8), AFFINE))

        def leave_volume(case: str, folder: Path) -> None:
            (folder / "report.nii.gz").touch()

        registered, masked, sampled = (
            {case: make(case) for case in "ab"}
            for make in (
                lambda case: register_facts(case, "test"),
                lambda case: masks_facts(case, "test", {"nodules": "present"}),
                lambda case: sample_facts(case, {"report": None}),
            )
        )
        register = [write_manifest(tmp_path / "register/0.json", registered)]
        masks = [write_manifest(tmp_path / "masks/0.json", masked, draw)]
        samples = [
            write_manifest(tmp_path / "sample/0.json", sampled, lambda case, folder: (folder / "report.nii.gz").touch())
        ]
        model = Model(
            "main", tiny_model / DESCRIPTION, {case.name: case for case in load_cases(register, samples=samples)}
        )
        config = EvaluateVariantsConfig(max_cases=max_cases)
        study = Study({"main": model}, SampleConfig(), Sampling(), 0.05, config)
        held_out = load_cases(register, masks=masks)
        assert study.left_out(held_out) == {}
        return study.cases(held_out)

    return found


def test_each_held_out_case_is_a_part_that_depends_on_its_files_and_its_place(parts) -> None:
    first = parts(voxels=3)
    assert list(first) == ["case-a", "case-b"]
    assert [part.subject for part in first.values()] == ["a", "b"]
    assert {name: part.made_from for name, part in parts(voxels=3).items()} == {
        name: part.made_from for name, part in first.items()
    }
    assert parts(voxels=4)["case-a"].made_from != first["case-a"].made_from
    fewer = parts(voxels=3, max_cases=1)
    assert fewer["case-a"].made_from == first["case-a"].made_from
    assert fewer["case-b"].made_from != first["case-b"].made_from
