"""Token embeddings on disk: a row store (`row_store.py`) of reports, a store a shard, or of pre-prompts.

    embeddings  float16, (tokens, width), zeros from the text's length on
    length      int32, how many of them are tokens

A case without a report has a place in the store and nothing written in it: that there is no report is a fact
of its record, and reading it is an error.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from medsyn2.store.row_store import RowArray, RowStore, open_row_store, open_row_store_for_writing


@dataclass(frozen=True)
class TextStore:
    """The embeddings of some texts, by case id or prompt id."""

    store: RowStore

    @classmethod
    def open(cls, path: Path) -> "TextStore":
        """Open a store for reading.

        Raises:
            IntegrityError: If `path` is no such store.
        """
        return cls(open_row_store(path))

    @classmethod
    def open_for_writing(
        cls, path: Path, cases: Sequence[str], *, max_tokens: int, width: int, encoder: dict[str, Any]
    ) -> "TextStore":
        """Open the store at `path` with a row for each of `cases`, or make it anew.

        Args:
            path: The store's folder.
            cases: The shard's cases, or the ids of the prompts.
            max_tokens: Tokens there is room for.
            width: Length of each vector.
            encoder: JSON values that identify the encoder; a store made with another one is discarded.
        """
        arrays = {
            "embeddings": RowArray((max_tokens, width), "float16", ("token", "channel")),
            "length": RowArray((), "int32", ()),
        }
        return cls(open_row_store_for_writing(path, arrays, cases, {"encoder": encoder}))

    def write(self, case: str, embeddings: Float[np.ndarray, "m e"], length: int) -> dict[str, str]:
        """Write one text and return the sha256 of each file of its row.

        Args:
            case: A case of the store.
            embeddings: All the store has room for, zeros from `length` on.
            length: Number of tokens.
        """
        row: dict[str, np.ndarray] = {
            "embeddings": embeddings.astype(np.float16),
            "length": np.asarray(length, np.int32),
        }
        return self.store.write(case, row)

    def get(self, case: str) -> Float[np.ndarray, "m e"]:
        """Return one vector for each token of a text, in float32.

        Raises:
            IntegrityError: If nothing was written for `case`, or its bytes are damaged.
        """
        length = int(self.store.read(case, "length"))
        return self.store.read(case, "embeddings")[:length].astype(np.float32)
