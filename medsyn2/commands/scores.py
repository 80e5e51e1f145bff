r"""Score embeddings that a vision-language model made: CLIP scores (Table 2) and zero-shot labels (Table 3).

    medsyn2 scores --real real.json --text text.json --synthetic ours.json other.json \
        --labels labels.csv --prompts prompts.json --scale 14.3 --out scores/

The model runs in an environment of its own and writes banks; docs/how-to/score-with-a-clip-model.md shows how, in
some twenty lines for any model. Give the real volumes once as acquired and once brought to the model's grid
(--real-on-grid): the difference is what resampling and cropping cost, and no generator's fault.

scores/clip.csv has a row a source and target with the score of shuffled pairs beside it; scores/zero_shot.csv has a
row a source with thresholds tuned on the real volumes, all three averages of F1, and a row each for finding nothing
and for finding everything.
"""

import argparse
import logging
from pathlib import Path

import pandas as pd

from medsyn2.errors import ConfigError, TableError, reason
from medsyn2.files import write_text_atomically
from medsyn2.metrics.banks import read_bank
from medsyn2.metrics.score_tables import clip_table, zero_shot_table
from medsyn2.vocabulary import ABNORMALITY_LABELS

log = logging.getLogger(__name__)

_ID = "VolumeName"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--real", type=Path, required=True, metavar="JSON", help="bank of the real volumes")
    parser.add_argument(
        "--real-on-grid", type=Path, metavar="JSON", help="the same, brought to the model's grid"
    )
    parser.add_argument("--text", type=Path, required=True, metavar="JSON", help="bank of their reports")
    parser.add_argument(
        "--synthetic",
        type=Path,
        nargs="+",
        default=[],
        metavar="JSON",
        help="banks of generators, a row each",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where the tables go")
    parser.add_argument(
        "--draws", type=int, default=1000, metavar="N", help="resamples (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the resamples (default: 0)")

    labels = parser.add_argument_group("zero-shot labels; all three or none")
    labels.add_argument(
        "--labels", type=Path, metavar="CSV", help=f"{_ID} and CT-RATE's 18 columns of 0 and 1"
    )
    labels.add_argument(
        "--prompts", type=Path, metavar="JSON", help="bank with <label>/present and <label>/absent"
    )
    labels.add_argument("--scale", type=float, metavar="X", help="what the model multiplies cosines by")


def run(arguments: argparse.Namespace) -> None:
    """Write the tables."""
    asked = [getattr(arguments, name) is not None for name in ("labels", "prompts", "scale")]
    if any(asked) and not all(asked):
        raise ConfigError(
            "--labels, --prompts and --scale belong together, only some are given.",
            code="option-without-effect",
            remedy="give all three for zero-shot labels, or none.",
        )
    real, text = read_bank(arguments.real), read_bank(arguments.text)
    sources = {"real": real}
    if arguments.real_on_grid is not None:
        sources["real_on_grid"] = read_bank(arguments.real_on_grid)
    sources |= {path.stem: read_bank(path) for path in arguments.synthetic}
    place = arguments.out / "clip.csv"
    drawn = {"num_draws": arguments.draws, "seed": arguments.seed}
    write_text_atomically(place, clip_table(sources, text, **drawn).to_csv(index=False, float_format="%.5g"))
    log.info("%s written", place)
    if all(asked):
        place = arguments.out / "zero_shot.csv"
        prompts, truth = read_bank(arguments.prompts), _truth(arguments.labels)
        table = zero_shot_table(
            sources, prompts, truth, truth_of=str(arguments.labels), scale=arguments.scale, **drawn
        )
        write_text_atomically(place, table.to_csv(index=False, float_format="%.5g"))
        log.info("%s written", place)


def _truth(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path)
        frame.index = pd.Index(frame[_ID].astype(str).str.removesuffix(".gz").str.removesuffix(".nii"))
        return frame[list(ABNORMALITY_LABELS)].astype(int)
    except (OSError, ValueError, KeyError) as error:
        raise TableError(
            f"{path} cannot be read as a table of labels: {reason(error)}.",
            code="labels-unreadable",
            remedy=f"give a CSV with {_ID} and CT-RATE's 18 columns of 0 and 1.",
        ) from error
