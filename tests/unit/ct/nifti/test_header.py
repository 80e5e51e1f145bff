import gzip

import numpy as np
import pytest

from medsyn2.ct.nifti.files import open_nifti, read_ct
from medsyn2.errors import CaseError, GeometryError, InvalidVolumeError


def _set(name, value, index=None):
    def change(header):
        if index is None:
            header[name] = value
        else:
            header[name][index] = value

    return change


def _sform(affine):
    def change(header):
        header.set_sform(np.asarray(affine, dtype=float), 1)
        header["qform_code"] = 0
        header["pixdim"][1:4] = np.linalg.norm(np.asarray(affine)[:3, :3], axis=0)

    return change


def _no_affine(header):
    header["sform_code"] = header["qform_code"] = 0


HEADERS = [
    ("volume-dims", _set("dim", -8, 1)),
    ("volume-dims", _set("dim", 0, 3)),
    ("volume-dims", _set("dim", 9, 0)),
    ("volume-too-large", _set("dim", 32767, slice(1, 4))),
    ("volume-flat", _set("dim", 1, 3)),
    ("volume-flat", _set("dim", 2, 0)),
    ("volume-rank", _set("dim", (4, 8, 7, 6, 2), slice(0, 5))),
    ("volume-rgb", _set("datatype", 128)),
    ("volume-dtype", _set("datatype", 32)),
    ("volume-dtype", _set("datatype", 999)),
    ("header-inconsistent", _set("bitpix", 8)),
    ("header-offset", _set("vox_offset", 0)),
    ("header-offset", _set("vox_offset", np.nan)),
    ("header-scaling", _set("scl_slope", np.inf)),
    ("file-is-nifti-pair", _set("magic", b"ni1")),
    ("file-is-analyze", _set("magic", b"")),
    ("affine-missing", _no_affine),
    ("affine-not-finite", _set("srow_x", np.nan)),
    ("affine-not-finite", _set("srow_z", np.inf, 3)),
    ("spacing-impossible", _sform(np.diag([2.0, 2.0, 1e6, 1.0]))),
    ("spacing-impossible", _sform(np.diag([0.01, 2.0, 3.0, 1.0]))),
    ("spacing-impossible", _sform(np.diag([0.0, 2.0, 3.0, 1.0]))),
    ("affine-degenerate", _sform([[2, 2, 0, 0], [1, 1, 0, 0], [0, 0, 3, 0], [0, 0, 0, 1]])),
    ("affine-sheared", _sform([[2, 0, 0, 0], [0, 2, 0.5, 0], [0, 0, 3, 0], [0, 0, 0, 1]])),
    ("affine-degenerate", _set("quatern_b", 5.0)),
    ("affine-sform-qform-differ", _set("qoffset_z", 40.0)),
    ("affine-sform-qform-differ", _set("srow_x", (2.0, 0.0, 0.0, 0.0))),
]


@pytest.mark.parametrize(("code", "change"), HEADERS)
def test_each_impossible_header_has_its_code(tmp_path, code, change, header_of, content_of):
    header = header_of()
    voxels = content_of(header)[352:]
    change(header)
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(gzip.compress(content_of(header, voxels)))
    with pytest.raises((InvalidVolumeError, GeometryError)) as caught:
        read_ct(path)
    assert caught.value.code == code
    assert "ct.nii.gz" in caught.value.message


def test_a_random_header_raises_nothing_but_case_errors(tmp_path, header_of, content_of):
    generator = np.random.default_rng(3)
    path = tmp_path / "ct.nii"
    header, voxels = header_of().binaryblock, content_of(header_of())[348:]
    read, messages = 0, []
    for _ in range(600):
        damaged = np.frombuffer(header, np.uint8).copy()
        damaged[generator.integers(0, 348, generator.integers(1, 5))] = generator.integers(0, 256)
        path.write_bytes(damaged.tobytes() + voxels)
        try:
            read += read_ct(path).hu.size == 8 * 7 * 6
        except CaseError as error:
            messages.append(error.message)
    assert read > 40
    assert all(message.startswith("ct.nii") for message in messages)


def test_pixdim_that_contradicts_the_affine_is_refused(tmp_path, header_of, content_of):
    header = header_of()
    header["qform_code"] = 0
    header["pixdim"][3] = 0.0
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress(content_of(header)))
    with pytest.raises(GeometryError, match="affine-pixdim-differ"):
        read_ct(tmp_path / "ct.nii.gz")


def test_a_skew_of_rounding_size_is_repaired_and_told(tmp_path, header_of, content_of):
    affine = np.diag([2.0, 2.0, 3.0, 1.0])
    affine[0, 1] = 2 * 5e-4
    header = header_of()
    _sform(affine)(header)
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(gzip.compress(content_of(header)))
    volume = read_ct(path)
    axes = volume.affine_mm[:3, :3] / volume.spacing_mm
    assert np.abs(axes.T @ axes - np.eye(3)).max() < 1e-12
    assert np.allclose(volume.spacing_mm, (3, 2, 2), atol=1e-5)
    assert "skewed" in open_nifti(path).affine()[1][0]
