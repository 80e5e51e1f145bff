"""Arrays come back by name from files that are named by what decides them."""

from pathlib import Path

import numpy as np
import pytest

from medsyn2.errors import EnvironmentFault
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
