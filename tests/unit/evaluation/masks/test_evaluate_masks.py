"""Agreement of generated volumes with their masks, where it is known what was generated."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import binary_dilation

from medsyn2.config import EvaluateMasksConfig, SegmentConfig
from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, Grid, LabelMap, axis_aligned_affine
from medsyn2.evaluation.masks.evaluate_masks import COLUMNS, evaluate_masks
from medsyn2.evaluation.masks.measure_masks import measure_masks
from medsyn2.evaluation.masks.segment_samples import segment_samples
from medsyn2.evaluation.similarity.overlap import DISTANCES, OVERLAPS
from medsyn2.facts import CT_FILE, FoundFacts, MasksFacts, ReconstructionFacts, RegisterFacts, SampleFacts
from medsyn2.phantoms import Phantom, draw_subject, render
from medsyn2.store.artefacts import load_manifest
from tests.unit.records import masks_facts, reconstruction_facts, register_facts, sample_facts, write_shard

SPACING_MM = 8.0
SHAPE = (46, 40, 48)
SUBJECTS = {"a": 3, "b": 10, "c": 5}
SEGMENT = SegmentConfig(working_spacing_mm=SPACING_MM)

ENDS = ("", "_low", "_high")

Tables = tuple[pd.DataFrame, pd.DataFrame]

SUMMARY = [
    "structure", "condition", "comparison", "segmenter", "num", "num_present", "num_patients",
    *(f"{name}{end}" for name in OVERLAPS for end in ENDS), "dice_median",
    "num_distances", *(f"{name}{end}" for name in DISTANCES for end in ENDS),
    "num_missed", "miss_rate", "num_false_alarm", "num_both_empty", *(f"disagreement_ratio{end}" for end in ENDS),
]  # fmt: skip


@pytest.fixture(scope="module")
def phantoms() -> dict[str, Phantom]:
    """Phantoms with their carinas at one place, as registration would bring them."""
    painted = {}
    for case, index in SUBJECTS.items():
        subject = draw_subject(0, index)
        x, y, z = subject.pose.carina_mm
        first_mm = (x - SPACING_MM * SHAPE[2] / 2, y - SPACING_MM * SHAPE[1] / 2, z - 230.0)
        painted[case] = render(subject, Grid(SHAPE, axis_aligned_affine((SPACING_MM,) * 3, first_mm)))
    return painted


@pytest.fixture
def run(phantoms: dict[str, Phantom], tmp_path: Path) -> Callable[..., Tables]:
    """Evaluate volumes against the phantoms' masks; return the table of means and the one of comparisons."""
    affine = axis_aligned_affine((SPACING_MM,) * 3, (0.0, 0.0, 0.0))

    def evaluated(
        generated: dict[str, np.ndarray],
        structures: tuple[str, ...] = ("lobes",),
        segment: SegmentConfig = SEGMENT,
        tools: dict[str, str] | None = None,
        reconstructed: str = "",
        patients: Mapping[str, str] = MappingProxyType({}),
        asked: tuple[str, ...] | None = None,
        joint: str = "",
    ) -> Tables:
        def registered(case: str, folder: Path) -> RegisterFacts:
            write_ct(folder / CT_FILE, CTVolume(phantoms[case].volume.hu, affine))
            return register_facts(patients.get(case, case), "test")

        def masked(case: str, folder: Path) -> MasksFacts:
            for name in ("lobe_labels", "heart"):
                labels = phantoms[case].truth[name].labels
                write_labels(folder / f"{name}.nii.gz", LabelMap(labels, affine))
            return masks_facts(case, "test", {"lobes": "present", "heart": "present"})

        def sampled(case: str, folder: Path) -> SampleFacts:
            conditions = {**{name: name for name in structures}, "report": None}
            conditions |= {"report_and_lobes": "lobes"} if case in joint else {}
            for condition in conditions:
                write_ct(folder / f"{condition}.nii.gz", CTVolume(generated[case], affine))
            return sample_facts(case, conditions)

        def there_and_back(case: str, folder: Path) -> ReconstructionFacts:
            write_ct(folder / CT_FILE, CTVolume(phantoms[case].volume.hu, affine))
            blurred = binary_dilation(phantoms[case].truth["heart"].labels)
            write_labels(folder / "heart.nii.gz", LabelMap(blurred.astype(np.uint8), affine))
            write_labels(folder / "lobes.nii.gz", LabelMap(blurred.astype(np.uint8), affine))
            return reconstruction_facts(["heart", "lobes"])

        table, rows = tmp_path / "mask_agreement.csv", tmp_path / "mask_agreement_cases.csv"
        config = EvaluateMasksConfig(structures=asked, tools=tools or {})
        made: dict[str, list[Path]] = {
            "register": [write_shard(tmp_path / "register/0000.json", RegisterFacts, SUBJECTS, registered)],
            "samples": [write_shard(tmp_path / "sample/0000.json", SampleFacts, generated, sampled)],
            "reconstructions": [
                write_shard(tmp_path / "reconstruct/0000.json", ReconstructionFacts, reconstructed, there_and_back)
            ],
        }
        masks = [write_shard(tmp_path / "masks/0000.json", MasksFacts, SUBJECTS, masked)]
        found, measured = tmp_path / "segment_samples/0000.json", tmp_path / "measure_masks/0000.json"
        segment_samples(segment, config, **made, manifest=found, settings=repr(config))
        measure_masks(config, **made, masks=masks, found=found, manifest=measured, settings=repr(config))
        evaluate_masks(config, measured=[measured], table=table, cases=rows)
        return pd.read_csv(table), pd.read_csv(rows)

    return evaluated


def by_comparison(table: pd.DataFrame, structure: str) -> pd.DataFrame:
    return table[table["structure"] == structure].set_index("comparison")


def test_volumes_that_obey_agree_with_their_own_masks_and_less_with_others(run, phantoms) -> None:
    table, cases = run({case: phantom.volume.hu for case, phantom in phantoms.items()}, ("lobes", "heart"))
    assert list(table.columns) == [*SUMMARY]
    assert list(cases.columns) == COLUMNS
    assert table["structure"].unique().tolist() == ["lungs", "heart"]
    assert (table["segmenter"] == "classical").all()
    for structure, least in (("lungs", 0.93), ("heart", 0.7)):
        rows = by_comparison(table, structure)
        assert rows["num"].to_dict() == {"requested": 3, "shuffled": 6, "ceiling": 3}
        assert rows["num_missed"].sum() == 0
        assert rows["dice"]["requested"] > least
        assert rows["dice"]["requested"] > rows["dice"]["shuffled"] + 0.03
        assert rows["dice"]["requested"] == rows["dice"]["ceiling"]
        assert rows["assd_mm"]["requested"] < rows["assd_mm"]["shuffled"]


def test_report_and_mask_together_have_rows_of_their_own_cases_and_no_second_look_at_real_volumes(
    run, phantoms, tmp_path: Path
) -> None:
    table, cases = run({case: np.roll(phantom.volume.hu, 1, axis=0) for case, phantom in phantoms.items()}, joint="ab")
    segmented = load_manifest(tmp_path / "segment_samples/0000.json", FoundFacts).records
    looked_at = {case: {one.volume for one in record.facts.masks} for case, record in segmented.items()}
    both = {"lobes", "report_and_lobes", "real"}
    assert looked_at == {"a": both, "b": both, "c": {"lobes", "real"}}
    assert table["condition"].unique().tolist() == ["lobes", "report_and_lobes"]
    joint = table[table["condition"] == "report_and_lobes"].set_index("comparison")
    assert joint["num"].to_dict() == {"requested": 2, "shuffled": 2, "ceiling": 2}
    ceilings = cases[cases["comparison"] == "ceiling"].set_index(["condition", "case"])["dice"]
    assert ceilings["report_and_lobes", "a"] == ceilings["lobes", "a"]
    assert joint["disagreement_ratio"].notna().to_dict() == {"requested": True, "shuffled": False, "ceiling": True}


def test_each_comparison_has_a_row_with_both_cases(run, phantoms) -> None:
    _, cases = run({case: phantom.volume.hu for case, phantom in phantoms.items()})
    pairs = cases.groupby("comparison")[["case", "other"]].apply(lambda rows: set(map(tuple, rows.values)))
    same = {(case, case) for case in SUBJECTS}
    assert pairs["requested"] == pairs["ceiling"] == same
    assert pairs["shuffled"] == {(a, b) for a in SUBJECTS for b in SUBJECTS} - same


def test_the_ratio_of_disagreements_is_of_the_table_s_means(run, phantoms) -> None:
    table, _ = run({case: phantom.volume.hu for case, phantom in phantoms.items()}, reconstructed="a")
    rows = by_comparison(table, "lungs")
    ratio = rows["disagreement_ratio"]
    expected = (1 - rows["dice"]["requested"]) / (1 - rows["dice"]["shuffled"])
    assert ratio["requested"] == pytest.approx(expected, rel=1e-3)
    assert ratio["ceiling"] == ratio["requested"]
    assert rows["num_patients"]["requested"] == 3
    # Three patients have no interval.
    assert rows[["disagreement_ratio_low", "dice_low"]].isna().all(axis=None)
    assert np.isnan(ratio["shuffled"])


def test_another_scan_of_the_same_patient_is_nobody_else(run, phantoms) -> None:
    generated = {case: phantom.volume.hu for case, phantom in phantoms.items()}
    table, cases = run(generated, patients={"a": "p", "b": "p"})
    shuffled = cases[cases["comparison"] == "shuffled"]
    assert set(zip(shuffled["case"], shuffled["other"], strict=True)) == {
        ("a", "c"),
        ("b", "c"),
        ("c", "a"),
        ("c", "b"),
    }
    assert by_comparison(table, "lungs")["num_patients"]["requested"] == 2


def test_volumes_of_somebody_else_agree_with_the_others_mask(run, phantoms) -> None:
    exchanged = {"a": phantoms["b"].volume.hu, "b": phantoms["a"].volume.hu}
    table, cases = run(exchanged)
    rows = by_comparison(table, "lungs")
    assert rows["dice"]["shuffled"] > 0.93 > rows["dice"]["requested"] + 0.03
    assert rows["dice"]["ceiling"] > 0.93
    assert len(cases) == 6


def test_a_volume_without_lungs_is_a_miss_and_stops_nothing(run, phantoms) -> None:
    noise = np.random.default_rng(0).normal(40, 20, SHAPE).astype(np.int16)
    table, cases = run({"a": noise, "b": phantoms["b"].volume.hu})
    rows = by_comparison(table, "lungs")
    assert rows["num_missed"].to_dict() == {"requested": 1, "shuffled": 1, "ceiling": 0}
    missed = cases[(cases["case"] == "a") & (cases["comparison"] == "requested")].iloc[0]
    assert missed["dice"] == missed["jaccard"] == 0
    assert np.isnan(missed["hd95_max_mm"])
    own = cases[(cases["case"] == "b") & (cases["comparison"] == "requested")].iloc[0]
    assert rows["hd95_max_mm"]["requested"] == own["hd95_max_mm"]
    assert rows["dice"]["requested"] == pytest.approx(own["dice"] / 2, rel=1e-4)


def test_reconstructed_cases_are_compared_before_and_after_the_tokenizer(run, phantoms) -> None:
    generated = {case: phantom.volume.hu for case, phantom in phantoms.items()}
    table, cases = run(generated, ("lobes", "heart"), reconstructed="ab")
    lungs, heart = by_comparison(table, "lungs"), by_comparison(table, "heart")
    assert lungs["num"].to_dict() == {"requested": 3, "shuffled": 6, "ceiling": 3, "reconstructed_ct": 2}
    assert heart["num"]["reconstructed_mask"] == heart["num"]["reconstructed_ct"] == 2
    assert heart["dice"]["reconstructed_mask"] < heart["dice"]["requested"]
    dice = cases.set_index(["structure", "comparison", "case"])["dice"]
    for case in "ab":
        assert dice["lungs", "reconstructed_ct", case] == dice["lungs", "ceiling", case]


def test_one_volume_has_no_others_to_compare_with(run, phantoms) -> None:
    table, _ = run({"a": phantoms["a"].volume.hu})
    assert table["comparison"].tolist() == ["requested", "ceiling"]


def test_without_samples_of_a_mask_the_tables_have_only_their_columns(run, phantoms) -> None:
    table, cases = run({"a": phantoms["a"].volume.hu}, structures=())
    assert table.empty
    assert cases.empty
    assert list(cases.columns) == COLUMNS


def test_a_structure_without_samples_is_named(run, phantoms, caplog: pytest.LogCaptureFixture) -> None:
    table, _ = run({"a": phantoms["a"].volume.hu}, ("lobes", "heart"), asked=("lobes", "airways"))
    assert table["structure"].unique().tolist() == ["lungs"]
    (message,) = [record.getMessage() for record in caplog.records if "left out" in record.getMessage()]
    assert "airways" in message
    assert "sample.structures" in message


def test_masks_that_were_read_are_compared_by_the_tool_named_for_it_or_left_out(run, phantoms) -> None:
    generated = {case: phantom.volume.hu for case, phantom in phantoms.items()}
    chosen = {"lobes": "files", "heart": "files"}
    segment = SegmentConfig(tools=chosen, mask_files="{case}/{structure}", working_spacing_mm=SPACING_MM)
    table, _ = run(generated, ("lobes", "heart"), segment, {"lobes": "classical"})
    assert table["structure"].unique().tolist() == ["lungs"]
    assert table["segmenter"].unique().tolist() == ["classical"]
