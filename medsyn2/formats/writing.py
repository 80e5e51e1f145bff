"""One door for writing volumes to a file: the name's end is the format, and equal volumes give equal bytes."""

from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from medsyn2.ct.affines import Affine, orthonormalize
from medsyn2.ct.nifti.writing import compact, small_labels, write_array
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.errors import ConfigError
from medsyn2.formats.metaimage import metaimage
from medsyn2.formats.nrrd import nrrd

WRITABLE = (".nii.gz", ".nii", ".mha", ".nrrd")


def write_ct(path: Path | str, volume: CTVolume, *, description: str = "") -> None:
    """Write a CT; equal volumes give equal bytes.

    Args:
        path: Ends in .nii.gz, .nii, .mha or .nrrd.
        volume: Whole HU are written as int16, others as float32.
        description: ASCII characters for the header, of which NIfTI takes 79; SYNTHETIC stands before it if a
            model made the volume.

    Raises:
        ConfigError: If the path ends otherwise.
        InvalidVolumeError: If a value is not finite.
        GeometryError: If the axes are not perpendicular.
    """
    hu = compact(volume.hu, Path(path).name)
    _write(
        Path(path), hu if hu.dtype == np.int16 else hu.astype(np.float32), volume.affine_mm, volume.mark(description)
    )


def write_labels(path: Path | str, label_map: LabelMap, *, description: str = "") -> None:
    """Write a label map as uint8; equal maps give equal bytes.

    Raises:
        ConfigError: If the path ends otherwise than in .nii.gz, .nii, .mha or .nrrd.
        MaskError: If a label does not fit.
        GeometryError: If the axes are not perpendicular.
    """
    _write(Path(path), small_labels(label_map.labels, Path(path).name), label_map.affine_mm, description)


def is_nifti_name(name: str) -> bool:
    """Return whether a file of this name is written as NIfTI."""
    return name.lower().endswith((".nii", ".nii.gz"))


def _write(path: Path, voxels: Shaped[np.ndarray, "d h w"], affine_mm: Affine, description: str) -> None:
    name = path.name.lower()
    if is_nifti_name(name):
        write_array(path, voxels, affine_mm, description)
    elif name.endswith((".mha", ".nrrd")):
        affine_mm, _ = orthonormalize(affine_mm, path.name)
        encode = metaimage if name.endswith(".mha") else nrrd
        path.write_bytes(encode(voxels, affine_mm, description))
    else:
        raise ConfigError(
            f"Expected a name that ends in {', '.join(WRITABLE)}, got {path.name!r}.",
            code="output-suffix",
            remedy="the end of the name is the format.",
        )
