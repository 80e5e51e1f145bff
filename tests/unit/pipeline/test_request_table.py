"""Tables of requests as people write them, and those that must not be followed."""

import pytest

from medsyn2.errors import ConfigError, TableError
from medsyn2.pipeline.request_table import list_volumes, parse_shard, read_requests


def read(folder, text, first_seed=0):
    path = folder / "requests.csv"
    path.write_text(text, encoding="utf-8")
    return read_requests(path, first_seed=first_seed)


def test_a_row_may_have_every_part_or_none(tmp_path):
    (tmp_path / "masks").mkdir()
    (tmp_path / "masks/heart.nii.gz").touch()
    text = 'name;report;mask;words;seed\na;"Normal; no effusion.";;;7\nb.nii.gz;;masks/heart.nii.gz;heart;\nc;;;;2.0\n'
    (a, b, c), failures = read(tmp_path, text)
    assert failures == []
    assert (a.name, a.report, a.mask, a.words, a.seed, a.line) == ("a", "Normal; no effusion.", None, None, 7, 2)
    assert (b.name, b.mask, b.words) == ("b", tmp_path / "masks/heart.nii.gz", "heart")
    assert (c.report, c.seed) == (None, 2)


def test_seeds_follow_from_the_name_and_differ(tmp_path):
    rows, _ = read(tmp_path, "name\na\nb\n")
    more, _ = read(tmp_path, "name\nnew\nb\na\n")
    other, _ = read(tmp_path, "name\na\nb\n", first_seed=1)
    assert rows[0].seed != rows[1].seed
    assert {row.name: row.seed for row in rows}.items() <= {row.name: row.seed for row in more}.items()
    assert {row.seed for row in rows}.isdisjoint({row.seed for row in other})


@pytest.mark.parametrize(
    ("row", "code"),
    [
        ("a,../secret.nii.gz", "path-outside-folder"),
        ("a,/etc/passwd", "path-outside-folder"),
        ("a,link/secret.nii.gz", "path-outside-folder"),
        ("a,masks/../../secret.nii.gz", "path-outside-folder"),
        ("../a,", "row-name"),
        (",m.nii.gz", "row-name"),
        ("a/b,", "row-name"),
        (".hidden,", "row-name"),
        (f"{'a' * 200},", "row-name"),
    ],
)
def test_rows_that_reach_elsewhere_fail_and_the_others_stay(tmp_path, row, code):
    folder = tmp_path / "table"
    folder.mkdir()
    (tmp_path / "secret.nii.gz").touch()
    (folder / "link").symlink_to(tmp_path)
    rows, failures = read(folder, f"name,mask\n{row}\ngood,m.nii.gz\n")
    assert [one.name for one in rows] == ["good"]
    assert [(one.line, one.code) for one in failures] == [(2, code)]


@pytest.mark.parametrize("seed", ["-", "one", "1.5", "nan", "0x10"])
def test_a_seed_that_is_no_number_fails_its_row(tmp_path, seed):
    rows, failures = read(tmp_path, f"name,seed\na,{seed}\nb,1\n")
    assert [one.name for one in rows] == ["b"]
    assert [one.code for one in failures] == ["row-seed"]


@pytest.mark.parametrize(("names", "num_seeds"), [("a A", 1), ("a a_mask", 1), ("a A", 2)])
def test_volumes_whose_files_would_have_one_name_are_refused(tmp_path, names, num_seeds):
    rows, _ = read(tmp_path, "\n".join(["name", *names.split()]))
    with pytest.raises(TableError, match="both write"):
        list_volumes(rows, tmp_path / "requests.csv", num_seeds=num_seeds)


def test_parts_make_the_whole_and_seeds_count_up(tmp_path):
    rows, _ = read(tmp_path, "name,seed\na,5\nb,7\nc,9\n")
    whole = list_volumes(rows, tmp_path, num_seeds=2)
    assert [(one.name, one.seed) for one in whole[:3]] == [("a_0", 5), ("a_1", 6), ("b_0", 7)]
    parts = [one for part in (1, 2) for one in list_volumes(rows, tmp_path, num_seeds=2, shard=(part, 2))]
    assert sorted(one.name for one in parts) == [one.name for one in whole]
    assert list_volumes(rows, tmp_path, num_seeds=1, shard=(7, 8)) == []


@pytest.mark.parametrize("text", ["", "0/2", "3/2", "1", "a/b", "-1/2"])
def test_a_part_that_is_none_is_refused(text):
    assert parse_shard(" 2/3 ") == (2, 3)
    with pytest.raises(ConfigError, match="shard-invalid"):
        parse_shard(text)


def test_a_table_without_rows_or_names_is_refused(tmp_path):
    for text in ("name\n", "report\nNormal.\n", ""):
        with pytest.raises(TableError):
            read(tmp_path, text)
