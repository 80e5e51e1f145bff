"""The catalogue of external weights: source, licence, size and checksum of each.

``medsyn2 fetch`` downloads from it and ``medsyn2 doctor`` checks a machine against it; nothing else in the project
downloads anything. Files lie in one folder that can be copied to another machine:

    weights/
      lungmask/unet_r231-d5d2fc3d.pth ...
      totalsegmentator/Dataset298_TotalSegmentator_total_6mm_1559subj/ ...
      medpseg/poly_medseg_25d_fix.ckpt ...
      source/cxr-bert/pytorch_model.bin ...       input of `medsyn2 convert`
      SHA256SUMS                                  of every file, as `sha256sum -c` reads it
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml
from pydantic import TypeAdapter

from medsyn2.vocabulary import Structure


@dataclass(frozen=True)
class Download:
    """A file to download."""

    path: str  # Path below the folder of weights; for an archive, the folder it unpacks to
    url: str  # Source
    size_bytes: int | None = None  # Size, if known
    sha256: str = ""  # Published checksum or its beginning; empty if there is none
    # Patterns below `path` of an archive's required files; empty for a plain file
    unpacks: tuple[str, ...] = ()


@dataclass(frozen=True)
class CatalogueEntry:
    """External weights."""

    name: str  # Name in ``fetch`` and ``doctor``
    about: str  # Purpose
    stages: tuple[str, ...]  # Stages that use them
    licence: str  # Licence stated by their authors
    page: str  # Web page, also for a download by hand
    downloads: tuple[Download, ...] = ()  # Files for ``fetch``
    # Files to be downloaded by hand from the page, and their place if that matters; empty if `downloads` are all
    by_hand: str = ""
    structures: frozenset[Structure] = frozenset()  # Structures that need a segmenter's weights
    convert: str = ""  # Command that converts them for the configuration; empty if they are used directly


CATALOGUE = TypeAdapter(tuple[CatalogueEntry, ...]).validate_python(
    yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
)
"""The entries, from ``catalogue.yaml``."""


def find(names: Sequence[str]) -> Iterator[CatalogueEntry]:
    """Yield the entries of the given names; ``totalsegmentator`` stands for all of its entries, no name for all.

    Raises:
        KeyError: If a name is unknown.
    """
    for name in names:
        if not any(name in (row.name, row.name.split("/")[0]) for row in CATALOGUE):
            raise KeyError(name)
    for row in CATALOGUE:
        if not names or row.name in names or row.name.split("/")[0] in names:
            yield row
