"""Files of weights: verified, recorded, unverified, missing, damaged."""

import hashlib
import subprocess

import pytest

from medsyn2.errors import IntegrityError
from medsyn2.weights.catalogue import Download
from medsyn2.weights.checks import (
    CHECKSUMS,
    add_checksums,
    check_download,
    check_format,
    check_recorded,
    read_checksums,
)

DATA = b"\x80weights"  # begins as torch's older files do
SHA256 = hashlib.sha256(DATA).hexdigest()
PLAIN = Download("tool/a.pth", "https://x/a.pth", len(DATA), SHA256[:8])
UNPUBLISHED = Download("tool/a.pth", "https://x/a.pth")
ARCHIVE = Download("tool/set", "https://x/set.zip", unpacks=("*/plans.json", "*/fold_*/c.pth"))


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tool/set/model/fold_0").mkdir(parents=True)
    (tmp_path / "tool/a.pth").write_bytes(DATA)
    (tmp_path / "tool/set/model/plans.json").write_bytes(b"{}")
    (tmp_path / "tool/set/model/fold_0/c.pth").write_bytes(DATA)
    return tmp_path


def states(item: Download, folder) -> list[str]:
    return [check.state for check in check_download(item, folder, read_checksums(folder))]


def test_published_checksums_verify_and_recorded_ones_compare(folder) -> None:
    assert states(PLAIN, folder) == ["verified"]
    assert states(UNPUBLISHED, folder) == ["unverified"]
    add_checksums(folder, [folder / "tool/a.pth"])
    assert states(PLAIN, folder) == ["verified"]
    assert states(UNPUBLISHED, folder) == ["recorded"]


@pytest.mark.parametrize("item", [PLAIN, UNPUBLISHED], ids=["published", "recorded"])
def test_one_flipped_bit_is_found(folder, item: Download) -> None:
    add_checksums(folder, [folder / "tool/a.pth"])
    (folder / "tool/a.pth").write_bytes(bytes([DATA[0] ^ 1]) + DATA[1:])
    [check] = check_download(item, folder, read_checksums(folder))
    assert check.state == "damaged"
    assert SHA256 in check.note


def test_a_file_that_is_not_the_published_one_is_damaged_unless_the_site_lists_it(folder) -> None:
    (folder / "tool/a.pth").write_bytes(b"our own")
    assert states(PLAIN, folder) == ["damaged"]
    add_checksums(folder, [folder / "tool/a.pth"])
    [check] = check_download(PLAIN, folder, read_checksums(folder))
    assert check.state == "recorded"
    assert "as published" in check.note


def test_an_archive_is_all_of_its_files(folder) -> None:
    assert states(ARCHIVE, folder) == ["unverified", "unverified"]
    add_checksums(folder, [*(folder / "tool/set").rglob("*.*")])
    assert states(ARCHIVE, folder) == ["recorded", "recorded"]
    (folder / "tool/set/model/fold_0/c.pth").unlink()
    assert states(ARCHIVE, folder) == ["recorded", "missing"]
    (folder / CHECKSUMS).unlink()
    missing = check_download(ARCHIVE, folder, {})[1]
    assert missing.path == folder / "tool/set/*/fold_*/c.pth"


def test_nothing_is_no_file(folder) -> None:
    (folder / "tool/a.pth").write_bytes(b"")
    assert states(UNPUBLISHED, folder) == ["damaged"]
    assert check_format(folder / "nowhere", lambda _: "").state == "missing"
    assert check_recorded(folder / "nowhere", SHA256, "a.json").state == "missing"


def test_what_no_checksum_is_known_of_must_open(folder) -> None:
    (folder / "tool/a.pth").write_bytes(b"<html>404</html>")
    (folder / "tool/set/model/plans.json").write_bytes(b"{")
    assert states(UNPUBLISHED, folder) == ["damaged"]
    assert states(ARCHIVE, folder) == ["damaged", "unverified"]


def test_a_recorded_checksum_names_its_record(folder) -> None:
    assert check_recorded(folder / "tool/a.pth", SHA256, "a.json").state == "recorded"
    check = check_recorded(folder / "tool/a.pth", "0" * 64, "a.json")
    assert (check.state, check.note) == ("damaged", f"its sha256 is {SHA256}, expected {'0' * 64} of a.json")


def test_the_record_is_what_sha256sum_reads(folder) -> None:
    add_checksums(folder, [folder / "tool/a.pth"])
    add_checksums(folder, [folder / "tool/set/model/plans.json"])
    result = subprocess.run(
        ["sha256sum", "-c", CHECKSUMS], cwd=folder, capture_output=True, encoding="utf-8", check=True
    )
    assert result.stdout.count(": OK") == 2


def test_a_torn_record_is_an_error(folder) -> None:
    (folder / CHECKSUMS).write_text("0123  a.pth\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match="sha256, two spaces"):
        read_checksums(folder)
