"""The template that a model carries registers a CT as the workflow does."""

import numpy as np

from medsyn2.config import RegisterConfig
from medsyn2.ct.registration.affine import working_ct
from medsyn2.ct.registration.reference import Reference
from medsyn2.ct.volume import CTVolume
from medsyn2.phantoms import draw_acquisition, draw_subject, scan


def test_a_ct_that_lies_elsewhere_is_found_there() -> None:
    subject, settings = draw_subject(0, 3), RegisterConfig(working_spacing_mm=6.0)
    ct = scan(subject, draw_acquisition(subject, 5.0)).volume
    moved = ct.affine_mm.copy()
    moved[:3, 3] += (30.0, -20.0, 50.0)
    found = Reference(working_ct(ct, 6.0), settings).align(CTVolume(ct.hu, moved)).template_to_native_lps_mm
    np.testing.assert_allclose(found[:3, :3], np.eye(3), atol=0.01)
    centre = ct.affine_mm @ [*(np.array(ct.shape) / 2), 1.0]
    np.testing.assert_allclose((found @ centre - centre)[:3], (30.0, -20.0, 50.0), atol=1.0)
