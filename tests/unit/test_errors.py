"""Errors say what to do, and cross process borders."""

import pickle

from medsyn2.errors import CaseError, EnvironmentFault, InvalidVolumeError, WeightsError


def test_message_ends_with_what_to_do() -> None:
    error = InvalidVolumeError("x.nii.gz is empty.", code="empty", remedy="download it again.")
    assert str(error) == "[empty] x.nii.gz is empty. What to do: download it again."
    assert isinstance(error, CaseError)
    assert isinstance(error, ValueError)
    assert not isinstance(error, EnvironmentFault)


def test_error_survives_a_process_pool() -> None:
    error = pickle.loads(pickle.dumps(WeightsError("gone.", code="missing", remedy="fetch.")))
    assert (error.code, error.message, error.remedy, error.exit_code) == ("missing", "gone.", "fetch.", 14)
