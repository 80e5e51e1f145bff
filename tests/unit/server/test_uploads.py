import io
import zipfile

import pytest

from medsyn2.errors import InvalidVolumeError
from medsyn2.server import uploads
from medsyn2.server.problems import Refusal
from medsyn2.server.uploads import suffix_of, title_of, unpack


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.nii.gz", ".nii.gz"), ("A.NII", ".nii"), ("x/y.mha", ".mha"), ("s.dcm", ".dcm")]
)
def test_the_suffix_is_one_of_a_list(name, suffix):
    assert suffix_of(name, "mask") == suffix


@pytest.mark.parametrize("name", ["", "a", "a.exe", "a.mhd", "a.nii.gz.sh", "../../.bashrc", "a.npy", "a.pkl", "a.zip"])
def test_other_files_are_refused(name):
    with pytest.raises(Refusal) as caught:
        suffix_of(name, "mask")
    assert caught.value.code == "upload-kind"


@pytest.mark.parametrize(
    ("name", "title"), [("../../etc/ct.nii.gz", "ct"), ("C:\\x\\Meier.zip", "Meier"), (".nii", "upload")]
)
def test_the_title_has_no_folder(name, title):
    assert title_of(name) == title


def archive(tmp_path, members, damage=None):
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
    path = archive(tmp_path, [(name, name.encode()) for name in names])
    unpack(path, tmp_path / "out")
    found = sorted(one.name for one in (tmp_path / "out").iterdir())
    assert found == [f"{number:06d}.dcm" for number in range(6)]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["out", "upload.zip"]


@pytest.mark.parametrize("kind", ["bomb", "many", "cut", "noise", "no archive", "encrypted"])
def test_an_archive_that_cannot_be_used_is_named(tmp_path, monkeypatch, kind):
    monkeypatch.setattr(uploads, "MAX_UNPACKED_BYTES", 1 << 20)
    monkeypatch.setattr(uploads, "MAX_MEMBERS", 20)
    members = [(str(number), bytes(1000)) for number in range(21 if kind == "many" else 3)]
    members = [("a", bytes(2 << 20))] if kind == "bomb" else members
    damages = {
        "cut": lambda content: content[: len(content) // 2],
        "noise": lambda content: content[:40] + bytes(8) + content[48:],
        "no archive": lambda content: b"<html>",
        "encrypted": lambda content: (
            content[:6] + b"\1" + content[7:].replace(b"PK\1\2\x14\x03\x14\0\0", b"PK\1\2\x14\x03\x14\0\1")
        ),
    }
    with pytest.raises(InvalidVolumeError) as caught:
        unpack(archive(tmp_path, members, damages.get(kind)), tmp_path / "out")
    assert caught.value.code == "archive-unusable"
