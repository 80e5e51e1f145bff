import numpy as np

from medsyn2.ct.nifti.files import read_ct
from medsyn2.server.session import Session
from medsyn2.server.template import add_template
from medsyn2.weights.bundled import bundled_model
from medsyn2.weights.model_folder import read_description
from medsyn2.weights.model_template import TEMPLATE, read_grid, read_reference


def test_the_template_lies_on_the_models_grid_and_is_made_once(tmp_path) -> None:
    model, session = bundled_model(), Session(tmp_path / "session")
    description = read_description(model)
    grid, reference = read_grid(description), read_reference(model, description)
    with session.hold():
        header = add_template(session, reference, grid, description.fingerprint)
        assert header is not None
        assert (header["kind"], header["shape"]) == ("template", list(grid.shape))
        assert add_template(session, reference, grid, description.fingerprint) == header
        assert add_template(session, None, grid, description.fingerprint) is None
        assert len(session.all("volumes")) == 1
    assert np.allclose(header["affine"], grid.affine_mm)
    assert read_ct(model / TEMPLATE).hu.min() < -500
