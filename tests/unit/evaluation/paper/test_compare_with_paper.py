"""A run's value stands beside a printed one only if both are of one quantity."""

import pandas as pd
import pytest

from medsyn2.evaluation.paper.compare_with_paper import FILES, compare_with_paper
from medsyn2.evaluation.paper.printed import PRINTED


def row(frames: dict[str, dict[str, list]], *place: str) -> pd.Series:
    tables = {name: pd.DataFrame(values) for name, values in frames.items()}
    assert set(tables) <= set(FILES)
    return compare_with_paper(tables).set_index(["table", "row", "column"]).loc[place]


def fid(extractor: str) -> dict[str, dict[str, list]]:
    values = {"condition": ["lobes", "report"], "plane": "axial", "fid": [9.0, 1.5], "protocol": "maisi"}
    return {"fid_lung.csv": {**values, "extractor": extractor}}


def test_every_printed_number_has_a_row_and_its_unit() -> None:
    found = compare_with_paper(None)
    assert len(found) == sum(table.notna().sum().sum() for table in PRINTED.values())
    assert found["this_run"].isna().all()
    assert set(found["note"]) == {"", "Table 6 prints the same in voxels: one of the units is wrong"}
    units = found.set_index(["table", "row", "column"])["paper_unit"]
    assert units[("5", "Real_50", "asd")] == "pixel"
    assert units[("6", "Heart", "hd95")] == "voxel"
    assert units[("7", "Heart", "gen_gt hd95")] == "mm"
    assert units[("7", "Heart", "gen_gt dice")] == "%"


def test_voxels_are_converted_exactly_and_an_uncertain_unit_is_not() -> None:
    found = compare_with_paper(None).set_index(["table", "row", "column"])["paper_in_mm"]
    assert found[("6", "Heart", "hd95")] == pytest.approx(1.53 * 0.7)
    assert found[("7", "Heart", "gen_gt hd95")] == 16.12
    assert found[[("7", "Heart", "rec_gt hd95"), ("5", "Real_50", "asd"), ("6", "Heart", "dice")]].isna().all()


def test_a_distance_of_another_extractor_is_not_the_printed_one() -> None:
    same = row(fid("radimagenet_resnet50(keras)"), "1", "MedSyn2", "lung axial")
    assert (same["this_run"], same["note"]) == (1.5, "")
    assert same["this_run_by"] == "radimagenet_resnet50(keras); protocol maisi"
    other = row(fid("weight_free(seed=0)"), "1", "MedSyn2", "lung axial")
    assert other["this_run_nearest"] == 1.5
    assert pd.isna(other["this_run"])
    assert "another extractor" in other["note"]


@pytest.mark.parametrize("real", ["real", "real_on_grid"])
def test_clip_scores_are_of_the_model_that_is_named(real: str) -> None:
    values = {"source": [real, "report", "report"], "score_of": ["T2I", "T2I", "I2I"], "score": [9.0, 8.0, 7.0]}
    frames = {"clip_scores.csv": {**values, "model": "CT-CLIP v2"}}
    assert row(frames, "2", "Real", "CT-CLIP T2I")["this_run"] == 9
    assert row(frames, "2", "MedSyn2", "CT-CLIP I2I")["this_run"] == 7
    other = row(frames, "2", "MedSyn2", "Pillar-0 T2I")
    assert (other["this_run_nearest"], other["this_run_by"]) == (8, "CT-CLIP v2")
    assert "another model" in other["note"]


def test_zero_shot_labels_are_percents_and_f1_is_that_over_both_classes() -> None:
    values = {"accuracy": 0.5, "precision": 0.25, "auroc": 0.75, "f1_macro": 0.4, "f1_binary": 0.1}
    frames = {"zero_shot.csv": {"source": ["real", "report"], **values, "model": "ct-clip"}}
    assert row(frames, "3", "MedSyn2", "f1")["this_run"] == pytest.approx(40)
    assert row(frames, "3", "Real", "auroc")["this_run"] == pytest.approx(75)


def test_augmentation_is_of_its_structure_and_pixels_are_no_mm() -> None:
    values = {"arm": ["real", "synthetic", "both"], "dice": 0.5, "jaccard": 0.4, "assd_mm": 2.0, "hd95_max_mm": 9.0}
    frames = {"augmentation.csv": {**values, "structure": "ground_glass"}}
    assert row(frames, "5", "Combined_466", "dice")["this_run"] == 50
    distance = row(frames, "5", "Real_50", "asd")
    assert (distance["this_run_nearest"], distance["this_run_unit"]) == (2, "mm")
    assert "pixels" in distance["note"]
    heart = row({"augmentation.csv": {**values, "structure": "heart"}}, "5", "Synthesized_416", "dice")
    assert (heart["this_run_nearest"], heart["note"]) == (50, "of heart, not of ground-glass opacity")


def test_masks_are_of_one_structure_and_segmenter() -> None:
    values = {"dice": 0.8, "jaccard": 0.7, "hd95_max_mm": 4.0, "assd_mm": 1.0}
    agreement = {"structure": ["heart", "heart", "heart", "lungs"], **values}
    agreement["comparison"] = ["requested", "ceiling", "reconstructed_mask", "requested"]
    agreement["segmenter"] = ["totalsegmentator", "totalsegmentator", "classical", "lungmask"]
    agreement["condition"] = ["heart", "heart", "heart", "lobes"]
    frames = {"mask_agreement.csv": agreement, "mask_reconstruction.csv": {"structure": ["heart"], **values}}
    assert row(frames, "7", "Heart", "gen_gt dice")["this_run"] == 80
    assert row(frames, "7", "Heart", "gen_rec hd95")["note"] == "another segmenter"
    assert row(frames, "7", "Lobe", "gen_gt dice")["note"] == "of the lungs that the lobes make up"
    assert pd.isna(row(frames, "7", "Lobe", "gen_gt dice")["this_run"])
    distance = row(frames, "6", "Heart", "asd")
    assert (distance["this_run"], distance["this_run_unit"], distance["paper_unit"]) == (1, "mm", "voxel")


def test_volumes_from_report_and_mask_stand_in_for_those_of_the_mask_alone_and_are_named() -> None:
    agreement = {
        "structure": ["heart", "heart", "airways"],
        "condition": ["report_and_heart", "heart", "report_and_airways"],
        "comparison": ["requested"] * 3,
        "segmenter": ["totalsegmentator"] * 3,
        "dice": [0.2, 0.8, 0.6],
    }
    frames = {"mask_agreement.csv": agreement}
    assert row(frames, "7", "Heart", "gen_gt dice")["this_run"] == 80
    airway = row(frames, "7", "Airway", "gen_gt dice")
    assert airway["this_run_nearest"] == 60
    assert "from the report and the mask" in airway["note"]


def test_what_a_run_does_not_have_is_said() -> None:
    assert row({}, "1", "MedSyn2", "lung axial")["note"] == "this run has none"
    assert row({}, "1", "GenerateCT", "lung axial")["note"] == "another model's"
    assert "readers tabulate" in row({}, "4", "R1_Real", "match")["note"]
    frames = {"zero_shot.csv": {"source": [], "model": []}}
    assert row(frames, "3", "MedSyn2", "f1")["note"] == "this run has none"


def test_a_structure_that_the_paper_does_not_print_has_no_row() -> None:
    values = {"structure": ["lobes", "heart"], "dice": [0.5, 0.9]}
    assert "Lobe" not in PRINTED["6"].index
    assert row({"mask_reconstruction.csv": values}, "6", "Heart", "dice")["this_run"] == pytest.approx(90)
