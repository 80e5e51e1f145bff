"""Errors carry a remedy, and cross process borders."""

import pickle

from medsyn2.errors import CaseError, EnvironmentFault, InvalidVolumeError, WeightsError, reason


def test_message_ends_with_what_to_do() -> None:
    error = InvalidVolumeError("x.nii.gz is empty.", code="empty", remedy="download it again.")
    assert str(error) == "[empty] x.nii.gz is empty. What to do: download it again."
    assert isinstance(error, CaseError)
    assert isinstance(error, ValueError)
    assert not isinstance(error, EnvironmentFault)


def test_error_survives_a_process_pool() -> None:
    error = pickle.loads(pickle.dumps(WeightsError("gone.", code="missing", remedy="fetch.")))
    assert (error.code, error.message, error.remedy, error.exit_code) == ("missing", "gone.", "fetch.", 14)


def test_what_an_error_says_fits_into_a_message_whatever_it_holds() -> None:
    binary = UnicodeDecodeError("utf-8", b"\x8b" * 10**6, 0, 1, "invalid start byte")
    assert len(reason(binary)) < 200
    assert "invalid start byte" in reason(binary)
    assert len(reason(ValueError("x\ny " * 10**5))) < 300
    assert "\n" not in reason(ValueError("x\ny"))
    assert reason(KeyError("cases")) == "KeyError: 'cases'"
    assert reason(FileNotFoundError(2, "No such file or directory", "a.json")) == "No such file or directory"
    assert reason(TypeError()) == "TypeError"
