import gzip
import shutil
import tarfile
import zipfile

import pytest

from medsyn2.ct.nifti.files import read_ct
from medsyn2.errors import InvalidVolumeError


def _lfs(path):
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")


def _tar(path):
    with tarfile.open(path, "w:gz") as archive:
        archive.add(__file__, "a.py")


def _zip(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(__file__, "a.py")


NOT_NIFTI = {
    "file-empty": lambda path: path.write_bytes(b""),
    "file-missing": lambda path: None,
    "file-is-lfs-pointer": _lfs,
    "file-is-html": lambda path: path.write_bytes(b"\n<!DOCTYPE html><html>Access denied</html>"),
    "file-is-text": lambda path: path.write_text("no such file\n", encoding="utf-8"),
    "file-is-dicom": lambda path: path.write_bytes(bytes(128) + b"DICM" + bytes(400)),
    "file-is-zip": _zip,
    "file-is-tar": _tar,
    "file-is-nrrd": lambda path: path.write_bytes(b"NRRD0004\ntype: short\n"),
    "file-is-metaimage": lambda path: path.write_bytes(b"ObjectType = Image\nNDims = 3\n"),
    "file-is-picture": lambda path: path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(600)),
    "file-is-gzip-twice": lambda path: path.write_bytes(gzip.compress(gzip.compress(b"a"))),
    "file-is-compressed": lambda path: path.write_bytes(b"BZh9" + bytes(600)),
    "file-not-nifti": lambda path: path.write_bytes(bytes(range(256)) * 3),
    "file-not-regular": lambda path: path.mkdir(),
}


@pytest.mark.parametrize("code", NOT_NIFTI)
def test_each_kind_of_unusable_file_has_its_own_code(tmp_path, code):
    path = tmp_path / "ct.nii.gz"
    NOT_NIFTI[code](path)
    with pytest.raises(InvalidVolumeError) as caught:
        read_ct(path)
    assert caught.value.code == code
    assert caught.value.message.startswith("ct.nii.gz: expected ")
    assert caught.value.remedy


BAD = {
    "lfs_pointer/1.dcm": "file-is-lfs-pointer",
    "dicom2nifti_notavolume.tgz": "file-is-tar",
    "gantry_tilt_phantom_Philips.tgz": "file-is-tar",
    "headers/image10x10x10-extra-stuff.mhd": "file-is-metaimage",
    "headers/example4d.nii.gz": "volume-rank",
    "headers/simple_ct.nrrd": "file-is-nrrd",
    "headers/ct-patch.nrrd": "file-is-nrrd",
    "headers/MR_truncated.dcm": "file-is-dicom",
}


@pytest.mark.realdata
@pytest.mark.parametrize("name", BAD)
def test_files_from_the_wild_say_what_they_are(real_data, tmp_path, name):
    shutil.copy(real_data / "bad" / name, tmp_path / "ct.nii.gz")
    with pytest.raises(InvalidVolumeError) as caught:
        read_ct(tmp_path / "ct.nii.gz")
    assert caught.value.code == BAD[name]
