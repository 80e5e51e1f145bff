"""Token embeddings on disk: one vector for each token of a text, in float16 and without padding.

The embeddings of a case's report are an artefact of its folder, those of all pre-prompts one file beside their
description. A case without a report has an empty folder, and its record says so.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float

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


def write_report(folder: Path, embeddings: Embeddings) -> None:
    """Write the embeddings of a report into its case's folder."""
    write_texts(folder / REPORT, {_EMBEDDINGS: embeddings})


def read_report(folder: Path) -> Embeddings:
    """Return the embeddings of the report in a case's folder, as `read_text` does."""
    return read_text(folder / REPORT, _EMBEDDINGS)
