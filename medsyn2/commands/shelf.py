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

Draw nodules into a lobe of a real CT, on the CT's grid, for `medsyn2 edit`:

    medsyn2 shelf take --ct ct.nii.gz --nodules-mm 12 8 --lobe right_upper --seed 1 --output masks/
"""

import argparse
import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np

from medsyn2.commands.answers import add_json, answer
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
from medsyn2.facts import MasksFacts, mask_file
from medsyn2.files import write_atomically
from medsyn2.formats import write_labels
from medsyn2.phantoms import draw_subject
from medsyn2.phantoms.demands import read_demands
from medsyn2.phantoms.shelf import SEED, draw_for, report_of, take_masks
from medsyn2.pipeline.outputs import check_output
from medsyn2.pipeline.source_file import read_source
from medsyn2.segmenters import get_segmenter
from medsyn2.store.artefacts import Record, load_records
from medsyn2.store.read_artefact import read_made_labels
from medsyn2.vocabulary import LOBES, SIDES, STRUCTURES, Structure
from medsyn2.weights.bundled import choose_model
from medsyn2.weights.model_folder import read_description
from medsyn2.weights.model_template import read_grid, read_reference

log = logging.getLogger(__name__)

_MARK = "SYNTHETIC medsyn2 mask"
_OF_A_CT = ("nodules_mm", "lobe")
_OF_A_SHELF = ("model", "phantom", "report", "structures", "run", "case")
_OF_PHANTOMS = ("model", "phantom", "report")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("action", choices=("list", "take"))
    parser.add_argument("--count", type=int, default=20, metavar="N", help="phantoms that are listed (default: 20)")
    parser.add_argument("--output", type=Path, metavar="DIR", help="folder of the masks that are taken")
    shelf = parser.add_argument_group("from the shelf")
    shelf.add_argument(
        "--model",
        type=Path,
        metavar="DIR",
        help="model on whose grid the masks shall lie (default: the small one that ships with the package)",
    )
    shelf.add_argument("--phantom", type=int, metavar="N", help="number of the phantom (default: 0)")
    shelf.add_argument("--report", metavar="TEXT", help="lesions that the phantom shall have")
    shelf.add_argument("--run", type=Path, metavar="DIR", help="results of a finished run, in place of the phantoms")
    shelf.add_argument("--case", metavar="ID", help="held-out case of that run")
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
    if arguments.action == "list":
        rows = list(_list(arguments))
        values = {"masks": [{"name": name, "content": content} for name, content in rows]}
        answer(arguments, "shelf", values, "".join(f"{name}\t{content}\n" for name, content in rows))
        return
    _refuse_mixture(arguments)
    take = _draw if arguments.ct is not None else _take if arguments.run is None else _take_of_run
    masks, files = take(arguments), []
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
    answer(arguments, "shelf", {"masks": files}, "")


def _write(path: Path, mask: LabelMap) -> None:
    write_atomically(path, lambda partial: write_labels(partial, mask, description=_MARK))


def _refuse_mixture(arguments: argparse.Namespace) -> None:
    idle: tuple[str, ...] = (*_OF_A_CT, "run", "case")
    lacking = "output"
    if arguments.ct is not None:
        idle, lacking = _OF_A_SHELF, "nodules_mm"
    elif arguments.run is not None:
        idle, lacking = (*_OF_A_CT, *_OF_PHANTOMS), "case"
    given = [name for name in idle if getattr(arguments, name) is not None]
    if given or arguments.output is None or getattr(arguments, lacking) is None:
        raise ConfigError(
            "expected --output, and --run and --case for masks of a run, or --ct and --nodules-mm for masks on a CT, "
            "got another mixture.",
            code="shelf-options",
            remedy="see `medsyn2 shelf --help` for each kind.",
        )


def _list(arguments: argparse.Namespace) -> Iterator[tuple[str, str]]:
    if arguments.run is None:
        for number in range(arguments.count):
            yield str(number), report_of(draw_subject(SEED, number))
    else:
        for case, record in _find_held_out(arguments.run).items():
            volumes = {name: record.facts.masks[name].volume_ml for name in record.facts.present}
            yield case, ", ".join(f"{name} {ml:.0f} ml" for name, ml in volumes.items())


def _find_held_out(run: Path) -> dict[str, Record[MasksFacts]]:
    """Return the held-out cases of a finished run."""
    records = load_records(sorted((run / "masks").glob("*.json")), MasksFacts)
    held_out = {case: record for case, record in records.items() if record.facts.split == "test"}
    if not held_out:
        raise ConfigError(
            f"{run} holds no masks of held-out cases.",
            code="run-without-masks",
            remedy="give the folder of results of a run that has made its masks.",
        )
    return held_out


def _take_of_run(arguments: argparse.Namespace) -> dict[str, LabelMap]:
    """Return masks of a held-out case of a run, which lie on the grid of its model."""
    held_out = _find_held_out(arguments.run)
    if arguments.case not in held_out:
        raise ConfigError(
            f"{arguments.run} has no held-out case {arguments.case!r}.",
            code="case-unknown",
            remedy="`medsyn2 shelf list --run` names them.",
        )
    record = held_out[arguments.case]
    masks = {name: read_made_labels(record.path(mask_file(name))) for name in record.facts.present}
    return _choose(masks, arguments.structures, f"case {arguments.case}")


def _choose(masks: Mapping[Structure, LabelMap], wanted: list[Structure] | None, owner: str) -> dict[str, LabelMap]:
    if lacking := [name for name in wanted or () if name not in masks]:
        raise MaskError(
            f"{owner} has no {', '.join(lacking)}.",
            code="mask-empty",
            remedy="take another one (`medsyn2 shelf list`), or ask for the lesion by --report.",
        )
    return {name: masks[name] for name in wanted or masks}


def _take(arguments: argparse.Namespace) -> dict[str, LabelMap]:
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
    return _choose(masks, arguments.structures, f"phantom {subject.index}")


def _draw(arguments: argparse.Namespace) -> dict[str, LabelMap]:
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
    return {"nodules": LabelMap(mask, ct.affine_mm)}


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
