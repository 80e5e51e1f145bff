import shutil
from pathlib import Path

import pytest

from medsyn2.cohort.folder import list_folder
from medsyn2.cohort.studies import find_leaf, folder_key, group_studies, is_slice_name
from medsyn2.dicom.identity import pseudonym
from tests.series import pack, write_series


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """An archive: a patient of two visits, one of which has two series, one of one visit, and other files."""
    root = tmp_path_factory.mktemp("archive")
    write_series(root / "A/visit 1/thin", patient="A", study="1.1", series="1.1.1")
    write_series(root / "A/visit 1/scout", patient="A", study="1.1", series="1.1.2", only=[0, 1])
    write_series(root / "A/visit 2/1.2.840.1", patient="A", study="1.2", series="1.2.1", name="IM{}")
    write_series(root / "B/0001", patient="B", study="1.3", series="1.3.1")
    (root / "B/0001/DICOMDIR").write_bytes(b"directory")
    (root / "B/report.pdf").write_bytes(b"%PDF")
    (root / "README").write_text("an archive", encoding="utf-8")
    return root


def test_a_study_stands_at_the_highest_folder_of_its_own(archive):
    found = list_folder(archive)
    places = [path.relative_to(archive).as_posix() for path in found.volumes]
    assert places == ["A/visit 1", "A/visit 2", "B"]
    patients = found.studies.patients
    assert patients[archive / "A/visit 1"] == patients[archive / "A/visit 2"] == pseudonym("patient", b"A")
    assert patients[archive / "B"] == pseudonym("patient", b"B")
    assert found.studies.slices == 20
    assert "20 DICOM files of 3 studies" in next(iter(found.notes()))


def test_a_folder_that_was_looked_into_is_not_opened_again(archive, monkeypatch):
    known = list_folder(archive).studies.folders

    def look(path: Path) -> None:
        assert path.name == "README"

    monkeypatch.setattr("medsyn2.cohort.studies.identity_of", look)
    assert list_folder(archive, known=known).volumes == list_folder(archive, known=known).volumes
    assert not any("visit" in key for key in known)


def test_series_of_studies_that_share_a_folder_follow_the_largest(tmp_path):
    write_series(tmp_path / "SE1", patient="A", study="1.1", series="1.1.1", only=[0, 1])
    write_series(tmp_path / "SE2", patient="A", study="1.1", series="1.1.2")
    write_series(tmp_path / "SE3", patient="B", study="1.2", series="1.2.1")
    found = list_folder(tmp_path).studies
    assert found.places == (tmp_path / "SE2", tmp_path / "SE3")
    assert found.later == {tmp_path / "SE2": (tmp_path / "SE1",)}


def test_slices_in_the_folder_itself_are_a_study(tmp_path):
    write_series(tmp_path)
    assert list_folder(tmp_path).volumes == [tmp_path]


def test_files_beside_slices_stay_and_folders_without_dicom_are_none(tmp_path):
    write_series(tmp_path / "a")
    (tmp_path / "a/ct.nii.gz").touch()
    (tmp_path / "b").mkdir()
    (tmp_path / "b/LICENSE").write_text("none", encoding="utf-8")
    found = list_folder(tmp_path)
    assert found.volumes == [tmp_path / "a", tmp_path / "a/ct.nii.gz"]
    assert find_leaf(str(tmp_path / "b"), ["LICENSE"], {}, str(tmp_path)) is None
    assert group_studies([], str(tmp_path)).places == ()


@pytest.fixture(scope="module")
def packed(tmp_path_factory) -> Path:
    """Two visits of a patient and one of another, packed in different ways, beside archives of other files."""
    root = tmp_path_factory.mktemp("packed")
    for name, patient, study in (("A/1.zip", "A", "1.1"), ("A/2.tgz", "A", "1.2"), ("3.tar", "B", "1.3")):
        source = root / f".{study}"
        write_series(source / "SE1", patient=patient, study=study, series=f"{study}.1", only=[0, 1])
        (source / "AUTORUN").write_bytes(b"a viewer")
        (source / "__MACOSX").mkdir()
        (source / "__MACOSX/._IM1").write_bytes(b"a fork")
        pack(source, root / name)
    (root / ".code").mkdir()
    (root / ".code/LICENSE").write_text("none", encoding="utf-8")
    pack(root / ".code", root / "code.zip")
    pack(root / ".code", root / "code.tar.gz")
    return root


def test_an_archive_of_slices_is_a_study_of_its_patient_and_other_archives_are_none(packed):
    found = list_folder(packed)
    assert [path.relative_to(packed).as_posix() for path in found.volumes] == ["3.tar", "A/1.zip", "A/2.tgz"]
    patients = found.studies.patients
    assert patients[packed / "A/1.zip"] == patients[packed / "A/2.tgz"] == pseudonym("patient", b"A")
    assert patients[packed / "3.tar"] == pseudonym("patient", b"B")
    assert found.others == {".zip": 1, ".gz": 1}
    assert "3 archives of DICOM of 3 studies" in next(iter(found.notes()))


def test_an_archive_that_was_looked_into_is_not_opened_again(packed, tmp_path, monkeypatch):
    root = shutil.copytree(packed, tmp_path / "packed")
    known = list_folder(root).studies.folders
    opened = []
    monkeypatch.setattr("medsyn2.cohort.studies._identity_of_archive", lambda path: opened.append(path.name))
    assert len(list_folder(root, known=known).volumes) == 3
    assert opened == []
    pack(root / ".1.1", root / "code.zip")
    list_folder(root, known=known)
    assert opened == ["code.zip"]  # which was replaced


@pytest.mark.parametrize("content", [b"PK\3\4", b"version https://git-lfs", b"", None])
def test_an_archive_that_cannot_be_read_is_a_case_that_will_be_refused(tmp_path, content):
    place = tmp_path / "a.zip"
    place.symlink_to(tmp_path / "nothing") if content is None else place.write_bytes(content)
    found = list_folder(tmp_path)
    assert found.volumes == [place]
    assert found.studies.folders == found.studies.patients == {}


def test_a_study_goes_before_its_own_archives_and_these_by_size(tmp_path):
    write_series(tmp_path / "study/SE1", study="1.1", only=[0])
    pack(tmp_path / "study", tmp_path / "1.zip")
    write_series(tmp_path / "study/SE1", study="1.1", only=[1, 2])
    pack(tmp_path / "study", tmp_path / "2.zip")
    found = list_folder(tmp_path).studies
    assert found.places == (tmp_path / "study",)
    assert found.later == {tmp_path / "study": (tmp_path / "2.zip", tmp_path / "1.zip")}


def test_the_sidecar_of_a_generated_archive_describes_it(tmp_path):
    write_series(tmp_path / ".made", only=[0])
    pack(tmp_path / ".made", tmp_path / "a.zip")
    (tmp_path / "a.json").write_text('{"synthetic": true, "medsyn2": "1"}', encoding="utf-8")
    assert list_folder(tmp_path).described == {tmp_path / "a.zip"}


def test_a_patient_without_an_identifier_has_no_pseudonym(tmp_path):
    write_series(tmp_path / "a", patient="ANONYMOUS")
    assert list_folder(tmp_path).studies.patients == {}


@pytest.mark.parametrize("name", ["0001.dcm", "I1", "1.2.840.5", "a.IMA", "IM 1 (2).DCM"])
def test_names_of_slices(name):
    assert is_slice_name(name)


@pytest.mark.parametrize("name", ["DICOMDIR", "a.json", "ct.nii.gz", "a.txt"])
def test_other_names(name):
    assert not is_slice_name(name)


def test_the_key_of_a_folder_tells_no_name():
    assert folder_key("/data/DOE^JOHN/1", "/data") == folder_key("DOE^JOHN/1", "")
    assert "DOE" not in folder_key("/data/DOE^JOHN/1", "/data")
