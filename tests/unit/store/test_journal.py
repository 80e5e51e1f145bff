"""A journal keeps what is finished, and nothing that was torn, damaged or is of another computation."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.store.journal import Journal

RESULT = {"matrix": [[0.1, -2.5e-9], [1.0, 3.0]], "start": "lungs"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / ".steps.jsonl"
    journal = Journal(path, "a")
    journal.add("first", RESULT)
    journal.add("second", "lung-dice-low")
    journal.add_arrays("case", {"hu": np.arange(6, dtype=np.int16).reshape(2, 3), "affine": np.eye(4) / 3})
    return path


def test_steps_come_back_exactly_to_their_computation_alone(path: Path) -> None:
    journal = Journal(path, "a")
    assert journal["first"] == RESULT
    assert journal["second"] == "lung-dice-low"
    assert "third" not in journal
    kept = journal.arrays("case")
    assert kept is not None
    np.testing.assert_array_equal(kept["hu"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(kept["affine"], np.eye(4) / 3)
    assert "first" not in Journal(path, "b")


def test_a_torn_line_costs_its_step_alone(path: Path) -> None:
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    journal = Journal(path, "a")
    assert "first" in journal
    assert journal.arrays("case") is None
    journal.add("third", 3)
    assert Journal(path, "a")["third"] == 3


def test_no_flipped_bit_changes_a_result(path: Path) -> None:
    whole = path.read_bytes()
    before = {step: Journal(path, "a")[step] for step in ("first", "second", "case")}
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 2]) + whole[place + 1 :])
        journal = Journal(path, "a")
        assert all(journal[step] == result for step, result in before.items() if step in journal)


def test_damaged_arrays_are_made_again_and_nothing_stays_at_the_end(path: Path) -> None:
    place = path.with_suffix("") / "case.npz"
    place.write_bytes(place.read_bytes()[:-1] + b"x")
    journal = Journal(path, "a")
    assert journal.arrays("case") is None
    journal.remove()
    assert list(path.parent.iterdir()) == []
