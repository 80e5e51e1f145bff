import numpy as np

from medsyn2.training.engine.array_cache import ArrayCache


class Reader:
    def __init__(self) -> None:
        self.reads: list[str] = []

    def read(self, key: str) -> np.ndarray:
        self.reads.append(key)
        return np.full(10, ord(key), np.uint8)


def test_what_fits_is_read_once_and_the_rest_each_time() -> None:
    reader, memory = Reader(), ArrayCache(25)
    for _ in range(3):
        for key in "abc":
            assert (memory.get(key, lambda key=key: reader.read(key)) == ord(key)).all()
    assert reader.reads == ["a", "b", "c", "c", "c"]


def test_without_room_nothing_is_kept() -> None:
    reader, memory = Reader(), ArrayCache(0)
    memory.get("a", lambda: reader.read("a"))
    memory.get("a", lambda: reader.read("a"))
    assert reader.reads == ["a", "a"]
