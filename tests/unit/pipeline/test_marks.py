import nibabel as nib
import numpy as np
import pytest
import SimpleITK as sitk

from medsyn2.ct.volume import CTVolume
from medsyn2.formats import write_ct
from medsyn2.pipeline.marks import find_mark
from tests.series import counted, series_affine

VOLUME = CTVolume(counted(), series_affine())


def _by_itk(source, target):
    sitk.WriteImage(sitk.ReadImage(str(source)), str(target))


def _by_itk_moved(source, target):
    sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(source)), "RAS"), str(target))


def _by_nibabel(source, target):
    nib.save(nib.load(source), target)


def _by_nibabel_anew(source, target):
    image = nib.load(source)
    nib.save(nib.Nifti1Image(np.asarray(image.dataobj), image.affine), target)


SURVIVES = {_by_itk: True, _by_itk_moved: False, _by_nibabel: True, _by_nibabel_anew: False}
"""What the table in the documentation says of a header that another program wrote again."""


@pytest.mark.parametrize("save", SURVIVES)
def test_a_header_survives_some_programs(tmp_path, save):
    write_ct(tmp_path / "a.nii.gz", VOLUME, description="SYNTHETIC medsyn2 seed=1")
    save(tmp_path / "a.nii.gz", tmp_path / "b.nii.gz")
    assert (find_mark(tmp_path / "b.nii.gz").verdict == "marked") == SURVIVES[save]
