"""The options that commands share which make volumes: the model, the conditions, how they are sampled, the progress."""

import argparse
import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

from tqdm import tqdm

from medsyn2.commands.answers import answer
from medsyn2.config import SegmentConfig
from medsyn2.ct.volume import Grid, LabelMap
from medsyn2.errors import ConfigError, ReportError, reason
from medsyn2.files import write_bytes, write_json
from medsyn2.flow import Solver
from medsyn2.formats import read_mask
from medsyn2.pipeline import EditedCT, MedSyn2Pipeline, Step, Synthetic
from medsyn2.pipeline.generation import Progress
from medsyn2.pipeline.outputs import check_paths, mask_path, region_path, sidecar_path
from medsyn2.pipeline.regrid import check_grid, grid_of_file, grid_of_spacing, share_beyond
from medsyn2.pipeline.synthetic import read_output_grid
from medsyn2.vocabulary import PrecisionSetting
from medsyn2.weights.bundled import choose_model

log = logging.getLogger(__name__)

SAMPLING = ("solver", "num_steps", "guidance_report", "guidance_mask")
"""The values of the sampling that have an option; the others are the model's."""
_MAX_REPORT_BYTES = 64 * 1024
_SHOWN = ("asked_ml", "found_ml", "dice")
"""The values of a check that are logged."""

Group = argparse._ArgumentGroup


def add_model(parser: argparse.ArgumentParser) -> None:
    """Declare the model and where it runs."""
    parser.add_argument(
        "--model",
        type=Path,
        metavar="DIR",
        help="folder of a trained model (default: the small one that ships with the package)",
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


def add_conditions(parser: argparse.ArgumentParser, title: str) -> Group:
    """Declare the report, the mask and its words."""
    asked = parser.add_argument_group(title)
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
    return asked


def add_sampling(parser: argparse.ArgumentParser) -> Group:
    """Declare the seed, the solver and the guidance."""
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
    return how


def add_grid(parser: argparse.ArgumentParser) -> None:
    """Declare the grid of the output."""
    grid = parser.add_argument_group("on which grid (default: the model's)").add_mutually_exclusive_group()
    grid.add_argument(
        "--like", type=Path, metavar="PATH", help="that of this volume or mask; beyond the model's is air"
    )
    grid.add_argument(
        "--spacing-mm", type=float, nargs="+", metavar="N", help="the model's box at this spacing, or at these three"
    )


def grid_of(arguments: argparse.Namespace, pipeline: MedSyn2Pipeline) -> Grid | None:
    """Return the grid that was asked for, or that of the sidecar that is followed; None for the model's.

    Raises:
        CaseError: If the file cannot be read, or its grid lies beside the model's.
        ConfigError: If the grid is impossible.
    """
    if arguments.like is not None:
        grid = grid_of_file(arguments.like)
    elif arguments.spacing_mm is not None:
        grid = grid_of_spacing(pipeline.grid, tuple(arguments.spacing_mm))
    elif arguments.from_sidecar is not None:
        return read_output_grid(arguments.from_sidecar)
    else:
        return None
    check_grid(grid, pipeline.grid)
    if beyond := share_beyond(grid, pipeline.grid):
        log.warning("%.1f%% of the voxels lie beyond the model's grid, where nothing is generated: air", 100 * beyond)
    return grid


def add_check(parser: argparse.ArgumentParser) -> None:
    """Declare the check of what was made."""
    parser.add_argument(
        "--check",
        action="store_true",
        help="write NAME_check.png, three planes with outlines, and NAME_check.json, what a segmenter finds of what "
        "the mask asked for: Dice, volume, side, HU",
    )


def write_check(path: Path, made: Synthetic | EditedCT) -> None:
    """Check a volume that was made and write the picture and the record beside it."""
    from medsyn2.evaluation.control.check import Made, describe_check, draw_check, look_again

    picture, record = check_paths(path)
    checked = Made.of(made)
    found, problem = look_again(checked, SegmentConfig())
    described = describe_check(checked, found, problem)
    write_bytes(picture, draw_check(checked, found, f"SYNTHETIC  {path.name}"))
    write_json(record, described)
    if problem is not None:
        log.warning("%s: not compared with the mask: %s", record, problem)
    else:
        log.info("%s: asked %s ml, found %s ml, Dice %s", record, *(described[name] for name in _SHOWN))


def answer_made(arguments: argparse.Namespace, made: Synthetic | EditedCT) -> None:
    """Print the files of a volume that was made, where JSON was asked for."""
    recipe, path = made.recipe if isinstance(made, Synthetic) else made.order.recipe, arguments.output
    masks = [("mask", mask_path(path, 0)), ("region", region_path(path)), ("check", check_paths(path)[1])]
    values = {
        "volume": path,
        "sidecar": sidecar_path(path),
        **{name: place if place.exists() else None for name, place in masks},
        "model": made.model,
        "seed": recipe.seed,
        "notes": list(recipe.notes),
    }
    answer(arguments, "volume", values, "")


def load_model(arguments: argparse.Namespace) -> MedSyn2Pipeline:
    """Load the model that `add_model` asks for."""
    precision: PrecisionSetting = arguments.precision or "auto"
    folder = choose_model(arguments.model)
    return MedSyn2Pipeline.from_pretrained(folder, device=arguments.device, precision=precision)


def sampling_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the values of the sampling that were given."""
    return {name: value for name in SAMPLING if (value := getattr(arguments, name)) is not None}


def report_of(arguments: argparse.Namespace) -> str | None:
    """Return the report that was given, if there is one.

    Raises:
        ReportError: If its file cannot be read.
    """
    if arguments.report_file is None:
        return arguments.report
    path: Path = arguments.report_file
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


def mask_of(path: Path | None) -> LabelMap | None:
    """Read the mask that was given, if there is one."""
    if path is None:
        return None
    mask, notes = read_mask(path)
    for note in notes:
        log.warning("%s", note)
    return mask


def refuse_idle(arguments: argparse.Namespace, idle: Iterable[str], remedy: str) -> None:
    """Refuse options that were given and would have no effect.

    Args:
        idle: Their names among the arguments.

    Raises:
        ConfigError: If there is one.
    """
    given = [_option(name) for name in idle if getattr(arguments, name) is not None]
    if given:
        raise ConfigError(f"{', '.join(given)} would have no effect here.", code="option-without-effect", remedy=remedy)


def _option(name: str) -> str:
    return "--steps" if name == "num_steps" else f"--{name.replace('_', '-')}"


@contextmanager
def progress_bar() -> Iterator[Progress]:
    """Show the steps of volumes as a bar, where somebody looks."""
    with tqdm(file=sys.stderr, disable=None) as bar:
        phase = ""

        def progress(step: Step) -> None:
            nonlocal phase
            if step.phase != phase or step.done < bar.n:  # an edit may begin with the steps of the earlier volume
                phase = step.phase
                bar.reset(total=step.total)
                bar.set_description(phase)
            bar.update(step.done - bar.n)

        yield progress
