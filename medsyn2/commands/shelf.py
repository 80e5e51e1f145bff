r"""Masks for those who have none: a shelf of phantoms' masks, and lesions drawn from numbers.

List the shelf, each phantom with the findings of its report, or the held-out cases of a finished run:

    medsyn2 shelf list --count 10
    medsyn2 shelf list --run results

Take the masks of a phantom on a model's grid, a file for each structure:

    medsyn2 shelf take --model results/train_dit/model --phantom 3 --output masks/

Take masks that fit a report: lesions of its sides, lobes and sizes in a phantom with room for them:

    medsyn2 shelf take --model results/train_dit/model --report "Large left pleural effusion." --output masks/

Change a mask on the way; the changes are made in the order of this list:

    medsyn2 shelf take --model results/train_dit/model --phantom 3 --structures pleural_effusion --mirror --side left \
        --shift-mm 10 0 0 --scale 1.2 --grow-mm 3 --output masks/

Take those of a held-out case of a finished run:

    medsyn2 shelf take --run results --case phantom_00004 --output masks/

List the training cases of a run whose reports are most like another, and take masks of the first that has them; a
patient whose report it is, word for word, is left out, and others are by name:

    medsyn2 shelf list --run results --report "Large left pleural effusion." --structures pleural_effusion --count 5
    medsyn2 shelf take --run results --report "Large left pleural effusion." --structures pleural_effusion \
        --exclude-subject phantom_00001 --output masks/

Draw nodules into a lobe of a real CT, on the CT's grid, for `medsyn2 edit`:

    medsyn2 shelf take --ct ct.nii.gz --nodules-mm 12 8 --lobe right_upper --seed 1 --output masks/
"""

import argparse
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from medsyn2.commands.answers import add_json, answer
from medsyn2.commands.shelf_run import choose_case, list_cases
from medsyn2.config import SegmentConfig
from medsyn2.ct.geometry import nearest_labels
from medsyn2.ct.mask_edits import (
    grow_mask,
    keep_half,
    mirror_mask,
    scale_mask,
    scatter_nodules,
    shift_mask,
    shrink_mask,
)
from medsyn2.ct.volume import LabelMap
from medsyn2.errors import ConfigError, MaskError, SegmenterError
from medsyn2.files import write_atomically
from medsyn2.formats import write_labels
from medsyn2.phantoms import draw_subject
from medsyn2.phantoms.demands import read_demands
from medsyn2.phantoms.shelf import SEED, draw_for, report_of, take_masks
from medsyn2.pipeline.outputs import check_output
from medsyn2.pipeline.source_file import read_source
from medsyn2.segmenters import get_segmenter
from medsyn2.vocabulary import LOBES, SIDES, STRUCTURES, Structure
from medsyn2.weights.bundled import choose_model
from medsyn2.weights.model_folder import read_description
from medsyn2.weights.model_template import read_grid, read_reference

log = logging.getLogger(__name__)

_Taken = tuple[dict[str, LabelMap], dict[str, Any]]
"""Masks by their names, and whose they are if they are of a run."""
_MARK = "SYNTHETIC medsyn2 mask"
_OF_A_CT = ("nodules_mm", "lobe")
_OF_A_SHELF = ("model", "phantom", "report", "structures", "run", "case", "exclude_subject")
_OF_A_RUN = ("case", "exclude_subject")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("action", choices=("list", "take"))
    parser.add_argument(
        "--count", type=int, default=20, metavar="N", help="phantoms or similar cases that are listed (default: 20)"
    )
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the masks that are taken")
    shelf = parser.add_argument_group("from the shelf")
    shelf.add_argument(
        "--model",
        type=Path,
        metavar="DIR",
        help="model on whose grid the masks shall lie (default: the small one that ships with the package)",
    )
    shelf.add_argument("--phantom", type=int, metavar="N", help="number of the phantom (default: 0)")
    shelf.add_argument(
        "--report", metavar="TEXT", help="lesions that the phantom shall have, or the report that a run's shall be like"
    )
    shelf.add_argument("--run", type=Path, metavar="DIR", help="results of a finished run, in place of the phantoms")
    shelf.add_argument("--case", metavar="ID", help="held-out case of that run")
    shelf.add_argument(
        "--exclude-subject",
        action="append",
        metavar="ID",
        help="patient, or a case of one, who is left out; repeatable",
    )
    shelf.add_argument("--structures", nargs="+", choices=STRUCTURES, metavar="NAME", help="(default: all)")
    drawn = parser.add_argument_group("drawn into a CT")
    drawn.add_argument("--ct", type=Path, metavar="PATH", help="the CT on whose grid the mask shall lie")
    drawn.add_argument("--nodules-mm", type=float, nargs="+", metavar="N", help="diameters of the nodules")
    drawn.add_argument("--lobe", choices=tuple(LOBES.values()), help="where they shall be (default: any lobe)")
    drawn.add_argument("--seed", type=int, default=0, metavar="N", help="of their places (default: 0)")
    changes = parser.add_argument_group("changed on the way")
    changes.add_argument("--mirror", action="store_true", help="exchange left and right")
    changes.add_argument("--side", choices=SIDES, help="keep the part on this side of the patient")
    changes.add_argument(
        "--shift-mm",
        type=float,
        nargs=3,
        metavar=("UP", "BACK", "LEFT"),
        help="move towards superior, posterior and the patient's left",
    )
    changes.add_argument("--scale", type=float, metavar="FACTOR", help="multiply each length about the centroid")
    changes.add_argument("--grow-mm", type=float, metavar="N", help="widen by so much")
    changes.add_argument("--shrink-mm", type=float, metavar="N", help="narrow by so much")
    add_json(parser)


def run(arguments: argparse.Namespace) -> None:
    """List the shelf, or write masks."""
    _refuse_mixture(arguments)
    if arguments.action == "list":
        rows = _list(arguments)
        lines = ["\t".join(_show(row[key]) for key in ("name", "similarity", "content") if key in row) for row in rows]
        answer(arguments, "shelf", {"masks": rows}, "".join(f"{line}\n" for line in lines))
        return
    take = _draw if arguments.ct is not None else _take if arguments.run is None else _take_of_run
    masks, about = take(arguments)
    files = []
    for name, mask in masks.items():
        changed = _change(mask, arguments)
        if not changed.binary().any():
            raise MaskError(
                f"nothing is left of the mask of {name} after its changes.",
                code="mask-empty",
                remedy="shift or shrink it by less, or keep the other side.",
            )
        path = arguments.output / f"{name}.nii.gz"
        check_output(path, [])
        _write(path, changed)
        log.info("%s written", path)
        files.append({"name": name, "path": path})
    answer(arguments, "shelf", {"masks": files, **about}, "")


def _show(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.3f}"


def _write(path: Path, mask: LabelMap) -> None:
    write_atomically(path, lambda partial: write_labels(partial, mask, description=_MARK))


def _refuse_mixture(arguments: argparse.Namespace) -> None:
    idle: tuple[str, ...] = (*_OF_A_CT, "run", *_OF_A_RUN)
    lacking: tuple[str, ...] = ("output",)
    if arguments.ct is not None:
        idle, lacking = _OF_A_SHELF, ("output", "nodules_mm")
    elif arguments.run is not None:
        by_case = arguments.report is None
        idle = (*_OF_A_CT, "model", "phantom", "exclude_subject" if by_case else "case")
        lacking = ("output", "case") if by_case else ("output",)
    if arguments.action == "list":
        idle, lacking = (*idle, "ct", "case", *(() if arguments.run is not None else ("report", "structures"))), ()
    given = [name for name in idle if getattr(arguments, name) is not None]
    if given or any(getattr(arguments, name) is None for name in lacking):
        raise ConfigError(
            "expected --output, and --run with --case or --report for masks of a run, or --ct and --nodules-mm for "
            "masks on a CT, got another mixture.",
            code="shelf-options",
            remedy="see `medsyn2 shelf --help` for each kind.",
        )


def _list(arguments: argparse.Namespace) -> list[dict[str, Any]]:
    if arguments.run is None:
        numbers = range(arguments.count)
        return [{"name": str(number), "content": report_of(draw_subject(SEED, number))} for number in numbers]
    return [
        {
            "name": case,
            **({} if found.similarity is None else {"similarity": found.similarity}),
            "content": found.content,
            "structures": found.record.facts.present,
        }
        for case, found in list_cases(arguments)
    ]


def _take_of_run(arguments: argparse.Namespace) -> _Taken:
    """Return masks of a case of a run, which lie on the grid of its model."""
    case, found = choose_case(arguments)
    log.warning("the masks are those of a patient of %s, and the terms of its cohort hold for them", arguments.run)
    about = {"case": case} if found.similarity is None else {"case": case, "similarity": found.similarity}
    return _choose(found.read(), arguments.structures, f"case {case}"), about


def _choose(masks: Mapping[Structure, LabelMap], wanted: list[Structure] | None, owner: str) -> dict[str, LabelMap]:
    if lacking := [name for name in wanted or () if name not in masks]:
        raise MaskError(
            f"{owner} has no {', '.join(lacking)}.",
            code="mask-empty",
            remedy="take another one (`medsyn2 shelf list`), or ask for the lesion by --report.",
        )
    return {name: masks[name] for name in wanted or masks}


def _take(arguments: argparse.Namespace) -> _Taken:
    """Return masks of a phantom on the model's grid."""
    model = choose_model(arguments.model)
    description = read_description(model)
    reference = read_reference(model, description)
    if reference is None:
        raise ConfigError(
            f"{model} holds no template, so that nothing says where a chest lies on its grid.",
            code="model-without-template",
            remedy="run the workflow again with this version, which adds the template and trains nothing anew.",
        )
    number = arguments.phantom or 0
    subject = draw_subject(SEED, number)
    if arguments.report is not None:
        demands = read_demands(arguments.report)
        if not demands:
            raise MaskError(
                "expected a report that states a nodule, an opacity, a consolidation or an effusion, got none.",
                code="report-without-lesion",
                remedy="write sentences such as 'A 12 mm solid nodule is seen in the right upper lobe.'",
            )
        subject = draw_for(demands, number)
        for demand in demands:
            log.info("asked for: %s", demand)
    log.info("phantom %d: %s", subject.index, report_of(subject))
    masks = take_masks(subject, reference, read_grid(description))
    return _choose(masks, arguments.structures, f"phantom {subject.index}"), {}


def _draw(arguments: argparse.Namespace) -> _Taken:
    """Return a mask of nodules in the lobes of a CT."""
    ct, _, notes = read_source(arguments.ct)
    for note in notes:
        log.warning("%s: %s", arguments.ct.name, note)
    found = get_segmenter("classical", SegmentConfig()).segment(ct, ["lobes"])["lobes"]
    if isinstance(found, SegmenterError):
        raise found
    lobes = nearest_labels(found, ct.grid)
    room = lobes.binary(arguments.lobe)
    mask = scatter_nodules(room, ct.grid, arguments.nodules_mm, np.random.default_rng(arguments.seed))
    return {"nodules": LabelMap(mask, ct.affine_mm)}, {}


def _change(mask: LabelMap, arguments: argparse.Namespace) -> LabelMap:
    inside, grid = mask.binary(), mask.grid
    if arguments.mirror:
        inside = mirror_mask(inside)
    if arguments.side is not None:
        inside = keep_half(inside, arguments.side)
    if arguments.shift_mm is not None:
        inside = shift_mask(inside, tuple(arguments.shift_mm), grid.spacing_mm)
    if arguments.scale is not None:
        inside = scale_mask(inside, arguments.scale, grid)
    if arguments.grow_mm is not None:
        inside = grow_mask(inside, arguments.grow_mm, grid.spacing_mm)
    if arguments.shrink_mm is not None:
        inside = shrink_mask(inside, arguments.shrink_mm, grid.spacing_mm)
    return LabelMap(inside, mask.affine_mm)
