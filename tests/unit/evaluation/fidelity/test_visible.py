"""The smallest visible fault follows from the strengths, and more patients show smaller ones."""

from math import isnan
from pathlib import Path

import numpy as np
import pytest

from medsyn2.ct.nifti.files import write_ct
from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.evaluation.features.extraction import FeatureSpec
from medsyn2.evaluation.features.extractors import RandomBank
from medsyn2.evaluation.features.protocols import PLANES, make_protocol
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.fidelity.visible import Faults, measure_faults

SPEC = FeatureSpec(make_protocol("paper", clip_hu=(-1024.0, 1024.0), num_slices=4), RandomBank(0), ("lung",))


def rows(floor: float, patients: int = 4) -> list[dict[str, object]]:
    return [{"plane": "mean", "floor": floor, "floor_patients": patients},
            {"plane": "mean", "floor": 1e3, "floor_patients": 2}]  # fmt: skip


def faults(power: float) -> Faults:
    signals = {("shift", hu): dict.fromkeys([f"lung/{plane}" for plane in PLANES], hu**power) for hu in (10.0, 30.0)}
    return Faults({"shift": (10.0, 30.0)}, signals)


@pytest.mark.parametrize("power", [1.5, 2.0, 3.3])
def test_the_strength_at_the_floor_follows_the_power_law(power: float) -> None:
    assert faults(power).smallest("shift", "lung", 50.0**power) == pytest.approx(50)
    assert faults(power).words("lung", rows(50.0**power)) == "at 4 patients: shift of 50 HU"


def test_without_a_floor_nothing_is_said() -> None:
    assert isnan(faults(2.0).smallest("shift", "lung", float("nan")))
    assert faults(2.0).words("lung", rows(float("nan"), 4)[:1]) == ""


def test_faults_of_real_volumes_grow_with_their_strength(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    volumes = []
    for name in "ab":
        hu = (-700 + 200 * rng.random((16, 32, 32))).astype(np.int16)
        write_ct(tmp_path / f"{name}.nii.gz", CTVolume(hu, axis_aligned_affine((2.0, 3.0, 3.0), (0, 0, 0))))
        volumes.append(VolumeFile(name, name, tmp_path / f"{name}.nii.gz"))
    found = measure_faults(volumes, SPEC)
    assert found.strengths["blur"] == (1.0, 2.0)  # half a voxel and one, of the finest axis
    small, large = (found.smallest(kind, "lung", 0.01) for kind in ("shift", "noise"))
    assert found.smallest("shift", "lung", 0.0001) < small
    assert found.smallest("noise", "lung", 0.0001) < large
    again = measure_faults(volumes, SPEC)
    assert found == again
