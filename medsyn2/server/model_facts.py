"""The facts of a model that the page shows, read without torch, so that the link is there before torch is imported.

They are those of ``model.json`` as `medsyn2.weights.model_folder` describes it. The worker reads the whole folder and
compares each file; until then the page shows the model's grid and words, and no volume is made.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from medsyn2.ct.volume import Grid
from medsyn2.errors import ConfigError, GeometryError, WeightsError, reason
from medsyn2.flow.sampling import Sampling
from medsyn2.integrity import read_sealed
from medsyn2.server.problems import JSON
from medsyn2.vocabulary import COLOURS, STRUCTURE_WORDS, STRUCTURES

_DESCRIPTION = "model.json"


@dataclass(frozen=True)
class ModelFacts:
    """A model as the page shows it."""

    grid: Grid
    sampling: Sampling  # How it is sampled by default
    has_template: bool  # Whether real CTs and phantoms can be registered to it
    shown: JSON  # The rest


def read_facts(folder: Path) -> ModelFacts:
    """Read the facts of a model.

    Raises:
        WeightsError: If the folder is none of a model.
    """
    path = folder / _DESCRIPTION
    try:
        return _facts(read_sealed(path))
    except FileNotFoundError:
        raise WeightsError(
            f"{folder} holds no {_DESCRIPTION}.",
            code="model-missing",
            remedy="give the folder that train_dit wrote, such as results/train_dit/model.",
        ) from None
    except (OSError, ValueError, TypeError, KeyError, ConfigError, GeometryError) as error:
        raise WeightsError(
            f"{path} is no description of a model: {reason(error)}.",
            code="model-unreadable",
            remedy="copy the whole folder again.",
        ) from error


def _facts(values: dict[str, Any]) -> ModelFacts:
    depth, height, width = values["grid"]["shape"]
    trained, text = dict(values["training"]), values["text"]
    structures = trained.pop("structures")
    shown = {
        "fingerprint": values["fingerprint"],
        "licence": values.get("licence", ""),
        "trained": trained,
        "clip_hu": values["grid"]["clip_hu"],
        "structures": [
            {"name": name, "words": STRUCTURE_WORDS[name], "colour": colour, "trained": structures.get(name, 0) != 0}
            for name, colour in zip(STRUCTURES, COLOURS, strict=True)
        ],
        "max_report_tokens": text["max_report_tokens"],
        "max_prompt_tokens": text["max_prompt_tokens"],
        "edits_real_cts": values.get("register") is not None,
    }
    grid = Grid((depth, height, width), np.array(values["grid"]["affine_mm"]))
    return ModelFacts(grid, Sampling(**values.get("sampling", {})), shown["edits_real_cts"], shown)
