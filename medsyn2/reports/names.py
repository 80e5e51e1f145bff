"""Which volume a row of a table is of, by the name in it.

Tables name volumes with a folder or without, with a suffix or without, in quotes, with a Windows path or escaped
underscores, in capitals, with invisible characters, and without the ``_0000`` that nnU-Net appends to the names of CTs.
A volume is known by its *key*: its name without a suffix, or, where several files have that name, the shortest end of
its path that is its alone (``patient_2/ct``). A row is of the volume whose key its name ends with; a name that several
files have and that says no folder is of none. Capitals and channels count where they alone tell two files apart; the
key of such a file begins with a slash.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping

from medsyn2.vocabulary import volume_path

_CHANNEL = "_0000"


def shortest_keys(places: Mapping[str, str]) -> dict[str, str]:
    """Return the key of each volume.

    Args:
        places: Path of each volume below the cohort's folder, by anything that tells them apart.
    """
    paths = {one: volume_path(place) for one, place in places.items()}
    keys: dict[str, str] = {}
    alike, length = list(paths), 1
    while alike:
        groups: dict[str, list[str]] = defaultdict(list)
        for one in alike:
            groups["/".join(paths[one][-length:])].append(one)
        alike = []
        for key, members in groups.items():
            keys.update(dict.fromkeys(members, key))
            alike += [one for one in members if len(paths[one]) > length] if len(members) > 1 else []
        length += 1
    forms = Counter(_form(path[-1]) for path in paths.values())
    return {one: f"/{key}" if "/" not in key and forms[_form(key)] > 1 else key for one, key in keys.items()}


class VolumeNames:
    """The keys of volumes, to be found by the names that tables have."""

    def __init__(self, keys: Iterable[str]) -> None:
        self.keys = frozenset(keys)
        self._exact = {key.removeprefix("/"): key for key in self.keys}
        self._forms = {_form(key): key for key in self.keys if "/" not in key}

    def find(self, name: str) -> str | None:
        """Return the key of the volume that a name is of; None if it is of none, or of several."""
        if found := self._exact.get(name):
            return found
        for parts in _readings(name):
            ends = ("/".join(parts[start:]) for start in range(len(parts)))
            found = next(filter(None, map(self._exact.get, ends)), None) or self._forms.get(_form(parts[-1]))
            if found is not None:
                return found
        return None


def _readings(name: str) -> Iterator[tuple[str, ...]]:
    r"""Yield a name as a path, and with its backslashes as escapes: ``train\_1\_a\_1``."""
    yield volume_path(name)
    if "\\" in name:
        yield volume_path(name.replace("\\", ""))


def _form(name: str) -> str:
    """Return a name as it is compared where capitals and channels do not count."""
    return name.casefold().removesuffix(_CHANNEL)
