"""Arrays that stay in memory while there is room for them, so that a small cohort is read once."""

import threading
from collections.abc import Callable, Hashable

import numpy as np
from jaxtyping import Shaped

ROOM_BYTES = 4 << 30
"""Room for the arrays of one training."""


class ArrayCache:
    """Arrays by key, kept from the first time they are read until the end, as long as they fit.

    What does not fit is read whenever it is asked for. Nothing is ever put out: an epoch takes every case
    once, in an order of its own, and would find each one gone.

    Args:
        room_bytes: How much is kept.
    """

    def __init__(self, room_bytes: int = ROOM_BYTES) -> None:
        self._kept: dict[Hashable, Shaped[np.ndarray, "..."]] = {}
        self._room, self._lock = room_bytes, threading.Lock()

    def get(self, key: Hashable, read: Callable[[], Shaped[np.ndarray, "..."]]) -> Shaped[np.ndarray, "..."]:
        """Return the array of `key`, by calling `read` if it is not kept; the caller does not change it."""
        if key in self._kept:
            return self._kept[key]
        array = read()
        with self._lock:
            if key not in self._kept and array.nbytes <= self._room:
                self._kept[key] = array
                self._room -= array.nbytes
        return array
