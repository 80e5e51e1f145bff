r"""Generate one CT from a report, from a mask and the words for it, from both or from neither.

From a report:

    medsyn2 generate --model results/train_dit/model --report "Large left pleural effusion." --output a.nii.gz

From a mask, the place, and words, the structure:

    medsyn2 generate --model results/train_dit/model --mask heart.nii.gz --mask-text "heart" --output b.nii.gz

The same noise under another report, to see the effect of the report:

    medsyn2 generate --model results/train_dit/model --report "No effusion." --seed 0 --output c.nii.gz

Add a structure to a volume and keep the rest; its JSON says how it was made:

    medsyn2 generate --model results/train_dit/model --edit a.json --strength 0.75 \
        --mask nodule.nii.gz --mask-text "lung nodules" --output d.nii.gz

Make a volume again from its JSON:

    medsyn2 generate --model results/train_dit/model --from-sidecar a.json --output again.nii.gz

The output is int16 HU on the model's grid and opens in any viewer that knows NIfTI. It is marked as synthetic
in its header; beside it stand a JSON with everything it was made from and, if a mask was given, that mask on the
model's grid. Without --mask the model may put structures anywhere; with a mask that is empty it is told that the
structure is nowhere. Files of an earlier volume of the same name are replaced, any other file is not. It is not for
clinical use.
"""

import argparse
import logging
import sys
from dataclasses import replace
from pathlib import Path
from typing import get_args

from tqdm import tqdm

from medsyn2.ct.volume import LabelMap
from medsyn2.errors import ConfigError, ReportError, reason
from medsyn2.flow import Solver
from medsyn2.formats import read_mask
from medsyn2.pipeline import MedSyn2Pipeline, Step, Synthetic
from medsyn2.pipeline.generation import Progress
from medsyn2.pipeline.outputs import check_output
from medsyn2.vocabulary import PrecisionSetting

log = logging.getLogger(__name__)

_MAX_REPORT_BYTES = 64 * 1024
_STRENGTH = 0.75
_SAMPLING = ("solver", "num_steps", "guidance_report", "guidance_mask")
"""The values of the sampling that have an option; the others are the model's."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--model", type=Path, required=True, metavar="DIR", help="folder of a trained model")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="FILE", help="the volume, .nii.gz or .nii; JSON beside it"
    )
    parser.add_argument(
        "--device",
        default="auto",
        metavar="NAME",
        help="auto, which is the GPU where there is one, cpu, cuda or cuda:N (default: %(default)s)",
    )
    parser.add_argument(
        "--precision",
        choices=get_args(PrecisionSetting),
        help="arithmetic of the networks; auto is bf16 on GPUs that have it, float32 elsewhere (default: auto)",
    )

    asked = parser.add_argument_group("what to generate; each is optional")
    report = asked.add_mutually_exclusive_group()
    report.add_argument(
        "--report", metavar="TEXT", help="findings and impression, [SEP] between them if there are both"
    )
    report.add_argument("--report-file", type=Path, metavar="FILE", help="the same from a UTF-8 text file")
    asked.add_argument("--mask", type=Path, metavar="FILE", help="mask of one structure, on any grid")
    asked.add_argument(
        "--mask-text",
        metavar="WORDS",
        help="what the mask is of, such as 'lung nodules'; words the model was not trained with are allowed",
    )

    how = parser.add_argument_group("how")
    how.add_argument("--seed", type=int, metavar="N", help="another number, another volume (default: 0)")
    how.add_argument(
        "--solver",
        choices=get_args(Solver),
        help="dopri5 with 50 steps is the paper's and takes 301 evaluations of the network; unipc takes one a step "
        "(default: the model's)",
    )
    how.add_argument("--steps", dest="num_steps", type=int, metavar="N", help="steps (default: the model's)")
    for name in ("report", "mask"):
        how.add_argument(
            f"--guidance-{name}",
            type=float,
            metavar="SCALE",
            help=f"1 follows the {name} as trained, more exaggerates it, 0 ignores it (default: the model's)",
        )

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
    made_from = (arguments.report_file, arguments.mask, arguments.from_sidecar, arguments.edit)
    check_output(arguments.output, [path for path in made_from if path is not None])
    report = arguments.report if arguments.report_file is None else _read_report(arguments.report_file)
    mask = None if arguments.mask is None else _read_mask(arguments.mask)
    precision: PrecisionSetting = arguments.precision or "auto"
    pipeline = MedSyn2Pipeline.from_pretrained(arguments.model, device=arguments.device, precision=precision)
    with tqdm(file=sys.stderr, disable=None) as bar:
        phase = ""

        def progress(step: Step) -> None:
            nonlocal phase
            if step.phase != phase or step.done < bar.n:  # an edit may begin with the steps of the earlier volume
                phase = step.phase
                bar.reset(total=step.total)
                bar.set_description(phase)
            bar.update(step.done - bar.n)

        made = _generate(pipeline, arguments, report, mask, progress)
    made.save(arguments.output)
    log.info("%s written; it is synthetic, seed %d", arguments.output, made.recipe.seed)


def _generate(
    pipeline: MedSyn2Pipeline,
    arguments: argparse.Namespace,
    report: str | None,
    mask: LabelMap | None,
    progress: Progress,
) -> Synthetic:
    if arguments.from_sidecar is not None:
        return pipeline.remake(arguments.from_sidecar, progress=progress)
    given = {name: value for name in _SAMPLING if (value := getattr(arguments, name)) is not None}
    sampling, words = replace(pipeline.sampling, **given), arguments.mask_text
    if arguments.edit is None:
        seed = 0 if arguments.seed is None else arguments.seed
        return pipeline(report, mask=mask, mask_text=words, seed=seed, sampling=sampling, progress=progress)
    strength = _STRENGTH if arguments.strength is None else arguments.strength
    return pipeline.edit(
        arguments.edit, report, mask=mask, mask_text=words, strength=strength, sampling=sampling, progress=progress
    )


def _refuse_what_has_no_effect(arguments: argparse.Namespace) -> None:
    asked = ("report", "report_file", "mask", "mask_text")
    how = ("seed", "precision", *_SAMPLING)
    idle: tuple[str, ...] = () if arguments.edit is not None else ("strength",)
    if arguments.from_sidecar is not None:
        idle = (*idle, *asked, *how)
    else:
        idle = idle if arguments.edit is None else (*idle, "seed")
        if arguments.report is None and arguments.report_file is None:
            idle = (*idle, "guidance_report")
        if arguments.mask is None:
            idle = (*idle, "guidance_mask")
    given = [_option(name) for name in idle if getattr(arguments, name) is not None]
    if given:
        raise ConfigError(
            f"{', '.join(given)} would have no effect here.",
            code="option-without-effect",
            remedy="leave them out: --strength belongs to --edit, guidance to a report or a mask that is given; a "
            "volume made again takes everything from its JSON, and an edit takes the seed from it.",
        )


def _option(name: str) -> str:
    return "--steps" if name == "num_steps" else f"--{name.replace('_', '-')}"


def _read_report(path: Path) -> str:
    try:
        content = path.read_bytes()
        if len(content) > _MAX_REPORT_BYTES:
            raise ValueError(f"{len(content):,} bytes, at most {_MAX_REPORT_BYTES:,} are read")
        return content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ReportError(
            f"{path} cannot be read as a report: {reason(error)}.",
            code="report-unreadable",
            remedy="give a UTF-8 text file with one report.",
        ) from error


def _read_mask(path: Path) -> LabelMap:
    mask, notes = read_mask(path)
    for note in notes:
        log.warning("%s", note)
    return mask
