import zipfile

import numpy as np

from medsyn2.ct.volume import CTVolume
from medsyn2.dicom.ct_image import MadeBy
from medsyn2.dicom.writing import dicom_files, write_folder, write_zip
from tests.series import counted, series_affine

MADE_BY = MadeBy("b" * 64, "{}", "seed 2")
VOLUME = CTVolume(counted(), series_affine())


def boxes() -> dict[str, np.ndarray]:
    heart = np.zeros(VOLUME.shape, bool)
    heart[1:4, 2:6, 2:6] = True
    return {"heart": heart}


def test_the_same_volume_gives_the_same_bytes(tmp_path):
    assert list(dicom_files(VOLUME, boxes(), MADE_BY)) == list(dicom_files(VOLUME, boxes(), MADE_BY))
    for name in ("a.zip", "b.zip"):
        write_zip(tmp_path / name, VOLUME, boxes(), MADE_BY)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_a_folder_and_an_archive_hold_the_same_files(tmp_path):
    write_folder(tmp_path / "a", VOLUME, boxes(), MADE_BY)
    write_zip(tmp_path / "a.zip", VOLUME, boxes(), MADE_BY)
    with zipfile.ZipFile(tmp_path / "a.zip") as archive:
        archived = {name: archive.read(name) for name in archive.namelist()}
    assert archived == {path.name: path.read_bytes() for path in (tmp_path / "a").iterdir()}
    assert sorted(archived) == [*(f"CT{number:04d}.dcm" for number in range(1, 7)), "SEG.dcm"]
