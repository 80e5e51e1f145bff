"""What a stage wrote and is damaged stops the run; it is never taken for a bad case."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.nifti.files import write_ct, write_labels
from medsyn2.ct.volume import CTVolume, LabelMap, axis_aligned_affine
from medsyn2.errors import IntegrityError
from medsyn2.store.read_artefact import read_made_ct, read_made_labels

AFFINE = axis_aligned_affine((2.0, 2.0, 2.0), (0.0, 0.0, 0.0))


@pytest.fixture
def case(tmp_path: Path) -> Path:
    """The folder of a case of the stage masks, with a CT and a mask."""
    folder = tmp_path / "masks/0000/a"
    folder.mkdir(parents=True)
    values = np.random.default_rng(0).integers(0, 2, size=(24, 20, 22))
    write_ct(folder / "ct.nii.gz", CTVolume(values.astype(np.int16), AFFINE))
    write_labels(folder / "heart.nii.gz", LabelMap(values.astype(np.uint8), AFFINE))
    return folder


def test_what_is_whole_is_read(case: Path) -> None:
    np.testing.assert_array_equal(
        read_made_ct(case / "ct.nii.gz").hu > 0, read_made_labels(case / "heart.nii.gz").binary()
    )


@pytest.mark.parametrize("kept_bytes", [None, 0, 500])
def test_what_is_lost_or_cut_is_named_with_its_manifest(case: Path, kept_bytes: int | None) -> None:
    for path, read in ((case / "ct.nii.gz", read_made_ct), (case / "heart.nii.gz", read_made_labels)):
        content = path.read_bytes()
        path.unlink()
        if kept_bytes is not None:
            path.write_bytes(content[:kept_bytes])
        with pytest.raises(IntegrityError, match=str(path)) as caught:
            read(path)
        assert caught.value.code == "artefact-damaged"
        assert str(case.parents[1] / "0000.json") in caught.value.remedy
