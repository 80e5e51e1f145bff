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
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from medsyn2.errors import ConfigError, TableError
from medsyn2.files import write_text_atomically
from medsyn2.metrics.banks import Bank, read_bank
from medsyn2.metrics.classification import classification, intervals, trivial, tuned_thresholds
from medsyn2.metrics.clip import label_probabilities, pair_score
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
    write_text_atomically(place, _clip(sources, text, arguments).to_csv(index=False, float_format="%.5g"))
    log.info("%s written", place)
    if all(asked):
        place = arguments.out / "zero_shot.csv"
        table = _zero_shot(sources, read_bank(arguments.prompts), arguments)
        write_text_atomically(place, table.to_csv(index=False, float_format="%.5g"))
        log.info("%s written", place)


def _clip(sources: Mapping[str, Bank], text: Bank, arguments: argparse.Namespace) -> pd.DataFrame:
    rows = []
    for name, bank in sources.items():
        targets = {"T2I": text} if bank.facts.kind == "real" else {"T2I": text, "I2I": sources["real"]}
        for target, partners in targets.items():
            found = asdict(pair_score(bank, partners, num_draws=arguments.draws, seed=arguments.seed))
            recall = {f"recall_at_{k}": value for k, value in found.pop("recall").items()}
            rows.append(
                {"source": name, "score_of": target, **found, **recall, "model": bank.facts.extractor}
            )
    return pd.DataFrame(rows)


def _zero_shot(sources: Mapping[str, Bank], prompts: Bank, arguments: argparse.Namespace) -> pd.DataFrame:
    truth_of = _truth(arguments.labels)
    judged = {name: _judged(bank, prompts, truth_of, arguments) for name, bank in sources.items()}
    thresholds = tuned_thresholds(*judged["real"][:2])
    rows = []
    for name, (probabilities, truth, patients) in judged.items():
        found = asdict(classification(probabilities, truth, thresholds))
        spread = intervals(
            probabilities, truth, thresholds, patients, num_draws=arguments.draws, seed=arguments.seed
        )
        ends = {f"{key}_low": low for key, (low, _) in spread.items()}
        ends |= {f"{key}_high": high for key, (_, high) in spread.items()}
        rows.append({"source": name, **found, "num_volumes": len(truth), **ends})
    truth = judged["real"][1]
    for name, positive in (("finding nothing", False), ("finding everything", True)):
        half = np.full(truth.shape[1], 0.5)
        found = asdict(classification(trivial(*truth.shape, positive=positive), truth, half))
        rows.append({"source": name, **found, "num_volumes": len(truth)})
    return pd.DataFrame(rows)


def _judged(
    bank: Bank, prompts: Bank, truth_of: pd.DataFrame, arguments: argparse.Namespace
) -> tuple[Float[np.ndarray, "v k"], Bool[np.ndarray, "v k"], np.ndarray]:
    missing = [name for name in bank.ids if name not in truth_of.index]
    if missing:
        raise TableError(
            f"{arguments.labels} has no row for {missing[0]} and {len(missing) - 1} other volumes of "
            f"{bank.facts.source}.",
            code="labels-missing",
            remedy=f"give a row for each id of the banks in the column {_ID}.",
        )
    probabilities = label_probabilities(bank, prompts, ABNORMALITY_LABELS, scale=arguments.scale)
    patients = np.unique(np.array(bank.patients), return_inverse=True)[1]
    return probabilities, truth_of.loc[list(bank.ids)].to_numpy(dtype=bool), patients


def _truth(path: Path) -> pd.DataFrame:
    try:
        frame = pd.read_csv(path)
        frame.index = pd.Index(frame[_ID].astype(str).str.removesuffix(".gz").str.removesuffix(".nii"))
        return frame[list(ABNORMALITY_LABELS)].astype(int)
    except (OSError, ValueError, KeyError) as error:
        raise TableError(
            f"{path} cannot be read as a table of labels: {error!r}.",
            code="labels-unreadable",
            remedy=f"give a CSV with {_ID} and CT-RATE's 18 columns of 0 and 1.",
        ) from error
