import os

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from medsyn2.dicom.identity import identity_of, is_dicom, pseudonym
from tests.series import write_series


def _nested(dataset: Dataset, index: int) -> None:
    inner, outer = Dataset(), Dataset()
    inner.CodeValue = "1"
    outer.PurposeOfReferenceCodeSequence = Sequence([inner])
    outer.PurposeOfReferenceCodeSequence.is_undefined_length = True
    outer.is_undefined_length_sequence_item = True
    dataset.ContributingEquipmentSequence = Sequence([outer])
    dataset["ContributingEquipmentSequence"].is_undefined_length = True


def _syntax(uid: str):
    def change(dataset: Dataset, index: int) -> None:
        dataset.file_meta.TransferSyntaxUID = uid
        _nested(dataset, index)

    return change


SYNTAXES = {"explicit": "1.2.840.10008.1.2.1", "implicit": "1.2.840.10008.1.2", "deflated": "1.2.840.10008.1.2.1.99"}


@pytest.mark.parametrize("kind", SYNTAXES)
def test_patient_and_study_are_found_in_each_transfer_syntax(tmp_path, kind):
    write_series(tmp_path, patient="MRN 007", study="1.2.33", change=_syntax(SYNTAXES[kind]), only=[0])
    found = identity_of(tmp_path / "0000.dcm")
    assert found is not None
    assert found.patient == pseudonym("patient", b"MRN 007")
    assert found.study == pseudonym("study", b"1.2.33")


def test_a_file_without_a_preamble_is_dicom_too(tmp_path):
    write_series(tmp_path, only=[0])
    content = (tmp_path / "0000.dcm").read_bytes()
    start = content.index(b"\x08\x00\x08\x00CS")
    (tmp_path / "bare").write_bytes(content[start:])
    assert is_dicom(content[start:])
    assert identity_of(tmp_path / "bare") == identity_of(tmp_path / "0000.dcm")


@pytest.mark.parametrize("patient", ["", "ANONYMOUS", "0", "anon"])
def test_a_word_in_place_of_an_identifier_is_no_patient(tmp_path, patient):
    write_series(tmp_path, patient=patient, only=[0])
    found = identity_of(tmp_path / "0000.dcm")
    assert found is not None
    assert found.patient == ""
    assert found.study


@pytest.mark.parametrize(
    "content", [b"", b"no slice", bytes(128) + b"DICM", bytes(128) + b"DICM\x02\x00\xff", b"\x08\x00"]
)
def test_other_files_have_no_identity(tmp_path, content):
    (tmp_path / "a").write_bytes(content)
    assert identity_of(tmp_path / "a") is None
    assert identity_of(tmp_path / "missing") is None


def test_what_does_not_end_has_no_identity(tmp_path):
    endless = b"\xff\xff\xff\xff"
    nested = b"\x08\x00\x12\x21" + endless + b"\xfe\xff\x00\xe0" + endless
    (tmp_path / "nested").write_bytes(nested * 4096)
    os.mkfifo(tmp_path / "pipe")
    assert identity_of(tmp_path / "nested") is None
    assert identity_of(tmp_path / "pipe") is None
