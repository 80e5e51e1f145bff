import zlib

import pytest
import SimpleITK as sitk

from medsyn2.ct.volume import CTVolume
from medsyn2.errors import CaseError
from medsyn2.formats import read_ct, write_ct
from tests.series import counted, series_affine

VOLUME = CTVolume(counted(), series_affine())
SUFFIXES = (".nii.gz", ".nii", ".mha", ".nrrd")


def _cut(path):
    path.write_bytes(path.read_bytes()[:-40])


def _more(path):
    path.write_bytes(path.read_bytes() + bytes(9))


def _flip(path):
    content = bytearray(path.read_bytes())
    content[-60] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("suffix", [".mha", ".nrrd"])
@pytest.mark.parametrize("harm", [_cut, _flip])
def test_damage_that_itk_reads_in_silence_is_refused(tmp_path, suffix, harm):
    path = tmp_path / f"ct{suffix}"
    write_ct(path, VOLUME)
    harm(path)
    with pytest.raises(CaseError) as caught:
        read_ct(path)
    assert caught.value.code in ("gzip-truncated", "gzip-corrupt", "volume-truncated")


@pytest.mark.parametrize(("harm", "code"), [(_cut, "volume-truncated"), (_more, "volume-trailing-bytes")])
def test_uncompressed_voxels_are_counted(tmp_path, harm, code):
    path = tmp_path / "ct.mha"
    sitk.WriteImage(sitk.GetImageFromArray(VOLUME.hu), str(path), False)
    harm(path)
    with pytest.raises(CaseError) as caught:
        read_ct(path)
    assert caught.value.code == code


MHD = "ObjectType = Image\nNDims = 3\nDimSize = 4 4 4\nElementType = MET_UCHAR\nElementSpacing = 1 1 2\n"
NHDR = "NRRD0004\ntype: uint8\ndimension: 3\nsizes: 4 4 4\nencoding: raw\n"
ORIENTED = "space: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,2)\nspace origin: (1,2,3)\n"
HEADERS = {
    "volume-data-missing": ("a.mhd", MHD + "ElementDataFile = gone.raw\n"),
    "volume-data-elsewhere": ("a.mhd", MHD + "ElementDataFile = ../a.raw\n"),
    "header-truncated": ("a.mhd", "ObjectType = Image\n"),
    "volume-flat": ("a.mhd", MHD.replace("4 4 4", "4 4 1") + "ElementDataFile = a.raw\n"),
    "volume-rank": ("a.nhdr", NHDR.replace("4 4 4", "4 4 2 2") + ORIENTED + "data file: a.raw\n"),
    "volume-too-large": ("a.nhdr", NHDR.replace("4 4 4", "9000 4 4") + ORIENTED + "data file: a.raw\n"),
    "volume-encoding": ("a.nhdr", NHDR.replace("raw", "hex") + ORIENTED + "data file: a.raw\n"),
    "volume-rgb": ("a.nhdr", NHDR + ORIENTED + "kinds: RGB-color domain domain\ndata file: a.raw\n"),
    "affine-missing": ("a.nhdr", NHDR + "spacings: 1 1 2\ndata file: a.raw\n"),
    "file-empty": ("a.nrrd", ""),
}


@pytest.mark.parametrize("code", HEADERS)
def test_each_header_that_cannot_be_read_has_its_code(tmp_path, code):
    name, text = HEADERS[code]
    (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "a.raw").write_bytes(bytes(64))
    with pytest.raises(CaseError) as caught:
        read_ct(tmp_path / name)
    assert caught.value.code == code
    assert caught.value.message.startswith(f"{name}: expected ")


def test_a_stream_that_inflates_without_end_takes_no_more_memory_than_the_header_says(tmp_path):
    path = tmp_path / "a.mha"
    header = MHD + "CompressedData = True\nElementDataFile = LOCAL\n"
    path.write_bytes(header.encode() + zlib.compress(bytes(1 << 26)))
    with pytest.raises(CaseError) as caught:
        read_ct(path)
    assert caught.value.code == "volume-trailing-bytes"
