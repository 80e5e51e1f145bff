"""Arrays come back by name from files that are named by what decides them."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.errors import EnvironmentFault, IntegrityError
from medsyn2.evaluation.features.array_cache import cached_path, read_array, write_arrays


def test_arrays_come_back_and_damage_is_named(tmp_path: Path) -> None:
    place = cached_path(tmp_path, ["volume", 1, None])
    assert place == cached_path(tmp_path, ("volume", 1, None))
    assert place != cached_path(tmp_path, ["volume", 2, None])
    assert place.parent.parent == tmp_path
    arrays = {"lung/axial": np.arange(6.0).reshape(2, 3), "spacing_mm": np.ones(3)}
    write_arrays(place, arrays)
    np.testing.assert_array_equal(read_array(place, "lung/axial"), arrays["lung/axial"])
    for content in (b"nothing", place.read_bytes()[:-40]):
        place.write_bytes(content)
        with pytest.raises(EnvironmentFault, match="features-unreadable"):
            read_array(place, "lung/axial")


def test_every_flipped_bit_and_a_file_in_anothers_place_is_seen(tmp_path: Path) -> None:
    place, other = (cached_path(tmp_path, ["volume", number]) for number in (1, 2))
    values = np.arange(6, dtype=np.float32).reshape(2, 3)
    write_arrays(place, {"a": values})
    write_arrays(other, {"a": values + 1})
    whole, seen = place.read_bytes(), 0
    for index in range(len(whole)):
        place.write_bytes(whole[:index] + bytes([whole[index] ^ 4]) + whole[index + 1 :])
        try:
            np.testing.assert_array_equal(read_array(place, "a"), values)
        except IntegrityError:
            seen += 1
    assert seen > values.nbytes
    place.write_bytes(other.read_bytes())
    with pytest.raises(IntegrityError, match=f"features-unreadable.*rm {place}"):
        read_array(place, "a")


def test_files_of_earlier_versions_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "old.npz", a=np.ones(3))
    np.testing.assert_array_equal(read_array(tmp_path / "old.npz", "a"), np.ones(3))
