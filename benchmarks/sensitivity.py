"""What the numbers of fidelity see: real CTs with a fault against other real CTs, fault by fault.

    python benchmarks/sensitivity.py --real FOLDER --work /tmp/sensitivity

Prints a row a fault. FOLDER has CTs of different patients, a file each. They are brought
to one grid (2 mm), and each is described clean and with 35 faults, by the features of both weight-free extractors, its
thumbnail and its indices; WORK keeps these, half a minute of CPU time a CT. Then, many times, the patients are
dealt into two sets:

    signal   Frechet distance of the faulty set from the same volumes without the fault, over the 97.5th percentile of
             the distance of two clean sets of other patients: the mean of three planes in the window that sees most
    n        patients a side at which the signal is 1, for the floor falls as 1 / n and the signal does not
    outside  share of faulty volumes outside the limits of the other patients' clean ones, by the index that sees most
    flagged  share of the dealings in which a column of the tables flags the set, and which one

Of fewer CTs than two sides need, the two sets share patients. An index judges a volume by itself, and sees it beside
the mean of the other patients, but the columns ``flag`` and ``mmd_p`` are then left to faults of whole sets, of which
no volume is in the other set.
"""

import argparse
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1]))

from sensitivity_rows.chests import CLEAN, EXTRACTORS, Description, describe_chests

from medsyn2.evaluation.features.banks import Bank, BankFacts, Part
from medsyn2.evaluation.features.frechet import frechet_distance
from medsyn2.evaluation.features.protocols import PLANES
from medsyn2.evaluation.fidelity.fidelity import fidelity
from medsyn2.evaluation.fidelity.indices import judge_indices, place_indices
from medsyn2.evaluation.fidelity.views import Views
from medsyn2.facts import REAL
from medsyn2.vocabulary import WINDOWS_HU

FAULTY = "faulty"
LEVEL = 0.05
FLOOR_PERCENTILE = 97.5
SHRUNK = 0.6
"""Share of the spread of the features that is left in the set of this name."""

Chests = Mapping[str, Mapping[str, Description]]
Dealing = tuple[Sequence[str], Sequence[str]]
Faulty = Sequence[tuple[str, Description]]
"""Volumes with the patient of each."""
ANYBODY = ""
"""The patient of a volume that is said to be of none of the real ones."""


def deal(names: Sequence[str], num: int, rng: np.random.Generator) -> Dealing:
    """Return so many patients and as many others."""
    order = rng.permutation(names).tolist()
    return order[:num], order[num : 2 * num]


def overlap(names: Sequence[str], num: int, rng: np.random.Generator) -> Dealing:
    """Return so many patients, and as many that may be the same."""
    return rng.permutation(names)[:num].tolist(), rng.permutation(names)[:num].tolist()


def rows(chests: Chests, halves: Sequence[Dealing], sides: Sequence[Dealing]) -> Iterator[dict[str, object]]:
    """Yield a row a fault."""
    num, apart = len(halves[0][0]), halves == sides
    floors = {key: floor_of(chests, halves, key) for key in EXTRACTORS}
    for fault in next(iter(chests.values())):
        row: dict[str, object] = {"fault": fault}
        for key in EXTRACTORS if fault != CLEAN else ():
            found = signal(chests, halves, fault, key, floors[key])
            row |= {f"signal, {key}": f"{found:.2g}", f"n, {key}": f"{num / found:.2g}" if found else "-"}
        share, index = outside(chests, fault)
        row |= {"outside, %": f"{100 * share:.0f}", "by": index}
        seen = [(real, [(name, chests[name][fault]) for name in faulty]) for real, faulty in sides]
        yield {**row, **find_flags(chests, seen, by_features=apart)}
    for fault, made in sets_of_faults(chests, sides):
        yield {"fault": fault, **find_flags(chests, made, by_features=True)}


def floor_of(chests: Chests, halves: Sequence[Dealing], key: str) -> dict[str, float]:
    """Return the floor of each window: the percentile of the distance of clean volumes from other patients'."""
    found: dict[str, list[float]] = {window: [] for window in WINDOWS_HU}
    for one, other in halves:
        for window, values in found.items():
            values.append(distance([chests[n][CLEAN] for n in one], [chests[n][CLEAN] for n in other], key, window))
    return {window: float(np.percentile(values, FLOOR_PERCENTILE)) for window, values in found.items()}


def distance(one: Sequence[Description], other: Sequence[Description], key: str, window: str) -> float:
    """Return the mean distance over the planes."""
    parts = [f"{window}/{plane}" for plane in PLANES]
    both = [[np.concatenate([d.features[key][part] for d in side]) for part in parts] for side in (one, other)]
    return float(np.mean([frechet_distance(*pair) for pair in zip(*both, strict=True)]))


def signal(chests: Chests, halves: Sequence[Dealing], fault: str, key: str, floors: Mapping[str, float]) -> float:
    """Return the distance that a fault makes in units of the floor, in the window that sees most."""
    found = {
        window: [
            distance([chests[n][CLEAN] for n in other], [chests[n][fault] for n in other], key, window) / floor
            for _, other in halves[:5]
        ]
        for window, floor in floors.items()
    }
    return max(float(np.median(values)) for values in found.values())


def index_frame(chests: Chests, real: Sequence[str], faulty: Faulty) -> pd.DataFrame:
    """Return the cases that `judge_indices` takes, clean real ones and faulty ones, each beside the other patients."""
    whole = {name: chests[name][CLEAN].alignment[0] for name in real}

    def row(name: str, source: str, patient: str, one: Description) -> dict[str, object]:
        usual = np.mean([thumbnail for other, thumbnail in whole.items() if other != patient], axis=0)
        places = place_indices(one.alignment, usual)
        return {"case": name, "patient": name, "source": source, **one.indices, **places}

    made = [row(name, REAL, name, chests[name][CLEAN]) for name in real]
    made += [row(f"{FAULTY} {place}", FAULTY, *one) for place, one in enumerate(faulty)]
    return pd.DataFrame(made)


def outside(chests: Chests, fault: str) -> tuple[float, str]:
    """Return the share of faulty volumes outside the others' range, by the index that sees most."""
    counts: Counter[str] = Counter()
    for name in chests:
        others = [other for other in chests if other != name]
        _, cases = judge_indices(index_frame(chests, others, [(name, chests[name][fault])]))
        counts.update(cases.loc[cases["source"] == FAULTY, "outside"].iloc[0].split("; "))
    counts.pop("", None)
    best = counts.most_common(1)
    return (best[0][1] / len(chests), best[0][0]) if best else (0.0, "")


def find_flags(chests: Chests, seen: Sequence[tuple[Sequence[str], Faulty]], *, by_features: bool) -> dict[str, object]:
    """Return the share of dealings in which a set is flagged, and the columns that do it."""
    hits: Counter[str] = Counter()
    any_hit = 0
    for real, faulty in seen:
        table, _ = judge_indices(index_frame(chests, real, faulty))
        columns = set(table.loc[table["flag"] != "", "index"])
        if by_features:
            named = {f"{FAULTY} {place}": one for place, (_, one) in enumerate(faulty)}
            columns |= feature_flags({name: chests[name][CLEAN] for name in real}, named)
        hits.update(columns)
        any_hit += bool(columns)
    told = ", ".join(f"{name} {100 * count / len(seen):.0f}" for name, count in hits.most_common(4))
    return {"flagged, %": f"{100 * any_hit / len(seen):.0f}", "by columns, %": told}


def feature_flags(real: Mapping[str, Description], faulty: Mapping[str, Description]) -> set[str]:
    """Return the columns of the distances that flag a set, with the first extractor."""
    key = next(iter(EXTRACTORS))
    views = Views(bank(REAL, real, key)), Views(bank(FAULTY, faulty, key))
    found = set()
    for window in WINDOWS_HU:
        parts = [f"{window}/{plane}" for plane in PLANES]
        mean = fidelity(*views, parts, num_draws=4, neighbours=5, seed=0)["mean"]
        found |= {"mmd_p"} if mean.mmd_p * len(WINDOWS_HU) <= LEVEL else set()
        found |= {"flag"} if mean.flag else set()
    return found


def bank(kind: str, volumes: Mapping[str, Description], key: str) -> Bank:
    """Return the features of some volumes, each of a patient of its own."""
    facts = BankFacts(kind, kind, key, "", "", {}, "", (-1024.0, 1024.0), None)  # type: ignore[arg-type]
    parts = {}
    for part in next(iter(volumes.values())).features[key]:
        made = [one.features[key][part] for one in volumes.values()]
        parts[part] = Part(np.concatenate(made), np.repeat(np.arange(len(made)), [len(one) for one in made]))
    return Bank(facts, tuple(volumes), tuple(volumes), parts)


def sets_of_faults(
    chests: Chests, sides: Sequence[Dealing]
) -> Iterator[tuple[str, list[tuple[Sequence[str], Faulty]]]]:
    """Yield faults of whole sets, of which no single volume has one, with the dealings they are tried on."""
    made: dict[str, list[tuple[Sequence[str], Faulty]]] = {}
    for real, other in sides:
        num = len(real)
        for count in (1, 2):
            # The CTs that are repeated are of no real patient's.
            few = [name for name in chests if name not in real[: len(chests) - count]][:count]
            kept = [name for name in real if name not in few]
            volumes = [(ANYBODY, chests[few[place % count]]["noise 10 HU"]) for place in range(num)]
            made.setdefault(f"{count} CTs, {num // count} times each", []).append((kept, volumes))
        copies = [(ANYBODY, chests[name][CLEAN]) for name in real]
        made.setdefault("copies of the real volumes", []).append((real, copies))
        shrunk = shrink([chests[name][CLEAN] for name in other])
        made.setdefault(f"spread shrunk to {SHRUNK}", []).append((real, list(zip(other, shrunk, strict=True))))
    yield from made.items()


def shrink(volumes: Sequence[Description]) -> list[Description]:
    """Return volumes of which the features lie nearer to their mean."""
    means = {
        key: {part: np.mean([one.features[key][part].mean(0) for one in volumes], axis=0) for part in parts}
        for key, parts in volumes[0].features.items()
    }
    return [
        Description(
            {
                key: {part: means[key][part] + SHRUNK * (one.features[key][part] - means[key][part]) for part in parts}
                for key, parts in means.items()
            },
            one.thumbnail,
            one.indices,
        )
        for one in volumes
    ]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--real", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--spacing-mm", type=float, default=2.0)
    parser.add_argument("--slices", type=int, default=12)
    parser.add_argument("--patients", type=int, default=8, help="on each side (default: %(default)s)")
    parser.add_argument("--dealings", type=int, default=20)
    options = parser.parse_args()
    chests = describe_chests(options.real, options.work, options.spacing_mm, options.slices)
    rng = np.random.default_rng(0)
    num = min(options.patients, len(chests))
    apart = min(num, len(chests) // 2)
    halves = [deal(sorted(chests), apart, rng) for _ in range(options.dealings)]
    sides = halves if apart == num else [overlap(sorted(chests), num, rng) for _ in range(options.dealings)]
    print(f"{len(chests)} CTs; signals of {apart} against {apart}, flags of {num} against {num} patients\n")
    table = pd.DataFrame(rows(chests, halves, sides))
    table.to_csv(options.work / "sensitivity.csv", index=False)
    print(table.fillna("").to_markdown(index=False))


if __name__ == "__main__":
    main()
