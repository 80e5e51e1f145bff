"""Preparation of volumes for a feature extractor: named, hashed protocols.

Two Frechet distances compare only if every step before the extractor was the same: the HU range, the grid, the window
and its scaling, the slices and their orientation. A protocol is one frozen record of all these; its hash goes into
every bank and table, and banks of two protocols are never compared.

    paper   Supplement 7.1.5: the model's own grid, each window clipped and scaled by its own ends, every slice
    maisi   MONAI's tutorial for MAISI: 1 mm, 512 x 512 x 512, [-1000, 1000] HU, each window scaled by the least
            and the greatest value in the selected slices, the middle 40 % of the slices
    vlm3d   the VLM3D challenge: as maisi, but all slices, and of the first 100 volumes by name

The paper states neither its slices nor their scaling; ``paper`` is the plain reading. A limited number of slices makes
another protocol, with another name and hash, although every fourth slice changes the distance by less than 1 %.

Source: MONAI tutorials, generation/maisi/scripts/compute_fid_2-5d_ct.py (preprocessing and slices); VLM3D,
ctgen_evaluation (the same with all slices and 100 volumes).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from medsyn2.ct.geometry import resample_ct
from medsyn2.ct.intensity import apply_window
from medsyn2.ct.volume import CTVolume, Grid
from medsyn2.evaluation.features.sizes import CENTRAL_SHARE, CUBE_VOXELS, MAX_VOLUMES
from medsyn2.vocabulary import WINDOWS_HU, Plane

ProtocolName = Literal["paper", "maisi", "vlm3d"]
PLANES: tuple[Plane, ...] = ("axial", "sagittal", "coronal")
"""The paper's order XY, YZ, ZX."""

_SPACING_TOLERANCE = 1e-3
_FRAME_AXIS: dict[str, dict[Plane, int]] = {
    "zyx_lps": {"axial": 0, "coronal": 1, "sagittal": 2},
    "xyz_ras": {"axial": 2, "coronal": 1, "sagittal": 0},
}


@dataclass(frozen=True)
class Protocol:
    """Every step from a volume to the slices that the extractor sees."""

    name: str  # Name in the tables
    clip_hu: tuple[float, float]  # Range both real and synthetic volumes are clipped to
    windows_hu: Mapping[str, tuple[float, float]]  # Windows by name
    # ``window``: the window's ends become 0 and 1; ``extremes``: the least and the greatest value in the selected
    # slices of the volume do
    scaling: Literal["window", "extremes"]
    resample_mm: float | None  # Isotropic spacing the volumes are brought to; None leaves them on their grid
    # Voxels an axis that the volumes are cut or padded to, about their centre; None leaves them
    cube: int | None
    # Order and direction of the axes that slices are cut along: ``zyx_lps`` as in memory, ``xyz_ras`` as nibabel
    # loads a volume in RAS
    frame: Literal["zyx_lps", "xyz_ras"]
    central_share: float  # Share of the slices of each plane, about the middle, that are used
    num_slices: int | None  # At most this many of those, evenly spaced; None takes all
    max_volumes: int | None  # At most this many volumes, the first by name; None takes all

    def facts(self) -> dict[str, object]:
        """Return the protocol as JSON values."""
        return json.loads(json.dumps({**asdict(self), "windows_hu": dict(self.windows_hu)}))

    @property
    def sha256(self) -> str:
        """Hash of everything above."""
        return hashlib.sha256(json.dumps(self.facts(), sort_keys=True).encode()).hexdigest()

    def slice_positions(self, length: int) -> Int[np.ndarray, " n"]:
        """Return the positions of the slices taken of an axis of `length` voxels."""
        start, stop = (int((1 + sign * self.central_share) / 2 * length) for sign in (-1, 1))
        middle = np.arange(start, max(stop, start + 1))
        if self.num_slices is None or self.num_slices >= len(middle):
            return middle
        # The middles of equal parts, so that neither end is favoured.
        return middle[((np.arange(self.num_slices) + 0.5) * len(middle) / self.num_slices).astype(int)]


def make_protocol(name: ProtocolName, *, clip_hu: tuple[float, float], num_slices: int | None = None) -> Protocol:
    """Return a protocol by its name.

    Args:
        clip_hu: The generator's HU range; used by ``paper``, the others have their own.
        num_slices: At most this many slices a plane; the name and the hash then say so.
    """
    windows: dict[str, tuple[float, float]] = dict(WINDOWS_HU.items())
    if name == "paper":
        protocol = Protocol("paper", clip_hu, windows, "window", None, None, "zyx_lps", 1.0, None, max_volumes=None)
    else:
        windows["whole"] = (-1000.0, 1000.0)
        protocol = Protocol(
            name,
            (-1000.0, 1000.0),
            windows,
            "extremes",
            1.0,
            CUBE_VOXELS,
            "xyz_ras",
            CENTRAL_SHARE[name],
            None,
            max_volumes=MAX_VOLUMES[name],
        )
    if num_slices is None:
        return protocol
    return replace(protocol, name=f"{name}, {num_slices} slices", num_slices=num_slices)


def bring_to_grid(volume: CTVolume, protocol: Protocol) -> CTVolume:
    """Return a volume with the protocol's spacing and in its range, float32."""
    low, high = protocol.clip_hu
    if protocol.resample_mm is not None:
        volume = _resample_isotropically(volume, protocol.resample_mm, outside_hu=low)
    return CTVolume(np.clip(volume.hu.astype(np.float32), low, high), volume.affine_mm)


def prepare_volume(volume: CTVolume, protocol: Protocol) -> Float[np.ndarray, "a b c"]:
    """Return a volume's HU on the protocol's grid, in its frame and range."""
    hu = bring_to_grid(volume, protocol).hu
    if protocol.cube is not None:
        hu = _fit_in_cube(hu, protocol.cube, protocol.clip_hu[0])
    return hu if protocol.frame == "zyx_lps" else hu.transpose(2, 1, 0)[::-1, ::-1, :]


def plane_slices(
    hu: Float[np.ndarray, "a b c"], plane: Plane, window_hu: tuple[float, float], protocol: Protocol
) -> Float[np.ndarray, "n h w"]:
    """Return the slices of a plane in one window, in [0, 1]."""
    axis = _FRAME_AXIS[protocol.frame][plane]
    slices = np.moveaxis(hu.take(protocol.slice_positions(hu.shape[axis]), axis=axis), axis, 0)
    if protocol.scaling == "window":
        return apply_window(slices, window_hu)
    slices = np.clip(slices, *window_hu).astype(np.float32)
    least, greatest = slices.min(), slices.max()
    return (slices - least) / max(float(greatest - least), 1e-10)


def _resample_isotropically(volume: CTVolume, spacing_mm: float, *, outside_hu: float) -> CTVolume:
    spacing = np.array(volume.spacing_mm)
    if np.allclose(spacing, spacing_mm, rtol=_SPACING_TOLERANCE):
        return volume
    # From the first voxel's centre to the last's, as MONAI's Spacing does it.
    shape = np.round((np.array(volume.shape) - 1) * spacing / spacing_mm).astype(int) + 1
    affine = volume.affine_mm.copy()
    affine[:3, :3] = volume.affine_mm[:3, :3] * (spacing_mm / spacing)
    depth, height, width = (int(axis) for axis in shape)
    return resample_ct(volume, Grid((depth, height, width), affine), outside_hu=outside_hu)


def _fit_in_cube(hu: Float[np.ndarray, "d h w"], side: int, pad_hu: float) -> Float[np.ndarray, "s s s"]:
    padding = [((side - n) // 2, side - n - (side - n) // 2) if n < side else (0, 0) for n in hu.shape]
    cut = tuple(slice((n - side) // 2, (n - side) // 2 + side) if n > side else slice(None) for n in hu.shape)
    return np.pad(hu[cut], padding, constant_values=pad_hu)
