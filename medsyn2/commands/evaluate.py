r"""Compare any generator's folder of NIfTI volumes with a folder of real ones: Table 1 on your own volumes.

    medsyn2 evaluate --real real/ --synthetic generated/ --out evaluation/

Nothing is assumed of the files: values must look like HU, both folders must have one spacing and fill one HU range,
unless options state otherwise. A generator that writes 0.7 mm voxels with headers of 1 mm and clips at 600 HU:

    medsyn2 evaluate --real real/ --synthetic generated/ --out evaluation/ \
        --synthetic-spacing-mm 0.7 0.7 0.7 --clip-hu -1024 600

The table evaluation/fid.csv has a row for each window and plane: the Frechet distance with its interval, its floor
(real against other patients' real volumes) and its extrapolation to infinitely many volumes, the kernel distance,
precision, recall, density and coverage. Features are stored as banks, evaluation/<window>/real.json and
synthetic.json; existing ones are not extracted again.
"""

import argparse
import logging
from collections.abc import Mapping
from math import inf
from pathlib import Path
from typing import get_args

import pandas as pd

from medsyn2.config import EvaluateFidConfig, validate_config
from medsyn2.errors import ConfigError
from medsyn2.evaluation.features.banks import write_bank
from medsyn2.evaluation.features.extraction import FeatureSpec, collect_features, extractor_of
from medsyn2.evaluation.features.folders import check_patients, common_clip_hu, judge_volumes, read_patients, volumes_in
from medsyn2.evaluation.features.protocols import ProtocolName, make_protocol
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.fidelity.fidelity import table_rows
from medsyn2.evaluation.fidelity.views import Views
from medsyn2.files import write_table

log = logging.getLogger(__name__)

_CLIP_HU = (-1024.0, 1024.0)
_SIDES = ("real", "synthetic")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    for side in _SIDES:
        parser.add_argument(f"--{side}", type=Path, required=True, metavar="DIR", help=f"folder of {side} volumes")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the table and the banks go")
    parser.add_argument(
        "--patients",
        type=Path,
        metavar="CSV",
        help="columns id and patient: whose each volume is, or whose report or mask it was generated from; the id "
        "is the path below its folder, with or without the suffix. Without it each id is a patient",
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
    how.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N (default: %(default)s)")
    how.add_argument(
        "--draws",
        type=int,
        default=10,
        metavar="N",
        help="random divisions of the patients; 0: no floor or extrapolation (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the table and the banks."""
    config = _settings(arguments)
    patients = {} if arguments.patients is None else read_patients(arguments.patients)
    volumes = {
        side: volumes_in(
            getattr(arguments, side), spacing_mm=_spacing(arguments, side), patients=patients, real=side == "real"
        )
        for side in _SIDES
    }
    if arguments.patients is not None:
        check_patients(arguments.patients, patients, [*volumes["real"], *volumes["synthetic"]])
    protocol = make_protocol(
        arguments.protocol, clip_hu=_clip_hu_option(arguments) or _CLIP_HU, num_slices=arguments.slices
    )
    volumes = _check_hu(arguments, volumes, protocol.clip_hu)
    spec = FeatureSpec(protocol, extractor_of(config), tuple(protocol.windows_hu))
    found = {
        side: collect_features(
            volumes[side], spec, {"kind": side, "source": getattr(arguments, side).name}, arguments.out / "volumes"
        )
        for side in _SIDES
    }
    rows = []
    for window in spec.windows:
        real, synthetic = (found[side].bank([window]) for side in _SIDES)
        for side, bank in zip(_SIDES, (real, synthetic), strict=True):
            write_bank(arguments.out / window / f"{side}.json", bank)
        rows += table_rows(window, Views(real), Views(synthetic), config)
    table = arguments.out / "fid.csv"
    write_table(table, pd.DataFrame(rows), digits=6)
    log.info("%s written; its values compare with %s", table, spec.extractor.comparable)


def _settings(arguments: argparse.Namespace) -> EvaluateFidConfig:
    given = {
        "protocol": arguments.protocol,
        "slices_per_volume": arguments.slices,
        "radimagenet": arguments.radimagenet,
        "device": arguments.device,
        "num_draws": arguments.draws,
    }
    return validate_config({"evaluate_fid": given}, source="what --slices, --draws and others give").evaluate_fid


def _clip_hu_option(arguments: argparse.Namespace) -> tuple[float, float] | None:
    if arguments.clip_hu is None:
        return None
    low, high = arguments.clip_hu
    if not -inf < low < high < inf:
        raise ConfigError(
            f"--clip-hu is {low:g} {high:g}, expected LOW and HIGH with LOW below HIGH.",
            code="clip-hu-invalid",
            remedy="give the range that both are clipped to, such as --clip-hu -1024 600.",
        )
    if arguments.protocol != "paper":
        raise ConfigError(
            f"--clip-hu has no effect on the protocol {arguments.protocol}, which has a range of its own.",
            code="option-without-effect",
            remedy="leave it out, or use --protocol paper.",
        )
    return low, high


def _check_hu(
    arguments: argparse.Namespace, volumes: Mapping[str, list[VolumeFile]], clip_hu: tuple[float, float]
) -> dict[str, list[VolumeFile]]:
    """Refuse values that are not HU, and ranges that differ unless --clip-hu is given; return the judged volumes."""
    judged = {
        side: judge_volumes(volumes[side], stated=getattr(arguments, f"{side}_in_hu"), distinct=side == "real")
        for side in _SIDES
    }
    if arguments.clip_hu is None:
        common_clip_hu(judged["real"][1], judged["synthetic"][1], clip_hu)
    return {side: found for side, (found, _) in judged.items()}


def _spacing(arguments: argparse.Namespace, side: str) -> tuple[float, float, float] | None:
    given = getattr(arguments, f"{side}_spacing_mm")
    if given is None:
        return None
    if not all(0 < spacing < inf for spacing in given):
        raise ConfigError(
            f"--{side}-spacing-mm is {' '.join(f'{spacing:g}' for spacing in given)}, expected three positive numbers.",
            code="spacing-invalid",
            remedy="give the distance between voxels along depth, height and width in mm.",
        )
    depth, height, width = given
    return depth, height, width
