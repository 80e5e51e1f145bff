"""The classical segmenter beside the tools of a configuration, structure by structure: Dice, time, memory.

    python benchmarks/segmenter_costs.py --phantoms 6 --real DIR
    python benchmarks/segmenter_costs.py --phantoms 6 --real DIR --configfile configs/paper.yaml

The first measures what needs no weights, the second also the tool that the file's ``segment.tools`` names for each
structure, with its ``segment.python`` and ``segment.weights_dir``; `medsyn2 doctor` says what of that is missing.

Each tool is asked for one structure at a time, in a process of its own, on every CT; lobes are judged as the lungs that
they make up. *Dice* is on the CT's own grid,
the mean over the CTs that have the structure, with their number, and with the false alarms on those that lack it.
Truths are what phantoms were painted from and, with ``--real``, a folder with ``ct/`` and ``labels/``, the lungs
outside the tumour and the heart of its three labelled CTs. *Seconds* are CPU seconds a CT of the process and what it
started, over all its threads, the loading of weights included; GPU time is not in them. *Memory* is the largest
resident set of a single process of them; a Python with the library loaded takes the first row's.
"""

import argparse
import multiprocessing
import resource
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from segmenters import HEART_LABEL, LUNG_LABELS, REAL, TUMOUR_LABEL, dice, find

from medsyn2.config import SegmentConfig, load_config
from medsyn2.ct.geometry import nearest_labels
from medsyn2.ct.nifti.files import read_ct, read_labels
from medsyn2.ct.volume import CTVolume, LabelMap
from medsyn2.phantoms import draw_acquisition, draw_subject, scan
from medsyn2.segmenters import READERS, get_segmenter
from medsyn2.types import Bool
from medsyn2.vocabulary import STRUCTURES, Structure


@dataclass(frozen=True)
class Truth:
    """A CT with what is known of a structure in it: where it is, and where nothing is judged."""

    volume: CTVolume
    mask: Bool[np.ndarray, "d h w"]
    unjudged: Bool[np.ndarray, "d h w"] | bool = False


def phantom(index: int, structure: Structure) -> Truth:
    """Return a phantom as its scanner gives it, with what it was painted from."""
    subject = draw_subject(0, index)
    made = scan(subject, draw_acquisition(subject, 3.0))
    name = "lobe_labels" if structure == "lobes" else structure
    truth = nearest_labels(made.truth[name], made.volume.grid)
    return Truth(made.volume, truth.labels > 0)


def real(folder: Path, case: str, structure: Structure) -> Truth | None:
    """Return a labelled CT; None if the structure is not labelled in it."""
    labels = read_labels(folder / "labels" / f"{case}_{REAL[case]}.nii.gz").labels
    wanted = {"lobes": LUNG_LABELS[REAL[case]], "heart": [HEART_LABEL]}.get(structure, [])
    mask = np.isin(labels, wanted)
    volume = read_ct(folder / "ct" / f"{case}.nii.gz")
    return Truth(volume, mask, labels == TUMOUR_LABEL) if mask.any() else None


def measure(tool: str, structure: Structure, config: SegmentConfig, num_phantoms: int, folder: Path | None) -> str:
    """Return the row of one tool and one structure; run in a process of its own."""
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(1)
    columns: list[str] = []
    seconds, count = 0.0, 0
    segmenter = get_segmenter(tool, config)
    groups = [[phantom(index, structure) for index in range(num_phantoms)]]
    if folder is not None:
        groups.append([truth for case in REAL if (truth := real(folder, case, structure))])
    for truths in groups:
        scores, alarms = [], 0
        for truth in truths:
            before = cpu_seconds()
            found = find(segmenter, truth.volume, [structure])[structure]
            seconds, count = seconds + cpu_seconds() - before, count + 1
            mask = on_grid_of(truth.volume, found) & ~np.asarray(truth.unjudged)
            if truth.mask.any():
                scores.append(dice(mask, truth.mask & ~np.asarray(truth.unjudged)))
            else:
                alarms += bool(mask.any())
        columns.append(f"{np.mean(scores):.2f} ({len(scores)}, {alarms})" if scores else f"- (0, {alarms})")
    before = cpu_seconds()
    segmenter.close()
    seconds += cpu_seconds() - before  # of a tool's process, which is known when it has ended
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return f"| {structure} | {tool} | {' | '.join(columns)} | {seconds / count:.1f} | {peak / 2**20:.2f} |"


def on_grid_of(volume: CTVolume, found: LabelMap) -> Bool[np.ndarray, "d h w"]:
    """Return where anything was found, on the CT's grid."""
    return nearest_labels(found, volume.grid).labels > 0


def cpu_seconds() -> float:
    """Return the CPU seconds of this process and of those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--phantoms", type=int, default=6, metavar="N")
    parser.add_argument("--real", type=Path, metavar="DIR")
    parser.add_argument("--configfile", type=Path, metavar="FILE", help="whose segment.tools are measured too")
    arguments = parser.parse_args()
    config = load_config(arguments.configfile).segment if arguments.configfile else SegmentConfig()
    real_column = " | real CTs" if arguments.real else ""
    print(f"Dice (CTs that have it, false alarms); {arguments.phantoms} phantoms\n")
    print(f"| structure | tool | phantoms{real_column} | CPU s a CT | GiB |")
    print("|---" * (6 if arguments.real else 5) + "|")
    spawn = multiprocessing.get_context("spawn")
    for structure in STRUCTURES:
        tools = dict.fromkeys(("classical", config.tools.get(structure) or "classical"))
        for tool in (tool for tool in tools if tool not in READERS):
            with ProcessPoolExecutor(1, mp_context=spawn) as pool:
                row = pool.submit(measure, tool, structure, config, arguments.phantoms, arguments.real)
                print(row.result(), flush=True)


if __name__ == "__main__":
    main()
