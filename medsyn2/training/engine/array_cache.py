"""A bounded cache of arrays, so that a small cohort is read once."""

import threading
from collections.abc import Callable, Hashable

import numpy as np
from jaxtyping import Shaped

ROOM_BYTES = 4 << 30
"""Default size of a training's cache."""


class ArrayCache:
    """Cache of arrays by key, filled up to a size.

    Arrays that do not fit are read at every request. Nothing is evicted: epochs visit every case once, in random
    order, so an eviction would gain nothing.
    """

    def __init__(self, room_bytes: int = ROOM_BYTES) -> None:
        self._kept: dict[Hashable, Shaped[np.ndarray, "..."]] = {}
        self._room, self._lock = room_bytes, threading.Lock()

    def get(self, key: Hashable, read: Callable[[], Shaped[np.ndarray, "..."]]) -> Shaped[np.ndarray, "..."]:
        """Return the array of `key`, from `read` if it is not cached; the caller must not change it."""
        if key in self._kept:
            return self._kept[key]
        array = read()
        with self._lock:
            if key not in self._kept and array.nbytes <= self._room:
                self._kept[key] = array
                self._room -= array.nbytes
        return array
