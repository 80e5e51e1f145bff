r"""Generate CTs from a report, from a mask and the words for it, from both or from neither.

From a report, with the small model that ships with the package:

    medsyn2 generate --report "Large left pleural effusion." --output a.nii.gz

From a mask, the place, and words, the structure:

    medsyn2 generate --model results/train_dit/model --mask heart.nii.gz --mask-text "heart" --output b.nii.gz

The same noise under another report, to see the effect of the report:

    medsyn2 generate --model results/train_dit/model --report "No effusion." --seed 0 --output c.nii.gz

Add a structure to a volume and keep the rest; its JSON says how it was made:

    medsyn2 generate --model results/train_dit/model --edit a.json --strength 0.75 \
        --mask nodule.nii.gz --mask-text "lung nodules" --output d.nii.gz

Make a volume again from its JSON:

    medsyn2 generate --model results/train_dit/model --from-sidecar a.json --output again.nii.gz

Make the volumes of a table, a row each (columns name, report, mask, words, seed), two of each row:

    medsyn2 generate --model results/train_dit/model --table requests.csv --seeds 2 --output volumes/

Run it again to go on after a stop or with more rows: volumes that are there are compared with their request and kept.
Jobs on several machines take a part each (--shard 2/8). Rows that fail are listed in failed.csv, and the rest is made.

A volume and its mask on the grid of a file, or in the model's box at another spacing, in mm:

    medsyn2 generate --report "No effusion." --like ct.nii.gz --output f.nii.gz
    medsyn2 generate --report "No effusion." --spacing-mm 1 --output g.nii.gz

The output is int16 HU on the model's grid unless another is asked for, and opens in any viewer that knows NIfTI. It
is marked as synthetic in its header; beside it stand a JSON with everything it was made from and, if a mask was
given, that mask on the volume's grid. Without --mask the model may put structures anywhere; with a mask that is empty
it is told that the structure is nowhere. Files of an earlier volume of the same name are replaced, any other file is
not. It is not for clinical use.
"""

import argparse
import logging
from dataclasses import replace
from pathlib import Path

from medsyn2.commands.answers import add_json
from medsyn2.commands.generate_table import add_table, run_table
from medsyn2.commands.request import (
    SAMPLING,
    add_check,
    add_conditions,
    add_grid,
    add_model,
    add_sampling,
    answer_made,
    grid_of,
    load_model,
    mask_of,
    progress_bar,
    refuse_idle,
    report_of,
    sampling_of,
    write_check,
)
from medsyn2.ct.volume import LabelMap
from medsyn2.pipeline import MedSyn2Pipeline, Synthetic
from medsyn2.pipeline.generation import Progress
from medsyn2.pipeline.outputs import check_output

log = logging.getLogger(__name__)

_STRENGTH = 0.75


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_model(parser)
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="FILE",
        help="the volume, .nii.gz, .nii, .mha, .nrrd; a folder or .zip: DICOM. JSON beside it. Of a table, a folder",
    )
    add_check(parser)
    add_json(parser)
    add_conditions(parser, "what to generate; each is optional")
    add_sampling(parser)

    add_grid(parser)
    add_table(parser)
    again = parser.add_argument_group("from an earlier volume")
    earlier = again.add_mutually_exclusive_group()
    earlier.add_argument("--from-sidecar", type=Path, metavar="JSON", help="make the volume of this JSON again")
    earlier.add_argument("--edit", type=Path, metavar="JSON", help="change the volume of this JSON, same noise")
    again.add_argument(
        "--strength",
        type=float,
        metavar="SHARE",
        help=f"of an edit: 1 keeps nothing, 0 changes nothing (default: {_STRENGTH})",
    )


def run(arguments: argparse.Namespace) -> None:
    """Generate the volume and write it."""
    _refuse_what_has_no_effect(arguments)
    if arguments.table is not None:
        run_table(arguments)
        return
    made_from = (arguments.report_file, arguments.mask, arguments.from_sidecar, arguments.edit, arguments.like)
    given = [path for path in made_from if path is not None]
    check_output(arguments.output, given, with_check=arguments.check)
    report, mask = report_of(arguments), mask_of(arguments.mask)
    pipeline = load_model(arguments)
    grid = grid_of(arguments, pipeline)
    with progress_bar() as progress:
        made = _generate(pipeline, arguments, report, mask, progress)
    made.save(arguments.output, grid=grid)
    if arguments.check:
        write_check(arguments.output, made)
    log.info("%s written; it is synthetic, seed %d", arguments.output, made.recipe.seed)
    answer_made(arguments, made)


def _generate(
    pipeline: MedSyn2Pipeline,
    arguments: argparse.Namespace,
    report: str | None,
    mask: LabelMap | None,
    progress: Progress,
) -> Synthetic:
    if arguments.from_sidecar is not None:
        return pipeline.remake(arguments.from_sidecar, progress=progress)
    sampling, words = replace(pipeline.sampling, **sampling_of(arguments)), arguments.mask_text
    if arguments.edit is None:
        seed = 0 if arguments.seed is None else arguments.seed
        return pipeline(report, mask=mask, mask_text=words, seed=seed, sampling=sampling, progress=progress)
    strength = _STRENGTH if arguments.strength is None else arguments.strength
    sidecar: Path = arguments.edit
    return pipeline.edit(
        sidecar, report, mask=mask, mask_text=words, strength=strength, sampling=sampling, progress=progress
    )


def _refuse_what_has_no_effect(arguments: argparse.Namespace) -> None:
    idle: tuple[str, ...] = () if arguments.edit is not None else ("strength",)
    if arguments.table is not None:
        idle = (*idle, "report", "report_file", "mask", "mask_text", "from_sidecar", "edit", "like", "spacing_mm")
    else:
        idle = (*idle, "seeds", "shard")
    if arguments.from_sidecar is not None:
        idle = (*idle, "report", "report_file", "mask", "mask_text", "seed", "precision", *SAMPLING)
    elif arguments.table is None:
        idle = idle if arguments.edit is None else (*idle, "seed")
        if arguments.report is None and arguments.report_file is None:
            idle = (*idle, "guidance_report")
        if arguments.mask is None:
            idle = (*idle, "guidance_mask")
    refuse_idle(
        arguments,
        idle,
        "leave them out: --strength belongs to --edit, --seeds and --shard to --table, whose rows say what is "
        "generated, guidance to a report or a mask that is given; a volume made again takes everything from its JSON, "
        "and an edit takes the seed from it.",
    )
