import pickle

import pytest

from medsyn2.errors import ConfigError, InvalidVolumeError, WeightsError
from medsyn2.server.problems import Refusal, describe_error, missing, name_error, read_error, status_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (missing("mask"), 404),
        (ConfigError("a", code="b", remedy="c"), 400),
        (InvalidVolumeError("a", code="b", remedy="c"), 422),
        (WeightsError("a", code="b", remedy="c"), 503),
        (name_error(MemoryError()), 503),
        (name_error(KeyError("x")), 503),
    ],
)
def test_each_kind_has_its_status(error, status):
    assert status_of(error) == status


def test_an_error_passes_to_another_process(tmp_path):
    error = Refusal(409, f"{tmp_path}/items/x is busy.", code="busy", remedy="wait.")
    told = describe_error(error, tmp_path)
    assert "".join(map(str, told.values())).count(str(tmp_path)) == 0
    assert (read_error(told).status, read_error(told).code) == (409, "busy")
    assert pickle.loads(pickle.dumps(error)).status == 409


def test_an_unknown_error_is_told_without_its_traceback():
    told = describe_error(name_error(ZeroDivisionError("division by zero")))
    assert told["code"] == "page-failed"
    assert "Traceback" not in told["message"]


def test_a_name_of_bytes_that_are_no_text_can_be_told():
    told = describe_error(InvalidVolumeError("\udcff.nii is damaged.", code="b", remedy="c"))
    assert told["message"].encode() == b"\\udcff.nii is damaged."
