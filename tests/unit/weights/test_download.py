"""Downloads from a server on this machine: interrupted, resumed, compared; archives that do not leave their folder."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import pytest

from medsyn2.errors import WeightsError
from medsyn2.weights.download import ATTEMPTS, download, unpack

DATA = os.urandom(3_000_000)
SHA256 = hashlib.sha256(DATA).hexdigest()


def write_zip(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def test_a_file_arrives_under_its_own_name_alone(server, tmp_path) -> None:
    server.files["a.pth"] = DATA
    download(f"{server.url}/a.pth", tmp_path / "deep/a.pth", sha256=SHA256[:8])
    assert (tmp_path / "deep/a.pth").read_bytes() == DATA
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["a.pth"]


def test_an_interruption_goes_on_where_it_stopped(server, tmp_path) -> None:
    server.files["a.pth"] = DATA
    server.break_after = [1_200_000, 700_000]
    download(f"{server.url}/a.pth", tmp_path / "a.pth", sha256=SHA256)
    assert (tmp_path / "a.pth").read_bytes() == DATA
    assert server.ranges == [None, "bytes=1200000-", "bytes=1900000-"]


def test_another_process_goes_on_too(server, tmp_path) -> None:
    server.files["a.pth"] = DATA
    server.break_after = [100_000] * ATTEMPTS
    with pytest.raises(WeightsError, match="ended early") as caught:
        download(f"{server.url}/a.pth", tmp_path / "a.pth")
    assert caught.value.code == "download-failed"
    assert not (tmp_path / "a.pth").exists()
    download(f"{server.url}/a.pth", tmp_path / "a.pth", sha256=SHA256)
    assert (tmp_path / "a.pth").read_bytes() == DATA
    assert server.ranges[-1] == f"bytes={100_000 * ATTEMPTS}-"


def test_a_file_that_changed_at_its_source_begins_anew(server, tmp_path) -> None:
    server.files["a.pth"] = os.urandom(len(DATA))
    server.break_after = [100_000] * ATTEMPTS
    with pytest.raises(WeightsError):
        download(f"{server.url}/a.pth", tmp_path / "a.pth")
    server.files["a.pth"], server.etag = DATA, '"2"'
    download(f"{server.url}/a.pth", tmp_path / "a.pth")
    assert (tmp_path / "a.pth").read_bytes() == DATA


def test_what_is_complete_but_was_not_named_is_not_asked_for_again(server, tmp_path) -> None:
    server.files["a.pth"] = DATA
    (tmp_path / "a.pth.part").write_bytes(DATA)
    (tmp_path / "a.pth.part.etag").write_text(server.etag, encoding="utf-8")
    download(f"{server.url}/a.pth", tmp_path / "a.pth", sha256=SHA256)
    assert (tmp_path / "a.pth").read_bytes() == DATA


def test_other_bytes_are_refused_and_not_kept(server, tmp_path) -> None:
    server.files["a.pth"] = DATA[:-1] + b"?"
    with pytest.raises(WeightsError, match=f"expected {SHA256}") as caught:
        download(f"{server.url}/a.pth", tmp_path / "a.pth", sha256=SHA256)
    assert caught.value.code == "download-damaged"
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_there_is_said_at_once(server, tmp_path) -> None:
    with pytest.raises(WeightsError, match="404"):
        download(f"{server.url}/b.pth", tmp_path / "b.pth")
    assert len(server.ranges) == 1


@pytest.mark.parametrize("prefix", ["", "model/"])
def test_an_archive_becomes_its_folder(tmp_path, prefix: str) -> None:
    members = {f"{prefix}a.json": b"1", f"{prefix}fold_0/c.pth": b"2", "__MACOSX/x": b""}
    paths = unpack(write_zip(tmp_path / "a.zip", members), tmp_path / "model")
    assert sorted(path.relative_to(tmp_path).as_posix() for path in paths) == ["model/a.json", "model/fold_0/c.pth"]
    assert (tmp_path / "model/fold_0/c.pth").read_bytes() == b"2"


def test_what_lay_in_the_folder_stays(tmp_path) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model/other.pth").write_bytes(b"0")
    unpack(write_zip(tmp_path / "a.zip", {"c.pth": b"2"}), tmp_path / "model")
    assert sorted(path.name for path in (tmp_path / "model").iterdir()) == ["c.pth", "other.pth"]


@pytest.mark.parametrize("name", ["../out.pth", "/tmp/out.pth", "model/../../out.pth"])
def test_a_name_that_leads_elsewhere_is_refused(tmp_path, name: str) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(WeightsError, match="leads out of its folder"):
        unpack(tmp_path / "a.zip", tmp_path / "inner/model")
    assert not (tmp_path / "out.pth").exists()


def test_a_link_in_an_archive_is_refused(tmp_path) -> None:
    link = zipfile.ZipInfo("model/link")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(WeightsError, match="leads out"):
        unpack(tmp_path / "a.zip", tmp_path / "model")


def test_half_an_archive_is_named(tmp_path) -> None:
    whole = io.BytesIO()
    with zipfile.ZipFile(whole, "w") as archive:
        archive.writestr("c.pth", b"x" * 1000)
    (tmp_path / "a.zip").write_bytes(whole.getvalue()[:500])
    with pytest.raises(WeightsError, match="no whole zip"):
        unpack(tmp_path / "a.zip", tmp_path / "model")
    assert not (tmp_path / "model").exists()
