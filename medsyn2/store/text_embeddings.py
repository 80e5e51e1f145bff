"""Token embeddings on disk: one vector for each token of a text, in float16 and without padding.

The embeddings of a case's report are an artefact of its folder, those of all pre-prompts one file beside their
description. A case without a report has an empty folder, and its record says so.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from medsyn2.errors import IntegrityError, reason
from medsyn2.files import sha256_of, write_atomically
from medsyn2.integrity import read_sealed, remedy_by_deleting, verify, write_sealed
from medsyn2.store.array_file import read_array, write_arrays

REPORT = "report.zarr.zip"
_EMBEDDINGS = "embeddings"

Embeddings = Float[np.ndarray, "_tokens e"]


def write_texts(path: Path, texts: Mapping[str, Embeddings]) -> None:
    """Write the embeddings of some texts into one file, by their names."""
    halves = {name: embeddings.astype(np.float16) for name, embeddings in texts.items()}
    write_arrays(path, halves, dict.fromkeys(halves, ("token", "channel")))


def read_text(path: Path, name: str) -> Embeddings:
    """Return one vector for each token of a text, in float32.

    Raises:
        IntegrityError: If it is not there or damaged.
    """
    embeddings: Embeddings = read_array(path, name).astype(np.float32)
    return embeddings


def write_prompts(path: Path, description: Mapping[str, Any], embeddings: Mapping[str, Embeddings]) -> None:
    """Write the embeddings of the pre-prompts into a file ``.zarr.zip`` beside `path`, and their description there."""
    place = path.with_suffix(".zarr.zip")
    write_atomically(place, lambda partial: write_texts(partial, embeddings))
    write_sealed(path, {**description, "embeddings_sha256": sha256_of(place)})


def read_prompts(path: Path) -> tuple[dict[str, Any], dict[str, Embeddings]]:
    """Read the description of the pre-prompts and the embeddings of each.

    Raises:
        IntegrityError: If a file is missing, damaged or not the one that was written.
    """
    try:
        description = read_sealed(path)
        place = verify(path.with_suffix(".zarr.zip"), description["embeddings_sha256"], path)
        names = list(description["prompts"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise IntegrityError(
            f"{path} is not the description of the pre-prompts that was written: {reason(error)}.",
            code="prompts-damaged",
            remedy=remedy_by_deleting(path),
        ) from error
    return description, {name: read_text(place, name) for name in names}


def write_report(folder: Path, embeddings: Embeddings) -> None:
    """Write the embeddings of a report into its case's folder."""
    write_texts(folder / REPORT, {_EMBEDDINGS: embeddings})


def read_report(folder: Path) -> Embeddings:
    """Return the embeddings of the report in a case's folder, as `read_text` does."""
    return read_text(folder / REPORT, _EMBEDDINGS)
