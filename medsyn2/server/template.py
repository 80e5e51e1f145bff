"""The model's template as a volume of the session: a chest to draw on before anything is opened or made.

It lies in the model's space already, so that it is only brought to the model's grid. It is made once for a model.
"""

import numpy as np

from medsyn2.ct.registration.affine import resample_to_grid
from medsyn2.ct.registration.reference import Reference
from medsyn2.ct.volume import Grid
from medsyn2.server.problems import JSON
from medsyn2.server.session import Session
from medsyn2.server.voxels import add_volume


def add_template(session: Session, reference: Reference | None, grid: Grid, fingerprint: str) -> JSON | None:
    """Return the header of the template's volume, which is added if it is not there; None for a model without one."""
    if reference is None:
        return None
    for header in session.all("volumes"):
        if header["kind"] == "template" and header.get("fingerprint") == fingerprint:
            return header
    volume = resample_to_grid(reference.chest.volume, grid, np.eye(4))
    return add_volume(session, volume, "template", "template", fingerprint=fingerprint)
