"""The files in which volumes come and go: NIfTI, MetaImage, NRRD and DICOM, each read strictly.

A path names a volume, whatever its format: a file, a folder with the slices of a DICOM series, or one of these slices.
"""

from typing import TYPE_CHECKING

from medsyn2.faces import lazy

if TYPE_CHECKING:
    from medsyn2.formats.reading import (
        holds_series,
        list_series,
        open_volume,
        read_ct,
        read_labels,
        read_mask,
        volume_files,
    )
    from medsyn2.formats.writing import write_ct, write_labels
else:
    __getattr__, __dir__ = lazy(
        __name__,
        {
            **dict.fromkeys(
                ("holds_series", "list_series", "open_volume", "read_ct", "read_labels", "read_mask", "volume_files"),
                "medsyn2.formats.reading",
            ),
            **dict.fromkeys(("write_ct", "write_labels"), "medsyn2.formats.writing"),
        },
    )

__all__ = [
    "holds_series",
    "list_series",
    "open_volume",
    "read_ct",
    "read_labels",
    "read_mask",
    "volume_files",
    "write_ct",
    "write_labels",
]
