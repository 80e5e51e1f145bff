"""A blinded reader study as a folder that opens by double-click, without a server, a network or an installation.

    index.html        the viewer and the questions; it may load scripts of its own folder and nothing else
    study.js          the questions, the grid, and each reader's own order of the cases, with hidden repeats
    cases/001.js ...  one case each: its voxels, the finding, and the report and mask to compare it with

Every clue to the source but the picture itself is removed. All volumes come to one spacing (the coarsest of all, so
that none is sharper by its grid), one box (the smallest of all, so that none is padded) and one HU range, as whole HU.
Only these voxels are kept of a file: no header, name, position in space or date. Cases are numbered in a random order
of their contents, and all case files are padded to one length, since a noisier image compresses less. Exchanging the
labels real and synthetic therefore changes no byte of the folder; only the key, which must stay out of it, knows them.

The voxels of a case are uint16, HU less the lower end of the range, as differences along the last axis (modulo 2^16,
the first of a row as it is), all low bytes before all high bytes, zlib, base64. The mask is one bit a voxel, zlib,
base64. Browsers inflate both exactly; a picture format would pass the values through colour management, which some
browsers disturb on purpose.
"""

import base64
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from jaxtyping import Bool

from medsyn2.ct.geometry import band_limit, resample_ct, resample_mask
from medsyn2.ct.volume import CTVolume, Grid, LabelMap, Shape, Spacing
from medsyn2.errors import GeometryError

_LEVEL = 6
_DECIMALS = 4
_GRADES = ("match", "partial", "not")


@dataclass(frozen=True)
class Question:
    """One question of the page."""

    id: str  # Column of the answers
    text: str  # As the reader sees it
    levels: tuple[str, ...]  # Labels of the buttons
    values: tuple[str, ...]  # Stored values
    # Meaning of the first and the last level, where the buttons do not say it
    ends: tuple[str, str] | None = None


def _question_with_grades(name: str, text: str) -> Question:
    return Question(name, text, ("Match", "Partial match", "Not match"), _GRADES)


_FIVE = ("1", "2", "3", "4", "5")
_MATCHING = {
    "report": _question_with_grades("report", "Does the image match the report?"),
    "mask": _question_with_grades("mask", "Does the image match the contour?"),
    "finding": _question_with_grades("finding", "Does the image show the finding?"),
}
_ALWAYS = (
    Question("origin", "Is the image real or synthetic?", ("Real", "Synthetic"), ("real", "synthetic")),
    Question("confidence", "How sure are you?", _FIVE, _FIVE, ("a guess", "certain")),
    Question("quality", "Image quality, for reading", _FIVE, _FIVE, ("useless", "excellent")),
)


@dataclass(frozen=True)
class ReaderCase:
    """One case as a reader sees it."""

    volume: CTVolume  # The CT, on the study's grid
    mask: Bool[np.ndarray, "d h w"] | None  # Mask to compare the image with, on the same grid
    pathology: str  # The finding in words
    report: str | None  # Report to compare the image with


@dataclass(frozen=True)
class Frame:
    """The common grid and HU range of all cases of a study."""

    spacing_mm: Spacing  # (depth, height, width)
    shape: Shape  # Voxels
    clip_hu: tuple[float, float]  # Range

    def around(self, grid: Grid) -> Grid:
        """Return this grid in the middle of another, along its axes."""
        scale = np.array(self.spacing_mm) / grid.spacing_mm
        to_source = np.diag([*scale, 1.0])
        to_source[:3, 3] = (np.array(grid.shape) - 1) / 2 - scale * (np.array(self.shape) - 1) / 2
        return Grid(self.shape, grid.affine_mm @ to_source)

    def volume(self, volume: CTVolume) -> CTVolume:
        """Resample the middle of a CT to the frame, without aliasing, clipped, int16."""
        low, high = self.clip_hu
        shown = resample_ct(band_limit(volume, self.spacing_mm), self.around(volume.grid), outside_hu=low)
        return CTVolume(np.clip(shown.hu, low, high).astype(np.int16), shown.affine_mm)

    def mask(self, mask: LabelMap) -> Bool[np.ndarray, "d h w"]:
        """Resample a mask on a volume's grid as `volume` resamples the volume."""
        return resample_mask(mask, self.around(mask.grid))


def common_frame(
    grids: Iterable[Grid],
    clip_hu: tuple[float, float],
    *,
    finest_mm: Spacing = (0.0, 0.0, 0.0),
    trim_mm: Spacing = (0.0, 0.0, 0.0),
) -> Frame:
    """Return the coarsest spacing and the smallest box of several volumes, axis by axis.

    Args:
        finest_mm: No finer spacing than this (depth, height, width), to keep the folder small.
        trim_mm: Cut off at each end of each axis (depth, height, width), where registration left no scan.

    Raises:
        GeometryError: If nothing is left.
    """
    held = list(grids)
    # NIfTI's spacings are 32-bit; their rounding is no difference.
    spacing = np.round(np.max([finest_mm, *(grid.spacing_mm for grid in held)], axis=0), _DECIMALS)
    # Voxel centres: a grid of n voxels can be sampled without padding over (n - 1) spacings.
    extent = np.min([(np.array(grid.shape) - 1) * grid.spacing_mm for grid in held], axis=0)
    extent = extent - 2 * np.array(trim_mm)
    if (extent < spacing).any():
        raise GeometryError(
            f"the smallest volume leaves {extent.round(1).tolist()} mm to show after trimming {list(trim_mm)} mm.",
            code="study-box-empty",
            remedy="trim less, or leave out the smallest volume.",
        )
    depth, height, width = (int(n) for n in np.floor(extent / spacing + 1e-4) + 1)
    return Frame((float(spacing[0]), float(spacing[1]), float(spacing[2])), (depth, height, width), clip_hu)


def case_body(case: ReaderCase, frame: Frame) -> str:
    """Return the content of a case as JSON in ASCII."""
    offset = (case.volume.hu.astype(np.int32) - int(frame.clip_hu[0])).astype(np.uint16)
    steps = np.diff(offset, axis=2, prepend=np.uint16(0))
    planes = np.concatenate([(steps & 255).astype(np.uint8).ravel(), (steps >> 8).astype(np.uint8).ravel()])
    values = {
        "volume": _pack(planes.tobytes()),
        "mask": None if case.mask is None else _pack(np.packbits(case.mask).tobytes()),
        "pathology": case.pathology,
        "report": case.report,
    }
    return json.dumps(values, sort_keys=True)


def case_script(name: str, body: str, length: int) -> bytes:
    """Return a case's file, its body padded with blanks to `length` bytes."""
    return f'receive("{name}",{body:<{length}});\n'.encode("ascii")


def number_cases(digests: Iterable[str], seed: int) -> dict[str, str]:
    """Number cases from 001 in a random order, a function of their sha256 and the seed."""
    known = sorted(digests)
    places = np.random.default_rng([seed, 0]).permutation(len(known)) + 1
    digits = max(3, len(str(len(known))))
    return {digest: f"{place:0{digits}d}" for digest, place in zip(known, places, strict=True)}


def reading_orders(names: Sequence[str], num_readers: int, repeated: float, seed: int) -> list[list[str]]:
    """Return each reader's random order, with a share of the cases repeated in the second half.

    Args:
        names: The cases.
        num_readers: Readers.
        repeated: Share of the cases that each reader sees twice, for the agreement within a reader.
        seed: Of the orders.
    """
    known, orders = sorted(names), []
    num_again = round(repeated * len(known))
    for reader in range(num_readers):
        rng = np.random.default_rng([seed, 1, reader])
        order = [known[index] for index in rng.permutation(len(known))]
        # Early cases repeat at random places of the second half, so that others lie between.
        for name in rng.permutation(order[: len(order) // 2][:num_again]):
            order.insert(int(rng.integers(len(order) // 2 + 1, len(order) + 1)), str(name))
        orders.append(order)
    return orders


def questions(given: Iterable[str]) -> tuple[Question, ...]:
    """Return the questions for cases with ``report``, ``mask`` or neither."""
    matching = tuple(_MATCHING[name] for name in ("report", "mask") if name in set(given))
    return (*(matching or (_MATCHING["finding"],)), *_ALWAYS)


def page_values(frame: Frame, orders: Sequence[Sequence[str]], asked: Sequence[Question]) -> dict[str, Any]:
    """Return the values that the page shows a study by.

    Args:
        frame: Grid and HU range.
        orders: For each reader.
        asked: The questions.
    """
    return {
        "shape": frame.shape,
        "spacing_mm": frame.spacing_mm,
        "low_hu": int(frame.clip_hu[0]),
        "orders": orders,
        "questions": [asdict(question) for question in asked],
        "intro": "Some of these chest CTs are real, some were generated by a computer. Please answer the questions "
        "for every case; a case may be shown more than once.",
    }


def page_files(values: Mapping[str, Any], study: str) -> dict[str, bytes]:
    """Return the study's files other than the cases.

    Args:
        values: From `page_values`.
        study: Its identity, which each answer names, so that those of one study never count for another.
    """
    script = json.dumps({**values, "id": study}, sort_keys=True, indent=1)
    page = files("medsyn2.page").joinpath("reader.html").read_bytes()
    return {"index.html": page, "study.js": f"const STUDY = {script};\n".encode()}


def _pack(values: bytes) -> str:
    return base64.b64encode(zlib.compress(values, _LEVEL)).decode("ascii")
