r"""Compare any generator's folder of NIfTI volumes with a folder of real ones: Table 1 on your own volumes.

    medsyn2 evaluate --real real/ --synthetic generated/ --out evaluation/

Nothing is assumed of the files: values must look like HU, both folders must have one spacing and fill one HU range,
unless options state otherwise. A generator that writes 0.7 mm voxels with headers of 1 mm and clips at 600 HU:

    medsyn2 evaluate --real real/ --synthetic generated/ --out evaluation/ \
        --synthetic-spacing-mm 0.7 0.7 0.7 --clip-hu -1024 600

The table evaluation/fid.csv has rows for each window and plane, of the synthetic volumes and of one half of the real
patients against the other: the Frechet distance with its interval, its floor (real against other patients' real
volumes) and its extrapolation to infinitely many volumes, kernel distances, precision, recall, density, coverage and
variety. evaluation/indices.csv judges every volume by itself: which share lies outside the range of the real ones, by
flicker, seams, blur, orientation and other faults. Features are stored as banks, evaluation/<window>/real.json and
synthetic.json; existing ones are not extracted again.

Features that another program made are compared as banks (medsyn2/evaluation/features/banks.py describes the files):

    medsyn2 evaluate --banks real.json synthetic.json --out evaluation/

evaluation/banks.csv has a row for each part. The Frechet distance is left out below 64 patients in a set.

The numbers of the VLM3D challenge, computed as its program does, go to evaluation/vlm3d.csv beside the same of real
volumes: with --protocol vlm3d and --radimagenet its 2.5-D FID, with --ct-net its FVD, with --ct-clip and --prompts its
CLIP scores. `medsyn2 fetch ct-net ct-clip` says where the weights are. Volumes are paired by name:

    medsyn2 evaluate --real real/ --synthetic theirs/ --out evaluation/ --protocol vlm3d \
        --radimagenet weights/radimagenet/radimagenet.safetensors --ct-net weights/ct-net/ct-net.json \
        --ct-clip weights/ct-clip --prompts prompts.csv
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
from medsyn2.evaluation.features.banks import read_bank, write_bank
from medsyn2.evaluation.features.extraction import FeatureSpec, collect_features, extractor_of
from medsyn2.evaluation.features.folders import check_patients, common_clip_hu, judge_volumes, read_patients, volumes_in
from medsyn2.evaluation.features.protocols import ProtocolName, make_protocol
from medsyn2.evaluation.features.volume_file import VolumeFile
from medsyn2.evaluation.fidelity.fidelity import real_rows, table_rows
from medsyn2.evaluation.fidelity.foreign import MIN_FRECHET_PATIENTS, bank_rows
from medsyn2.evaluation.fidelity.indices import judge_sets
from medsyn2.evaluation.fidelity.indices_figure import indices_png
from medsyn2.evaluation.fidelity.views import Views
from medsyn2.evaluation.fidelity.visible import measure_faults
from medsyn2.evaluation.vlm3d.board import (
    PROMPT_COLUMNS,
    clip_table,
    fid_table,
    pair_by_name,
    read_prompts,
    video_table,
)
from medsyn2.evaluation.vlm3d.ct_clip import CTClipExtractor
from medsyn2.evaluation.vlm3d.ctnet import CTNetExtractor
from medsyn2.facts import REAL
from medsyn2.files import write_bytes, write_table

log = logging.getLogger(__name__)

_CLIP_HU = (-1024.0, 1024.0)
_SIDES = ("real", "synthetic")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    for side in _SIDES:
        parser.add_argument(f"--{side}", type=Path, metavar="DIR", help=f"folder of {side} volumes")
    parser.add_argument(
        "--banks",
        type=Path,
        nargs=2,
        metavar=("REAL", "SYNTHETIC"),
        help="JSON files of two banks of features, in the place of both folders",
    )
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
    how.add_argument(
        "--tiles",
        action="store_true",
        help="pool the weight-free filters over 3 x 3 tiles: another extractor, which sees flips and mirrors",
    )
    how.add_argument("--device", default="cpu", metavar="NAME", help="cpu, cuda or cuda:N (default: %(default)s)")
    how.add_argument(
        "--draws",
        type=int,
        default=10,
        metavar="N",
        help="random divisions of the patients; 0: no floor or extrapolation (default: %(default)s)",
    )

    challenge = parser.add_argument_group("the VLM3D challenge's numbers")
    challenge.add_argument("--ct-net", type=Path, metavar="JSON", help="CT-Net, converted: its FVD")
    challenge.add_argument("--ct-clip", type=Path, metavar="DIR", help="CT-CLIP, converted: its CLIP scores")
    challenge.add_argument(
        "--prompts", type=Path, metavar="CSV", help=f"the texts of --ct-clip: columns {' and '.join(PROMPT_COLUMNS)}"
    )


def run(arguments: argparse.Namespace) -> None:
    """Write the tables and the banks."""
    _check_sources(arguments)
    _check_challenge(arguments)
    config = _settings(arguments)
    if arguments.banks is not None:
        _compare_banks(arguments, config)
        return
    patients = {} if arguments.patients is None else read_patients(arguments.patients)
    volumes = {
        side: volumes_in(
            getattr(arguments, side), spacing_mm=_spacing(arguments, side), patients=patients, real=side == "real"
        )
        for side in _SIDES
    }
    if arguments.patients is not None:
        check_patients(arguments.patients, patients, [*volumes["real"], *volumes["synthetic"]])
    _check_pairs(arguments, volumes)
    protocol = make_protocol(
        arguments.protocol, clip_hu=_clip_hu_option(arguments) or _CLIP_HU, num_slices=arguments.slices
    )
    volumes = _check_hu(arguments, volumes, protocol.clip_hu)
    spec = FeatureSpec(protocol, extractor_of(config), tuple(protocol.windows_hu))
    found = {
        side: collect_features(
            volumes[side],
            spec,
            {"kind": side, "source": _source(arguments, side)},
            arguments.out / "volumes",
            indices=True,
        )
        for side in _SIDES
    }
    tables, faults = [], measure_faults(found["real"].volumes, spec)
    for window in spec.windows:
        real, synthetic = (found[side].bank([window]) for side in _SIDES)
        for side, bank in zip(_SIDES, (real, synthetic), strict=True):
            write_bank(arguments.out / window / f"{side}.json", bank)
        rows = [*real_rows(window, real, config), *table_rows(window, Views(real), Views(synthetic), config)]
        tables.append(pd.DataFrame(rows).assign(smallest_visible=faults.words(window, rows)))
    table = arguments.out / "fid.csv"
    write_table(table, pd.concat(tables), digits=6)
    judged, cases = judge_sets([(found["real"], [found["synthetic"]])], arguments.out / "volumes")
    write_table(arguments.out / "indices.csv", judged, digits=6)
    write_table(arguments.out / "index_cases.csv", cases, digits=6)
    write_bytes(arguments.out / "indices.png", indices_png(judged, cases))
    log.info("%s written; its values compare with %s", table, spec.extractor.comparable)
    _write_challenge(arguments, volumes, pd.concat(tables))


def _write_challenge(arguments: argparse.Namespace, volumes: Mapping[str, list[VolumeFile]], fid: pd.DataFrame) -> None:
    """Write the table of the challenge's numbers, if there are any."""
    cache, tables = arguments.out / "volumes", [fid_table(fid)]
    if arguments.ct_net is not None or arguments.ct_clip is not None:
        pairs = pair_by_name(volumes["real"], volumes["synthetic"])
        if arguments.ct_net is not None:
            tables.append(video_table(pairs, CTNetExtractor(arguments.ct_net, arguments.device), cache))
        if arguments.ct_clip is not None:
            prompts = read_prompts(arguments.prompts, pairs.synthetic)
            extractor = CTClipExtractor(arguments.ct_clip, arguments.device)
            tables.append(clip_table(pairs, prompts, extractor, cache))
    held = [table for table in tables if len(table)]
    if held:
        write_table(arguments.out / "vlm3d.csv", pd.concat(held), digits=6)
        log.info("%s has the VLM3D challenge's numbers", arguments.out / "vlm3d.csv")


def _check_pairs(arguments: argparse.Namespace, volumes: Mapping[str, list[VolumeFile]]) -> None:
    """Refuse volumes without a partner or a prompt of their name, before anything is computed."""
    if arguments.ct_net is not None or arguments.ct_clip is not None:
        pairs = pair_by_name(volumes["real"], volumes["synthetic"])
        if arguments.prompts is not None:
            read_prompts(arguments.prompts, pairs.synthetic)


def _source(arguments: argparse.Namespace, side: str) -> str:
    """Return the name of a set: its folder's, unless that is the name of the real ones."""
    name = Path(getattr(arguments, side)).name
    return f"{name}, {side}" if name == REAL and side != REAL else name


def _compare_banks(arguments: argparse.Namespace, config: EvaluateFidConfig) -> None:
    """Compare features that another program made."""
    real, synthetic = (read_bank(path) for path in arguments.banks)
    table = arguments.out / "banks.csv"
    write_table(table, pd.DataFrame(bank_rows(real, synthetic, config)), digits=6)
    few = min(len(set(bank.patients)) for bank in (real, synthetic))
    if few < MIN_FRECHET_PATIENTS:
        log.warning(
            "no Frechet distance: %d patients in a set, and below %d it says little; read mmd beside mmd_floor",
            few,
            MIN_FRECHET_PATIENTS,
        )
    log.info("%s written; its values compare with %s", table, real.facts.comparable)


def _check_sources(arguments: argparse.Namespace) -> None:
    """Refuse a call that names neither two folders nor two banks, or both."""
    given = [side for side in _SIDES if getattr(arguments, side) is not None]
    if len(given) == (0 if arguments.banks else len(_SIDES)):
        return
    named = " and ".join(f"--{name}" for name in (*given, *["banks"] * (arguments.banks is not None))) or "neither"
    raise ConfigError(
        f"{named} given, expected --real and --synthetic, or --banks alone.",
        code="nothing-to-compare",
        remedy="name a folder of real and one of synthetic volumes, or two banks of their features.",
    )


def _check_challenge(arguments: argparse.Namespace) -> None:
    """Refuse options of the challenge's numbers that have no effect."""
    given = [name for name in ("ct_net", "ct_clip", "prompts") if getattr(arguments, name) is not None]
    if (arguments.ct_clip is None) == (arguments.prompts is None) and not (arguments.banks and given):
        return
    named = " and ".join(f"--{name.replace('_', '-')}" for name in given)
    raise ConfigError(
        f"{named} given, expected --ct-clip with --prompts, --ct-net, or both, with --real and --synthetic.",
        code="option-without-effect",
        remedy="CLIP scores are of volumes and their texts: give both options, or leave both out.",
    )


def _settings(arguments: argparse.Namespace) -> EvaluateFidConfig:
    given = {
        "protocol": arguments.protocol,
        "slices_per_volume": arguments.slices,
        "radimagenet": arguments.radimagenet,
        "device": arguments.device,
        "num_draws": arguments.draws,
        "tiles": arguments.tiles,
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
