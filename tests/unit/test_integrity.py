"""A changed byte, value or file is seen wherever its writer left a record, and nowhere is a record demanded."""

import json
from pathlib import Path

import pytest

from medsyn2.errors import IntegrityError
from medsyn2.integrity import check_file, check_files, is_unchanged, read_sealed, write_checksums, write_sealed

VALUE = {"name": "Ürümqi", "sums": [0.1, -2.5e-9, 3], "nothing": None, "inner": {"2": True}}


def test_a_sealed_object_comes_back_without_its_seal(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_sealed(path, VALUE)
    assert read_sealed(path) == VALUE
    assert set(json.loads(path.read_text(encoding="utf-8"))) == {*VALUE, "seal"}


def test_every_flip_and_every_cut_of_a_sealed_object_is_seen_or_means_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    write_sealed(path, VALUE)
    whole, seen = path.read_bytes(), 0
    flips = [
        whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :]
        for place in range(len(whole))
        for bit in range(8)
    ]
    for damaged in [*flips, *(whole[:size] for size in range(len(whole) - 1))]:
        path.write_bytes(damaged)
        try:
            assert read_sealed(path) == VALUE
        except ValueError:
            seen += 1
    assert seen > len(flips) / 2


def test_an_object_without_a_seal_is_read_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"a": 1}', encoding="utf-8")
    assert read_sealed(tmp_path / "a.json") == {"a": 1}
    (tmp_path / "a.json").write_text("[1]", encoding="utf-8")
    with pytest.raises(ValueError, match="list"):
        read_sealed(tmp_path / "a.json")


def test_a_table_is_compared_with_the_checksum_beside_it(tmp_path: Path) -> None:
    table, page = tmp_path / "hu.csv", tmp_path / "description.json"
    table.write_text("a,b\n1,2\n", encoding="utf-8")
    page.write_text("{}", encoding="utf-8")
    assert check_file(table) == table
    write_checksums([table, page, tmp_path / "never_made.png"])
    assert [path.name for path in sorted(tmp_path.iterdir())] == [".hu.csv.sha256", "description.json", "hu.csv"]
    assert check_file(table) == table
    recorded = (tmp_path / ".hu.csv.sha256").read_bytes()
    for damaged in (b"a,b\n1,3\n", b"a,b\n1,2", b""):
        table.write_bytes(damaged)
        with pytest.raises(IntegrityError, match=rf"output-damaged.*rm {table}"):
            check_file(table)
    table.write_text("a,b\n1,2\n", encoding="utf-8")
    for damaged in (recorded[1:], b"\xff" + recorded[1:], b""):
        (tmp_path / ".hu.csv.sha256").write_bytes(damaged)
        with pytest.raises(IntegrityError, match="output-damaged"):
            check_file(table)


def test_a_file_is_hashed_again_after_a_change_of_the_same_size(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("1", encoding="utf-8")
    sha256 = "6b86b273ff34fce19d6b804eff5a3f5747ada4eaa22f1d49c01e52ddb7875b4b"  # echo -n 1 | sha256sum
    assert is_unchanged(path, sha256)
    path.write_text("2", encoding="utf-8")
    assert not is_unchanged(path, sha256)
    path.write_text("1", encoding="utf-8")
    check_files(tmp_path, {"a": sha256}, tmp_path / "a.json")
    path.unlink()
    assert not is_unchanged(path, sha256)
    with pytest.raises(IntegrityError, match=r"a is not there, expected 6b86b273ff34 as .*a\.json says"):
        check_files(tmp_path, {"a": sha256}, tmp_path / "a.json")
