"""Data sets keep the rules of nnU-Net and load in MONAI; folds keep dependent cases together."""

import json
from functools import partial

import numpy as np
import pytest
import SimpleITK as sitk
from monai.data import load_decathlon_datalist

from medsyn2.ct.nifti.files import open_nifti
from medsyn2.errors import ConfigError
from medsyn2.export import dataset
from medsyn2.export.dataset import check_dataset, list_members, write_cases, write_dataset
from medsyn2.export.label_tables import label_names
from medsyn2.export.pairs import pairs_of_run, pairs_of_volumes
from medsyn2.formats import write_labels


@pytest.fixture(scope="module")
def members(run, volumes):
    pairs = [*pairs_of_run(run, ["nodules"], hash_masks=True), *pairs_of_volumes(volumes, ["nodules"])]
    return list_members(pairs)


@pytest.fixture(scope="module")
def nnunet(members, tmp_path_factory):
    folder = tmp_path_factory.mktemp("raw") / "Dataset501_Nodules"
    check_dataset(folder, "nnunet")
    write_dataset(folder, members, label_names(["nodules"]), "nnunet")
    return folder


def test_dataset_json_is_that_of_version_2(nnunet):
    values = json.loads((nnunet / "dataset.json").read_text("utf-8"))
    assert values["channel_names"] == {"0": "CT"}
    assert values["labels"] == {"background": 0, "nodules": 1}
    cases = {path.name.removesuffix("_0000.nii.gz") for path in (nnunet / "imagesTr").iterdir()}
    assert values["numTraining"] == len(cases) == 7
    assert values["file_ending"] == ".nii.gz"
    assert {path.name.removesuffix(".nii.gz") for path in (nnunet / "labelsTr").iterdir()} == cases


def test_geometry_is_equal_and_labels_are_those_that_are_named(nnunet):
    for image in (nnunet / "imagesTr").iterdir():
        volume = sitk.ReadImage(str(image))
        labels = sitk.ReadImage(str(nnunet / "labelsTr" / image.name.replace("_0000", "")))
        assert volume.GetSize() == labels.GetSize()
        for one, other in zip(
            (*volume.GetSpacing(), *volume.GetOrigin(), *volume.GetDirection()),
            (*labels.GetSpacing(), *labels.GetOrigin(), *labels.GetDirection()),
            strict=True,
        ):
            assert one == pytest.approx(other, abs=1e-6)
        assert set(np.unique(sitk.GetArrayFromImage(labels))) <= {0, 1}
        assert open_nifti(image).is_synthetic == image.name.startswith("synthetic")


def test_every_case_is_scored_once_and_dependent_ones_are_never_apart(nnunet, members):
    splits = json.loads((nnunet / "splits_final.json").read_text("utf-8"))
    ids = {member.id for member in members}
    assert sorted(name for split in splits for name in split["val"]) == sorted(ids)
    together = [{"real_a", "synthetic_a_nodules", "synthetic_y"}, {"real_b", "real_c"}]
    together += [{"synthetic_x_0", "synthetic_sub_x_1"}]
    assert len(splits) == 3
    for split in splits:
        assert set(split["train"]) == ids - set(split["val"])
        assert all(group <= set(split["val"]) or not group & set(split["val"]) for group in together)


def test_monai_loads_the_list_with_its_folds(members, tmp_path):
    write_dataset(tmp_path / "set", members, label_names(["nodules"]), "monai", link=True)
    items = load_decathlon_datalist(str(tmp_path / "set/dataset.json"), True, "training")
    assert len(items) == 7
    for item in items:
        assert sitk.ReadImage(item["image"]).GetSize() == sitk.ReadImage(item["label"]).GetSize()
    assert {item["fold"] for item in items} == {0, 1, 2}
    assert (tmp_path / "set/imagesTr/real_a.nii.gz").is_symlink()
    assert not (tmp_path / "set/imagesTr/synthetic_sub_x_1.nii.gz").is_symlink()  # it was MetaImage


def test_names_are_plain_and_each_once(run):
    pair = next(iter(pairs_of_run(run, ["heart"])))
    twice = [
        type(pair)(name, pair.kind, partial(frozenset, {name}), pair.path, pair.read_labels)
        for name in ("a b", "a/b", "A-B")
    ]
    assert [member.id for member in list_members(twice)] == ["a-b", "a-b-2", "A-B-3"]


def test_places_and_sets_of_one_group_are_refused(run, tmp_path):
    (tmp_path / "Dataset001_x").mkdir()
    (tmp_path / "Dataset001_x/other").write_text("mine", encoding="utf-8")
    for folder, code in ((tmp_path / "Dataset001_x", "output-taken"), (tmp_path / "Dataset1_x", "export-name")):
        with pytest.raises(ConfigError) as caught:
            check_dataset(folder, "nnunet")
        assert caught.value.code == code
    with pytest.raises(ConfigError) as caught:
        list_members([pair for pair in pairs_of_run(run, ["nodules"]) if "a" in pair.name.split("_")])
    assert caught.value.code == "export-too-few"


@pytest.mark.parametrize("link", [False, True])
def test_parts_and_a_stopped_export_become_the_same_data_set(members, nnunet, tmp_path, link, monkeypatch):
    folder, names = tmp_path / "Dataset501_Nodules", label_names(["nodules"])
    pairs = [member.pair for member in members]
    assert write_cases(folder, pairs, names, "nnunet", link=link, shard=(1, 3)) == 3
    (folder / "imagesTr").joinpath(f"{members[1].id}_0000.nii.gz").symlink_to(tmp_path)  # of a case that was stopped
    assert not (folder / "dataset.json").exists()
    written = []

    def note(path, *rest, **how):
        written.append(path)
        return write_labels(path, *rest, **how)

    monkeypatch.setattr(dataset, "write_labels", note)
    write_dataset(folder, members, names, "nnunet", link=link)
    assert len(written) == 4
    for path in nnunet.rglob("*"):
        if path.is_file():
            assert (folder / path.relative_to(nnunet)).read_bytes() == path.read_bytes()
    with pytest.raises(ConfigError, match="output-taken"):
        write_dataset(folder, members, names, "nnunet")
