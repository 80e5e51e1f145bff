"""Generated volumes are segmented case by case; one that a tool fails on is noted with the reason."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from medsyn2.config import EvaluateMasksConfig, SegmentConfig
from medsyn2.ct.nifti.files import read_labels, write_ct
from medsyn2.ct.volume import CTVolume, Grid, LabelMap, axis_aligned_affine
from medsyn2.errors import SegmenterError, ToolLimitError
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.masks.segment_samples import _refuse_if_nothing_was_segmented, _segment_volume, segment_samples
from medsyn2.facts import CT_FILE, FoundFacts, FoundMask, ReconstructionFacts, RegisterFacts, SampleFacts, found_file
from medsyn2.phantoms import draw_subject, render
from medsyn2.segmenters import Segmenter
from medsyn2.segmenters.classical.segmenter import ClassicalSegmenter
from medsyn2.store.artefacts import Record, load_manifest
from medsyn2.vocabulary import Structure
from tests.unit.records import reconstruction_facts, register_facts, sample_facts, write_shard

SPACING_MM, SHAPE = 8.0, (46, 40, 48)
SEGMENT = SegmentConfig(working_spacing_mm=SPACING_MM)
SPLITS = {"a": "test", "b": "test", "t": "train"}
BOTH: dict[str, Structure | None] = {"lobes": "lobes", "heart": "heart", "report": None}
Records = dict[str, Record[FoundFacts]]


@pytest.fixture(scope="module")
def chest() -> CTVolume:
    subject = draw_subject(0, 3)
    x, y, z = subject.pose.carina_mm
    first_mm = (x - SPACING_MM * SHAPE[2] / 2, y - SPACING_MM * SHAPE[1] / 2, z - 230.0)
    return render(subject, Grid(SHAPE, axis_aligned_affine((SPACING_MM,) * 3, first_mm))).volume


@pytest.fixture
def run(chest: CTVolume, tmp_path: Path) -> Callable[..., Records]:
    def segmented(
        conditions: dict[str, dict[str, Structure | None]], *, reconstructed: str = "", **changes: object
    ) -> Records:
        def registered(case: str, folder: Path) -> RegisterFacts:
            write_ct(folder / CT_FILE, chest)
            return register_facts(f"patient {case}", SPLITS[case])

        def sampled(case: str, folder: Path) -> SampleFacts:
            for condition in conditions[case]:
                write_ct(folder / f"{condition}.nii.gz", chest)
            return sample_facts(f"patient {case}", conditions[case])

        def there_and_back(case: str, folder: Path) -> ReconstructionFacts:
            write_ct(folder / CT_FILE, chest)
            return reconstruction_facts()

        manifest = tmp_path / "segment_samples/0000.json"
        segment_samples(
            SEGMENT,
            EvaluateMasksConfig(**changes),
            register=[write_shard(tmp_path / "register/0000.json", RegisterFacts, SPLITS, registered)],
            samples=[write_shard(tmp_path / "sample/0000.json", SampleFacts, conditions, sampled)],
            reconstructions=[
                write_shard(tmp_path / "reconstruct/0000.json", ReconstructionFacts, reconstructed, there_and_back)
            ],
            manifest=manifest,
            settings=repr(changes),
        )
        return load_manifest(manifest, FoundFacts).records

    return segmented


def volumes(record: Record[FoundFacts]) -> list[tuple[str, str]]:
    return [(one.volume, one.structure) for one in record.facts.masks]


def test_each_volume_has_a_mask_of_what_it_was_generated_from_and_real_ones_of_all(run, tmp_path: Path) -> None:
    records = run({"a": BOTH, "b": {"report": None}}, reconstructed="a")
    assert volumes(records["a"]) == [
        ("lobes", "lobes"),
        ("heart", "heart"),
        ("real", "lobes"),
        ("real", "heart"),
        ("reconstructed", "lobes"),
        ("reconstructed", "heart"),
    ]
    masks = [read_labels(records["a"].path(found_file(*one))).binary() for one in volumes(records["a"])]
    assert all(mask.any() for mask in masks)
    np.testing.assert_array_equal(masks[0], masks[2])
    np.testing.assert_array_equal(masks[1], masks[5])
    assert volumes(records["b"]) == []
    assert records["a"].facts.subject == "patient a"


def test_a_finished_case_is_not_segmented_again(run) -> None:
    path = run({"a": BOTH})["a"].path(found_file("real", "heart"))
    written = path.stat().st_mtime_ns
    assert run({"a": BOTH, "b": BOTH})["a"].path(found_file("real", "heart")).stat().st_mtime_ns == written


def test_structures_that_are_not_asked_for_are_left_out(run) -> None:
    assert volumes(run({"a": BOTH}, structures=["heart"])["a"]) == [("heart", "heart"), ("real", "heart")]


class Failing(ClassicalSegmenter):
    """Fails on every volume."""

    name = "failing"

    def __init__(self, error: SegmenterError) -> None:
        super().__init__(SEGMENT)
        self.error = error

    def segment(
        self, volume: CTVolume, structures: Sequence[Structure], *, case: str = ""
    ) -> dict[Structure, LabelMap]:
        raise self.error


def find(chest: CTVolume, folder: Path, heart: Segmenter) -> list[FoundMask]:
    """Find the lobes with a tool that works, and the heart with `heart`."""
    write_ct(folder / "ct.nii.gz", chest)
    tools = {"heart": heart, "lobes": ClassicalSegmenter(SEGMENT)}
    file = VolumeFile("a", "patient a", folder / "ct.nii.gz")
    return list(_segment_volume("real", file, ["heart", "lobes"], tools, folder))


def test_a_tool_that_fails_on_a_volume_costs_its_structures_alone(chest: CTVolume, tmp_path: Path) -> None:
    heart, lobes = find(chest, tmp_path, Failing(SegmenterError("no heart", code="tool-failed", remedy="look")))
    assert (heart.tool, heart.problem) == ("failing", "no heart")
    assert (lobes.tool, lobes.problem) == ("classical", None)
    assert (tmp_path / found_file("real", "lobes")).is_file()
    assert not (tmp_path / found_file("real", "heart")).exists()


def test_a_tool_that_ran_out_of_time_is_tried_again_by_the_next_run(chest: CTVolume, tmp_path: Path) -> None:
    with pytest.raises(ToolLimitError):
        find(chest, tmp_path, Failing(ToolLimitError("too slow", code="tool-timeout", remedy="wait")))


def test_a_case_is_refused_if_no_volume_of_it_has_a_mask() -> None:
    failed, done = FoundMask("real", "heart", "tool", "no heart"), FoundMask("real", "lobes", "tool")
    _refuse_if_nothing_was_segmented("a", [failed, done])
    _refuse_if_nothing_was_segmented("a", [])
    with pytest.raises(SegmenterError, match=r"samples-not-segmented.*none of 2: no heart"):
        _refuse_if_nothing_was_segmented("a", [failed, failed])
