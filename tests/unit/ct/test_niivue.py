from importlib.util import find_spec

import numpy as np
import pytest

from medsyn2.ct.volume import CTVolume, axis_aligned_affine
from medsyn2.errors import EnvironmentFault

CT = CTVolume(np.full((4, 5, 6), -800, np.int16), axis_aligned_affine((2.0, 1.0, 1.0), (0.0, 0.0, 0.0)), True)


@pytest.mark.skipif(find_spec("ipyniivue") is None, reason="ipyniivue is not installed")
def test_the_widget_has_the_volume_and_says_that_it_is_synthetic():
    label, viewer = CT.niivue().children
    assert label.value == repr(CT)
    assert "SYNTHETIC" in label.value
    (volume,) = viewer.volumes
    assert (volume.cal_min, volume.cal_max) == (-1350, 150)
    assert bytes(volume.data)[:2] == b"\x1f\x8b"


def test_without_the_package_it_is_named(monkeypatch):
    monkeypatch.setattr("medsyn2.ct.niivue.find_spec", lambda name: None)
    with pytest.raises(EnvironmentFault, match="ipyniivue") as caught:
        CT.niivue()
    assert caught.value.code == "niivue-package"
