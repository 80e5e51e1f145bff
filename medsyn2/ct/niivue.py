"""A volume in NiiVue, by the widget ipyniivue: all voxels, three planes and a rendering, where the browser has WebGL.

A widget lives as long as its kernel; `medsyn2.ct.notebook` is for those who read the notebook later. It gets the NIfTI
file that `CTVolume.save` writes. Its canvas has no place for words, so that they stand above it.
"""

import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from medsyn2.errors import EnvironmentFault
from medsyn2.vocabulary import WINDOWS_HU

if TYPE_CHECKING:
    from ipywidgets import VBox


def show_in_niivue(save: Callable[[Path], None], text: str) -> "VBox":
    """Return a widget that shows a volume, below a line.

    Args:
        save: Writes it to a NIfTI file.
        text: Describes it.

    Raises:
        EnvironmentFault: If ipyniivue is not installed.
    """
    if find_spec("ipyniivue") is None:
        raise EnvironmentFault(
            "expected the package ipyniivue, got none of this name.",
            code="niivue-package",
            remedy="install it: pip install 'medsyn2[notebook]'; or let the notebook show the volume itself.",
        )
    from ipyniivue import NiiVue
    from ipywidgets import Label, VBox

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ct.nii.gz"
        save(path)
        content = path.read_bytes()
    low, high = WINDOWS_HU["lung"]
    viewer = NiiVue()
    viewer.load_volumes([{"name": path.name, "data": content, "cal_min": low, "cal_max": high}])
    return VBox([Label(text), viewer])
