"""Held-out volumes that are training volumes again: other reconstructions of a scan, or the scan under another name.

They break every comparison of real with synthetic volumes, and first of all the search for copies, whose threshold is
the contrast of the nearest held-out volume.
"""

import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from medsyn2.errors import EnvironmentFault
from medsyn2.evaluation.features.thumbnails import read_thumbnail
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.memorisation.copies import Points, Search

log = logging.getLogger(__name__)


def thumbnails(volumes: Sequence[VolumeFile], cache: Path) -> Points:
    """Return the thumbnails of volumes."""
    seen = np.stack([read_thumbnail(volume, cache) for volume in volumes])
    return Points(seen, tuple(volume.patient for volume in volumes))


def drop_duplicates(train: Sequence[VolumeFile], held_out: Sequence[VolumeFile], cache: Path) -> list[VolumeFile]:
    """Return the held-out volumes that are no training volumes again, and log the others.

    Raises:
        EnvironmentFault: If fewer than two are left.
    """
    search = Search(thumbnails(train, cache), thumbnails(held_out, cache))
    kept = []
    for volume, place, twice in zip(held_out, search.null.index, search.duplicates, strict=True):
        if twice:
            log.warning(
                "held-out %s is nearly the training volume %s: one patient in both splits? The search leaves it out; "
                "other tables do not",
                volume.id,
                train[place].id,
            )
        else:
            kept.append(volume)
    if len(kept) < 2:
        raise EnvironmentFault(
            f"the search for copies needs two held-out volumes, but {len(held_out) - len(kept)} of {len(held_out)} are "
            "nearly training volumes.",
            code="held-out-duplicates",
            remedy="these scans are in the cohort twice, under other names: see the log, then give cohort.subjects_csv "
            "or leave one of each out (cohort.exclude_txt).",
        )
    return kept
