"""Label maps among CTs, told by their voxels.

Tools leave them beside the CTs, in the same format and often under the same name. A label map has few whole values,
none of them negative but a -1 for voxels to ignore, and neighbours that both have a label have the same one but at
borders between labels. In a CT of 8 bits, which has few values too, neighbours differ by the noise.
"""

import numpy as np
from jaxtyping import Num

from medsyn2.errors import InvalidVolumeError

_MAX_LABELS = 256
"""TotalSegmentator has 117; CTs of 8 bits have no more than this either, and are told by their noise."""
_MIN_EQUAL = 0.75
"""Share of the pairs of labelled neighbours that are equal: at least 0.995 in seven public label maps, at most 0.51 in
nine public CTs of 2 mm brought to 8 bits, in four windows."""
_OF_A_COHORT = (
    "leave out the folder that the label maps lie in (cohort.exclude_dirs: [labelsTr]); if they lie beside the CTs, "
    "list their files in cohort.exclude_txt, with the folder where a CT has the same name. Masks of your own are used "
    "by segment.mask_files."
)
_STEP = 2
"""Slices that are looked at: every second one."""


def refuse_label_map(values: Num[np.ndarray, "d h w"], name: str, remedy: str = _OF_A_COHORT) -> None:
    """Refuse a label map that is taken for a CT.

    Raises:
        InvalidVolumeError: If it is one.
    """
    if not is_label_map(values):
        return
    raise InvalidVolumeError(
        f"{name}: expected a CT, got a label map or a mask, of values from {values.min():g} to {values.max():g}.",
        code="label-map",
        remedy=remedy,
    )


def is_label_map(values: Num[np.ndarray, "d h w"]) -> bool:
    """Return whether a volume holds labels."""
    if values.min() < -1 or not 0 < values.max() <= np.iinfo(np.uint16).max:
        return False
    part = values[::_STEP]
    if part.dtype.kind == "f" and (part != np.rint(part)).any():
        return False
    if np.count_nonzero(np.bincount(part.ravel().astype(np.int64) + 1)) > _MAX_LABELS:
        return False
    both = (part[..., 1:] > 0) & (part[..., :-1] > 0)
    equal = int(np.count_nonzero(both & (part[..., 1:] == part[..., :-1])))
    return equal >= _MIN_EQUAL * max(int(np.count_nonzero(both)), 1)
