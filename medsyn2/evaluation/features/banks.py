"""Banks of features: the one form in which features are kept and compared.

A bank holds the features of one set of volumes, with the id and the patient of each and every setting that defines
the features. On disk it is two files:

    real.npz    ids, patients (text, one a volume); for each part <name> its features (n, f) float32, and
                <name>.volume (n,) int32, the position in ids of the volume each row is of
    real.json   kind, source, extractor and its sha256, protocol and its sha256, clip_hu, spacing_mm, and the
                sha256 of the npz

A part is a view of the volumes, such as ``lung/axial`` with a row a slice, or ``image`` with a row a volume. Any
program can write a bank with numpy's `savez` and JSON; nothing is pickled. Slices and scans of one patient are alike,
so that every metric takes halves, resamples and neighbours by patient.
"""

from collections.abc import Container, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Float, Int

from medsyn2.errors import EnvironmentFault, reason
from medsyn2.files import sha256_of, write_atomically
from medsyn2.integrity import read_sealed, write_sealed

FORMAT = "medsyn2-bank-1"


@dataclass(frozen=True)
class BankFacts:
    """Origin and definition of the features of a bank."""

    kind: Literal["real", "synthetic"]  # Real or generated volumes
    source: str  # Name of the set; with `kind`, the only fact in which comparable banks may differ
    extractor: str  # Name of the extractor
    extractor_sha256: str  # Of its weights
    comparable: str  # Values that this extractor's compare with, in words
    protocol: Mapping[str, Any]  # The whole protocol, JSON values
    protocol_sha256: str  # Its hash
    clip_hu: tuple[float, float]  # Range that the volumes were clipped to
    # Spacing (depth, height, width) that the extractor saw; None if it varies or has no meaning
    spacing_mm: tuple[float, float, float] | None


@dataclass(frozen=True)
class Part:
    """One view of the volumes."""

    features: Float[np.ndarray, "n f"]  # A row a slice, or a row a volume
    volume: Int[np.ndarray, " rows"]  # Position in the bank's ids of the volume that each row is of


@dataclass(frozen=True)
class Bank:
    """Features of a set of volumes; see the module docstring."""

    facts: BankFacts
    ids: tuple[str, ...]
    patients: tuple[str, ...]
    parts: Mapping[str, Part]

    def __post_init__(self) -> None:
        problem = self._problem()
        if problem:
            raise EnvironmentFault(
                f"the bank of {self.facts.source} cannot be used: {problem}.",
                code="bank-invalid",
                remedy="write it again; medsyn2/evaluation/features/banks.py describes the format.",
            )

    def _problem(self) -> str | None:
        num, different = len(self.ids), len(set(self.ids))
        if num != len(self.patients) or different != num:
            return f"it has {num} ids, {different} of them different, and {len(self.patients)} patients"
        for name, part in self.parts.items():
            if part.features.ndim != 2 or len(part.features) != len(part.volume):
                return f"part {name} has features {part.features.shape} for {len(part.volume)} rows"
            if set(np.unique(part.volume).tolist()) != set(range(len(self.ids))):
                return f"the rows of part {name} are not of exactly the {len(self.ids)} volumes"
            if not np.isfinite(part.features).all():
                return f"part {name} has values that are not finite"
        return None

    def patient_of_row(self, part: str) -> Int[np.ndarray, " n"]:
        """Return, for each row of a part, the position of its patient in the sorted patients."""
        _, of_volume = np.unique(np.array(self.patients), return_inverse=True)
        return of_volume[self.parts[part].volume]

    def of_patients(self, patients: Container[str]) -> "Bank":
        """Return the bank of the volumes of some patients."""
        kept = [place for place, patient in enumerate(self.patients) if patient in patients]
        position = np.full(len(self.ids), -1, np.int32)
        position[kept] = np.arange(len(kept))
        parts = {}
        for name, part in self.parts.items():
            rows = position[part.volume] >= 0
            parts[name] = Part(part.features[rows], position[part.volume[rows]])
        ids, owners = (tuple(one[place] for place in kept) for one in (self.ids, self.patients))
        return replace(self, ids=ids, patients=owners, parts=parts)

    def volume_means(self, part: str) -> Float[np.ndarray, "v f"]:
        """Return the mean of the rows of each volume, float64, in the order of the ids."""
        held = self.parts[part]
        sums = np.zeros((len(self.ids), held.features.shape[1]))
        np.add.at(sums, held.volume, held.features)
        return sums / np.bincount(held.volume, minlength=len(self.ids))[:, None]


def check_comparable(*banks: Bank) -> None:
    """Refuse banks that cannot be compared.

    Raises:
        EnvironmentFault: If extractor, protocol, HU range, spacing or parts differ; the message says which.
    """
    first = banks[0]
    for other in banks[1:]:
        names = ("extractor", "extractor_sha256", "protocol_sha256", "clip_hu", "spacing_mm")
        found = [
            f"{name} {getattr(first.facts, name)} and {getattr(other.facts, name)}"
            for name in names
            if getattr(first.facts, name) != getattr(other.facts, name)
        ]
        if set(first.parts) != set(other.parts):
            found.append(f"parts {sorted(first.parts)} and {sorted(other.parts)}")
        if found:
            raise EnvironmentFault(
                f"{first.facts.source} and {other.facts.source} cannot be compared: {'; '.join(found)}.",
                code="banks-differ",
                remedy="extract the features of both with one extractor and one protocol, and state the spacing and "
                "the HU range where a file does not.",
            )


def write_bank(json_path: Path, bank: Bank) -> None:
    """Write a bank: the arrays, then the JSON with their hash; equal banks give equal bytes."""
    arrays: dict[str, Any] = {"ids": np.array(bank.ids), "patients": np.array(bank.patients)}
    for name, part in bank.parts.items():
        arrays[name] = part.features.astype(np.float32)
        arrays[f"{name}.volume"] = part.volume.astype(np.int32)
    place = json_path.with_suffix(".npz")
    write_atomically(place, lambda partial: _save(partial, arrays))
    write_sealed(json_path, {"format": FORMAT, **asdict(bank.facts), "sha256": sha256_of(place)})


def read_bank(json_path: Path) -> Bank:
    """Read a bank.

    Raises:
        EnvironmentFault: If a file is missing, damaged or no bank.
    """
    try:
        facts = read_sealed(json_path)
        expected, kind = facts.pop("sha256"), facts.pop("format")
        if kind != FORMAT or sha256_of(json_path.with_suffix(".npz")) != expected:
            raise ValueError(f"its format is {kind!r} or its arrays are not those it was written with")
        facts |= {"clip_hu": tuple(facts["clip_hu"])}
        facts |= {"spacing_mm": tuple(facts["spacing_mm"]) if facts["spacing_mm"] else None}
        with np.load(json_path.with_suffix(".npz"), allow_pickle=False) as arrays:
            names = [name for name in arrays.files if f"{name}.volume" in arrays.files]
            parts = {name: Part(arrays[name], arrays[f"{name}.volume"]) for name in names}
            ids, patients = (tuple(arrays[name].tolist()) for name in ("ids", "patients"))
        return Bank(BankFacts(**facts), ids, patients, parts)
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise EnvironmentFault(
            f"{json_path} is no bank: {reason(error)}.",
            code="bank-unreadable",
            remedy="write it again; medsyn2/evaluation/features/banks.py describes the format.",
        ) from error


def _save(path: Path, arrays: Mapping[str, Any]) -> None:
    with path.open("wb") as file:
        np.savez(file, **arrays)
