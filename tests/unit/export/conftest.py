"""A finished run and a folder of made volumes."""

from pathlib import Path

import numpy as np
import pytest

from tests.unit.finished_run import box, synthetic, write_run


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="session")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of one mask, the mask of a case of the run, one of other words, and one without a mask."""
    folder = tmp_path_factory.mktemp("volumes")
    own = np.roll(box("b", 4), 3, axis=1)
    synthetic("b", own, "lung nodules", 1).save(folder / "x_0.nii.gz")
    synthetic("c", own, "lung nodules", 2).save(folder / "sub/x_1.mha")
    synthetic("d", box("a", 4), "lung nodules", 3).save(folder / "y.nii.gz")
    synthetic("a", box("a", 5), "rib fracture", 4).save(folder / "z.nii.gz")
    synthetic("a", None, None, 5).save(folder / "free.nii.gz")
    return folder
