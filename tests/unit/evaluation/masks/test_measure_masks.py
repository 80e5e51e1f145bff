"""Masks that were found are compared with their own and with those of other patients, wherever their shards are."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from medsyn2.config import EvaluateMasksConfig
from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.volume import LabelMap, axis_aligned_affine
from medsyn2.evaluation.case_rows import load_measured, read_rows
from medsyn2.evaluation.masks.measure_masks import measure_masks
from medsyn2.facts import CaseFacts, FoundFacts, FoundMask, MasksFacts, RegisterFacts, SampleFacts, found_file
from tests.unit.records import masks_facts, register_facts, sample_facts, write_shard

AFFINE = axis_aligned_affine((4.0, 4.0, 4.0), (0.0, 0.0, 0.0))
SHARDS = {"0000": "abc", "0001": "def"}
PATIENTS = {"d": "patient a"}
OWN = {"requested", "ceiling"}


def box(case: str) -> LabelMap:
    """A box whose place is the case's."""
    labels = np.zeros((20, 20, 20), dtype=np.uint8)
    start = 2 * (ord(case) - ord("a"))
    labels[5:10, 5:10, start : start + 6] = 1
    return LabelMap(labels, AFFINE)


def patient(case: str) -> str:
    return PATIENTS.get(case, f"patient {case}")


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., pd.DataFrame]:
    """Measure the cases of one shard and return their rows; every volume obeys its mask."""

    def measured(
        shard: str, problems: Mapping[tuple[str, str], str] = MappingProxyType({}), tolerance_mm: float = 4.0
    ) -> pd.DataFrame:
        def masked(case: str, folder: Path) -> MasksFacts:
            write_labels(folder / "heart.nii.gz", box(case))
            return masks_facts(patient(case), "test", {"heart": "present"})

        def found(case: str, folder: Path) -> FoundFacts:
            masks = [FoundMask(name, "heart", "classical", problems.get((case, name))) for name in ("heart", "real")]
            for one in masks:
                place = folder / found_file(one.volume, one.structure)
                place.parent.mkdir()
                write_labels(place, box(case))
            return FoundFacts(patient(case), "test", tuple(masks))

        def registered(case: str, folder: Path) -> RegisterFacts:
            return register_facts(patient(case), "test")

        def sampled(case: str, folder: Path) -> SampleFacts:
            return sample_facts(patient(case), {"report": None, "heart": "heart"})

        def all_shards(stage: str, kind: type, work: Callable[[str, Path], object]) -> list[Path]:
            return [write_shard(tmp_path / f"{stage}/{name}.json", kind, of, work) for name, of in SHARDS.items()]

        manifest = tmp_path / f"measure_masks/{shard}.json"
        measure_masks(
            EvaluateMasksConfig(surface_tolerance_mm=tolerance_mm),
            register=all_shards("register", RegisterFacts, registered),
            masks=all_shards("masks", MasksFacts, masked),
            samples=all_shards("sample", SampleFacts, sampled),
            reconstructions=[],
            found=write_shard(tmp_path / f"segment_samples/{shard}.json", FoundFacts, SHARDS[shard], found),
            manifest=manifest,
            settings=repr(tolerance_mm),
        )
        return pd.DataFrame(
            row for record in load_measured([manifest], CaseFacts).values() for row in read_rows(record)
        )

    return measured


def test_others_are_the_next_cases_of_other_patients_of_the_whole_cohort(run) -> None:
    rows = run("0001")
    assert set(rows["case"]) == set("def")
    shuffled = rows[rows["comparison"] == "shuffled"]
    others = shuffled.groupby("case")["other"].apply("".join).to_dict()
    assert others == {"d": "efbc", "e": "fabc", "f": "abcd"}
    own = rows[rows["comparison"].isin(OWN)]
    assert (own["dice"] == 1).all()
    assert (own["case"] == own["other"]).all()
    assert shuffled.set_index(["case", "other"]).loc[("d", "e"), "dice"] == pytest.approx(2 / 3)
    assert set(rows["structure"]) == {"heart"}
    assert set(rows["segmenter"]) == {"classical"}


def test_a_volume_that_a_tool_failed_on_is_left_out_with_the_reason(run, caplog: pytest.LogCaptureFixture) -> None:
    rows = run("0000", {("a", "heart"): "no lungs", ("b", "real"): "too dark"})
    assert set(rows["case"]) == {"c"}
    assert "heart of a cannot be compared: no lungs" in caplog.text
    assert "heart of b cannot be compared: too dark" in caplog.text


def test_a_measured_case_is_kept(run, tmp_path: Path) -> None:
    run("0000")
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "measure_masks/0000").glob("*.json")}
    run("0000")
    assert {path: path.stat().st_mtime_ns for path in written} == written
    run("0000", tolerance_mm=8.0)
    assert all(path.stat().st_mtime_ns > before for path, before in written.items())
