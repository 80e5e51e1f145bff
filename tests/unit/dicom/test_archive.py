"""A packed series is the series, and an archive cannot write elsewhere or fill the disk."""

import errno
import io
import resource
import tarfile
import zipfile

import numpy as np
import pytest

from medsyn2.dicom import archive
from medsyn2.dicom.archive import open_archive, unpack
from medsyn2.errors import InvalidVolumeError
from medsyn2.formats import read_ct
from medsyn2.vocabulary import ARCHIVE_SUFFIXES
from tests.series import pack as pack_series
from tests.series import write_series


@pytest.fixture
def archive_path(tmp_path):
    write_series(tmp_path / "series")
    with zipfile.ZipFile(tmp_path / "scan.zip", "w", zipfile.ZIP_DEFLATED) as made:
        for path in (tmp_path / "series").iterdir():
            made.write(path, f"../../{path.name}")
        made.writestr("readme.txt", "a scan")
    return tmp_path / "scan.zip"


def test_it_is_read_as_its_folder(archive_path, tmp_path):
    expected, found = read_ct(tmp_path / "series"), read_ct(archive_path)
    np.testing.assert_array_equal(found.hu, expected.hu)
    np.testing.assert_array_equal(found.affine_mm, expected.affine_mm)
    series = open_archive(archive_path).stack.id
    assert open_archive(archive_path, series=series).stack.id == series


@pytest.mark.parametrize("suffix", ARCHIVE_SUFFIXES)
def test_each_kind_of_archive_is_read_and_refused_when_it_breaks_off(tmp_path, suffix):
    hu = write_series(tmp_path / "series")
    path = tmp_path / f"scan{suffix}"
    pack_series(tmp_path / "series", path)
    np.testing.assert_array_equal(read_ct(path).hu, hu)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])
    with pytest.raises(InvalidVolumeError) as caught:
        read_ct(path)
    assert caught.value.code == "archive-unusable"


def test_a_tar_that_ends_between_two_slices_or_in_a_damaged_header_is_refused(tmp_path):
    write_series(tmp_path / "series")
    path = tmp_path / "scan.tar"
    pack_series(tmp_path / "series", path)
    with tarfile.open(path) as opened:
        last = opened.getmembers()[-1].offset
    content = path.read_bytes()
    for damaged in (content[:last], content[:last] + b"?" * 20 + content[last + 20 :]):
        path.write_bytes(damaged)
        with pytest.raises(InvalidVolumeError, match="breaks off"):
            read_ct(path)


def test_links_in_a_tar_are_no_slices(tmp_path):
    with tarfile.open(tmp_path / "scan.tar", "w") as made:
        link = tarfile.TarInfo("IM1")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        made.addfile(link)
    unpack(tmp_path / "scan.tar", tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "file-is-lfs-pointer"),
        (b"<!DOCTYPE html>", "file-is-html"),
        (b"", "file-empty"),
        (None, "file-missing"),
    ],
)
def test_a_file_in_the_place_of_an_archive_is_named(tmp_path, content, code):
    if content is not None:
        (tmp_path / "scan.zip").write_bytes(content)
    with pytest.raises(InvalidVolumeError) as caught:
        open_archive(tmp_path / "scan.zip")
    assert caught.value.code == code


def test_names_lead_nowhere(archive_path, tmp_path):
    unpack(archive_path, tmp_path / "out")
    assert {path.suffix for path in (tmp_path / "out").iterdir()} == {".dcm"}
    assert not list(tmp_path.glob("*.dcm"))


def test_damage_and_bombs_are_refused(archive_path, tmp_path, monkeypatch):
    (tmp_path / "cut.zip").write_bytes(archive_path.read_bytes()[:-200])
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1000)
    for path in (tmp_path / "cut.zip", archive_path):
        with pytest.raises(InvalidVolumeError) as caught:
            read_ct(path)
        assert caught.value.code == "archive-unusable"


def test_a_disk_without_room_is_not_the_archive_s_fault(archive_path, tmp_path):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            unpack(archive_path, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.errno == errno.EFBIG


def pack(tmp_path, members, damage=None):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as opened:
        for name, content in members:
            opened.writestr(name, content)
    content = buffer.getvalue()
    path = tmp_path / "upload.zip"
    path.write_bytes(damage(content) if damage else content)
    return path


def test_names_in_an_archive_reach_nothing(tmp_path):
    names = ["../../evil", "/etc/passwd", "a/b/IM1", "..\\x", "IM1", "folder/", "a" * 300]
    path = pack(tmp_path, [(name, name.encode()) for name in names])
    unpack(path, tmp_path / "out")
    found = sorted(one.name for one in (tmp_path / "out").iterdir())
    assert found == [f"{number:06d}.dcm" for number in range(6)]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out", "upload.zip"]


@pytest.mark.parametrize("kind", ["bomb", "many", "cut", "noise", "no archive", "encrypted"])
def test_an_archive_that_cannot_be_used_is_named(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(archive, "MAX_UNPACKED_BYTES", 1 << 20)
    monkeypatch.setattr(archive, "MAX_MEMBERS", 20)
    members = [(str(number), bytes(1000)) for number in range(21 if kind == "many" else 3)]
    members = [("a", bytes(2 << 20))] if kind == "bomb" else members
    damages = {
        "cut": lambda content: content[: len(content) // 2],
        "noise": lambda content: content[:40] + bytes(8) + content[48:],
        "no archive": lambda content: b"no archive at all",
        "encrypted": lambda content: (
            content[:6] + b"\1" + content[7:].replace(b"PK\1\2\x14\x03\x14\0\0", b"PK\1\2\x14\x03\x14\0\1")
        ),
    }
    with pytest.raises(InvalidVolumeError) as caught:
        unpack(pack(tmp_path, members, damages.get(kind)), tmp_path / "out")
    assert caught.value.code == "archive-unusable"
