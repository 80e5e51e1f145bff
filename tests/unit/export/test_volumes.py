"""A data set of made volumes describes exactly the files that are in it."""

import csv
import json
import shutil

import pytest
from huggingface_hub import DatasetCard

from medsyn2.errors import ConfigError, IntegrityError
from medsyn2.export.volumes import export_volumes
from medsyn2.files import sha256_of
from medsyn2.pipeline.marks import find_mark


@pytest.fixture(scope="module")
def made(volumes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("set") / "upload"
    rows = export_volumes(volumes, folder, name="Boxes", licence="CC-BY-NC-SA-4.0")
    assert len(rows) == 5
    return folder


def test_the_table_has_each_file_with_its_hash(made):
    with (made / "metadata.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["file_name"] for row in rows} >= {"volumes/x_0.nii.gz", "volumes/sub/x_1.mha"}
    for row in rows:
        assert sha256_of(made / row["file_name"]) == row["sha256"]
        assert find_mark(made / row["file_name"]).verdict == "certain"
        assert json.loads((made / row["sidecar_file"]).read_text("utf-8"))["seed"] == int(row["seed"])
        assert bool(row["mask_file"]) == bool(row["mask_text"])
        assert not row["mask_file"] or (made / row["mask_file"]).is_file()
    files = {path.relative_to(made).as_posix() for path in (made / "volumes").rglob("*") if path.is_file()}
    assert files == {row[name] for row in rows for name in ("file_name", "mask_file", "sidecar_file")} - {""}


def test_croissant_describes_the_columns_of_the_table(made):
    values = json.loads((made / "croissant.json").read_text("utf-8"))
    [table], [records] = values["distribution"], values["recordSet"]
    assert table["sha256"] == sha256_of(made / table["contentUrl"])
    columns = (made / "metadata.csv").read_text("utf-8").splitlines()[0].split(",")
    assert [field["source"]["extract"]["column"] for field in records["field"]] == columns
    assert values["license"] == "CC-BY-NC-SA-4.0"
    assert "synthetic" in values["description"]


def test_the_card_says_that_all_is_synthetic(made):
    card = DatasetCard((made / "README.md").read_text("utf-8"))
    assert card.data.to_dict()["pretty_name"] == "Boxes"
    assert "Not of a patient" in card.text
    assert "| lung nodules | 3 |" in card.text
    assert "CC-BY-NC-SA-4.0" in card.text


def test_empty_folders_taken_places_and_replaced_volumes_are_refused(volumes, made, tmp_path):
    for source, to, code in ((tmp_path, tmp_path / "new", "export-no-volumes"), (volumes, made, "output-taken")):
        with pytest.raises(ConfigError) as caught:
            export_volumes(source, to, name="x", licence="y")
        assert caught.value.code == code
    shutil.copytree(volumes, tmp_path / "made")
    (tmp_path / "made/free.nii.gz").write_bytes(b"other")
    with pytest.raises(IntegrityError) as caught:
        export_volumes(tmp_path / "made", tmp_path / "out", name="x", licence="y")
    assert caught.value.code == "volume-changed"


def test_parts_and_a_stopped_export_become_the_same_set(volumes, made, tmp_path, monkeypatch):
    to, given = tmp_path / "upload", {"name": "Boxes", "licence": "CC-BY-NC-SA-4.0"}
    assert len(export_volumes(volumes, to, **given, shard=(1, 2))) == 3
    assert not (to / "metadata.csv").exists()
    copied = []
    copy = shutil.copyfile

    def stop(source, target):
        if len(copied) == 4:
            raise KeyboardInterrupt
        copied.append(source.name)
        return copy(source, target)

    monkeypatch.setattr(shutil, "copyfile", stop)
    with pytest.raises(KeyboardInterrupt):
        export_volumes(volumes, to, **given)
    copied.clear()
    monkeypatch.setattr(shutil, "copyfile", lambda source, target: copied.append(source.name) or copy(source, target))
    export_volumes(volumes, to, **given)
    assert copied == ["y.nii.gz", "y_mask.nii.gz", "y.json"]  # that it was at
    files = {folder: sorted(path.relative_to(folder) for path in folder.rglob("*")) for folder in (to, made)}
    assert files[to] == files[made]
    assert all((to / path).read_bytes() == (made / path).read_bytes() for path in files[to] if (to / path).is_file())
