"""A model's folder for a hub: its files as they are, with a card that has the figures of the run that trained it."""

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pandas as pd

from medsyn2.errors import ConfigError
from medsyn2.files import write_atomically
from medsyn2.integrity import read_sealed
from medsyn2.weights.model_card import write_card
from medsyn2.weights.model_folder import DESCRIPTION, ModelDescription, read_description

MODEL_OF_RUN = "train_dit/model"


@dataclass(frozen=True)
class _Figures:
    """A table of a run whose rows belong into the card."""

    title: str
    pattern: str  # Of the file's name
    columns: tuple[str, ...]
    keep: Callable[[pd.DataFrame], pd.Series]  # Tells the rows


_TABLES = (
    _Figures(
        "Distance of the synthetic volumes to the held-out real ones (FID), beside the real ones' own",
        "fid_*.csv",
        ("window", "condition", "fid", "fid_low", "fid_high", "floor", "num_real", "num_synthetic", "extractor"),
        lambda table: table["plane"] == "mean",
    ),
    _Figures(
        "Masks found again in the volumes that were made from them",
        "mask_agreement.csv",
        ("structure", "condition", "comparison", "dice", "dice_low", "dice_high", "num_patients", "segmenter"),
        lambda table: table["dice"].notna(),
    ),
    _Figures(
        "HU inside structures, synthetic beside real",
        "hu.csv",
        ("region", "source", "real_median_hu", "synthetic_median_hu", "difference_hu", "num_patients"),
        lambda table: table["difference_hu"].notna(),
    ),
    _Figures(
        "Volumes that are suspected to be copies of training cases",
        "memorisation.csv",
        ("condition", "prompts", "num_synthetic", "suspect_percent", "suspect_low", "suspect_high", "p_adjusted"),
        lambda table: table["by"] == "either",
    ),
    _Figures(
        "Held-out CTs after the tokenizer",
        "reconstruction.csv",
        ("case", "ssim_gaussian", "psnr_db", "mae_hu", "num_patients"),
        lambda table: table["case"] == "mean",
    ),
)


def export_model_folder(model: Path, to: Path, results: Path | None) -> ModelDescription:
    """Copy a model's folder, and write its card.

    Args:
        results: Results of the run that trained it, for the figures; None for a card without.

    Raises:
        ConfigError: If `to` holds files, or the results are of another model.
        WeightsError: If the model is incomplete or damaged.
    """
    description = read_description(model)
    if to.exists() and (not to.is_dir() or any(to.iterdir())):
        raise ConfigError(
            f"{to} holds files already; expected a new or an empty folder.",
            code="output-taken",
            remedy="give another folder.",
        )
    figures = [] if results is None else list(read_figures(results, description.fingerprint))
    for name in (*description.files, DESCRIPTION):  # the description last, so that a folder with one is complete
        write_atomically(to / name, partial(shutil.copyfile, model / name))
    write_card(to, description, figures)
    return description


def read_figures(results: Path, fingerprint: str) -> Iterator[str]:
    """Yield a section of Markdown for each table of a run that was made with this model.

    Raises:
        ConfigError: If the run trained another model, or there is no table.
    """
    _check_results(results, fingerprint)
    for figures in _TABLES:
        tables = [pd.read_csv(path) for path in sorted(results.glob(figures.pattern))]
        rows = [table[figures.keep(table)] for table in tables]
        shown = pd.concat(rows)[list(figures.columns)] if rows else pd.DataFrame()
        if len(shown):
            yield f"### {figures.title}\n\n{_markdown(shown)}"
    yield "Measured by the workflow of MedSyn2, which explains its tables in `report.html` of the run."


def _check_results(results: Path, fingerprint: str) -> None:
    description = results / MODEL_OF_RUN / DESCRIPTION
    found = str(read_sealed(description)["fingerprint"]) if description.is_file() else ""
    if found != fingerprint:
        raise ConfigError(
            f"expected the results of the run that trained this model ({fingerprint[:12]}), got those of "
            f"{found[:12] or 'none'}: {results}.",
            code="results-of-another-model",
            remedy="give the folder `results` in which train_dit/model is the model, or leave --results out.",
        )


def _markdown(table: pd.DataFrame) -> str:
    cells = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    head = [list(table.columns), ["---"] * len(table.columns)]
    return "\n".join(f"| {' | '.join(row)} |" for row in [*head, *cells])


def _cell(value: object) -> str:
    if isinstance(value, float):
        return "" if value != value else f"{value:.4g}"
    return str(value).replace("|", "/")
