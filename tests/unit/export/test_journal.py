import pytest

from medsyn2.errors import ConfigError
from medsyn2.export.journal import FILE, begin, check_place, finish, part_of


def test_an_export_goes_on_until_it_is_whole(tmp_path):
    folder = tmp_path / "set"
    begin(folder, "one")
    (folder / "case").touch()
    begin(folder, "one")
    check_place(folder)
    with pytest.raises(ConfigError, match="export-of-another-request"):
        begin(folder, "two")
    finish(folder)
    with pytest.raises(ConfigError, match="output-taken"):
        begin(folder, "one")
    assert [path.name for path in folder.iterdir()] == ["case"]


def test_a_job_that_starts_while_another_claims_the_folder_is_not_refused(tmp_path):
    (tmp_path / f"{FILE}.1.partial").touch()
    begin(tmp_path, "one")


def test_parts_are_all_cases_once():
    parts = [part_of(range(7), (part, 3)) for part in (1, 2, 3)]
    assert sorted(case for part in parts for case in part) == list(part_of(range(7), None)) == list(range(7))
