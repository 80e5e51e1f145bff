"""The template that a model carries registers a CT as the workflow does."""

import numpy as np
import pytest

from medsyn2.ct.registration.affine import register_within_gates, working_ct
from medsyn2.ct.registration.reference import Reference
from medsyn2.ct.volume import CTVolume
from medsyn2.errors import RegistrationError
from medsyn2.weights.model_folder import read_description
from medsyn2.weights.model_template import read_reference
from tests.unit.chests import SETTINGS, scan_phantom, write_chest_model


def test_a_ct_gets_the_affine_of_the_workflow_and_another_body_part_none(tmp_path):
    template, ct = scan_phantom(3), scan_phantom(7)
    folder = write_chest_model(tmp_path, template)
    reference = read_reference(folder, read_description(folder))
    assert isinstance(reference, Reference)
    chest = working_ct(template, SETTINGS.working_spacing_mm)
    np.testing.assert_array_equal(reference.chest.volume.hu, chest.volume.hu)
    assert reference.chest.lungs.names == chest.lungs.names
    expected = register_within_gates(working_ct(ct, SETTINGS.working_spacing_mm), chest, SETTINGS)
    found = reference.align(ct)
    # The file keeps the affine in 32 bits.
    np.testing.assert_allclose(found.template_to_native_lps_mm, expected.template_to_native_lps_mm, atol=0.5)
    bases = CTVolume(ct.hu[: len(ct.hu) // 3], ct.affine_mm)
    with pytest.raises(RegistrationError):
        reference.align(bases)
