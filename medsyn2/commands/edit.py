r"""Change a real CT inside a region and leave every other voxel as it is.

Add a nodule; the mask says where, the words what:

    medsyn2 edit --model results/train_dit/model --ct ct.nii.gz --mask nodule.nii.gz --mask-text "lung nodules" \
        --report "A solid nodule of 12 mm in the right upper lobe." --output added.nii.gz

Remove one:

    medsyn2 edit --model results/train_dit/model --ct ct.nii.gz --remove nodule.nii.gz --mask-text "lung nodules" \
        --report "No pulmonary nodule." --output removed.nii.gz

Move one, from the first mask to the second:

    medsyn2 edit --model results/train_dit/model --ct ct.nii.gz --remove here.nii.gz --mask there.nii.gz \
        --mask-text "lung nodules" --output moved.nii.gz

Make an edited CT again from its JSON and the real CT:

    medsyn2 edit --model results/train_dit/model --ct ct.nii.gz --from-sidecar added.json --output again.nii.gz

The CT is registered to the model's template once; the registration is kept beside the output for further edits. The
region is the one given, or what lies within a margin of the masks. Outside it the output holds the very numbers of the
CT's file, on its grid and in its type; inside, the new values are blended in over a width from the border. Beside the
output stand the region, the mask and a JSON with everything it was made from, in which the CT is called by a hash: no
name, no path and no free text of its header travel. It is marked as synthetic and not for clinical use.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from medsyn2.commands.answers import add_json
from medsyn2.commands.request import (
    SAMPLING,
    add_check,
    add_conditions,
    add_model,
    add_sampling,
    answer_made,
    load_model,
    mask_of,
    progress_bar,
    refuse_idle,
    report_of,
    sampling_of,
    write_check,
)
from medsyn2.ct.edit_region import MARGIN_MM
from medsyn2.ct.volume import CTVolume
from medsyn2.pipeline import EditedCT, MedSyn2Pipeline
from medsyn2.pipeline.ct_edit import BLEND_MM, STRENGTH, Inside
from medsyn2.pipeline.generation import Progress
from medsyn2.pipeline.outputs import check_output
from medsyn2.pipeline.source_file import align_once, read_source

log = logging.getLogger(__name__)

_OWN = ("remove", "region", "margin_mm", "blend_mm", "strength", "resamplings")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model(parser)
    parser.add_argument(
        "--ct",
        type=Path,
        required=True,
        metavar="PATH",
        help="the real CT, a whole chest: a file, or a folder of DICOM",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="the edited CT, .nii.gz, .nii, .mha, .nrrd; a folder or .zip: DICOM. JSON beside it",
    )
    add_check(parser)
    add_json(parser)
    asked = add_conditions(parser, "what there shall be; the mask lies in the CT's world")
    asked.add_argument(
        "--remove",
        type=Path,
        metavar="FILE",
        help="mask of where the structure is now and shall not be; without --mask none of it is asked for",
    )

    where = parser.add_argument_group("where it may change").add_mutually_exclusive_group()
    where.add_argument("--region", type=Path, metavar="FILE", help="mask of the region, on any grid in the CT's world")
    where.add_argument(
        "--margin-mm",
        type=float,
        metavar="N",
        help=f"the region is what lies so near to --mask and --remove (default: {MARGIN_MM:g})",
    )

    how = add_sampling(parser)
    how.add_argument(
        "--strength",
        type=float,
        metavar="SHARE",
        help=f"1 keeps nothing of the region, 0 changes nothing (default: {STRENGTH:g})",
    )
    how.add_argument(
        "--resamplings",
        type=int,
        metavar="N",
        help="solve each step so often, with new noise in between, as RePaint does (default: 1)",
    )
    how.add_argument(
        "--blend-mm",
        type=float,
        metavar="N",
        help=f"width over which the new values rise inside the region's border (default: {BLEND_MM:g})",
    )
    again = parser.add_argument_group("from an earlier edit")
    again.add_argument("--from-sidecar", type=Path, metavar="JSON", help="make the edited CT of this JSON again")


def run(arguments: argparse.Namespace) -> None:
    """Edit the CT and write it."""
    _refuse_what_has_no_effect(arguments)
    files = ("ct", "report_file", "mask", "remove", "region", "from_sidecar")
    given = [path for name in files if (path := getattr(arguments, name)) is not None]
    check_output(arguments.output, given, with_check=arguments.check)
    ct, source, notes = read_source(arguments.ct)
    for note in notes:
        log.warning("%s: %s", arguments.ct.name, note)
    pipeline = load_model(arguments)
    with progress_bar() as progress:
        made = _edit(pipeline, arguments, ct, progress)
    made.save(arguments.output, source)
    if arguments.check:
        write_check(arguments.output, made)
    log.info("%s written; it is synthetic inside its region, seed %d", arguments.output, made.order.recipe.seed)
    answer_made(arguments, made)


def _edit(pipeline: MedSyn2Pipeline, arguments: argparse.Namespace, ct: CTVolume, progress: Progress) -> EditedCT:
    if arguments.from_sidecar is not None:
        return pipeline.remake_edit(arguments.from_sidecar, ct, progress=progress)
    inside = Inside(
        region=mask_of(arguments.region),
        remove=mask_of(arguments.remove),
        margin_mm=arguments.margin_mm,
        blend_mm=BLEND_MM if arguments.blend_mm is None else arguments.blend_mm,
        resamplings=1 if arguments.resamplings is None else arguments.resamplings,
        align=lambda ct: align_once(pipeline, ct, arguments.output.parent),
        seed=0 if arguments.seed is None else arguments.seed,
    )
    return pipeline.edit(
        ct,
        report_of(arguments),
        mask=mask_of(arguments.mask),
        mask_text=arguments.mask_text,
        strength=arguments.strength,
        sampling=replace(pipeline.sampling, **sampling_of(arguments)),
        progress=progress,
        **inside,
    )


def _refuse_what_has_no_effect(arguments: argparse.Namespace) -> None:
    idle: tuple[str, ...] = ()
    if arguments.from_sidecar is not None:
        idle = ("report", "report_file", "mask", "mask_text", "seed", "precision", *SAMPLING, *_OWN)
    else:
        if arguments.report is None and arguments.report_file is None:
            idle = (*idle, "guidance_report")
        if arguments.mask is None and arguments.remove is None:
            idle = (*idle, "guidance_mask")
    refuse_idle(
        arguments,
        idle,
        "leave them out: guidance belongs to a report or a mask that is given, and a CT that is edited again takes "
        "everything from its JSON.",
    )
