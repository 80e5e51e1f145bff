import gzip
import os
import tracemalloc

import numpy as np
import pytest

from medsyn2.ct.nifti import stream as nifti_stream
from medsyn2.ct.nifti.files import read_ct, write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import CaseError, InvalidVolumeError


def test_no_bit_flip_and_no_cut_gives_wrong_voxels_in_silence(tmp_path):
    generator = np.random.default_rng(0)
    hu = generator.normal(-300, 400, (20, 24, 24)).astype(np.int16)
    path = tmp_path / "ct.nii.gz"
    write_ct(path, CTVolume(hu, axis_aligned_affine((3.0, 2.0, 2.0), (0.0, 0.0, 0.0))))
    whole = path.read_bytes()
    flips = [(int(at), 1 << int(bit)) for at, bit in generator.integers((0, 0), (len(whole), 8), (300, 2))]
    flips += [(len(whole) - at, 1) for at in range(1, 9)]
    damaged = []
    for at, mask in flips:
        content = bytearray(whole)
        content[at] ^= mask
        damaged.append(bytes(content))
    damaged += [whole[: -int(cut)] for cut in (1, 4, 8, *generator.integers(9, len(whole), 60))]
    damaged += [whole + b"\n", whole + whole, whole + gzip.compress(b"more")]
    silent, messages = 0, []
    for content in damaged:
        path.write_bytes(content)
        try:
            silent += not np.array_equal(read_ct(path).hu, hu)
        except CaseError as error:
            messages.append(error.message)
    assert silent == 0
    assert len(messages) > len(damaged) * 0.95
    assert all(message.startswith("ct.nii.gz: expected") for message in messages)


DAMAGE = {
    "header-truncated": lambda content: gzip.compress(content[:100]),
    "gzip-truncated": lambda content: gzip.compress(content)[:-20],
    "gzip-crc": lambda content: gzip.compress(content)[:-8] + bytes(8),
    "gzip-trailing-bytes": lambda content: gzip.compress(content) + b"x",
    "nifti-truncated": lambda content: gzip.compress(content[:-1]),
    "nifti-trailing-bytes": lambda content: gzip.compress(content + b"x"),
}


@pytest.mark.parametrize("code", DAMAGE)
def test_each_kind_of_damage_has_its_own_code(tmp_path, code, header_of, content_of):
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(DAMAGE[code](content_of(header_of())))
    with pytest.raises(InvalidVolumeError) as caught:
        read_ct(path)
    assert caught.value.code == code
    assert caught.value.message.startswith("ct.nii.gz: expected ")
    assert caught.value.remedy


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to(path)])
def test_pipes_and_link_loops_are_refused_without_waiting(tmp_path, make):
    make(tmp_path / "ct.nii.gz")
    with pytest.raises(InvalidVolumeError) as caught:
        read_ct(tmp_path / "ct.nii.gz")
    assert caught.value.code in ("file-not-regular", "file-unreadable")


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, monkeypatch, header_of, content_of):
    path = tmp_path / "ct.nii"
    path.write_bytes(content_of(header_of()))
    parse = nifti_stream.parse_header

    def parse_while_another_program_writes(start, name):
        with path.open("ab") as file:
            file.write(b"more")
        return parse(start, name)

    monkeypatch.setattr(nifti_stream, "parse_header", parse_while_another_program_writes)
    with pytest.raises(InvalidVolumeError) as caught:
        read_ct(path)
    assert caught.value.code in ("file-changed", "nifti-trailing-bytes")


def test_a_wrong_suffix_is_read_with_a_warning(tmp_path, caplog, header_of, content_of):
    (tmp_path / "plain.nii.gz").write_bytes(content_of(header_of()))
    (tmp_path / "packed.nii").write_bytes(gzip.compress(content_of(header_of())))
    plain, packed = read_ct(tmp_path / "plain.nii.gz"), read_ct(tmp_path / "packed.nii")
    assert np.array_equal(plain.hu, packed.hu)
    assert "not compressed" in caplog.text
    assert "not named .gz" in caplog.text


def test_a_false_header_takes_no_memory(tmp_path, header_of, content_of):
    header = header_of((2000, 2000, 900))
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(gzip.compress(content_of(header, bytes(1 << 20))))
    tracemalloc.start()
    with pytest.raises(InvalidVolumeError, match="gzip-ratio"):
        read_ct(path)
    assert tracemalloc.get_traced_memory()[1] < 5e7
    tracemalloc.stop()


def test_reading_int16_takes_little_more_than_the_voxels(tmp_path, header_of, content_of):
    stored = np.random.default_rng(0).integers(0, 2000, 60 * 160 * 160).astype(np.int16)
    header = header_of((160, 160, 60))
    header["scl_slope"], header["scl_inter"] = 1.0, -1024.0
    (tmp_path / "ct.nii.gz").write_bytes(gzip.compress(content_of(header, stored.tobytes()), 1))
    tracemalloc.start()
    volume = read_ct(tmp_path / "ct.nii.gz")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert np.array_equal(volume.hu.ravel(), stored - 1024)
    assert peak < 3.5 * stored.nbytes
