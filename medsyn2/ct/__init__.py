"""CT volumes: files, geometry, intensity, registration, lungs. Knows nothing of torch."""

from typing import TYPE_CHECKING

from medsyn2.faces import lazy

if TYPE_CHECKING:
    from medsyn2.ct.affines import axis_aligned_affine
    from medsyn2.ct.intensity import hu_to_unit, mask_to_unit, unit_to_hu
    from medsyn2.ct.nifti.files import read_ct, read_labels, write_ct, write_labels
    from medsyn2.ct.volume import CTVolume, Grid, LabelMap
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            **dict.fromkeys(("CTVolume", "Grid", "LabelMap"), "medsyn2.ct.volume"),
            **dict.fromkeys(("read_ct", "read_labels", "write_ct", "write_labels"), "medsyn2.ct.nifti.files"),
            "axis_aligned_affine": "medsyn2.ct.affines",
            **dict.fromkeys(("hu_to_unit", "mask_to_unit", "unit_to_hu"), "medsyn2.ct.intensity"),
        },
    )

__all__ = [
    "CTVolume",
    "Grid",
    "LabelMap",
    "axis_aligned_affine",
    "hu_to_unit",
    "mask_to_unit",
    "read_ct",
    "read_labels",
    "unit_to_hu",
    "write_ct",
    "write_labels",
]
