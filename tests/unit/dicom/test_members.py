"""The members of an archive come in order, each with its content, whatever the archive is called."""

import pytest

from medsyn2.dicom.members import is_archive_name, members_of
from tests.series import pack


@pytest.mark.parametrize("kind", [".zip", ".tar", ".tgz", ".tar.bz2", ".txz"])
@pytest.mark.parametrize("called", [None, "a.zip", "a.tar"])
def test_the_content_tells_the_kind(tmp_path, kind, called):
    (tmp_path / "in/deep").mkdir(parents=True)
    contents = {"export/1": b"one", "export/deep/2": b"", "export/deep/3": bytes(3000)}
    for name, content in contents.items():
        (tmp_path / "in" / name.removeprefix("export/")).write_bytes(content)
    pack(tmp_path / "in", tmp_path / f"made{kind}")
    with (tmp_path / f"made{kind}").open("rb") as file:
        found = {member.name: member.file.read() for member in members_of(file, called or f"made{kind}")}
    assert found == contents


def test_names_of_archives():
    assert all(map(is_archive_name, ("a.ZIP", "b.tar.gz", "1.2.840.TGZ")))
    assert not any(map(is_archive_name, ("a.nii.gz", "a.gz", "zip", "a.7z")))
