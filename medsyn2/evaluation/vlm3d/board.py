"""The table of the VLM3D challenge's numbers for a folder of real and one of synthetic volumes.

The challenge pairs volumes by the names of their files. Features lie in the same cache as those of other comparisons.
"""

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float
from tqdm import tqdm

from medsyn2.errors import EnvironmentFault, TableError, list_names
from medsyn2.evaluation.features.array_cache import cached_path, read_array, write_arrays
from medsyn2.evaluation.features.radimagenet import MEASURED_BY_OTHERS
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.vlm3d.ct_clip import CTClipExtractor
from medsyn2.evaluation.vlm3d.ctnet import CTNetExtractor
from medsyn2.evaluation.vlm3d.numbers import Row, clip_rows, fid_rows, video_rows
from medsyn2.facts import REAL
from medsyn2.reports.table import read_table
from medsyn2.vocabulary import Plane, volume_path

PROTOCOL, WINDOW = "vlm3d", "whole"
"""The protocol and the window of the challenge's 2.5-D Frechet distance."""
PROMPT_COLUMNS = ("Names", "Text_prompts")
"""Of the challenge's table of prompts."""
COLUMNS = ["number", "value", "real", "num_volumes", "num_groups", "weights", "note"]
_PLANES: tuple[Plane, ...] = ("axial", "coronal", "sagittal")
_FEATURES = "features"


@dataclass(frozen=True)
class Pairs:
    """Synthetic volumes in the order of their names, and the real one of each name."""

    real: tuple[VolumeFile, ...]
    synthetic: tuple[VolumeFile, ...]


def pair_by_name(real: Sequence[VolumeFile], synthetic: Sequence[VolumeFile]) -> Pairs:
    """Pair volumes by their ids.

    Raises:
        EnvironmentFault: If a synthetic volume has no real one of its name.
    """
    known = {volume.id: volume for volume in real}
    chosen = sorted(synthetic, key=lambda volume: volume.id)
    if alone := [volume.id for volume in chosen if volume.id not in known]:
        raise EnvironmentFault(
            f"{list_names('synthetic volumes have no real one of their name', alone)[0]}; "
            f"{list_names('real volumes are there', sorted(known))[0]}.",
            code="challenge-unpaired",
            remedy="the challenge pairs volumes by name: call each synthetic volume as the real one of its case, or "
            "leave --ct-net and --ct-clip out.",
        )
    return Pairs(tuple(known[volume.id] for volume in chosen), tuple(chosen))


def read_prompts(path: Path, volumes: Sequence[VolumeFile]) -> list[str]:
    """Return the prompt of each volume from the challenge's table, as CSV.

    Raises:
        TableError: If the table cannot be read, or a volume has no prompt.
    """
    table = read_table(path, PROMPT_COLUMNS)
    found = {
        "/".join(volume_path(name)): text for name, text in zip(*(table[one] for one in PROMPT_COLUMNS), strict=True)
    }
    if lacking := [volume.id for volume in volumes if not found.get(volume.id)]:
        raise TableError(
            f"{path} has no prompt for {list_names('volumes', lacking)[0]}.",
            code="prompts-unmatched",
            remedy="give a row for each synthetic volume: its name in Names, the text in Text_prompts.",
        )
    return [found[volume.id] for volume in volumes]


def video_table(pairs: Pairs, extractor: CTNetExtractor, cache: Path) -> pd.DataFrame:
    """Return the Frechet video distances."""
    real, synthetic = (_features(volumes, extractor, cache) for volumes in (pairs.real, pairs.synthetic))
    return _table(video_rows(real, synthetic), extractor.sha256)


def clip_table(pairs: Pairs, prompts: Sequence[str], extractor: CTClipExtractor, cache: Path) -> pd.DataFrame:
    """Return the CLIP scores."""
    real, synthetic = (_features(volumes, extractor, cache) for volumes in (pairs.real, pairs.synthetic))
    texts = np.stack([extractor.embed_text(prompt).numpy() for prompt in tqdm(prompts, desc="prompts", unit="text")])
    return _table(clip_rows(real, synthetic, texts), extractor.sha256)


def fid_table(fid: pd.DataFrame) -> pd.DataFrame:
    """Return the challenge's rows of a table of Frechet distances; none if it is of another protocol or extractor."""
    of_challenge = (fid["protocol"] == PROTOCOL) & (fid["extractor"] == MEASURED_BY_OTHERS) & (fid["window"] == WINDOW)
    rows = fid[of_challenge].set_index("plane")
    if rows.empty:
        return pd.DataFrame(columns=COLUMNS)
    real, synthetic = rows[rows["condition"] == REAL], rows[rows["condition"] != REAL]
    floors = real["fid"] if len(real) else pd.Series(np.nan, index=rows.index.unique())
    distances = {plane: (float(synthetic["fid"][plane]), float(floors[plane])) for plane in _PLANES}
    return _table(fid_rows(distances, int(synthetic["num_synthetic"].iloc[0])), MEASURED_BY_OTHERS)


def _features(
    volumes: Sequence[VolumeFile], extractor: CTNetExtractor | CTClipExtractor, cache: Path
) -> Float[np.ndarray, "n f"]:
    found = []
    for volume in tqdm(volumes, desc=extractor.name, unit="volume"):
        padding = [] if volume.padding is None else [[astuple(part) for part in volume.padding]]
        place = cached_path(cache, [volume.digest(), volume.spacing_mm, *padding, extractor.name, extractor.sha256])
        if not place.is_file():
            write_arrays(place, {_FEATURES: extractor(volume.read()).numpy()})
        found.append(read_array(place, _FEATURES))
    return np.stack(found)


def _table(rows: Iterator[Row], weights: str) -> pd.DataFrame:
    return pd.DataFrame(rows).assign(weights=weights)[COLUMNS]
