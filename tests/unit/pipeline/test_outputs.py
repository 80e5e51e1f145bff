"""Which names a volume may be saved under."""

import json

import pytest

from medsyn2.errors import ConfigError, EnvironmentFault
from medsyn2.files import sha256_of
from medsyn2.pipeline.outputs import check_output, mask_path, remove_earlier_masks, sidecar_path


@pytest.fixture
def earlier(tmp_path):
    """An earlier volume, made by an edit, with its mask and the mask of what was edited."""
    volume = tmp_path / "ct.nii.gz"
    masks = [mask_path(volume, depth) for depth in (0, 1)]
    for path in (volume, *masks):
        path.write_bytes(path.name.encode())
    described, below = ({"file": path.name, "sha256": sha256_of(path)} for path in masks)
    sidecar = {
        "synthetic": True,
        "volume": {"file": volume.name, "sha256": sha256_of(volume)},
        "mask": described,
        "before": {"mask": below, "before": {"mask": None, "before": None}},
    }
    sidecar_path(volume).write_text(json.dumps(sidecar), encoding="utf-8")
    return volume


def test_what_was_written_with_an_earlier_volume_may_be_replaced_and_nothing_is_left(earlier):
    names = sorted(path.name for path in earlier.parent.iterdir())
    assert names == ["ct.json", "ct.nii.gz", "ct_mask.nii.gz", "ct_mask_before_1.nii.gz"]
    check_output(earlier, [])
    remove_earlier_masks(earlier)
    assert sorted(path.name for path in earlier.parent.iterdir()) == ["ct.json", "ct.nii.gz"]
    check_output(earlier, [])


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct_mask.nii.gz", "ct_mask_before_1.nii.gz"])
def test_a_file_that_was_changed_since_is_somebody_s(earlier, name):
    (earlier.parent / name).write_bytes(b"drawn by hand")
    with pytest.raises(ConfigError, match=rf"output-taken.*/{name} is there already"):
        check_output(earlier, [])
    remove_earlier_masks(earlier)
    assert (earlier.parent / name).read_bytes() == b"drawn by hand"


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.json", "ct_mask.nii.gz", "ct_mask_before_2.nii.gz"])
@pytest.mark.parametrize("content", ["[]", "{}", '{"synthetic": true}', "\x00"])
def test_a_file_that_nothing_is_known_of_is_somebody_s(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"output-taken.*{name} is there already"):
        check_output(tmp_path / "ct.nii.gz", [])
    assert (tmp_path / name).read_text("utf-8") == content


def test_two_volumes_do_not_share_a_sidecar(earlier):
    with pytest.raises(ConfigError, match=r"ct\.json is there already"):
        check_output(earlier.with_name("ct.nii"), [])


def test_a_folder_is_no_place_for_a_volume(tmp_path):
    (tmp_path / "ct.nii.gz").mkdir()
    with pytest.raises(ConfigError, match="output-taken"):
        check_output(tmp_path / "ct.nii.gz", [])


@pytest.mark.parametrize("name", ["ct.nii.gz", "ct.json", "ct_mask.nii.gz", "ct_mask_before_1.nii.gz"])
def test_what_the_volume_is_made_from_is_never_replaced_by_whatever_name_it_goes(earlier, name):
    link = earlier.parent / "link"
    link.symlink_to(earlier.parent / name)
    with pytest.raises(ConfigError, match=rf"output-is-input.*/{name}"):
        check_output(earlier.parent / "." / earlier.name, [link])


def test_other_files_are_nobody_s_business(earlier):
    for name in ("ct_mask_heart.nii.gz", "ct_mask_before_0.nii.gz", "ct2.json", "ct_mask.nii"):
        (earlier.parent / name).write_text("mine", encoding="utf-8")
    check_output(earlier, [earlier.parent / "ct_mask_heart.nii.gz"])


@pytest.mark.parametrize("place", ["file/ct.nii.gz", "file/below/ct.nii.gz", f"{'x' * 300}.nii.gz"])
def test_a_place_that_cannot_be_written_to_is_named(tmp_path, place):
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    with pytest.raises(EnvironmentFault, match=r"output-unwritable.*ct\.nii\.gz|x\.nii\.gz") as caught:
        check_output(tmp_path / place, [])
    assert "What to do" in str(caught.value)


def test_a_new_folder_is_made_and_left_empty(tmp_path):
    check_output(tmp_path / "new" / "below" / "ct.nii.gz", [])
    assert list((tmp_path / "new" / "below").iterdir()) == []


@pytest.mark.parametrize("name", [".nii.gz", ".nii", ".NII.GZ", ".mha", ".zip", "ct.nii.gzip", "nii.gz.json"])
def test_a_name_that_no_volume_can_have_is_refused(name, tmp_path):
    with pytest.raises(ConfigError, match="output-suffix"):
        check_output(tmp_path / name, [])
    assert list(tmp_path.iterdir()) == []
