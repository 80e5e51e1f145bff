"""One door for reading volumes, whatever their format.

    a folder                     the series of CT slices in it (`medsyn2.dicom`)
    .zip, .tar, .tgz, .tar.xz    the same of an archive, see `medsyn2.vocabulary.ARCHIVE_SUFFIXES`
    .dcm, .ima, no suffix        the series that the slice is of, in its folder; of a mask, a segmentation (SEG)
    .mha, .mhd                   MetaImage
    .nrrd, .nhdr                 NRRD
    .nii, .nii.gz, any other     NIfTI, or a refusal that says what the file is

All give the same canonical volume, in LPS millimetres, with the same checks of its place and its values.
"""

import logging
from collections.abc import Mapping
from contextlib import nullcontext
from pathlib import Path

from medsyn2.ct.affines import Affine
from medsyn2.ct.binary_mask import mask_of
from medsyn2.ct.nifti.files import open_nifti
from medsyn2.ct.nifti.stream import MAX_CT_RATIO, MAX_MASK_RATIO
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.ct.voxel_file import VoxelFile
from medsyn2.dicom.identity import is_dicom
from medsyn2.dicom.members import is_archive_name
from medsyn2.errors import CaseError, MaskError
from medsyn2.formats.metaimage import open_metaimage
from medsyn2.formats.metaimage import voxel_file as in_metaimage
from medsyn2.formats.nrrd import open_nrrd
from medsyn2.formats.nrrd import voxel_file as in_nrrd
from medsyn2.vocabulary import EDITED_REGION, SeriesRule

log = logging.getLogger(__name__)

_IMAGES = {".mha": open_metaimage, ".mhd": open_metaimage, ".nrrd": open_nrrd, ".nhdr": open_nrrd}
_VOXEL_FILES = {".mha": in_metaimage, ".mhd": in_metaimage, ".nrrd": in_nrrd, ".nhdr": in_nrrd}
_MAGIC_BYTES = 132


def open_volume(
    path: Path | str, *, series: str | None = None, rule: SeriesRule = "largest", max_ratio: float = MAX_CT_RATIO
) -> VoxelFile:
    """Read the voxels of a volume strictly, without deciding its place in space.

    Args:
        path: A file, or a folder or an archive of DICOM slices.
        series: Pseudonym of a DICOM series of them that was chosen before.
        rule: The choice among their series.
        max_ratio: Largest plausible ratio of compression of a large NIfTI file.

    Raises:
        InvalidVolumeError: If it is damaged, is no volume or has values that are not finite.
        GeometryError: If the slices of a DICOM series make no volume.
    """
    path = Path(path)
    if path.is_dir() or _is_slice(path):
        from medsyn2.dicom.volume import open_series  # imports pydicom, which other formats do not need

        return open_series(path, series=series, rule=rule)
    if is_archive_name(path.name):
        from medsyn2.dicom.archive import open_archive  # as above

        return open_archive(path, series=series, rule=rule)
    opener = _IMAGES.get(path.suffix.lower())
    return opener(path) if opener else open_nifti(path, max_ratio=max_ratio)


def holds_series(path: Path) -> bool:
    """Return whether a case may have several series: a folder or an archive of DICOM slices."""
    return path.is_dir() or is_archive_name(path.name)


def list_series(path: Path, rule: SeriesRule = "largest") -> list[str]:
    """Return pseudonyms of the volumes of a folder or an archive of slices, the best by `rule` first; at least one.

    Raises:
        CaseError: As of `open_volume`.
    """
    from medsyn2.dicom.archive import folder_of  # import pydicom
    from medsyn2.dicom.volume import find_series

    with nullcontext(path) if path.is_dir() else folder_of(path) as folder:
        return [stack.id for stack in find_series(folder, rule).stacks]


def volume_files(path: Path) -> tuple[Path, ...]:
    """Return the file of a volume, and after a header the one beside it that holds its voxels.

    A header that cannot be read stands alone: it is refused when the volume is read.
    """
    finder = _VOXEL_FILES.get(path.suffix.lower())
    try:
        voxels = finder(path) if finder is not None and path.is_file() else path
    except CaseError:
        voxels = path
    return (path,) if voxels == path else (path, voxels)


def read_ct(path: Path | str, *, affine_mm: Affine | None = None) -> CTVolume:
    """Read a CT of any format.

    The values are the file's own, scaled as its header says; `ct.intensity` tells whether they are HU.

    Args:
        path: A .nii.gz, .nii, .mha, .mhd, .nrrd or .nhdr file, a folder or an archive of DICOM slices, or one of them.
        affine_mm: Index of the file's axes to LPS mm, in place of a header that is known to be wrong.

    Returns:
        The canonical volume; int16 where the values are whole and fit, else int32 or float32.

    Raises:
        InvalidVolumeError: If the file is damaged, is no volume or has values that are not finite.
        GeometryError: If the position in space is missing, impossible or ambiguous.
    """
    return open_volume(path).read_ct(affine_mm)


def read_labels(path: Path | str, names: Mapping[int, str] | None = None) -> LabelMap:
    """Read a label map of any format.

    Args:
        path: A file of whole numbers from 0, or a DICOM segmentation, whose mask is label 1.
        names: Meaning of each label. None: ``mask`` for a map of 0 and 1, else each label's number.

    Raises:
        InvalidVolumeError: If the file is damaged or is no volume.
        GeometryError: If the position in space is missing, impossible or ambiguous.
        MaskError: If a value is negative, fractional, above 65535 or has no name in `names`.
    """
    if (segment := _read_segment(Path(path))) is not None:
        return segment if names is None else LabelMap(segment.labels, segment.affine_mm, dict(names))
    return open_volume(path, max_ratio=MAX_MASK_RATIO).read_labels(names)


def read_mask(path: Path | str) -> tuple[LabelMap, tuple[str, ...]]:
    """Read one binary mask from a file that holds 0 and 1, 0 and 255, or probabilities, or from a DICOM segmentation.

    Returns:
        The mask in canonical axes, and notes on anything unusual about the file.

    Raises:
        InvalidVolumeError: If the file is damaged or is no volume.
        GeometryError: If its position in space is missing, impossible or ambiguous.
        MaskError: If its values are those of an image or of several labels.
    """
    if (segment := _read_segment(Path(path))) is not None:
        return segment, ()
    return mask_of(open_volume(path, max_ratio=MAX_MASK_RATIO))


def _read_segment(path: Path) -> LabelMap | None:
    """Return the mask of a DICOM segmentation; None for any other file.

    Raises:
        MaskError: If it cannot be read, or has several masks; the region of an edited CT is none.
    """
    if not _is_slice(path):
        return None
    from medsyn2.dicom.segments import is_segmentation, read_segments  # imports pydicom

    if not is_segmentation(path):
        return None
    found = read_segments(path)
    masks = [mask for label, mask in found.items() if label != EDITED_REGION] or list(found.values())
    if len(masks) > 1:
        raise MaskError(
            f"{path.name}: expected a segmentation of one structure, got {len(masks)} segments: {', '.join(found)}.",
            code="segments-several",
            remedy="save the segment that is meant alone, as SEG or NIfTI; 3D Slicer exports single segments.",
        )
    return masks[0]


def _is_slice(path: Path) -> bool:
    """Return whether a file without the suffix of a volume is DICOM."""
    if path.suffix.lower() in (".nii", ".gz", *_IMAGES) or not path.is_file():
        return False
    try:
        with path.open("rb") as file:
            start = file.read(_MAGIC_BYTES)
    except OSError:
        return False
    return is_dicom(start)
