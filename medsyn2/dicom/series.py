"""The volumes among the slices of a folder, and the choice of one.

Slices are of one volume if series, shape, pixel spacing and orientation agree; localisers and projections (MIP) stand
apart. Where positions repeat, the series holds several acquisitions, phases or kernels: the first attribute that tells
them apart divides it. The same file twice, or the same pixels at one place, count once.

Of several volumes the original ones come first, those that the scanner measured; which of them is the rule's choice.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from pydicom import dcmread

from medsyn2.dicom.slices import APART, Slice
from medsyn2.dicom.stack import SAME_MM, Stack, stack_slices
from medsyn2.errors import CaseError, GeometryError, InvalidVolumeError
from medsyn2.vocabulary import SeriesRule

_LOCALIZERS = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM", "SURVIEW", "SCANOGRAM"})
_PROJECTIONS = frozenset({"MIP", "MINIP", "MIN_IP", "MAX_IP", "PROJECTION IMAGE", "VOLUME_RENDERED", "VRT", "SSD"})
_PARALLEL = 1e-3
"""Largest difference of the directions of parallel slices, as a cosine."""
_WHOLE = 0.25
"""Share of the positions that a part of a series must hold to be a volume of its own and no fragment."""


@dataclass(frozen=True)
class Found:
    """The volumes of a folder."""

    stacks: tuple[Stack, ...]  # That can be read, the best first
    refused: tuple[CaseError, ...]  # Of the others, those of most slices first


def find_stacks(slices: Sequence[Slice], rule: SeriesRule = "largest") -> Found:
    """Divide slices into volumes and order them by `rule`."""
    stacks: list[Stack] = []
    refused: list[tuple[int, CaseError]] = []
    for group in _groups(slices):
        name = _name(group)
        try:
            _refuse_kind(group, name)
            stacks += _divide(group, name)
        except CaseError as error:
            refused.append((len(group), error))
    refused.sort(key=lambda one: -one[0])
    return Found(tuple(sorted(stacks, key=_ORDERS[rule])), tuple(error for _, error in refused))


def _by_size(stack: Stack) -> tuple[object, ...]:
    return not stack.is_original, -stack.voxels, *_tie(stack)


def _by_step(stack: Stack) -> tuple[object, ...]:
    return not stack.is_original, round(stack.step_mm, 3), -stack.voxels, *_tie(stack)


def _tie(stack: Stack) -> tuple[object, ...]:
    first = stack.slices[0]
    return (first.series_number is None, first.series_number or 0, first.series, stack.part)


_ORDERS: dict[SeriesRule, Callable[[Stack], tuple[object, ...]]] = {
    "largest": _by_size,
    "thinnest": _by_step,
    "only": _by_size,
}


def _groups(slices: Iterable[Slice]) -> list[list[Slice]]:
    """Return the slices that may be of one volume."""
    alike: dict[tuple[object, ...], list[list[Slice]]] = defaultdict(list)
    for one in slices:
        spacing = None if one.spacing_mm is None else tuple(round(size, 4) for size in one.spacing_mm)
        kind = bool(_LOCALIZERS & set(one.image_type)), bool(_PROJECTIONS & set(one.image_type))
        parallel = alike[one.series, one.shape, spacing, kind]
        group = next((group for group in parallel if _is_parallel(group[0], one)), None)
        if group is None:
            parallel.append([one])
        else:
            group.append(one)
    return [group for parallel in alike.values() for group in parallel]


def _is_parallel(one: Slice, other: Slice) -> bool:
    if one.orientation is None or other.orientation is None:
        return one.orientation is other.orientation
    return bool(np.abs(np.subtract(one.orientation, other.orientation)).max() <= _PARALLEL)


def _name(group: Sequence[Slice]) -> str:
    number = group[0].series_number
    folder = group[0].path.parent.name
    return f"{folder}, series {'without a number' if number is None else number} of {len(group)} slices"


def _refuse_kind(group: Sequence[Slice], name: str) -> None:
    kinds = set(group[0].image_type)
    if kinds & (_LOCALIZERS | _PROJECTIONS):
        raise InvalidVolumeError(
            f"{name}: expected slices of a CT, got {', '.join(sorted(kinds & (_LOCALIZERS | _PROJECTIONS))).lower()}.",
            code="dicom-not-slices",
            remedy="localisers and projections are no volume; give the folder of the axial slices.",
        )


def _divide(group: Sequence[Slice], name: str, names: Sequence[str] = APART, part: str = "") -> list[Stack]:
    """Return the volumes of a group, which is one volume unless positions repeat or are uneven."""
    unique = _without_copies(group)
    copies = len(group) - len(unique)
    notes = (f"{copies} slices were there twice and count once",) if copies else ()
    try:
        stack = stack_slices(unique, name, part)
        return [replace(stack, notes=(*notes, *stack.notes))]
    except GeometryError as error:
        if error.code == "dicom-no-position":
            raise
        if divided := _parts(unique, name, names, part):
            return divided
        if error.code != "dicom-slices-repeated" or len(kept := _without_equal_pixels(unique)) == len(unique):
            raise
        told = f"{len(unique) - len(kept)} slices have the place and the pixels of another and were left out"
        stack = stack_slices(kept, name, part)
        return [replace(stack, notes=(*notes, told, *stack.notes))]


def _parts(group: Sequence[Slice], name: str, names: Sequence[str], part: str) -> list[Stack]:
    """Return the volumes into which the first attribute that tells them apart divides a group."""
    least = _WHOLE * len({_place(one) for one in group})
    for index, attribute in enumerate(names):
        values: dict[str, list[Slice]] = defaultdict(list)
        for one in group:
            values[one.apart.get(attribute, "")].append(one)
        found: list[Stack] = []
        for value, members in values.items() if len(values) > 1 else ():
            if len(members) >= max(least, 2):
                try:
                    found += _divide(members, name, names[index + 1 :], f"{part}{attribute}={value};")
                except CaseError:
                    continue
        if found:
            return found
    return []


def _without_copies(group: Iterable[Slice]) -> list[Slice]:
    """Return the slices, of those of one UID and place the first by name."""
    kept: dict[tuple[object, ...], Slice] = {}
    for one in sorted(group, key=lambda one: (str(one.path), one.frame or 0)):
        kept.setdefault((one.instance, one.frame, *_place(one)) if one.instance else (one.path, one.frame), one)
    return list(kept.values())


def _place(one: Slice) -> tuple[int, ...]:
    return tuple(round(value / SAME_MM) for value in one.position_mm or ())


def _without_equal_pixels(group: Sequence[Slice]) -> list[Slice]:
    """Return the slices, of those at one place with equal pixels the first."""
    kept: list[Slice] = []
    places: dict[tuple[int, ...], list[Slice]] = defaultdict(list)
    for one in group:
        places[_place(one)].append(one)
    for alike in places.values():
        kept.append(alike[0])
        first = _pixels(alike[0]) if len(alike) > 1 else b""
        kept += [one for one in alike[1:] if one.frame is not None or _pixels(one) != first]
    return kept


def _pixels(one: Slice) -> bytes:
    try:
        return bytes(dcmread(one.path, force=True).get("PixelData") or b"")
    except Exception:  # noqa: BLE001  # of pydicom: anything, for bytes that are anything
        return str(one.path).encode()
