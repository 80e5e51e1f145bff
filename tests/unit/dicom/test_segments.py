"""A segmentation is a mask wherever masks are read; several structures are not taken for one."""

import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume
from medsyn2.dicom.ct_image import MadeBy
from medsyn2.dicom.segments import is_segmentation, read_segments
from medsyn2.dicom.writing import SEGMENTATION, write_folder
from medsyn2.errors import MaskError
from medsyn2.formats import read_labels, read_mask
from medsyn2.vocabulary import EDITED_REGION
from tests.series import counted, series_affine

VOLUME = CTVolume(counted(), series_affine())


def mask(first: int) -> np.ndarray:
    found = np.zeros(VOLUME.shape, bool)
    found[first : first + 2, 2:5, 3:7] = True
    return found


def write(folder, **masks):
    write_folder(folder, VOLUME, {name.replace("_", " "): one for name, one in masks.items()}, MadeBy("m", "{}", "s"))
    return folder / SEGMENTATION


def placed(label_map):
    """Return the world positions of a mask's voxels, which no cropping changes."""
    index = np.argwhere(label_map.binary())
    return {tuple(row) for row in (index @ label_map.affine_mm[:3, :3].T + label_map.affine_mm[:3, 3]).round(3)}


def test_one_structure_is_read_in_its_place(tmp_path):
    path = write(tmp_path / "one", heart=mask(1), edited_region=mask(0))
    assert is_segmentation(path)
    assert not is_segmentation(tmp_path / "one/CT0001.dcm")
    found, notes = read_mask(path)
    expected = np.argwhere(mask(1)) @ VOLUME.affine_mm[:3, :3].T + VOLUME.affine_mm[:3, 3]
    assert placed(found) == {tuple(row) for row in expected.round(3)}
    assert notes == ()
    assert placed(read_labels(path)) == placed(found)
    assert set(read_segments(path)) == {"heart", EDITED_REGION}


def test_several_structures_are_named(tmp_path):
    path = write(tmp_path / "two", heart=mask(1), lung_nodules=mask(3))
    with pytest.raises(MaskError, match="heart, lung nodules") as caught:
        read_mask(path)
    assert caught.value.code == "segments-several"
