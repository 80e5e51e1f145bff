import json
import shutil

import numpy as np
import pytest
import torch
from pydicom import dcmread

from medsyn2.ct.volume import CTVolume
from medsyn2.errors import CaseError, ConfigError
from medsyn2.flow.sampling import Sampling
from medsyn2.formats import read_ct, write_ct
from medsyn2.formats.marks import header_mark
from medsyn2.pipeline.marks import find_mark
from medsyn2.pipeline.outputs import check_output
from medsyn2.pipeline.synthetic import Recipe, Synthetic, read_sidecar
from medsyn2.pipeline.volume_output import is_dicom_name, save_volume
from tests.series import counted, series_affine, write_series

VOLUME = CTVolume(counted(), series_affine())
MASK = VOLUME.hu > -700
RECIPE = Recipe("Nodule of Mrs Doe.", MASK, "lung nodules", 3, Sampling())
MADE = Synthetic(VOLUME, RECIPE, "f" * 64, torch.zeros(1, 4, 1, 1, 1))
NAMES = ("ct.nii.gz", "ct.nii", "ct.mha", "ct.nrrd", "ct", "ct.zip")


@pytest.mark.parametrize("name", NAMES)
def test_a_volume_is_saved_in_the_format_of_its_name_and_says_that_it_is_synthetic(tmp_path, name):
    MADE.save(tmp_path / name)
    if name != "ct.zip":
        np.testing.assert_array_equal(read_ct(tmp_path / name).hu, VOLUME.hu)
        np.testing.assert_allclose(read_ct(tmp_path / name).affine_mm, VOLUME.affine_mm, atol=1e-4)
    assert find_mark(tmp_path / name).verdict == "certain"
    assert find_mark(tmp_path / "ct_mask.nii.gz").verdict == "certain"
    recipe, model = read_sidecar(tmp_path / "ct.json")
    assert (recipe.words, model) == (RECIPE.words, MADE.model)
    check_output(tmp_path / name, [])  # its own files may be replaced
    MADE.save(tmp_path / name)
    (tmp_path / "ct.json").unlink()
    assert find_mark(tmp_path / name).verdict == "marked"
    with pytest.raises(ConfigError, match="output-taken"):
        check_output(tmp_path / name, [])


def test_a_series_carries_the_hash_of_a_report_and_not_its_words(tmp_path):
    MADE.save(tmp_path / "ct")
    content = b"".join(path.read_bytes() for path in (tmp_path / "ct").iterdir())
    assert b"Doe" not in content
    said = dcmread(tmp_path / "ct/CT0001.dcm").ContributingEquipmentSequence[0].ContributionDescription
    assert "report_sha256" in said
    assert '"seed":3' in said
    assert (tmp_path / "ct/SEG.dcm").is_file()
    assert json.loads((tmp_path / "ct.json").read_text("utf-8"))["volume"]["file"] == "ct"


def test_an_empty_folder_may_be_filled_and_a_folder_of_others_is_kept(tmp_path):
    (tmp_path / "ct").mkdir()
    check_output(tmp_path / "ct", [])
    MADE.save(tmp_path / "ct")
    shutil.copy(tmp_path / "ct/CT0001.dcm", tmp_path / "ct/mine.dcm")
    with pytest.raises(ConfigError, match="output-taken"):
        check_output(tmp_path / "ct", [])


def test_names_tell_dicom_from_other_formats(tmp_path):
    assert [is_dicom_name(tmp_path / name) for name in NAMES] == [False] * 4 + [True] * 2
    described = save_volume(tmp_path / "a.mha", VOLUME, "SYNTHETIC", model="m", recipe={"seed": 1}, masks={})
    assert described["file"] == "a.mha"


def test_a_volume_without_a_sign_is_unmarked_and_no_voxel_is_a_word(tmp_path):
    hu = VOLUME.hu.copy()
    hu.view("u1").reshape(-1)[:9] = np.frombuffer(b"SYNTHETIC", np.uint8)
    for name in ("a.nii", "a.nii.gz", "a.mha", "a.nrrd"):
        write_ct(tmp_path / name, CTVolume(hu, VOLUME.affine_mm))
        assert find_mark(tmp_path / name).verdict == "unmarked"
    write_series(tmp_path / "real")
    assert find_mark(tmp_path / "real").verdict == "unmarked"
    assert header_mark(b"SYNTHETIC") == ""
    with pytest.raises(CaseError):
        find_mark(tmp_path / "missing.nii")


def test_a_sidecar_of_other_bytes_is_a_weaker_sign(tmp_path):
    MADE.save(tmp_path / "ct.nii.gz")
    write_ct(tmp_path / "ct.nii.gz", VOLUME)
    assert find_mark(tmp_path / "ct.nii.gz").verdict == "marked"
