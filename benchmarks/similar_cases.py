"""Masks by the similarity of reports: how often the most similar report is of a case with the same lesions.

    python benchmarks/similar_cases.py results

Takes each training case of a finished run that has lesions, looks for the most similar report of another patient, and
counts the cases whose lesions that one has too. Beside the embeddings as `medsyn2 shelf` compares them stand the same
centred alone, the same as they are, and the share of the other patients that have the lesions, which is chance.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from medsyn2.pipeline.similar_cases import Entry, cosines, load_shelf, read_embedding
from medsyn2.store.text_embeddings import REPORT, read_report
from medsyn2.vocabulary import STRUCTURES

ANATOMY = ("lobes", "airways", "vessels", "heart")

Compare = Callable[[np.ndarray, np.ndarray], np.ndarray]


def centred(rows: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Return the cosines after the mean of the rows is taken away."""
    return plain(rows - rows.mean(axis=0), one - rows.mean(axis=0))


def plain(rows: np.ndarray, one: np.ndarray) -> np.ndarray:
    """Return the cosines of the embeddings as they are."""
    return rows @ one / (np.linalg.norm(rows, axis=1) * np.linalg.norm(one))


def lesions_of(entry: Entry) -> set[str]:
    """Return the lesions of which a case has a mask."""
    return set() if entry.masked is None else {*entry.masked.facts.present} & {*STRUCTURES}.difference(ANATOMY)


def main() -> None:
    """Print the figures."""
    entries = list(load_shelf(Path(sys.argv[1])).training.values())
    width = read_report(entries[0].text.path(REPORT).parent).shape[1]
    rows = np.stack([read_embedding(entry.text, width) for entry in entries])
    hits: dict[str, float] = dict.fromkeys(("whitened", "centred", "plain", "chance"), 0)
    number = 0
    for index, entry in enumerate(entries):
        wanted, patient = lesions_of(entry), entry.text.facts.subject
        others = [place for place, other in enumerate(entries) if other.text.facts.subject != patient]
        if not wanted or not others:
            continue
        number += 1
        has = np.array([wanted <= lesions_of(entries[place]) for place in others])
        hits["chance"] += has.mean()
        for name, compare in (("whitened", cosines), ("centred", centred), ("plain", plain)):
            hits[name] += has[compare(rows[others], rows[index]).argmax()]
    for name, count in hits.items():
        print(f"{name}: {count:.0f} of {number}")


if __name__ == "__main__":
    main()
