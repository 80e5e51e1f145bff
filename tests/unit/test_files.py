"""Files appear whole or not at all."""

from pathlib import Path

import pytest

from medsyn2.files import sha256_of, write_atomically, write_json


def test_failed_write_leaves_the_old_file_and_no_litter(tmp_path: Path) -> None:
    path = tmp_path / "value.nii.gz"
    path.write_text("old")

    def fail(partial: Path) -> None:
        partial.write_text("half")
        assert partial.name.endswith(".nii.gz")
        raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_atomically(path, fail)
    assert [entry.name for entry in tmp_path.iterdir()] == ["value.nii.gz"]
    assert path.read_text() == "old"


def test_json_is_sorted_and_reproducible(tmp_path: Path) -> None:
    write_json(tmp_path / "a/1.json", {"b": 1, "a": "é"})
    write_json(tmp_path / "a/2.json", {"a": "é", "b": 1})
    assert (tmp_path / "a/1.json").read_bytes() == (tmp_path / "a/2.json").read_bytes()
    assert sha256_of(tmp_path / "a/1.json") == sha256_of(tmp_path / "a/2.json")
