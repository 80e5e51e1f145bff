"""A folder of NIfTI files as a set of volumes, from whatever generator, with nothing assumed of it.

Spacing: the header's, or the one that is stated; some generators write volumes of 0.7 mm with headers of 1 mm,
and no value in the file tells. HU: the values must look like Hounsfield units of a chest, or be stated to be.
Range: a generator that ends at 600 HU is compared with real volumes clipped there too; where the two sets end
at different values and no range is stated, that is an error and not a distance.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from medsyn2.ct.intensity import detect_hu
from medsyn2.ct.nifti import read_ct
from medsyn2.ct.volume import Spacing
from medsyn2.errors import EnvironmentFault, IntensityError
from medsyn2.metrics.extraction import VolumeFile

SUFFIXES = (".nii.gz", ".nii")
_END_TOLERANCE_HU = 50.0


@dataclass(frozen=True)
class Extent:
    """What was seen of a set of volumes.

    Attributes:
        low_hu: Least value of all.
        high_hu: Greatest value of all.
    """

    low_hu: float
    high_hu: float


def volumes_in(folder: Path, *, spacing_mm: Spacing | None, patients: Mapping[str, str]) -> list[VolumeFile]:
    """Return the NIfTI files of a folder and its subfolders, by name.

    Args:
        folder: The folder.
        spacing_mm: Spacing (depth, height, width) in place of the headers', or None.
        patients: Patient by id, the file's path below the folder without its suffix; a file that is not in it
            is taken to be of a patient of its own.

    Raises:
        EnvironmentFault: If there are fewer than two.
    """
    found = {
        path.relative_to(folder).as_posix().removesuffix(suffix): path
        for suffix in SUFFIXES
        for path in folder.rglob(f"*{suffix}")
    }
    if len(found) < 2:
        raise EnvironmentFault(
            f"{folder} holds {len(found)} NIfTI files (.nii, .nii.gz), expected two or more.",
            code="too-few-volumes",
            remedy="give the folder that the volumes are in.",
        )
    return [
        VolumeFile(name, patients.get(name, name), path, spacing_mm) for name, path in sorted(found.items())
    ]


def extent_of(volumes: Iterable[VolumeFile], *, stated: bool) -> Extent:
    """Read every volume once and return the least and the greatest value.

    Args:
        volumes: The set.
        stated: Whether somebody says that the values are HU; else they must look like it.

    Raises:
        IntensityError: If the values are not HU, or contradict the statement.
    """
    low, high = float("inf"), float("-inf")
    for volume in tqdm(list(volumes), desc="HU", unit="volume"):
        values = read_ct(volume.path).hu
        try:
            detect_hu(values, name=volume.id, convention="hu" if stated else "detect")
        except IntensityError as error:
            raise IntensityError(
                error.message,
                code=error.code,
                remedy="convert the volumes to HU; if they are, state it with --real-in-hu or --synthetic-in-hu.",
            ) from error
        low, high = min(low, float(values.min())), max(high, float(values.max()))
    return Extent(low, high)


def common_clip_hu(real: Extent, synthetic: Extent, clip_hu: tuple[float, float]) -> tuple[float, float]:
    """Return the HU range to compare in, if both sets fill it or both are cut by it.

    Raises:
        EnvironmentFault: If one set ends inside the range and the other goes beyond that end.
    """
    ends = {
        "low": (max(real.low_hu, clip_hu[0]), max(synthetic.low_hu, clip_hu[0])),
        "high": (min(real.high_hu, clip_hu[1]), min(synthetic.high_hu, clip_hu[1])),
    }
    apart = {name: pair for name, pair in ends.items() if abs(pair[0] - pair[1]) > _END_TOLERANCE_HU}
    if apart:
        told = "; ".join(f"the {name} end is {pair[0]:g} and {pair[1]:g} HU" for name, pair in apart.items())
        raise EnvironmentFault(
            f"real and synthetic volumes do not fill one HU range: {told}, within {clip_hu[0]:g} to {clip_hu[1]:g}.",
            code="hu-range-differs",
            remedy="state the range that both are clipped to, such as --clip-hu -1024 600 for a generator that "
            "ends at 600 HU.",
        )
    return clip_hu
