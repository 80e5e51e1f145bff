"""TotalSegmentator's adapter and process: tasks once, labels by name, weights read once, nothing sent anywhere."""

from contextlib import closing

import numpy as np
import pytest

from medsyn2.config import SegmentConfig
from medsyn2.ct.nifti.files import write_labels
from medsyn2.ct.volume import LabelMap
from medsyn2.errors import EnvironmentFault, SegmenterError, WeightsError
from medsyn2.segmenters import Segmenter, get_segmenter

CHOSEN = ("heart", "nodules", "pleural_effusion", "pericardial_effusion")
DATASETS = ("Dataset298", "Dataset293", "Dataset913", "Dataset297", "Dataset315")


def tool(weights, structures=CHOSEN) -> Segmenter:
    tools = dict.fromkeys(structures, "totalsegmentator")
    return get_segmenter("totalsegmentator", SegmentConfig(tools=tools, weights_dir=weights.parent, device="cpu"))


def put(weights, names=DATASETS) -> None:
    for name in names:
        checkpoint = weights / name / "trainer__plans__3d_fullres/fold_0/checkpoint_final.pth"
        checkpoint.parent.mkdir(parents=True)
        checkpoint.touch()


def test_structures_are_the_tasks_labels_of_the_right_name(install, volume) -> None:
    weights = install("totalsegmentator")
    put(weights)
    with closing(tool(weights)) as totalsegmentator:
        for _ in range(2):
            found = totalsegmentator.segment(volume, CHOSEN)
        assert totalsegmentator.versions() == {"TotalSegmentator": "2.18.0", "nnunetv2": "2.8.1"}
    np.testing.assert_array_equal(found["heart"].labels, volume.hu > 0)
    np.testing.assert_array_equal(found["nodules"].labels, volume.hu > 0)
    np.testing.assert_array_equal(found["pleural_effusion"].labels, volume.hu > 0)
    assert not found["pericardial_effusion"].labels.any()
    assert {name: label_map.names for name, label_map in found.items()} == {name: {1: name} for name in CHOSEN}
    np.testing.assert_allclose(found["heart"].affine_mm, volume.affine_mm, atol=1e-5)


@pytest.mark.parametrize("missing", DATASETS)
def test_each_missing_dataset_is_named(install, volume, missing: str) -> None:
    weights = install("totalsegmentator")
    put(weights, [name for name in DATASETS if name != missing])
    with closing(tool(weights)) as totalsegmentator, pytest.raises(WeightsError, match=missing) as caught:
        totalsegmentator.segment(volume, CHOSEN)
    assert "medsyn2 fetch totalsegmentator" in caught.value.remedy


def test_only_what_the_wanted_structures_need_must_be_there(install, volume) -> None:
    weights = install("totalsegmentator")
    put(weights, ["Dataset298", "Dataset293"])
    with closing(tool(weights, ["heart"])) as totalsegmentator:
        assert set(totalsegmentator.segment(volume, ["heart"])) == {"heart"}


def test_a_version_with_other_names_is_refused(install, volume, tmp_path) -> None:
    weights = install("totalsegmentator")
    table = tmp_path / "packages/totalsegmentator/map_to_binary.py"
    table.write_text(table.read_text("utf-8").replace('51: "heart"', '51: "heart_myocardium"'), encoding="utf-8")
    put(weights)
    with closing(tool(weights)) as totalsegmentator, pytest.raises(EnvironmentFault) as caught:
        totalsegmentator.segment(volume, CHOSEN)
    assert caught.value.code == "tool-labels"


def test_ct_rate_s_own_masks_are_read_by_the_package_s_names(install, volume, tmp_path) -> None:
    install("totalsegmentator")
    case, place = "train_7_b_2", "train_fixed/train_7/train_7_b/train_7_b_2.nii.gz"
    labels = np.zeros(volume.shape, np.uint8)
    labels[3:6, 2:5, 4:9], labels[7, 7, 7] = 51, 7
    other = np.zeros(volume.shape, np.uint8)
    other[1:3, 1:3, 1:3], other[5:8, 5:8, 5:8] = 1, 2
    for folder, found in (("ts_total", labels), ("ts_lung_nodules", other)):
        path = tmp_path / "ts_seg" / folder / place
        path.parent.mkdir(parents=True)
        write_labels(path, LabelMap(found, volume.affine_mm))
    tools = {"heart": "ct_rate", "nodules": "ct_rate"}
    config = SegmentConfig(tools=tools, ct_rate_masks=tmp_path / "ts_seg")
    with closing(get_segmenter("ct_rate", config)) as reader:
        found = reader.segment(volume, ["heart", "nodules"], case=case)
        assert reader.versions()["TotalSegmentator"] == "2.18.0"
        for wrong in ("train_8_a_1", "my_scan"):
            with pytest.raises(SegmenterError) as caught:
                reader.segment(volume, ["heart"], case=wrong)
            assert caught.value.code == "mask-file-missing"
    np.testing.assert_array_equal(found["heart"].labels, labels == 51)
    np.testing.assert_array_equal(found["nodules"].labels, other == 2)
