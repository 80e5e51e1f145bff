r"""Compare any generator's folder of NIfTI volumes with a folder of real ones: Table 1 on your own volumes.

    medsyn2 evaluate --real real/ --synthetic generated/ --out evaluation/

Nothing is assumed of the files. Values must look like HU, or be stated to be; both folders must have one spacing,
or it is stated where headers are wrong; and both must fill one HU range, or it is stated. A generator that writes
0.7 mm voxels under headers of 1 mm and ends at 600 HU:

    medsyn2 evaluate --real real/ --synthetic generated/ --out evaluation/ \
        --synthetic-spacing-mm 0.7 0.7 0.7 --clip-hu -1024 600

The table evaluation/fid.csv has a row for each window and plane: the Frechet distance with its interval, its floor
(real against other patients' real volumes) and its extrapolation to infinitely many volumes, the kernel distance,
precision, recall, density and coverage. The features are kept as banks; what is there is not extracted again.
"""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import pandas as pd

from medsyn2.config import EvaluateFidConfig
from medsyn2.errors import TableError, reason
from medsyn2.files import write_text_atomically
from medsyn2.metrics.banks import check_comparable, write_bank
from medsyn2.metrics.extraction import Recipe, VolumeFile, extracted_bank
from medsyn2.metrics.folders import common_clip_hu, extent_of, volumes_in
from medsyn2.metrics.protocols import ProtocolName, named_protocol
from medsyn2.metrics.table_one import extractor_of, table_rows

log = logging.getLogger(__name__)

_CLIP_HU = (-1024.0, 1024.0)
_SIDES = ("real", "synthetic")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    for side in _SIDES:
        parser.add_argument(
            f"--{side}", type=Path, required=True, metavar="DIR", help=f"folder of {side} volumes"
        )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="where the table and the banks go"
    )
    parser.add_argument(
        "--patients",
        type=Path,
        metavar="CSV",
        help="columns id and patient: whose each volume is, or whose report or mask it was generated from; the id "
        "is the path below its folder without the suffix. Without it each id is a patient",
    )

    stated = parser.add_argument_group("stated instead of checked")
    for side in _SIDES:
        stated.add_argument(
            f"--{side}-spacing-mm",
            type=float,
            nargs=3,
            metavar=("DEPTH", "HEIGHT", "WIDTH"),
            help="in place of the headers'",
        )
        stated.add_argument(
            f"--{side}-in-hu", action="store_true", help="the values are HU, though they may not look like it"
        )
    stated.add_argument(
        "--clip-hu",
        type=float,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help=f"range both are clipped to (default: {_CLIP_HU[0]:g} {_CLIP_HU[1]:g}, if both fill it)",
    )

    how = parser.add_argument_group("how")
    how.add_argument(
        "--protocol",
        choices=get_args(ProtocolName),
        default="paper",
        help="what is done before the extractor (default: %(default)s)",
    )
    how.add_argument("--slices", type=int, metavar="N", help="at most so many slices a plane (default: all)")
    how.add_argument(
        "--radimagenet",
        type=Path,
        metavar="FILE",
        help="RadImageNet's ResNet50 as safetensors; without it a weight-free extractor, comparable with itself only",
    )
    how.add_argument(
        "--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N (default: %(default)s)"
    )
    how.add_argument("--draws", type=int, default=200, metavar="N", help="resamples (default: %(default)s)")


def run(arguments: argparse.Namespace) -> None:
    """Write the table and the banks."""
    patients = _patients(arguments.patients)
    volumes = {
        side: volumes_in(getattr(arguments, side), spacing_mm=_spacing(arguments, side), patients=patients)
        for side in _SIDES
    }
    config = EvaluateFidConfig(
        protocol=arguments.protocol,
        slices_per_volume=arguments.slices,
        radimagenet=arguments.radimagenet,
        device=arguments.device,
        num_draws=arguments.draws,
    )
    protocol = named_protocol(
        arguments.protocol, clip_hu=_clip_hu(arguments, volumes), num_slices=arguments.slices
    )
    recipe = Recipe(protocol, extractor_of(config), tuple(protocol.windows_hu))
    banks = {}
    for side in _SIDES:
        facts = {"kind": side, "source": getattr(arguments, side).name}
        banks[side] = extracted_bank(volumes[side], recipe, facts, arguments.out / "volumes")
        write_bank(arguments.out / f"{side}.json", banks[side])
    check_comparable(*banks.values())
    rows = [
        row
        for window in recipe.windows
        for row in table_rows(window, banks["real"], banks["synthetic"], config)
    ]
    table = arguments.out / "fid.csv"
    write_text_atomically(table, pd.DataFrame(rows).to_csv(index=False, float_format="%.6g"))
    log.info("%s written; its values compare with %s", table, banks["real"].facts.comparable)


def _clip_hu(arguments: argparse.Namespace, volumes: Mapping[str, list[VolumeFile]]) -> tuple[float, float]:
    extents = {side: extent_of(volumes[side], stated=getattr(arguments, f"{side}_in_hu")) for side in _SIDES}
    if arguments.clip_hu is not None:
        low, high = arguments.clip_hu
        return low, high
    return common_clip_hu(extents["real"], extents["synthetic"], _CLIP_HU)


def _spacing(arguments: argparse.Namespace, side: str) -> tuple[float, float, float] | None:
    given = getattr(arguments, f"{side}_spacing_mm")
    if given is None:
        return None
    depth, height, width = given
    return depth, height, width


def _patients(path: Path | None) -> dict[str, str]:
    if path is None:
        return {}
    try:
        frame = pd.read_csv(path, dtype=str)
        return dict(zip(frame["id"], frame["patient"], strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise TableError(
            f"{path} cannot be read as a table with the columns id and patient: {reason(error)}.",
            code="patients-unreadable",
            remedy="give a CSV with these two columns.",
        ) from error
