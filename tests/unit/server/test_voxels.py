import gzip
import tracemalloc

import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume, Grid, axis_aligned_affine
from medsyn2.errors import MaskError
from medsyn2.server.problems import Refusal
from medsyn2.server.session import Session
from medsyn2.server.voxels import add_mask, add_volume, read_mask, write_voxels

GRID = Grid((3, 4, 5), axis_aligned_affine((4.0, 3.0, 2.0), (-5.0, 6.0, 7.0)))


@pytest.fixture
def session(tmp_path):
    session = Session(tmp_path)
    with session.hold():
        yield session


def test_a_volume_lies_as_the_browser_takes_it(session):
    hu = np.arange(-30, 30, dtype=np.int16).reshape(GRID.shape)
    header = add_volume(session, CTVolume(hu, GRID.affine_mm), "real", "a CT", notes=["x"])
    stored = gzip.decompress((session.find("volumes", header["id"]) / "voxels.gz").read_bytes())
    np.testing.assert_array_equal(np.frombuffer(stored, "<i2").reshape(GRID.shape), hu)
    assert header == session.read("volumes", header["id"])
    assert (header["shape"], header["spacing_mm"], header["axes"]) == ([3, 4, 5], [4.0, 3.0, 2.0], "SPL")


def test_a_mask_comes_back_with_its_structure_and_volume(session):
    mask = np.zeros(GRID.shape, bool)
    mask[1, 1:3, 2:4] = True
    record = add_mask(session, mask, GRID, "mine", "lung nodules")
    assert (record["structure"], record["volume_ml"]) == ("nodules", pytest.approx(4 * 24 / 1000))
    np.testing.assert_array_equal(read_mask(session, record["id"], GRID).binary(), mask)
    assert add_mask(session, mask, GRID, "mine", "my own words")["structure"] is None


def test_a_mask_of_another_grid_or_damaged_is_refused(session):
    identifier = add_mask(session, np.zeros(GRID.shape, bool), GRID, "mine", "")["id"]
    other = Grid(GRID.shape, axis_aligned_affine((4.0, 3.0, 2.5), (-5.0, 6.0, 7.0)))
    with pytest.raises(Refusal, match="another model"):
        read_mask(session, identifier, other)
    (session.find("masks", identifier) / "runs.bin").write_bytes(b"abc")
    with pytest.raises(MaskError):
        read_mask(session, identifier, GRID)


def test_writing_holds_no_second_volume(tmp_path):
    """At 448 x 448 x 448, 0.18 GB, writing takes some megabytes."""
    volume = CTVolume(np.zeros((256, 128, 128), np.int16), np.eye(4)[[2, 1, 0, 3]])
    write_voxels(tmp_path / "warm.gz", volume)
    tracemalloc.start()
    write_voxels(tmp_path / "voxels.gz", volume)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < volume.hu.nbytes / 4
