"""MedPSeg's adapter and process, against its published output format; its package is on no index."""

from contextlib import closing

import numpy as np
import pytest

from medsyn2.config import SegmentConfig
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import EnvironmentFault, SegmenterError, WeightsError
from medsyn2.segmenters import Segmenter, get_segmenter

WANTED = ("ground_glass", "consolidation")
WEIGHTS = b"\x80weights"
"""What the installed stand-in accepts; begins as torch's files do."""


def tool(weights) -> Segmenter:
    config = SegmentConfig(tools=dict.fromkeys(WANTED, "medpseg"), weights_dir=weights.parent)
    return get_segmenter("medpseg", config)


def test_opacities_are_the_package_s_files_and_its_networks_are_built_once(install, volume) -> None:
    weights = install("medpseg")
    for name in ("poly_medseg_25d_fix.ckpt", "poly_lung.ckpt"):
        (weights / name).write_bytes(WEIGHTS)
    with closing(tool(weights)) as medpseg:
        for _ in range(2):
            found = medpseg.segment(volume, WANTED)
        assert medpseg.versions() == {"medpseg": "4.1.0"}
        assert set(medpseg.segment(volume, ["consolidation"])) == {"consolidation"}
    np.testing.assert_array_equal(found["ground_glass"].labels, volume.hu == -500)
    np.testing.assert_array_equal(found["consolidation"].labels, volume.hu > 0)


@pytest.mark.parametrize(("hu", "code"), [(-1000, "no-lungs"), (3000, "tool-failed")])
def test_a_failure_that_the_package_only_reports_is_the_case_s(install, volume, hu: int, code: str) -> None:
    weights = install("medpseg")
    for name in ("poly_medseg_25d_fix.ckpt", "poly_lung.ckpt"):
        (weights / name).write_bytes(WEIGHTS)
    bad = CTVolume(np.full_like(volume.hu, hu), volume.affine_mm)
    with closing(tool(weights)) as medpseg:
        with pytest.raises(SegmenterError) as caught:
            medpseg.segment(bad, WANTED)
        assert caught.value.code == code
        assert set(medpseg.segment(volume, WANTED)) == set(WANTED)


def test_missing_checkpoints_are_named(install, volume) -> None:
    weights = install("medpseg")
    (weights / "poly_lung.ckpt").write_bytes(WEIGHTS)
    with closing(tool(weights)) as medpseg, pytest.raises(WeightsError, match="poly_medseg_25d_fix"):
        medpseg.segment(volume, WANTED)


def test_checkpoints_that_cannot_be_read_are_no_case_s_fault(install, volume) -> None:
    weights = install("medpseg")
    for name in ("poly_medseg_25d_fix.ckpt", "poly_lung.ckpt"):
        (weights / name).write_bytes(b"\x80other")
    with closing(tool(weights)) as medpseg, pytest.raises(EnvironmentFault, match="no checkpoint") as caught:
        medpseg.segment(volume, WANTED)
    assert caught.value.code == "weights-unreadable"
